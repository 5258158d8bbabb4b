//! Hashes of the attributes that were delivered of each user, so that a later run sends those that have
//! changed (`changed: attributes`). An entry is sealed as the contents of failed rows are.
//!
//! ```text
//! entry   version of the row u128 | number of attributes u32 | a hash u64 of each | the user
//! ```

use std::collections::HashMap;

use tidegate_model::store::SentUser;
use tidegate_model::{Error, ErrorKind, RowHash, SyncId};

use super::contents::{Contents, Opening, Sealing};
use super::dialect::{Database, Tx};
use super::statement::{Arg, Record, Statement, sql};

/// Entries in one statement, at most.
const ENTRIES: usize = 128;
/// Entries that are looked at together when a user is erased.
const PAGE: usize = 5_000;

/// Returns the entries of these keys.
pub(super) async fn find(
    database: &Database,
    contents: &Contents,
    sync: &SyncId,
    keys: &[RowHash],
) -> Result<Vec<SentUser>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let opening = contents.opening().await?;
    let mut users = Vec::new();
    for keys in keys.chunks(ENTRIES) {
        let statement = by_keys("SELECT key, body FROM sent_users", sync.as_str(), keys);
        for record in database.all(statement).await? {
            users.extend(read(&opening, sync.as_str(), &record)?);
        }
    }
    Ok(users)
}

/// Replaces the entries of these users.
pub(super) async fn put(tx: &mut Tx, sealing: &Sealing, sync: &str, users: &[SentUser]) -> Result<(), Error> {
    // A statement may name a key once.
    let last: HashMap<RowHash, &SentUser> = users.iter().map(|user| (user.key, user)).collect();
    let last: Vec<&SentUser> = last.into_values().collect();
    let mut rest = &last[..];
    while !rest.is_empty() {
        // Of few lengths, so that each statement is prepared once.
        let (users, others) = rest.split_at(1 << rest.len().min(ENTRIES).ilog2());
        rest = others;
        let mut args = vec![Arg::from(sync)];
        for user in users {
            args.push(key(user.key).into());
            args.push(sealing.seal(&encode(user), &about(sync))?.into());
        }
        let values: Vec<String> =
            (0..users.len()).map(|at| format!("($1, ${}, ${})", 2 * at + 2, 2 * at + 3)).collect();
        let text = format!(
            "INSERT INTO sent_users (sync, key, body) VALUES {} \
             ON CONFLICT (sync, key) DO UPDATE SET body = excluded.body",
            values.join(", ")
        );
        tx.execute(Statement::assembled(text, args)).await?;
    }
    Ok(())
}

/// Removes the entries of these keys.
pub(super) async fn remove(tx: &mut Tx, sync: &str, keys: &[RowHash]) -> Result<(), Error> {
    for keys in keys.chunks(ENTRIES) {
        tx.execute(by_keys("DELETE FROM sent_users", sync, keys)).await?;
    }
    Ok(())
}

/// Removes the entries of a user from all syncs. Returns how many there were.
pub(super) async fn erase(tx: &mut Tx, opening: &Opening, user: &str) -> Result<u64, Error> {
    let mut removed = 0;
    for record in tx.all(sql("SELECT DISTINCT sync FROM sent_users")).await? {
        let sync: String = record.get("sync")?;
        let mut last = Vec::new();
        loop {
            let page =
                sql("SELECT key, body FROM sent_users WHERE sync = $1 AND key > $2 ORDER BY key LIMIT $3");
            let page = tx.all(page.bind(sync.as_str()).bind(last.clone()).bind(PAGE as u64)).await?;
            let Some(record) = page.last() else { break };
            last = record.get("key")?;
            let users =
                page.iter().map(|record| read(opening, &sync, record)).collect::<Result<Vec<_>, _>>()?;
            let theirs = users.into_iter().flatten().filter(|sent| *sent.user == *user).map(|sent| sent.key);
            let theirs: Vec<RowHash> = theirs.collect();
            removed += theirs.len() as u64;
            remove(tx, &sync, &theirs).await?;
        }
    }
    Ok(removed)
}

/// A statement about the entries of these keys.
fn by_keys(begin: &str, sync: &str, keys: &[RowHash]) -> Statement {
    // The last one again, up to one of few lengths: so each statement is prepared once.
    let count = keys.len().next_power_of_two();
    let mut args = vec![Arg::from(sync)];
    args.extend(keys.iter().chain(keys.iter().rev().cycle()).take(count).map(|hash| Arg::from(key(*hash))));
    let places: Vec<String> = (0..count).map(|at| format!("${}", at + 2)).collect();
    Statement::assembled(format!("{begin} WHERE sync = $1 AND key IN ({})", places.join(", ")), args)
}

fn key(hash: RowHash) -> Vec<u8> {
    hash.0.to_be_bytes().to_vec()
}

fn about(sync: &str) -> String {
    format!("attributes of {sync}")
}

fn encode(user: &SentUser) -> Vec<u8> {
    let count = u32::try_from(user.attributes.len()).unwrap_or(u32::MAX);
    let mut entry = Vec::with_capacity(20 + 8 * user.attributes.len() + user.user.len());
    entry.extend(user.row.0.to_be_bytes());
    entry.extend(count.to_be_bytes());
    user.attributes.iter().for_each(|hash| entry.extend(hash.to_be_bytes()));
    entry.extend(user.user.as_bytes());
    entry
}

/// Reads an entry; nothing if the key that sealed it was discarded.
fn read(opening: &Opening, sync: &str, record: &Record) -> Result<Option<SentUser>, Error> {
    let damaged = || {
        Error::new(ErrorKind::Storage, "the stored hashes of the attributes of a user are damaged")
            .hint(format!("restore a copy of the state, or run `tidegate reset {sync}`"))
    };
    let Some(entry) = opening.open(&record.get::<Vec<u8>>("body")?, &about(sync))? else { return Ok(None) };
    let key: Vec<u8> = record.get("key")?;
    let key = key.first_chunk::<16>().ok_or_else(damaged)?;
    let (row, rest) = entry.split_first_chunk::<16>().ok_or_else(damaged)?;
    let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let hashes = 8 * u32::from_be_bytes(*count) as usize;
    let (hashes, user) = rest.split_at_checked(hashes).ok_or_else(damaged)?;
    let (hashes, _) = hashes.as_chunks::<8>();
    Ok(Some(SentUser {
        key: RowHash(u128::from_be_bytes(*key)),
        row: RowHash(u128::from_be_bytes(*row)),
        user: std::str::from_utf8(user).map_err(|_| damaged())?.into(),
        attributes: hashes.iter().map(|hash| u64::from_be_bytes(*hash)).collect(),
    }))
}
