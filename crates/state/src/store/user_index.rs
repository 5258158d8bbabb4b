//! Finds the history files that can have rows of a user, without opening the others.
//!
//! A file of few users is listed with their marks. Once a hundred files and more wait, their marks become a
//! part of the index: its files are numbered, and its entries sorted into shards, of which a lookup reads
//! one of each part. Files of many users are not in the index and are opened, as are those whose users are
//! not known: they were found on the disk, or have lost rows to an erasure.

use tidegate_model::Error;

use super::dialect::{Database, Tx};
use super::statement::{Record, sql};
use crate::history::user_marks::{self, FileUsers, mark_of, shard_of};

/// The slot of a file that is not in the index yet. Its marks are in the list of files, if they are known.
pub(super) const WAITING: i64 = -1;
/// The slot of a file of many users. Those of files in the index are higher.
pub(super) const OPENED: i64 = 0;
/// Files that wait before they become a part.
pub(super) const PART_FILES: u64 = 128;
/// The most files of a part: they are numbered by 16 bits.
const PART_FILES_MAX: u64 = 1_024;
const SLOTS_OF_PART: i64 = 1 << 16;
/// The most marks of a part, so that it fits into memory; a file more may be in it.
const PART_MARKS_MAX: usize = 1 << 20;

/// Returns how a new file is listed: its slot, and its marks.
pub(super) fn listed(users: Option<&FileUsers>) -> (i64, Option<Vec<u8>>) {
    match users {
        None => (WAITING, None),
        Some(FileUsers::Few(marks)) => (WAITING, Some(user_marks::column(marks))),
        Some(FileUsers::Many) => (OPENED, None),
    }
}

/// Returns the slots of the files that can have rows of a user, by the index.
pub(super) async fn slots(tx: &mut Tx, user: &str) -> Result<Vec<i64>, Error> {
    let mark = mark_of(user);
    let statement = sql("SELECT part, body FROM user_index WHERE shard = $1 ORDER BY part DESC");
    let mut slots = Vec::new();
    for record in tx.all(statement.bind(u64::from(shard_of(mark)))).await? {
        let (part, entries) =
            (record.get::<i64>("part")?, user_marks::decode(&record.get::<Vec<u8>>("body")?)?);
        slots.extend(of_mark(&entries, mark).iter().map(|(_, file)| slot(part, *file)));
    }
    Ok(slots)
}

fn slot(part: i64, file: u16) -> i64 {
    part * SLOTS_OF_PART + i64::from(file)
}

/// The entries of one mark.
fn of_mark(entries: &[(u32, u16)], mark: u32) -> &[(u32, u16)] {
    let first = entries.partition_point(|(other, _)| *other < mark);
    let count = entries[first..].partition_point(|(other, _)| *other == mark);
    &entries[first..first + count]
}

/// Returns how many files of a folder wait for their part.
pub(super) async fn waiting(database: &Database, folder: &str) -> Result<u64, Error> {
    let statement = sql("SELECT COUNT(*) AS files FROM history_files
        WHERE slot = $1 AND folder = $2 AND marks IS NOT NULL");
    let record = database.first(statement.bind(WAITING).bind(folder)).await?;
    record.map_or(Ok(0), |record| record.count("files"))
}

/// Makes parts of the files of a folder that wait.
pub(super) async fn pack(database: &Database, folder: &str) -> Result<(), Error> {
    while pack_part(database, folder).await? {}
    Ok(())
}

/// Makes one part. Returns whether there may be another one.
async fn pack_part(database: &Database, folder: &str) -> Result<bool, Error> {
    let mut tx = database.write().await?;
    database.lock_user_index(&mut tx).await?;
    let statement = sql("SELECT name, marks FROM history_files
        WHERE slot = $1 AND folder = $2 AND marks IS NOT NULL ORDER BY low, name LIMIT $3");
    let files = tx.all(statement.bind(WAITING).bind(folder).bind(PART_FILES_MAX)).await?;
    let part = next_part(&mut tx).await?;
    let mut entries: Vec<(u32, u16)> = Vec::new();
    for (number, record) in (0..u16::MAX).zip(&files) {
        if entries.len() >= PART_MARKS_MAX {
            break;
        }
        let marks: Vec<u8> = record.get("marks")?;
        entries.extend(user_marks::marks(&marks).map(|mark| (mark, number)));
        let statement =
            sql("UPDATE history_files SET slot = $3, marks = NULL WHERE folder = $1 AND name = $2");
        let statement = statement.bind(folder).bind(record.get::<String>("name")?.as_str());
        tx.execute(statement.bind(slot(part, number))).await?;
    }
    entries.sort_unstable();
    for shard in entries.chunk_by(|(one, _), (other, _)| shard_of(*one) == shard_of(*other)) {
        let Some((mark, _)) = shard.first() else { continue };
        let statement = sql("INSERT INTO user_index (shard, part, body) VALUES ($1, $2, $3)");
        let statement = statement.bind(u64::from(shard_of(*mark))).bind(part);
        tx.execute(statement.bind(user_marks::encode(shard)?)).await?;
    }
    tx.commit().await?;
    Ok(!files.is_empty())
}

/// Returns the number of the next part: higher than that of each part and each file.
async fn next_part(tx: &mut Tx) -> Result<i64, Error> {
    let of_parts = tx.first(sql("SELECT COALESCE(MAX(part), 0) AS last FROM user_index")).await?;
    let of_files = tx.first(sql("SELECT COALESCE(MAX(slot), 0) AS last FROM history_files")).await?;
    let last = |record: Option<Record>| record.map_or(Ok(0), |record| record.get::<i64>("last"));
    Ok(last(of_parts)?.max(last(of_files)? / SLOTS_OF_PART) + 1)
}

/// Removes a user. Files that may have rows of the user are no longer in the index: they are opened until their
/// users are read again.
pub(super) async fn erase(database: &Database, tx: &mut Tx, user: &str) -> Result<(), Error> {
    database.lock_user_index(tx).await?;
    let mark = mark_of(user);
    let statement =
        sql("SELECT folder, name, marks FROM history_files WHERE slot = $1 AND marks IS NOT NULL");
    for record in tx.all(statement.bind(WAITING)).await? {
        if user_marks::has(&record.get::<Vec<u8>>("marks")?, mark) {
            let forget = sql("UPDATE history_files SET marks = NULL WHERE folder = $1 AND name = $2");
            let forget = forget.bind(record.get::<String>("folder")?.as_str());
            tx.execute(forget.bind(record.get::<String>("name")?.as_str())).await?;
        }
    }
    let shard = u64::from(shard_of(mark));
    for record in tx.all(sql("SELECT part, body FROM user_index WHERE shard = $1").bind(shard)).await? {
        let (part, mut entries) =
            (record.get::<i64>("part")?, user_marks::decode(&record.get::<Vec<u8>>("body")?)?);
        let files: Vec<u16> = of_mark(&entries, mark).iter().map(|(_, file)| *file).collect();
        if files.is_empty() {
            continue;
        }
        for file in files {
            let forget = sql("UPDATE history_files SET slot = $2, marks = NULL WHERE slot = $1");
            tx.execute(forget.bind(slot(part, file)).bind(WAITING)).await?;
        }
        entries.retain(|(other, _)| *other != mark);
        let statement = sql("UPDATE user_index SET body = $3 WHERE shard = $1 AND part = $2");
        tx.execute(statement.bind(shard).bind(part).bind(user_marks::encode(&entries)?)).await?;
    }
    Ok(())
}

/// Returns files of a folder whose users are not known, in the order of their names, those after `after`.
pub(super) async fn unknown(
    database: &Database,
    folder: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<String>, Error> {
    let statement = sql("SELECT name FROM history_files
        WHERE slot = $1 AND folder = $2 AND marks IS NULL AND name > $3 ORDER BY name LIMIT $4");
    let records = database.all(statement.bind(WAITING).bind(folder).bind(after).bind(limit)).await?;
    records.iter().map(|record| record.get("name")).collect()
}

/// Notes the users of files that were not known. The caller holds the lock of the history.
pub(super) async fn note(
    database: &Database,
    folder: &str,
    found: &[(String, FileUsers)],
) -> Result<(), Error> {
    let mut tx = database.write().await?;
    for (name, users) in found {
        let (slot, marks) = listed(Some(users));
        let statement = sql("UPDATE history_files SET slot = $3, marks = $4
            WHERE folder = $1 AND name = $2 AND slot = $5 AND marks IS NULL");
        let statement = statement.bind(folder).bind(name.as_str()).bind(slot).bind(marks);
        tx.execute(statement.bind(WAITING)).await?;
    }
    tx.commit().await
}

/// Removes the parts of which no file is listed any more.
pub(super) async fn trim(database: &Database) -> Result<(), Error> {
    let statement = sql("DELETE FROM user_index WHERE NOT EXISTS (SELECT 1 FROM history_files
        WHERE history_files.slot >= user_index.part * $1
            AND history_files.slot < (user_index.part + 1) * $1)");
    database.execute(statement.bind(SLOTS_OF_PART)).await?;
    Ok(())
}
