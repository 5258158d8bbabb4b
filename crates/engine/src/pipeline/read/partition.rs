//! Finds what is new in a batch, transforms it, and parts what is to be sent from what is decided.

use std::cmp::Ordering;

use tidegate_model::store::{Known, RowResult, RowStatus, RowVersion};
use tidegate_model::{Error, Origin, Reason, RowHash, Value};

use crate::pipeline::batch_order::BatchOrder;
use crate::pipeline::item::{IndexedResult, Item, Kept, ReadItems};
use crate::pipeline::read::cursor_marks::CursorMarks;
use crate::pipeline::read::reader::Reader;
use crate::pipeline::read::resume::PriorState;
use crate::pipeline::repeat::Doubt;
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::transform::{ItemKeys, Transform};
use crate::pipeline::unfinished;
use tidegate_project::Changed;

/// What is known of the items of a batch before any of them is transformed.
pub(crate) struct Lookup {
    /// The keys of each item, and what is known of it.
    pub(crate) known: Vec<(ItemKeys, PriorState)>,
    /// The results of input that could not be parsed and that earlier runs did not report.
    pub(crate) malformed: Vec<IndexedResult>,
    /// The results of rows that an earlier run sent, and that were rejected before they became these.
    pub(crate) earlier: Vec<IndexedResult>,
    /// How many were committed before.
    pub(crate) skipped: u64,
    /// How many have changed and are ignored.
    pub(crate) ignored: u64,
    /// The highest cursor value.
    pub(crate) highest: Option<Value>,
    /// How the cursor came there.
    pub(crate) marks: CursorMarks,
    /// The keys of those whose failed rows are closed, though nothing is sent.
    pub(crate) restored: Vec<RowHash>,
    /// Those that earlier runs were about to send.
    pub(crate) recalled: Vec<RowVersion>,
    /// Rows of earlier runs that stay known.
    pub(crate) kept: Kept,
}

/// A batch, sorted.
pub(crate) struct Partitioned<F: Transform> {
    /// What is to be sent.
    pub(crate) to_send: ReadItems<F>,
    /// Items whose status is known without sending them.
    pub(crate) decided: Vec<IndexedResult>,
    /// The same, of items without a cursor value.
    pub(crate) without_cursor: Vec<IndexedResult>,
}

impl<F: Transform> Reader<F> {
    /// Looks up each item, with its origin, and the input that could not be parsed.
    ///
    /// # Errors
    /// If what is remembered cannot be read.
    pub(crate) async fn look_up(
        &mut self,
        items: &[F::Read],
        origins: &[Origin],
        order: &BatchOrder,
        malformed: Vec<IndexedResult>,
        scratch: &mut Vec<u8>,
    ) -> Result<Lookup, Error> {
        let (mut keys, highest, marks) = self.identify(items, origins, scratch);
        keys.extend(malformed.iter().map(|(_, row)| ItemKeys { key: row.key, version: row.row }));
        let hashes: Vec<RowHash> = keys.iter().map(|keys| keys.key).collect();
        let known = self.resume.known(&hashes).await?;
        let mut known = known.map(Vec::into_iter);
        let mut lookup = Lookup {
            known: Vec::with_capacity(items.len()),
            malformed: Vec::new(),
            earlier: Vec::new(),
            skipped: 0,
            ignored: 0,
            highest,
            // Numbers and indexes are the same if all was read, and the cursor of the rest is not among these.
            marks: if malformed.is_empty() { marks } else { CursorMarks::default() },
            restored: Vec::new(),
            recalled: Vec::new(),
            kept: Kept::default(),
        };
        let mut malformed = malformed.into_iter();
        let numbers = order.items().take(items.len()).chain(order.malformed());
        for (at, mut keys) in numbers.zip(keys) {
            if keys.version.is_removed() {
                lookup.recalled.extend(self.resume.take_intended(keys.key));
            }
            let known = known.as_mut().and_then(Iterator::next).unwrap_or_default();
            // The rest could not be parsed.
            let item = items.get(lookup.known.len());
            let by_key = item.is_some_and(|item| self.is_sent_by_key(item, keys));
            let prior = self.prior(at, &mut keys, &known, by_key, &mut lookup.kept);
            let is_known = matches!(prior, PriorState::Committed | PriorState::Ignored);
            if is_known && item.is_some_and(|item| self.is_after_checkpoint(item)) {
                lookup
                    .kept
                    .always
                    .extend(known.rows().iter().map(|row| RowVersion { key: keys.key, row: *row }));
            }
            match prior {
                PriorState::Committed => lookup.skipped += 1,
                PriorState::Ignored => lookup.ignored += 1,
                PriorState::Restored => {
                    lookup.skipped += 1;
                    lookup.restored.push(keys.key);
                }
                PriorState::Sent(_) | PriorState::InDoubt(_) => lookup.recalled.push(keys.into()),
                PriorState::New => {}
            }
            if !prior.is_skipped() {
                self.note_rejected(keys, &mut lookup);
            }
            if lookup.known.len() < items.len() {
                lookup.known.push((keys, prior));
            } else if let Some((at, row)) = malformed.next()
                && prior == PriorState::New
            {
                lookup.malformed.push((at, RowResult { row: keys.version, ..row }));
            }
        }
        Ok(lookup)
    }

    /// Notes what an earlier run sent under the key of an item, if it was rejected: whatever becomes of the item is
    /// newer. A mirror does not list it, and a backfill says nothing of the whole row.
    fn note_rejected(&mut self, keys: ItemKeys, lookup: &mut Lookup) {
        if !self.resume.has_unfinished() || self.repeats.notes || self.kind == RunKind::Backfill {
            return;
        }
        let earlier = self.resume.take_rejected(keys).into_iter().map(unfinished::result);
        for row in earlier {
            lookup.recalled.push(RowVersion { key: row.key, row: row.row });
            lookup.earlier.push((0, row));
        }
    }

    /// Returns the keys of items, the highest cursor value, and how the cursor came there.
    fn identify(
        &mut self,
        items: &[F::Read],
        origins: &[Origin],
        scratch: &mut Vec<u8>,
    ) -> (Vec<ItemKeys>, Option<Value>, CursorMarks) {
        /// Rows with a key that are told apart from equal ones: memory does not follow ties.
        const KEYED_MAX: usize = 1 << 18;
        let keyed = self.transform.has_keys();
        // What a batch has left is counted itself.
        let numbered = !keyed || !matches!(self.retention, Retention::PartialBatches | Retention::ByKey);
        let max = if keyed { KEYED_MAX } else { usize::MAX };
        let mut highest: Option<Value> = None;
        let mut marks = CursorMarks::default();
        let mut all = Vec::with_capacity(items.len());
        for ((at, item), number) in items.iter().enumerate().zip(0..) {
            marks.note(number, highest.as_ref());
            let cursor = self.transform.cursor(item);
            if let Some(value) = cursor
                && highest.as_ref().is_none_or(|high| value.compare(high) == Some(Ordering::Greater))
                && !value.is_null()
            {
                highest = Some(value.clone());
            }
            let origin = origins.get(at);
            let mut keys = self.transform.identify(item, origin, scratch);
            if numbered && origin.is_none() {
                let row = if keyed { RowHash(keys.key.0 ^ keys.version.0.rotate_left(64)) } else { keys.key };
                keys.key = keys.key.numbered(self.numbers.number(row, cursor, max));
            }
            all.push(keys);
        }
        (all, highest, marks)
    }

    /// Whether an item counts as sent if another version of it was: changes are ignored. One without a cursor value
    /// is rejected whatever was sent.
    fn is_sent_by_key(&self, item: &F::Read, keys: ItemKeys) -> bool {
        self.changed == Changed::Ignore
            && self.kind != RunKind::Full
            && !keys.version.is_removed()
            && !self.transform.cursor(item).is_some_and(Value::is_null)
    }

    /// Whether the cursor of an item is after the checkpoint. A row there that is known was committed without its
    /// cursor value ([`unfinished`](crate::pipeline::unfinished)), or before others: it is remembered up to that value.
    fn is_after_checkpoint(&self, item: &F::Read) -> bool {
        let after = |value: &Value| match &self.standing {
            Some(standing) => value.compare(standing) == Some(Ordering::Greater),
            None => true,
        };
        self.transform.cursor(item).is_some_and(after)
    }

    /// What is known of one item; its version is marked with the number of its changes. If it is another version that
    /// was sent (`by_key`), it has the version of that.
    #[inline]
    fn prior(
        &mut self,
        at: u32,
        keys: &mut ItemKeys,
        known: &Known,
        by_key: bool,
        kept: &mut Kept,
    ) -> PriorState {
        let skips = self.kind.skips_committed();
        let rows = known.rows();
        let key = keys.key;
        let keep = |row: &RowHash| RowVersion { key, row: *row };
        let took_effect = || rows.iter().filter(|row| !row.is_rejected());
        if let Some(same) = rows.iter().find(|row| row.is_row(keys.version)) {
            keys.version = keys.version.with_changes(same.changes());
            if let Some(prior) = self.restored(*same, *keys) {
                kept.always.push(RowVersion { row: keys.version, ..keep(same) });
                return prior;
            }
            let mut is_tried_again = || {
                same.is_rejected()
                    && rows.iter().any(|row| row.is_before_rejected())
                    && self.restored.was_closed(keys.key)
            };
            if skips && !is_tried_again() {
                if rows.len() > 1 {
                    kept.always.extend(rows.iter().map(keep));
                }
                return PriorState::Committed;
            }
            if skips {
                kept.if_rejected.extend(took_effect().map(|row| (at, keep(row))));
            }
        } else if let Some(last) = rows.iter().map(|row| row.changes()).max() {
            let ignores = self.changed == Changed::Ignore && !keys.version.is_removed();
            if skips && ignores && took_effect().next().is_some() {
                return PriorState::Ignored;
            }
            kept.if_rejected.extend(took_effect().map(|row| (at, keep(&row.before_rejected()))));
            keys.version = keys.version.with_changes(last.wrapping_add(1));
        } else if skips && self.resume.take_committed(*keys) {
            return PriorState::Committed;
        }
        self.resume.lookup_sent(keys, by_key)
    }

    /// What follows for a row that is as it was committed (`same`), if a change of it was rejected since that
    /// the source no longer has.
    fn restored(&mut self, same: RowHash, keys: ItemKeys) -> Option<PriorState> {
        if self.kind.skips_committed() {
            let closes = same.is_before_rejected() && self.restored.closes(keys.key);
            return closes.then_some(PriorState::Restored);
        }
        if self.kind != RunKind::Retry || !self.resume.rejected.has_other(keys.key, keys.version) {
            return None;
        }
        match () {
            () if same.is_rejected() => None,
            () if same.is_in_doubt() => Some(PriorState::InDoubt(Box::new(Doubt::of_unknown_age()))),
            () => Some(PriorState::Restored),
        }
    }

    /// Transforms what is new, with its number in the batch; `decided` are those of the batch whose status is known already.
    pub(crate) fn partition(
        &self,
        batch: u64,
        items: impl Iterator<Item = (u32, F::Read)>,
        known: Vec<(ItemKeys, PriorState)>,
        decided: Vec<IndexedResult>,
    ) -> Partitioned<F> {
        let count = known.iter().filter(|(_, known)| !known.is_skipped()).count();
        let to_send = ReadItems::with_capacity(count);
        let mut partitioned = Partitioned { to_send, decided, without_cursor: Vec::new() };
        for ((at, item), (keys, known)) in items.zip(known) {
            if known.is_skipped() {
                continue;
            }
            let has_cursor = !self.transform.cursor(&item).is_some_and(Value::is_null);
            // Not taken apart: what is sent is large, and each move of it a copy.
            let prepared = self.transform.transform(item, keys);
            if let Some(status) = self.decide(prepared.sent.as_ref(), &known, has_cursor) {
                let row =
                    (at, self.transform.result(keys, prepared.context, prepared.sent.as_ref().ok(), status));
                if has_cursor { &mut partitioned.decided } else { &mut partitioned.without_cursor }.push(row);
                continue;
            }
            match prepared.sent {
                Ok(sent) => {
                    let doubt = match known {
                        PriorState::InDoubt(doubt) => Some(doubt),
                        _ => None,
                    };
                    let to_send = &mut partitioned.to_send;
                    to_send.sizes.push(self.destination.estimated_size(&sent));
                    if self.partitions {
                        to_send.hashes.push(self.transform.partition_hash(&sent));
                    }
                    to_send.items.push(sent, Item { batch, at, keys, context: prepared.context, doubt });
                }
                Err(reason) => {
                    let result =
                        self.transform.result(keys, prepared.context, None, RowStatus::Rejected(reason));
                    partitioned.decided.push((at, result));
                }
            }
        }
        partitioned
    }

    /// The status of an item where it can be told without sending it.
    fn decide(
        &self,
        sent: Result<&F::Sent, &Reason>,
        known: &PriorState,
        has_cursor: bool,
    ) -> Option<RowStatus> {
        if !has_cursor {
            return Some(RowStatus::Rejected(Reason::new(
                "null_cursor",
                "the cursor column is empty: the row has no position in the order of changes",
            )));
        }
        match known {
            PriorState::Sent(status) => Some((**status).clone()),
            PriorState::InDoubt(doubt) if !self.repeats.allows(doubt.age(self.clock.now())) => {
                Some(RowStatus::InDoubt(doubt.reason.clone()))
            }
            PriorState::InDoubt(_)
            | PriorState::New
            | PriorState::Committed
            | PriorState::Ignored
            | PriorState::Restored => {
                let reason = match sent {
                    Ok(sent) => self.destination.validate(sent).err(),
                    Err(reason) => Some(reason.clone()),
                };
                reason.map(|reason| match known {
                    // It has changed since it was sent: that it cannot be sent as it is now says nothing of that.
                    PriorState::InDoubt(doubt) => RowStatus::InDoubt(doubt.reason.clone()),
                    _ => RowStatus::Rejected(reason),
                })
            }
        }
    }
}
