//! Which history files there are. What is not listed here is in no list of rows.
//!
//! A file is listed in the transaction that removes its blocks, so a row is in one of both.

use std::cmp::Ordering;
use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use tidegate_model::store::RowQuery;
use tidegate_model::{Error, SyncId};

use super::dialect::{Database, Tx};
use super::shared_history::IN_BUCKET;
use super::statement::{Arg, Conditions, Record, Statement, sql};
use super::user_index;
use crate::history::user_marks::{self, FileUsers};
use crate::history::{BlockId, History, HistoryFile};

/// Files that one statement looks up.
const SLOTS_AT_ONCE: usize = 500;

/// A file and what is in it.
pub(super) struct NewFile<'a> {
    pub(super) name: &'a str,
    pub(super) sync: &'a SyncId,
    pub(super) day: Date,
    pub(super) first: &'a BlockId,
    pub(super) last: &'a BlockId,
    /// The times of its first and its last commit.
    pub(super) span: (Timestamp, Timestamp),
    /// The users that it has rows of, if they are known.
    pub(super) users: Option<&'a FileUsers>,
}

/// How much was in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) blocks: u64,
    pub(super) rows: u64,
}

/// Lists a file and removes the blocks that it holds. Returns what these had at that moment.
pub(super) async fn add(tx: &mut Tx, folder: &str, file: &NewFile<'_>) -> Result<Counted, Error> {
    let NewFile { name, sync, day, first, last, span, users } = file;
    let (slot, marks) = user_index::listed(*users);
    let statement = sql("INSERT INTO history_files
            (folder, name, sync, day, first_run, first_seq, last_run, last_seq, low, high, slot, marks)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (folder, name) DO NOTHING");
    let statement = statement.bind(folder).bind(*name).bind(*sync).bind(day.to_string().as_str());
    let statement = statement.bind(first.0.as_str()).bind(first.1).bind(last.0.as_str()).bind(last.1);
    tx.execute(statement.bind(span.0).bind(span.1).bind(slot).bind(marks)).await?;
    let (condition, args) = blocks(sync, first, last);
    let counted = format!(
        "UPDATE runs SET pending_rows = pending_rows - (SELECT SUM(row_count) FROM blocks
            WHERE blocks.run = runs.id AND {condition}) WHERE id IN (SELECT run FROM blocks WHERE {condition})"
    );
    tx.execute(Statement::assembled(counted, args.clone())).await?;
    let removed = format!("DELETE FROM blocks WHERE {condition} RETURNING row_count");
    let mut counted = Counted::default();
    for record in tx.all(Statement::assembled(removed, args)).await? {
        counted.blocks += 1;
        counted.rows += record.count("row_count")?;
    }
    Ok(counted)
}

/// Returns the condition for blocks of a sync, from one to another.
pub(super) fn blocks(sync: &SyncId, first: &BlockId, last: &BlockId) -> (String, Vec<Arg>) {
    let text = "blocks.sync = $1 AND (blocks.run, blocks.seq) >= ($2, $3) \
        AND (blocks.run, blocks.seq) <= ($4, $5)";
    let block = |(run, seq): &BlockId| [Arg::from(run.as_str()), Arg::from(*seq)];
    (text.to_owned(), [Arg::from(sync)].into_iter().chain(block(first)).chain(block(last)).collect())
}

/// Returns the files of these folders that can hold wanted rows; those of the newest day and run first.
pub(super) async fn find(
    tx: &mut Tx,
    history: &History,
    folders: &[&str],
    query: &RowQuery,
) -> Result<Vec<HistoryFile>, Error> {
    let mut files = Vec::new();
    let mut read = |records: Vec<Record>, mark: Option<u32>| {
        for record in records {
            let folder = record.get::<String>("folder")?;
            let marks = mark.map(|_| record.get::<Option<Vec<u8>>>("marks")).transpose()?.flatten();
            let can_hold = marks.zip(mark).is_none_or(|(marks, mark)| user_marks::has(&marks, mark));
            let file = HistoryFile::parse(history, &record.get::<String>("name")?);
            let file = file.filter(|_| can_hold && folders.contains(&&*folder));
            files.extend(file.map(|file| HistoryFile { is_shared: folder == IN_BUCKET, ..file }));
        }
        Ok::<(), Error>(())
    };
    // A row without a user is found by none.
    let Some(user) = query.user.as_deref().filter(|user| !user.is_empty()) else {
        let mut wanted = Conditions::default();
        let places: Vec<String> = (1..=folders.len()).map(|at| format!("${at}")).collect();
        let folders = folders.iter().map(|folder| Arg::from(*folder));
        wanted.and(&format!("folder IN ({})", places.join(", ")), folders);
        read(tx.all(select("folder, name", wanted, query)).await?, None)?;
        files.sort_unstable_by(newest_first);
        return Ok(files);
    };
    // Those that are not in the index, then those that it names.
    let mut slots = vec![user_index::WAITING, user_index::OPENED];
    slots.extend(user_index::slots(tx, user).await?);
    for slots in slots.chunks(SLOTS_AT_ONCE) {
        let mut wanted = Conditions::default();
        let places: Vec<String> = (1..=slots.len()).map(|at| format!("${at}")).collect();
        wanted.and(&format!("slot IN ({})", places.join(", ")), slots.iter().map(|slot| Arg::from(*slot)));
        let records = tx.all(select("folder, name, marks", wanted, query)).await?;
        read(records, Some(user_marks::mark_of(user)))?;
    }
    files.sort_unstable_by(newest_first);
    Ok(files)
}

fn newest_first(one: &HistoryFile, other: &HistoryFile) -> Ordering {
    (other.day, &other.last).cmp(&(one.day, &one.last))
}

/// Selects from the list with the conditions of a query.
fn select(columns: &str, mut wanted: Conditions, query: &RowQuery) -> Statement {
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("first_run <=", query.run.as_ref().map(|run| Arg::from(run.as_str())));
    wanted.add("last_run >=", query.run.as_ref().map(|run| Arg::from(run.as_str())));
    wanted.add("high >=", query.from.map(Arg::from));
    wanted.add("low <", query.to.map(Arg::from));
    let (conditions, args) = wanted.parts();
    Statement::assembled(format!("SELECT {columns} FROM history_files{conditions}"), args)
}

/// Returns the names of all files of a folder.
pub(super) async fn names(database: &Database, folder: &str) -> Result<Vec<String>, Error> {
    let statement = sql("SELECT name FROM history_files WHERE folder = $1 ORDER BY name");
    let records = database.all(statement.bind(folder)).await?;
    records.iter().map(|record| record.get("name")).collect()
}

/// Returns the names of the files of a day, in all folders.
pub(super) async fn names_of_day(database: &Database, day: Date) -> Result<HashSet<String>, Error> {
    let statement = sql("SELECT name FROM history_files WHERE day = $1");
    let records = database.all(statement.bind(day.to_string().as_str())).await?;
    records.iter().map(|record| record.get("name")).collect()
}

/// Lists a file in another folder, or under another name. Returns false if it is not listed any more.
pub(super) async fn relist(
    database: &Database,
    (folder, name): (&str, &str),
    (to_folder, to_name): (&str, &str),
) -> Result<bool, Error> {
    let statement = sql("UPDATE history_files SET folder = $3, name = $4 WHERE folder = $1 AND name = $2");
    Ok(database.execute(statement.bind(folder).bind(name).bind(to_folder).bind(to_name)).await? > 0)
}

/// Takes one file off the list.
pub(super) async fn remove(database: &Database, folder: &str, name: &str) -> Result<(), Error> {
    let statement = sql("DELETE FROM history_files WHERE folder = $1 AND name = $2");
    database.execute(statement.bind(folder).bind(name)).await?;
    Ok(())
}

/// Returns the time of the last commit that is in a file of a sync.
pub(super) async fn last(
    database: &Database,
    folder: &str,
    sync: &SyncId,
) -> Result<Option<Timestamp>, Error> {
    let statement = sql("SELECT high FROM history_files WHERE folder = $1 AND sync = $2
        ORDER BY day DESC, last_run DESC LIMIT 1");
    let record = database.first(statement.bind(folder).bind(sync)).await?;
    record.map(|record| record.time("high")).transpose()
}

/// Whether any file of this folder is listed; of one name, if one is given.
pub(super) async fn any(database: &Database, folder: &str, name: Option<&str>) -> Result<bool, Error> {
    let mut wanted = Conditions::default();
    wanted.add("folder =", Some(folder.into()));
    wanted.add("name =", name.map(Arg::from));
    Ok(!database.all(wanted.select("history_files", "name", 1)).await?.is_empty())
}

/// Takes the files of the days before `day` off the list.
pub(super) async fn trim(database: &Database, folder: &str, day: Date) -> Result<(), Error> {
    let statement = sql("DELETE FROM history_files WHERE folder = $1 AND day < $2");
    database.execute(statement.bind(folder).bind(day.to_string().as_str())).await?;
    Ok(())
}
