//! Erases one user from the tables and the history.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{ErasureStore, RowResult};
use tidegate_model::{Erasure, ErasureCounts, Error, KeptRow, RowHash, Value};

use super::archive::Archive;
use super::contents::{Contents, Keys};
use super::dialect::{Database, Tx};
use super::failed_rows::block::FailedEntry;
use super::statement::{sql, to_json};
use super::{SqlStore, failed_rows, intents, kept_users, payload, sent_users, user_index};
use crate::history::block;

#[async_trait]
impl ErasureStore for SqlStore {
    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        erase(&self.database, &self.archive, &self.contents, user).await
    }

    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error> {
        note(&self.database, &self.contents, user, removed, at).await
    }

    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        list(&self.database, &self.contents, user).await
    }
}

/// Erases a user.
async fn erase(
    database: &Database,
    archive: &Archive,
    contents: &Contents,
    user: &str,
) -> Result<ErasureCounts, Error> {
    // Blocks with the user are not on their way into a file meanwhile.
    let _lock = archive.lock().await?;
    let keys = contents.keys().await?;
    let mut counts = ErasureCounts::default();
    let mut tx = database.write().await?;
    counts.failed_rows = failed_rows(&mut tx, &keys, user).await?;
    counts.kept_users = kept_users::erase(&mut tx, &keys.opening, &keys.sealing, user).await?;
    counts.sent_users = sent_users::erase(&mut tx, &keys.opening, user).await?;
    counts.intents = intents::erase(&mut tx, user).await?;
    counts.history_rows = blocks(&mut tx, user).await?;
    // All of them: they may name the user, in words that are not known here.
    tx.execute(sql("DELETE FROM requests")).await?;
    // Before the files: from now on those of the user are opened.
    user_index::erase(database, &mut tx, user).await?;
    tx.commit().await?;
    // One that fails keeps no page of the tables from being overwritten.
    let of_files = archive.erase(user).await;
    // Another machine may have read the users of a file before it lost its rows.
    let mut tx = database.write().await?;
    user_index::erase(database, &mut tx, user).await?;
    tx.commit().await?;
    // What was removed is still in pages that are free now.
    database.scrub().await?;
    archive.erased();
    counts.history_rows += of_files?;
    Ok(counts)
}

/// Notes an erasure, under a keyed hash of the id.
async fn note(
    database: &Database,
    contents: &Contents,
    user: &str,
    removed: &ErasureCounts,
    at: Timestamp,
) -> Result<(), Error> {
    let hash = contents.sealing().await?.keyed_hash(user);
    let note = sql("INSERT INTO erasures (at, user_hash, counts) VALUES ($1, $2, $3)");
    let counts = to_json(removed, "an erasure")?;
    database.execute(note.bind(at).bind(hash).bind(counts.as_str())).await?;
    Ok(())
}

/// Returns the erasures that were noted, newest first; of one user if one is given.
async fn list(database: &Database, contents: &Contents, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
    let hash = match user {
        Some(user) => Some(contents.sealing().await?.keyed_hash(user)),
        None => None,
    };
    let mut erasures = Vec::new();
    for record in database.all(sql("SELECT at, user_hash, counts FROM erasures ORDER BY at DESC")).await? {
        let of: Vec<u8> = record.get("user_hash")?;
        if hash.as_ref().is_none_or(|hash| *hash == of) {
            let removed = record.maybe_json("counts")?.unwrap_or_default();
            let user: String = of.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            erasures.push(Erasure { at: record.time("at")?, user, removed });
        }
    }
    Ok(erasures)
}

/// Removes failed rows of the user, and those whose contents have the id as a value.
async fn failed_rows(tx: &mut Tx, keys: &Keys, user: &str) -> Result<u64, Error> {
    let of_user = |entry: &FailedEntry| {
        if *entry.user == *user || (entry.user.is_empty() && *entry.key_text == *user) {
            return Ok(true);
        }
        let row = entry.text.as_deref().map(payload::row_from_text).transpose()?;
        let row = row.as_ref();
        let values = row.map(|row| &row.row().values[..]).unwrap_or_default();
        let mut texts = [row.and_then(KeptRow::input), row.and_then(KeptRow::location)].into_iter().flatten();
        Ok(values.iter().any(|value| is(value, user)) || texts.any(|text| mentions(text, user)))
    };
    let dismissed = |entry: &FailedEntry| *entry.user == *user || *entry.key_text == *user;
    failed_rows::erase(tx, keys, of_user, dismissed).await
}

/// Whether a value is the id, or mentions it: a message that could not be decoded is one text.
fn is(value: &Value, user: &str) -> bool {
    match value {
        Value::Text(text) => mentions(text, user),
        Value::Json(json) => mentions(json.as_str(), user),
        Value::Bytes(bytes) => mentions(&String::from_utf8_lossy(bytes), user),
        Value::Int(number) => number.to_string() == user,
        Value::Decimal(number) => **number == *user,
        _ => false,
    }
}

/// Whether a text holds the id as a word of its own.
fn mentions(text: &str, user: &str) -> bool {
    let part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(user)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + user.len()..].chars().next()))
}

/// Takes the user's rows out of the statuses that are not in files yet.
async fn blocks(tx: &mut Tx, user: &str) -> Result<u64, Error> {
    let mut removed = 0;
    for record in tx.all(sql("SELECT run, seq FROM blocks")).await? {
        let (run, seq): (String, u64) = (record.get("run")?, record.count("seq")?);
        let body = sql("SELECT body FROM blocks WHERE run = $1 AND seq = $2");
        let Some(record) = tx.first(body.bind(run.as_str()).bind(seq)).await? else { continue };
        let old = block::Block::decode(&record.get::<Vec<u8>>("body")?)?;
        let of_user =
            |row: &block::BlockRow<'_>| row.user == user || (row.user.is_empty() && row.key_text == user);
        let theirs = old.iter().filter(of_user).count() as u64;
        if theirs == 0 {
            continue;
        }
        removed += theirs;
        let kept: Vec<RowResult> = old.iter().filter(|row| !of_user(row)).map(|row| result(&row)).collect();
        let statement = sql("UPDATE blocks SET body = $3, row_count = $4 WHERE run = $1 AND seq = $2");
        let statement = statement.bind(run.as_str()).bind(seq).bind(block::encode(&[], &kept)?);
        tx.execute(statement.bind(kept.len() as u64)).await?;
    }
    Ok(removed)
}

fn result(row: &block::BlockRow<'_>) -> RowResult {
    RowResult {
        key: RowHash(0),
        key_text: row.key_text.into(),
        row: row.row,
        user: row.user.into(),
        status: row.status.clone(),
        payload: None,
    }
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn an_id_is_found_as_a_word_and_not_inside_of_another() {
        for text in ["u1", "{\"id\": u1", "\"u1\"", "x u1, y", "é u1"] {
            assert!(mentions(text, "u1"), "{text}");
        }
        for text in ["", "u11", "xu1", "u1_2", "éu1"] {
            assert!(!mentions(text, "u1"), "{text}");
        }
    }
}
