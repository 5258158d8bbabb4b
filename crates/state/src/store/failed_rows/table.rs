//! The tables of blocks: open failed rows, and those that a person dismissed.

use tidegate_model::store::FailedRowQuery;
use tidegate_model::{Error, ObjectKind, RowHash, SyncId, Text};

use super::block::{self, FailedEntry, Summary, mark, marks, read_marks, span, user_mark};
use crate::store::contents::{Opening, Sealing};
use crate::store::dialect::Tx;
use crate::store::statement::{Arg, Conditions, Record, Statement, from_word, sql, to_json};

/// Blocks whose marks are in memory at a time.
const PAGE: u64 = 128;

/// Which rows a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Those that are open.
    Open,
    /// Those that were dismissed: the last time of a row is when it was, and no contents are kept.
    Dismissed,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Open => "failed_blocks",
            Table::Dismissed => "dismissed_blocks",
        }
    }
}

/// What is known of a block without reading it.
#[derive(Clone, Debug)]
pub(crate) struct BlockRef {
    pub(crate) sync: SyncId,
    /// Blocks of a sync are numbered.
    pub(crate) seq: u64,
    pub(crate) object: ObjectKind,
    /// The note of rows that were dismissed.
    pub(crate) note: Option<String>,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// Bytes of contents that are kept.
    pub(crate) bytes: u64,
    /// The first and the last time at which a row of it failed first.
    pub(crate) first: (i64, i64),
    /// The first and the last time at which a row of it failed last.
    pub(crate) last: (i64, i64),
}

const SMALL: &str = "sync, seq, object, note, row_count, bytes, first_low, first_high, last_low, last_high";

impl BlockRef {
    fn of(record: &Record) -> Result<BlockRef, Error> {
        Ok(BlockRef {
            sync: SyncId::new(record.get::<String>("sync")?),
            seq: record.count("seq")?,
            object: from_word(&record.get::<String>("object")?, "object")?,
            note: record.get("note")?,
            rows: record.count("row_count")?,
            bytes: record.count("bytes")?,
            first: (record.get("first_low")?, record.get("first_high")?),
            last: (record.get("last_low")?, record.get("last_high")?),
        })
    }
}

/// A row that is looked for by a mark.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Marked {
    Key(u64),
    User(u64),
}

impl Marked {
    /// Returns by what the rows of a query are found, if it can be by a mark.
    pub(crate) fn of(query: &FailedRowQuery) -> Option<Marked> {
        let user = || query.user.as_deref().map(|user| Marked::User(user_mark(user)));
        query.key.map(|key| Marked::Key(mark(key))).or_else(user)
    }

    fn column(self) -> (&'static str, u64) {
        match self {
            Marked::Key(mark) => ("keys", mark),
            Marked::User(mark) => ("users", mark),
        }
    }
}

/// Returns the blocks that may have rows of a query, of one sync or of all, in the order of their numbers.
pub(crate) async fn places(
    tx: &mut Tx,
    table: Table,
    query: &FailedRowQuery,
) -> Result<Vec<BlockRef>, Error> {
    let marked = Marked::of(query).map(Marked::column);
    let mut columns = format!("{SMALL}, reasons");
    columns.extend(marked.iter().flat_map(|(column, _)| [", ", column]));
    let mut found = Vec::new();
    let mut behind: Option<(SyncId, u64)> = None;
    loop {
        let mut wanted = Conditions::default();
        wanted.add("sync =", query.sync.as_ref().map(Arg::from));
        wanted.add("last_high >=", query.from.map(Arg::from));
        wanted.add("last_low <", query.to.map(Arg::from));
        if let Some((sync, seq)) = &behind {
            let at = wanted.next();
            wanted.and(&format!("(sync, seq) > (${at}, ${})", at + 1), [sync.into(), Arg::from(*seq)]);
        }
        let (conditions, mut args) = wanted.parts();
        args.push(PAGE.into());
        let text = format!(
            "SELECT {columns} FROM {}{conditions} ORDER BY sync, seq LIMIT ${}",
            table.name(),
            args.len()
        );
        let records = tx.all(Statement::assembled(text, args)).await?;
        for record in &records {
            let place = BlockRef::of(record)?;
            behind = Some((place.sync.clone(), place.seq));
            let is_marked = match marked {
                Some((column, mark)) => {
                    read_marks(&record.get::<Vec<u8>>(column)?).any(|known| known == mark)
                }
                None => true,
            };
            found.extend((is_marked && has_reason(record, query)?).then_some(place));
        }
        if (records.len() as u64) < PAGE {
            return Ok(found);
        }
    }
}

/// Some blocks, the one whose row failed last first.
pub(crate) struct NewestPlaces {
    /// Those that may have rows of the query.
    pub(crate) places: Vec<BlockRef>,
    /// The last one that was looked at.
    pub(crate) last: Option<BlockRef>,
    /// Whether no other follows.
    pub(crate) is_last: bool,
}

/// Returns the blocks that may have rows of a query page by page, those behind `behind`: the one whose row failed
/// last first. If `until` is given, only those with a row that failed by then, in microseconds.
pub(crate) async fn newest(
    tx: &mut Tx,
    table: Table,
    query: &FailedRowQuery,
    until: Option<i64>,
    behind: Option<BlockRef>,
) -> Result<NewestPlaces, Error> {
    let mut wanted = Conditions::default();
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("last_high >=", query.from.map(Arg::from));
    wanted.add("last_low <", query.to.map(Arg::from));
    wanted.add("last_low <=", until.map(Arg::from));
    if let Some(BlockRef { sync, seq, last: (_, high), .. }) = &behind {
        wanted.add("last_high <=", Some(Arg::from(*high)));
        let at = wanted.next();
        wanted.and(
            &format!("NOT (last_high = ${at} AND (sync, seq) <= (${}, ${}))", at + 1, at + 2),
            [Arg::from(*high), sync.into(), Arg::from(*seq)],
        );
    }
    let (conditions, mut args) = wanted.parts();
    args.push(PAGE.into());
    let text = format!(
        "SELECT {SMALL}, reasons FROM {}{conditions} ORDER BY last_high DESC, sync, seq LIMIT ${}",
        table.name(),
        args.len()
    );
    let records = tx.all(Statement::assembled(text, args)).await?;
    let mut places = Vec::new();
    for record in &records {
        if has_reason(record, query)? {
            places.push(BlockRef::of(record)?);
        }
    }
    let last = records.last().map(BlockRef::of).transpose()?;
    Ok(NewestPlaces { places, last, is_last: (records.len() as u64) < PAGE })
}

/// Returns whether rows of a block failed for what a query asks for.
fn has_reason(record: &Record, query: &FailedRowQuery) -> Result<bool, Error> {
    if query.reason.is_none() && query.status.is_none() {
        return Ok(true);
    }
    let summaries: Vec<Summary> = record.maybe_json("reasons")?.unwrap_or_default();
    Ok(summaries.iter().any(|summary| {
        query.reason.as_ref().is_none_or(|code| *code == summary.code)
            && query.status.is_none_or(|status| status == summary.status)
    }))
}

/// Calls `each` with the number and the column of marks of each block of open rows of a sync: of their keys, or
/// of their versions.
pub(crate) async fn each_mark(
    tx: &mut Tx,
    sync: &SyncId,
    column: MarkColumn,
    mut each: impl FnMut(u64, &[u8]) + Send,
) -> Result<(), Error> {
    let mut behind = -1_i64;
    loop {
        let statement = match column {
            MarkColumn::Keys => sql(
                "SELECT seq, keys AS marks FROM failed_blocks WHERE sync = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            ),
            MarkColumn::Versions => sql(
                "SELECT seq, versions AS marks FROM failed_blocks WHERE sync = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            ),
        };
        let records = tx.all(statement.bind(sync).bind(behind).bind(PAGE)).await?;
        for record in &records {
            behind = record.get("seq")?;
            let column: Vec<u8> = record.get("marks")?;
            each(record.count("seq")?, &column);
        }
        if (records.len() as u64) < PAGE {
            return Ok(());
        }
    }
}

/// A column of marks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MarkColumn {
    Keys,
    Versions,
}

/// Returns a block of open rows, without their contents; `None` if it is gone.
pub(crate) async fn find(
    tx: &mut Tx,
    sync: &SyncId,
    seq: u64,
) -> Result<Option<(BlockRef, Vec<FailedEntry>)>, Error> {
    let text = format!("SELECT {SMALL}, body FROM failed_blocks WHERE sync = $1 AND seq = $2");
    let statement = Statement::assembled(text, vec![sync.into(), seq.into()]);
    let Some(record) = tx.first(statement).await? else { return Ok(None) };
    Ok(Some((BlockRef::of(&record)?, block::decode(&record.get::<Vec<u8>>("body")?)?)))
}

/// Returns the rows of a block without their contents.
pub(crate) async fn entries(tx: &mut Tx, table: Table, place: &BlockRef) -> Result<Vec<FailedEntry>, Error> {
    let text = format!("SELECT body FROM {} WHERE sync = $1 AND seq = $2", table.name());
    let args = vec![Arg::from(&place.sync), place.seq.into()];
    match tx.first(Statement::assembled(text, args)).await? {
        Some(record) => block::decode(&record.get::<Vec<u8>>("body")?),
        None => Ok(Vec::new()),
    }
}

/// Gives the rows of a block of open rows their contents, as far as these are kept and can be opened.
pub(crate) async fn open_contents(
    tx: &mut Tx,
    opening: &Opening,
    place: &BlockRef,
    entries: &mut [FailedEntry],
) -> Result<(), Error> {
    let texts = contents(tx, opening, place).await?;
    entries.iter_mut().zip(texts).for_each(|(entry, text)| entry.text = text);
    Ok(())
}

/// Returns the contents of each row of a block, as far as these are kept and can be opened.
pub(crate) async fn contents(
    tx: &mut Tx,
    opening: &Opening,
    place: &BlockRef,
) -> Result<Vec<Option<Text>>, Error> {
    if place.bytes == 0 {
        return Ok(Vec::new());
    }
    let statement = sql("SELECT contents FROM failed_blocks WHERE sync = $1 AND seq = $2");
    let record = tx.first(statement.bind(&place.sync).bind(place.seq)).await?;
    let sealed: Option<Vec<u8>> = record.map(|record| record.get("contents")).transpose()?.flatten();
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    match opening.open(&sealed, &sealed_for(&place.sync, place.seq))? {
        Some(contents) => block::decode_contents(&contents),
        None => Ok(Vec::new()),
    }
}

/// The reasons of the rows of a block.
pub(crate) struct Reasons {
    pub(crate) place: BlockRef,
    pub(crate) summaries: Vec<Summary>,
}

impl Reasons {
    fn of(record: &Record) -> Result<Reasons, Error> {
        let summaries = record.maybe_json("reasons")?.unwrap_or_default();
        Ok(Reasons { place: BlockRef::of(record)?, summaries })
    }
}

/// Returns the reasons of the open rows of some syncs, block by block.
pub(crate) async fn reasons(tx: &mut Tx, syncs: &[&SyncId]) -> Result<Vec<Reasons>, Error> {
    let places: Vec<String> = (1..=syncs.len()).map(|at| format!("${at}")).collect();
    let text = format!("SELECT {SMALL}, reasons FROM failed_blocks WHERE sync IN ({})", places.join(", "));
    let args = syncs.iter().map(|sync| Arg::from(*sync)).collect();
    tx.all(Statement::assembled(text, args)).await?.iter().map(Reasons::of).collect()
}

/// Returns the reasons and the marks of the users of some blocks of open rows of a sync, those behind a number.
pub(crate) async fn users(tx: &mut Tx, sync: &SyncId, behind: i64) -> Result<Vec<(Reasons, Vec<u8>)>, Error> {
    let text = format!(
        "SELECT {SMALL}, reasons, users FROM failed_blocks WHERE sync = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    );
    let args = vec![sync.into(), behind.into(), PAGE.into()];
    let records = tx.all(Statement::assembled(text, args)).await?;
    records.iter().map(|record| Ok((Reasons::of(record)?, record.get("users")?))).collect()
}

/// Returns the syncs that have open rows, and the time at which one of them failed last, in microseconds; the
/// last one first.
pub(crate) async fn last_failures(tx: &mut Tx) -> Result<Vec<(SyncId, i64)>, Error> {
    let statement = sql("SELECT sync, MAX(last_high) AS failed_at FROM failed_blocks
        GROUP BY sync ORDER BY failed_at DESC, sync");
    let records = tx.all(statement).await?;
    let failures = records
        .iter()
        .map(|record| Ok((SyncId::new(record.get::<String>("sync")?), record.get("failed_at")?)));
    failures.collect()
}

/// What the contents of a block are sealed for: no other block opens with them.
fn sealed_for(sync: &SyncId, seq: u64) -> String {
    format!("failed rows {seq} of {sync}")
}

/// Returns the number after that of the last block of a sync.
pub(crate) async fn next_seq(tx: &mut Tx, table: Table, sync: &SyncId) -> Result<u64, Error> {
    let text = format!("SELECT COALESCE(MAX(seq), 0) + 1 AS seq FROM {} WHERE sync = $1", table.name());
    let record = tx.first(Statement::assembled(text, vec![sync.into()])).await?;
    record.map_or(Ok(1), |record| record.count("seq"))
}

/// Returns the last blocks of open rows of a sync, the last one first.
pub(crate) async fn last(tx: &mut Tx, sync: &SyncId, count: u64) -> Result<Vec<BlockRef>, Error> {
    let text = format!("SELECT {SMALL} FROM failed_blocks WHERE sync = $1 ORDER BY seq DESC LIMIT $2");
    let records = tx.all(Statement::assembled(text, vec![sync.into(), count.into()])).await?;
    records.iter().map(BlockRef::of).collect()
}

/// Removes a block.
pub(crate) async fn remove(tx: &mut Tx, table: Table, sync: &SyncId, seq: u64) -> Result<(), Error> {
    let text = format!("DELETE FROM {} WHERE sync = $1 AND seq = $2", table.name());
    tx.execute(Statement::assembled(text, vec![sync.into(), seq.into()])).await?;
    Ok(())
}

/// Where a new block belongs.
pub(crate) struct NewBlock<'a> {
    pub(crate) sync: &'a SyncId,
    pub(crate) seq: u64,
    pub(crate) object: ObjectKind,
    pub(crate) note: Option<&'a str>,
}

/// Adds a block; one without rows is not there. Returns the bytes of contents that are kept.
pub(crate) async fn insert(
    tx: &mut Tx,
    table: Table,
    place: NewBlock<'_>,
    entries: &[FailedEntry],
    sealing: Option<&Sealing>,
) -> Result<u64, Error> {
    if entries.is_empty() {
        return Ok(0);
    }
    let plain = block::encode_contents(entries)?;
    let contents = match (plain, sealing) {
        (Some(plain), Some(sealing)) => Some(sealing.seal(&plain, &sealed_for(place.sync, place.seq))?),
        (Some(_), None) => return Err(Error::internal("contents of failed rows have no key to seal them")),
        (None, _) => None,
    };
    let bytes: u64 = entries.iter().map(FailedEntry::bytes).sum();
    let (first_low, first_high) = span(entries.iter().map(|entry| entry.first_at));
    let (last_low, last_high) = span(entries.iter().map(|entry| entry.last_at));
    let version = |entry: &FailedEntry| mark(entry.row);
    let text = format!(
        "INSERT INTO {} ({SMALL}, reasons, keys, versions, users, body, contents)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        table.name()
    );
    let args = vec![
        place.sync.into(),
        place.seq.into(),
        place.object.as_str().into(),
        Arg::Text(place.note.map(str::to_owned)),
        (entries.len() as u64).into(),
        bytes.into(),
        first_low.into(),
        first_high.into(),
        last_low.into(),
        last_high.into(),
        to_json(&block::summaries(entries), "reasons")?.as_str().into(),
        marks(entries.iter().map(|entry| mark(entry.key))).into(),
        marks(entries.iter().map(version)).into(),
        marks(entries.iter().map(|entry| user_mark(&entry.user))).into(),
        block::encode(entries)?.into(),
        contents.into(),
    ];
    tx.execute(Statement::assembled(text, args)).await?;
    Ok(bytes)
}

/// Replaces the rows of a block of open rows. Returns by how many bytes of contents it grew.
pub(crate) async fn replace(
    tx: &mut Tx,
    place: &BlockRef,
    entries: &[FailedEntry],
    sealing: Option<&Sealing>,
) -> Result<i64, Error> {
    remove(tx, Table::Open, &place.sync, place.seq).await?;
    let new = NewBlock { sync: &place.sync, seq: place.seq, object: place.object, note: None };
    let bytes = insert(tx, Table::Open, new, entries, sealing).await?;
    Ok(bytes as i64 - place.bytes as i64)
}

/// Returns the blocks of a sync that may have rows of these versions.
pub(crate) async fn with_versions(
    tx: &mut Tx,
    sync: &SyncId,
    versions: &std::collections::HashSet<RowHash>,
) -> Result<Vec<u64>, Error> {
    let wanted: std::collections::HashSet<u64> = versions.iter().map(|row| mark(*row)).collect();
    let mut found = Vec::new();
    each_mark(tx, sync, MarkColumn::Versions, |seq, marks| {
        if read_marks(marks).any(|mark| wanted.contains(&mark)) {
            found.push(seq);
        }
    })
    .await?;
    Ok(found)
}
