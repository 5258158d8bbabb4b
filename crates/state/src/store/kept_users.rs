//! The users that a mirror has sent, under the keys of their rows, so that they can be deleted once
//! these are gone. A body is a block of keys and users, compressed and sealed as the contents of
//! failed rows are.

use std::collections::HashSet;

use tidegate_model::store::{BatchCommit, KeptUser, StatusKind};
use tidegate_model::{Error, RowHash, SyncId};

use super::contents::{Contents, Opening, Sealing};
use super::dialect::{Database, Tx};
use super::statement::sql;
use crate::codec::{Reader, Writer};

const VERSION: u8 = 1;
const HASH_BYTES: usize = 16;

/// Returns the users of rows that a commit sends for the first time, or that may have been sent.
pub(super) fn of_commit(commit: &BatchCommit) -> Vec<KeptUser> {
    if !commit.keeps_users {
        return Vec::new();
    }
    let mut users = commit.uncertain.clone();
    let mut keep = |key: RowHash, row: RowHash, user: &str| {
        if row.changes() == 0 && !row.is_removed() {
            users.push(KeptUser { key, user: user.into() });
        }
    };
    for delivered in &commit.delivered {
        let rows = delivered.keys().iter().zip(delivered.rows());
        rows.zip(delivered.users().iter()).for_each(|((key, row), user)| keep(*key, *row, user));
    }
    let taken = commit.results.iter().filter(|row| row.status.kind() != StatusKind::Rejected);
    taken.for_each(|row| keep(row.key, row.row, &row.user));
    users
}

/// Seals users of a sync.
pub(super) fn seal(sealing: &Sealing, sync: &str, users: &[KeptUser]) -> Result<Vec<u8>, Error> {
    let mut block = Writer::with_capacity(users.len() * 2 * HASH_BYTES);
    block.number(users.len());
    users.iter().for_each(|user| block.hash(user.key));
    block.texts(users.iter().map(|user| &*user.user));
    sealing.seal(&block.finish(VERSION)?, &about(sync))
}

/// Opens users of a sync; none if the key that sealed them was discarded.
fn open(opening: &Opening, sync: &str, sealed: &[u8]) -> Result<Vec<KeptUser>, Error> {
    let Some(bytes) = opening.open(sealed, &about(sync))? else { return Ok(Vec::new()) };
    let mut block = Reader::open(&bytes, VERSION)?;
    let count = block.count(HASH_BYTES)?;
    let keys = block.hashes(count)?;
    let texts = block.texts(count)?;
    block.end()?;
    let user = |(key, user): (RowHash, &str)| KeptUser { key, user: user.into() };
    Ok(keys.into_iter().zip(texts.iter()).map(user).collect())
}

fn about(sync: &str) -> String {
    format!("users of {sync}")
}

/// Adds sealed users of a sync.
pub(super) async fn add(tx: &mut Tx, sync: &str, body: Vec<u8>) -> Result<(), Error> {
    let statement = sql("INSERT INTO kept_users (sync, seq, body)
        VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM kept_users WHERE sync = $1), $2)");
    tx.execute(statement.bind(sync).bind(body)).await?;
    Ok(())
}

/// Returns the first users of a sync behind a number, and their number.
pub(super) async fn after(
    database: &Database,
    opening: &Opening,
    sync: &SyncId,
    seq: u64,
) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
    let statement = sql("SELECT seq, body FROM kept_users WHERE sync = $1 AND seq > $2 ORDER BY seq LIMIT 1");
    let Some(record) = database.first(statement.bind(sync).bind(seq)).await? else { return Ok(None) };
    let users = open(opening, sync.as_str(), &record.get::<Vec<u8>>("body")?)?;
    Ok(Some((record.count("seq")?, users)))
}

/// Removes the users under these keys of a sync.
pub(super) async fn forget(
    database: &Database,
    contents: &Contents,
    sync: &SyncId,
    keys: &HashSet<RowHash>,
) -> Result<(), Error> {
    let (opening, sealing) = (contents.opening().await?, contents.sealing().await?);
    let mut seq = 0;
    while let Some((next, users)) = after(database, &opening, sync, seq).await? {
        seq = next;
        let kept: Vec<KeptUser> = users.iter().filter(|user| !keys.contains(&user.key)).cloned().collect();
        if kept.len() < users.len() {
            let mut tx = database.write().await?;
            replace(&mut tx, sealing, sync.as_str(), seq, &kept).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn replace(
    tx: &mut Tx,
    sealing: &Sealing,
    sync: &str,
    seq: u64,
    users: &[KeptUser],
) -> Result<(), Error> {
    let statement = if users.is_empty() {
        sql("DELETE FROM kept_users WHERE sync = $1 AND seq = $2").bind(sync).bind(seq)
    } else {
        let body = seal(sealing, sync, users)?;
        sql("UPDATE kept_users SET body = $3 WHERE sync = $1 AND seq = $2").bind(sync).bind(seq).bind(body)
    };
    tx.execute(statement).await?;
    Ok(())
}

/// Removes a user from all syncs. Returns how often there was one.
pub(super) async fn erase(
    tx: &mut Tx,
    opening: &Opening,
    sealing: &Sealing,
    user: &str,
) -> Result<u64, Error> {
    let mut removed = 0;
    for record in tx.all(sql("SELECT sync, seq FROM kept_users")).await? {
        let (sync, seq): (String, u64) = (record.get("sync")?, record.count("seq")?);
        let body = sql("SELECT body FROM kept_users WHERE sync = $1 AND seq = $2");
        let Some(record) = tx.first(body.bind(sync.as_str()).bind(seq)).await? else { continue };
        let users = open(opening, &sync, &record.get::<Vec<u8>>("body")?)?;
        let kept: Vec<KeptUser> = users.iter().filter(|kept| *kept.user != *user).cloned().collect();
        if kept.len() < users.len() {
            removed += (users.len() - kept.len()) as u64;
            replace(tx, sealing, &sync, seq, &kept).await?;
        }
    }
    Ok(removed)
}
