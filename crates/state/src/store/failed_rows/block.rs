//! Failed rows as bytes: those of one commit, or of some small ones, column by column.
//!
//! A block has three parts: marks, by which rows are found without reading a block; what the ledger
//! says of the rows; and their contents, sealed as one piece.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model::store::{RowStatus, StatusKind};
use tidegate_model::{Error, Reason, RowHash, RunId, Text};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Reader, Writer, damaged};
use crate::history::status_runs;
use crate::store::payload;

const VERSION: u8 = 1;

/// A failed row, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedEntry {
    /// Hash of the key columns or of the origin.
    pub(crate) key: RowHash,
    /// Hash of the version that failed.
    pub(crate) row: RowHash,
    /// The run in which it failed last.
    pub(crate) run: RunId,
    /// The user's identifier.
    pub(crate) user: Text,
    /// The key columns as text.
    pub(crate) key_text: Text,
    /// Rejected or in doubt, and why.
    pub(crate) status: RowStatus,
    /// Its position in the batch in which it came up.
    pub(crate) position: u64,
    /// When it failed first, in microseconds since 1970.
    pub(crate) first_at: i64,
    /// When it failed last, or was dismissed, in microseconds since 1970.
    pub(crate) last_at: i64,
    /// How often it was tried.
    pub(crate) attempts: u64,
    /// Its contents as text, as far as they are kept and were opened.
    pub(crate) text: Option<Text>,
}

impl FailedEntry {
    /// Returns the status without its reason.
    pub(crate) fn kind(&self) -> StatusKind {
        self.status.kind()
    }

    /// Returns the reason.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        self.status.reason()
    }

    /// Returns whether its contents are kept and whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.text.as_deref().is_some_and(payload::is_whole)
    }

    /// Returns how many bytes of its contents are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.text.as_ref().map_or(0, |text| text.len() as u64)
    }
}

/// Returns the mark of a hash: half of its bits.
pub(crate) fn mark(hash: RowHash) -> u64 {
    (hash.0 >> 64) as u64 ^ hash.0 as u64
}

/// Returns the mark of a user: 0 for a row without one, and for no other.
pub(crate) fn user_mark(user: &str) -> u64 {
    if user.is_empty() { 0 } else { xxh3_64(user.as_bytes()).max(1) }
}

/// Returns marks as one column.
pub(crate) fn marks(marks: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut column = Vec::with_capacity(marks.size_hint().0 * 8);
    marks.for_each(|mark| column.extend_from_slice(&mark.to_le_bytes()));
    column
}

/// Returns the marks of a column.
pub(crate) fn read_marks(column: &[u8]) -> impl Iterator<Item = u64> {
    column.as_chunks::<8>().0.iter().map(|mark| u64::from_le_bytes(*mark))
}

/// Returns the lowest and the highest of some times.
pub(crate) fn span(times: impl Iterator<Item = i64> + Clone) -> (i64, i64) {
    (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default())
}

/// Returns what the ledger says of rows as bytes, without their contents.
pub(crate) fn encode(entries: &[FailedEntry]) -> Result<Vec<u8>, Error> {
    let texts: usize = entries.iter().map(|entry| entry.user.len() + entry.key_text.len()).sum();
    let mut writer = Writer::with_capacity(64 + entries.len() * 48 + texts);
    status_runs::write(&mut writer, 0, entries.iter().map(|entry| &entry.status));
    entries.iter().for_each(|entry| writer.hash(entry.key));
    entries.iter().for_each(|entry| writer.hash(entry.row));
    writer.texts(entries.iter().map(|entry| &*entry.key_text));
    writer.texts(entries.iter().map(|entry| &*entry.user));
    let mut runs: Vec<&RunId> = entries.iter().map(|entry| &entry.run).collect();
    runs.dedup();
    runs.sort_unstable();
    runs.dedup();
    writer.number(runs.len());
    writer.texts(runs.iter().map(|run| run.as_str()));
    let (first_low, _) = span(entries.iter().map(|entry| entry.first_at));
    let (last_low, _) = span(entries.iter().map(|entry| entry.last_at));
    writer.number(unsigned(first_low));
    writer.number(unsigned(last_low));
    for entry in entries {
        writer.number(runs.binary_search(&&entry.run).unwrap_or_default());
        writer.number(entry.position as usize);
        writer.number(entry.attempts as usize);
        writer.number(unsigned(entry.first_at.saturating_sub(first_low)));
        writer.number(unsigned(entry.last_at.saturating_sub(last_low)));
    }
    writer.finish(VERSION)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<FailedEntry>, Error> {
    let mut reader = Reader::open(body, VERSION)?;
    let statuses = status_runs::read(&mut reader)?;
    let count = statuses.len();
    let (keys, rows) = (reader.hashes(count)?, reader.hashes(count)?);
    let (key_texts, users) = (reader.texts(count)?, reader.texts(count)?);
    let different = reader.count(1)?;
    let runs: Vec<RunId> = reader.texts(different)?.iter().map(RunId::new).collect();
    let (first_low, last_low) = (signed(reader.number()?), signed(reader.number()?));
    let mut entries = Vec::with_capacity(count);
    for (at, (key, row)) in keys.into_iter().zip(rows).enumerate() {
        let run = runs.get(reader.number()?).ok_or_else(damaged)?.clone();
        entries.push(FailedEntry {
            key,
            row,
            run,
            user: users.get(at).unwrap_or_default().into(),
            key_text: key_texts.get(at).unwrap_or_default().into(),
            status: statuses.get(at).ok_or_else(damaged)?.clone(),
            position: reader.number()? as u64,
            attempts: reader.number()? as u64,
            first_at: first_low.saturating_add(signed(reader.number()?)),
            last_at: last_low.saturating_add(signed(reader.number()?)),
            text: None,
        });
    }
    reader.end()?;
    Ok(entries)
}

/// Returns the contents of rows as bytes, to be sealed; `None` if there are none.
pub(crate) fn encode_contents(entries: &[FailedEntry]) -> Result<Option<Vec<u8>>, Error> {
    if entries.iter().all(|entry| entry.text.is_none()) {
        return Ok(None);
    }
    let bytes: u64 = entries.iter().map(FailedEntry::bytes).sum();
    let mut writer = Writer::with_capacity(bytes as usize + entries.len() * 3);
    writer.number(entries.len());
    writer.texts(entries.iter().map(|entry| entry.text.as_deref().unwrap_or_default()));
    writer.finish(VERSION).map(Some)
}

/// Returns the contents of each row, which [`encode_contents`] wrote.
pub(crate) fn decode_contents(contents: &[u8]) -> Result<Vec<Option<Text>>, Error> {
    let mut reader = Reader::open(contents, VERSION)?;
    let count = reader.count(1)?;
    let texts = reader.texts(count)?;
    reader.end()?;
    Ok(texts.iter().map(|text| (!text.is_empty()).then(|| text.into())).collect())
}

/// The rows of a block that failed for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) status: StatusKind,
    /// The reason code, and the last of the sentences in the order of their letters.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) rows: u64,
    /// When the first of them failed first, and the last of them failed last.
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

/// Returns the reasons of rows.
pub(crate) fn summaries(entries: &[FailedEntry]) -> Vec<Summary> {
    let mut found: BTreeMap<(&str, &str), Summary> = BTreeMap::new();
    // Rows that stand together often have one reason.
    for alike in entries.chunk_by(|one, next| one.status == next.status) {
        let Some((first, reason)) =
            alike.first().and_then(|first| first.reason().map(|reason| (first, reason)))
        else {
            continue;
        };
        let summary = found.entry((first.kind().as_str(), &reason.code)).or_insert_with(|| Summary {
            status: first.kind(),
            code: reason.code.to_string(),
            message: String::new(),
            rows: 0,
            first_at: first.first_at,
            last_at: first.last_at,
        });
        summary.rows += alike.len() as u64;
        summary.first_at = summary.first_at.min(span(alike.iter().map(|entry| entry.first_at)).0);
        summary.last_at = summary.last_at.max(span(alike.iter().map(|entry| entry.last_at)).1);
        if reason.message > summary.message {
            summary.message.clone_from(&reason.message);
        }
    }
    found.into_values().collect()
}

/// No time of ours is before 1970.
fn unsigned(micros: i64) -> usize {
    usize::try_from(micros).unwrap_or(0)
}

fn signed(micros: usize) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::tests::frame_of;

    fn entry() -> impl Strategy<Value = FailedEntry> {
        let reason = ("[a-c]{1,3}", ".{0,20}").prop_map(|(code, message)| Reason::new(code, message));
        let status =
            prop_oneof![reason.clone().prop_map(RowStatus::Rejected), reason.prop_map(RowStatus::InDoubt),];
        let hashes = (any::<u128>(), any::<u128>());
        let numbers = (0..1_u64 << 40, 0..1_i64 << 52, 0..1_i64 << 52, 1..9_u64);
        let texts = ("[ab]", ".{0,30}", ".{0,30}", proptest::option::of(".{1,30}"));
        (hashes, numbers, texts, status).prop_map(
            |((key, row), (position, first_at, last_at, attempts), (run, user, key_text, text), status)| {
                FailedEntry {
                    key: RowHash(key),
                    row: RowHash(row),
                    run: RunId::new(run),
                    user: user.into(),
                    key_text: key_text.into(),
                    status,
                    position,
                    first_at,
                    last_at,
                    attempts,
                    text: text.map(Text::from),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_block_gives_back_the_failed_rows_it_was_made_of(
            entries in prop::collection::vec(entry(), 0..40),
        ) {
            let mut read = decode(&encode(&entries).expect("small")).expect("whole");
            if let Some(contents) = encode_contents(&entries).expect("small") {
                let texts = decode_contents(&contents).expect("whole");
                read.iter_mut().zip(texts).for_each(|(entry, text)| entry.text = text);
            }
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn no_bytes_of_a_block_of_failed_rows_make_reading_panic(content: Vec<u8>) {
            let _ = decode(&content);
            let _ = decode(&frame_of(VERSION, &content));
            let _ = decode_contents(&frame_of(VERSION, &content));
        }
    }
}
