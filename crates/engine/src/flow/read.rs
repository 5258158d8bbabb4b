//! Reads the feed, finds what is new, makes records and deals them to the slots.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_model::store::{Fate, RowFate};
use tidegate_model::{
    Batch, Columns, Counts, Error, ErrorKind, Feed, Fingerprint, Identity, Mapping, Platform, Position,
    Reason, Record, Row, SyncId, Text, Unreadable, Value,
};
use tokio::sync::{Semaphore, mpsc};

use super::control::Control;
use super::memory::{self, Known, Memory};
use super::place;
use super::run::BATCHES_UNDER_WAY;
use super::settle::{Note, Opened};
use super::slot::Parcel;

/// A row on its way, beside its record.
pub(super) struct Item {
    /// The batch it belongs to.
    pub(super) batch: u64,
    /// Its place among the rows of the batch.
    pub(super) at: u32,
    pub(super) key: Fingerprint,
    pub(super) whole: Fingerprint,
    pub(super) row: Row,
}

/// A row's fate and its place in the batch.
pub(super) type Placed = (u32, RowFate);

/// Everything the reading side of a run needs.
pub(super) struct Reader {
    pub(super) sync: SyncId,
    /// The columns that the mapping was made for.
    pub(super) columns: Arc<Columns>,
    /// The name of the cursor column and where it stood before this run.
    pub(super) standing: Option<(String, Position)>,
    pub(super) mapping: Arc<Mapping>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) control: Arc<Control>,
    pub(super) memory: Memory,
    /// The place of the cursor column among the columns.
    pub(super) cursor: Option<usize>,
    /// Whether a row in doubt is sent again without asking.
    pub(super) resend: bool,
    /// Whether rows that were settled before are passed over.
    pub(super) recall: bool,
    pub(super) slots: Vec<mpsc::Sender<Vec<Parcel>>>,
    /// Items that one request holds.
    pub(super) items_max: usize,
    /// Over how many of the slots users are spread; none before the first batch.
    pub(super) spread: usize,
    pub(super) notes: mpsc::Sender<Note>,
    /// One permit for each batch that may be under way.
    pub(super) window: Arc<Semaphore>,
}

impl Reader {
    /// Reads until the feed ends or the run halts. Returns the memory and the
    /// number of batches.
    pub(super) async fn read_all(mut self, mut feed: Feed<Row>) -> (Memory, u64) {
        let mut scratch = Vec::with_capacity(512);
        let mut batch = 0;
        loop {
            let next = tokio::select! {
                biased;
                () = self.control.halt() => break,
                next = feed.next() => next,
            };
            let read = match next {
                None => break,
                Some(Ok(read)) => read,
                Some(Err(error)) => {
                    self.control.fail(error);
                    break;
                }
            };
            if let Err(error) = self.still_fits(&read) {
                self.control.fail(error);
                break;
            }
            batch += 1;
            if !self.deal(batch, read, &mut scratch).await {
                break;
            }
        }
        (self.memory, batch)
    }

    /// The source may have changed since its columns were looked at: no value may
    /// slip into the place of another, no cursor be compared with what it was not.
    /// More columns behind those that are known do no harm.
    fn still_fits(&self, read: &Batch<Row>) -> Result<(), Error> {
        let mut checked: Option<&Arc<Columns>> = None;
        for row in &read.items {
            if !checked.is_some_and(|checked| Arc::ptr_eq(checked, &row.columns)) {
                if !row.columns.names().starts_with(self.columns.names()) {
                    return Err(Error::new(
                        ErrorKind::Unexpected,
                        format!("the columns of the source changed while `{}` began to read", self.sync),
                    )
                    .hint("run it again: none of these rows was sent"));
                }
                checked = Some(&row.columns);
            }
            if let (Some((name, place)), Some(at)) = (&self.standing, self.cursor)
                && let Some(value) = row.values.get(at).filter(|value| !value.is_null())
                && value.type_name() != place.0.type_name()
                && value.compare(&place.0).is_none()
            {
                return Err(place::misfit(&self.sync, name, value.type_name(), place));
            }
        }
        Ok(())
    }

    /// Deals one batch. Returns whether the run goes on.
    async fn deal(&mut self, batch: u64, read: Batch<Row>, scratch: &mut Vec<u8>) -> bool {
        let permit = tokio::select! {
            () = self.control.halt() => return false,
            permit = self.window.clone().acquire_owned() => match permit {
                Ok(permit) => permit,
                Err(_) => return false,
            },
        };
        let mut counts = Counts { waiting: read.waiting, ..Counts::default() };
        counts.read = (read.items.len() + read.unreadable.len()) as u64;
        let mut highest: Option<Value> = None;
        let mut recalled = Vec::new();
        let mut fresh = Vec::with_capacity(read.items.len());
        for (at, row) in (0..).zip(read.items) {
            if let Some(place) = self.cursor.and_then(|at| row.values.get(at))
                && highest.as_ref().is_none_or(|high| place.compare(high) == Some(Ordering::Greater))
                && !place.is_null()
            {
                highest = Some(place.clone());
            }
            let whole = self.mapping.version_of(&row, scratch);
            let key = self.mapping.key_of(&row, whole, scratch);
            let known = if self.recall { self.memory.recall(whole) } else { self.memory.recall_sent(whole) };
            match known {
                Known::Settled => {
                    counts.unchanged += 1;
                    continue;
                }
                Known::Sent(_) | Known::InDoubt => recalled.push(whole),
                Known::New => {}
            }
            fresh.push((at, row, key, whole, known));
        }
        if !self.spread(fresh.len()).await {
            return false;
        }
        let mut decided: Vec<Placed> =
            read.unreadable.into_iter().map(|piece| (0, unreadable(piece))).collect();
        let mut unplaced = Vec::new();
        let share = fresh.len() / self.spread;
        let mut dealt: Vec<Vec<Parcel>> =
            (0..self.spread).map(|_| Vec::with_capacity(share + share / 4 + 1)).collect();
        let mut under_way = 0;
        for (at, row, key, whole, known) in fresh {
            let is_placed = !self.cursor.and_then(|at| row.values.get(at)).is_some_and(Value::is_null);
            match self.sort(row, key, whole, known) {
                Sorted::Decided(row) if is_placed => decided.push((at, *row)),
                Sorted::Decided(row) => unplaced.push((at, *row)),
                Sorted::Send(record, row) => {
                    let slot = slot_of(&record, dealt.len());
                    dealt[slot].push((record, Item { batch, at, key, whole, row }));
                    under_way += 1;
                }
            }
        }
        let opened = Opened {
            batch,
            checkpoint: read.checkpoint,
            under_way,
            decided,
            unplaced,
            highest,
            spent: self.memory.is_spent(),
            recalled,
            counts,
            permit,
        };
        if self.notes.send(Note::Opened(Box::new(opened))).await.is_err() {
            return false;
        }
        for (slot, parcels) in self.slots.iter().zip(dealt) {
            if !parcels.is_empty() && slot.send(parcels).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Settles over how many slots users are spread: few rows fill few requests
    /// instead of many half-empty ones. A user changes its slot only while
    /// nothing is under way, so that its rows keep their order. Returns whether
    /// the run goes on.
    async fn spread(&mut self, rows: usize) -> bool {
        let wanted = rows.div_ceil(self.items_max.max(1)).clamp(1, self.slots.len());
        if wanted <= self.spread {
            return true;
        }
        if self.spread > 0 {
            // All permits but our own are back once every earlier batch is settled.
            let others = u32::try_from(BATCHES_UNDER_WAY - 1).unwrap_or(0);
            tokio::select! {
                () = self.control.halt() => return false,
                idle = self.window.acquire_many(others) => if idle.is_err() {
                    return false;
                },
            }
        }
        self.spread = wanted;
        true
    }

    /// Decides about one row what can be decided without sending it.
    fn sort(&mut self, row: Row, key: Fingerprint, whole: Fingerprint, known: Known) -> Sorted {
        let cursor = self.cursor.and_then(|at| row.values.get(at));
        let made = match (known, cursor) {
            (_, Some(Value::Null)) => Err(Reason::new(
                "null_cursor",
                "the cursor column is empty: the row has no place in the order of changes",
            )),
            (Known::Sent(fate), _) => return self.decide(row, key, whole, fate, None),
            (Known::InDoubt, _) if !self.resend => {
                return self.decide(row, key, whole, Fate::InDoubt(memory::crashed()), None);
            }
            (Known::InDoubt | Known::New | Known::Settled, _) => self.mapping.apply(&row, key, whole),
        };
        match made {
            Ok(record) => match self.platform.admit(&record) {
                Ok(()) => Sorted::Send(record, row),
                Err(reason) => self.decide(row, key, whole, Fate::Rejected(reason), Some(&record)),
            },
            Err(reason) => self.decide(row, key, whole, Fate::Rejected(reason), None),
        }
    }

    fn decide(
        &self,
        row: Row,
        key: Fingerprint,
        whole: Fingerprint,
        fate: Fate,
        record: Option<&Record>,
    ) -> Sorted {
        let user = match record {
            Some(record) => user_of(record),
            // Where the row is not acceptable its user may still be told.
            None => self.mapping.apply(&row, key, whole).map(|record| user_of(&record)).unwrap_or_default(),
        };
        let key_text = self.mapping.key_text(&row);
        let payload = (!matches!(fate, Fate::Delivered)).then_some(row);
        Sorted::Decided(Box::new(RowFate { key, key_text, row: whole, user, fate, payload }))
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is sent: a box would be an allocation for each"
)]
enum Sorted {
    Decided(Box<RowFate>),
    Send(Record, Row),
}

/// The row's fate in the form the ledger keeps.
pub(super) fn fate_of(item: Item, record: &Record, fate: Fate, mapping: &Mapping) -> RowFate {
    let key_text = mapping.key_text(&item.row);
    let payload = (!matches!(fate, Fate::Delivered)).then_some(item.row);
    RowFate { key: item.key, key_text, row: item.whole, user: user_of(record), fate, payload }
}

/// What people search for, without a copy where there is one to share.
pub(super) fn user_of(record: &Record) -> Text {
    match &record.identity {
        Identity::ExternalId(id) | Identity::PlatformId(id) | Identity::Email(id) | Identity::Phone(id) => {
            id.clone()
        }
        _ => record.label().into_owned().into(),
    }
}

/// The slot that all records of one user go through.
fn slot_of(record: &Record, slots: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    match &record.identity {
        Identity::None => record.label().hash(&mut hasher),
        identity => identity.hash(&mut hasher),
    }
    (hasher.finish() % slots.max(1) as u64) as usize
}

fn unreadable(piece: Unreadable) -> RowFate {
    let columns = Columns::new(["input"]);
    let row = Row { columns, values: vec![Value::Text(piece.payload.into())] };
    let place = Value::Text(piece.place.as_str().into());
    RowFate {
        key: Fingerprint::of_values([&place], &mut Vec::new()),
        key_text: piece.place.into(),
        row: Fingerprint::of_values(row.values.iter().chain([&place]), &mut Vec::new()),
        user: Text::new(),
        fate: Fate::Rejected(piece.reason),
        payload: Some(row),
    }
}
