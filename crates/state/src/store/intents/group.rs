//! Intents and answers that were written together, as bytes.

use std::collections::HashMap;

use jiff::Timestamp;
use tidegate_model::store::{IntentId, IntentRow, RowVersion};
use tidegate_model::{Error, Outcome, RowHash};

use crate::codec::{Reader, Texts, Writer, damaged};
use crate::history::outcomes;

const VERSION: u8 = 1;

/// What was written in one transaction for one run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) intents: Vec<NotedIntent>,
    /// Answers to intents of this group and of earlier ones, by what they say: most requests deliver
    /// all of their rows, and are answered alike.
    answers: HashMap<Vec<u8>, Vec<IntentId>>,
}

/// The rows of a request that no batch has committed.
#[derive(Debug, PartialEq)]
pub(super) struct NotedIntent {
    pub(super) id: IntentId,
    pub(super) rows: Vec<IntentRow>,
    /// The index of each row in its request, ascending: what an answer says is found by it.
    pub(super) places: Vec<usize>,
}

impl NotedIntent {
    /// An intent that has all of its rows.
    pub(super) fn whole(id: IntentId, rows: Vec<IntentRow>) -> NotedIntent {
        NotedIntent { id, places: (0..rows.len()).collect(), rows }
    }

    /// Removes rows, given with their index in the request.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, &IntentRow) -> bool) {
        let rows = std::mem::take(&mut self.rows).into_iter();
        let places = std::mem::take(&mut self.places).into_iter();
        let kept = places.zip(rows).filter(|(place, row)| keep(*place, row));
        (self.places, self.rows) = kept.unzip();
    }
}

impl Group {
    /// Adds the answer to an intent, as [`outcomes::encode`] writes it.
    pub(super) fn answer(&mut self, intent: IntentId, outcomes: Vec<u8>) {
        self.answers.entry(outcomes).or_default().push(intent);
    }

    /// Returns the last batch that it is about.
    pub(super) fn last_batch(&self) -> u64 {
        let answered = self.answers.values().flatten();
        self.intents.iter().map(|intent| &intent.id).chain(answered).map(|id| id.batch).max().unwrap_or(0)
    }

    /// Returns the answers, each with the number of its intent.
    pub(super) fn answers(&self) -> Result<Vec<(u64, Vec<Outcome>)>, Error> {
        let mut answers = Vec::new();
        for (bytes, intents) in &self.answers {
            let outcomes = outcomes::decode(bytes)?;
            answers.extend(intents.iter().map(|intent| (intent.number, outcomes.clone())));
        }
        Ok(answers)
    }

    /// Encodes it, column by column.
    ///
    /// # Errors
    /// If it does not fit into a frame.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let rows = || self.intents.iter().flat_map(|intent| &intent.rows);
        let texts: usize = rows().map(|row| row.user.len() + row.key_text.len() + 4).sum();
        let answers: usize = self.answers.iter().map(|(bytes, ids)| bytes.len() + 16 * ids.len() + 8).sum();
        let capacity = 16 + self.intents.len() * 16 + rows().count() * 32 + texts + answers;
        let mut writer = Writer::with_capacity(capacity);
        writer.number(self.intents.len());
        for NotedIntent { id, rows, places } in &self.intents {
            write_id(&mut writer, *id);
            writer.number(rows.len());
            // Usually it has all of its rows.
            let gaps = places.iter().enumerate().any(|(at, place)| at != *place);
            writer.number(usize::from(gaps));
            places.iter().filter(|_| gaps).for_each(|place| writer.number(*place));
        }
        rows().for_each(|row| writer.hash(row.key));
        rows().for_each(|row| writer.hash(row.row));
        writer.texts(rows().map(|row| &*row.key_text));
        writer.texts(rows().map(|row| &*row.user));
        // The rows of a request usually have one number of sends and one first send.
        let mut before = None;
        for row in rows() {
            let sent = (row.sends, row.since);
            if before.replace(sent) == Some(sent) {
                writer.number(0);
            } else {
                writer.number(row.sends as usize + 1);
                writer.number(usize::try_from(row.since.as_microsecond()).unwrap_or(0));
            }
        }
        writer.number(self.answers.len());
        for (outcomes, intents) in &self.answers {
            writer.number(outcomes.len());
            writer.bytes(outcomes);
            writer.number(intents.len());
            intents.iter().for_each(|id| write_id(&mut writer, *id));
        }
        writer.finish(VERSION)
    }

    /// Decodes what [`Group::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Result<Group, Error> {
        let mut reader = Reader::open(bytes, VERSION)?;
        let mut heads = Vec::new();
        let mut total = 0_usize;
        for _ in 0..reader.count(4)? {
            let (id, count) = (read_id(&mut reader)?, reader.number()?);
            total = total.checked_add(count).ok_or_else(damaged)?;
            let places = match reader.number()? {
                0 => None,
                _ => Some((0..count).map(|_| reader.number()).collect::<Result<Vec<_>, _>>()?),
            };
            heads.push((id, count, places));
        }
        let keys = reader.hashes(total)?;
        let versions = reader.hashes(total)?;
        let (key_texts, users) = (reader.texts(total)?, reader.texts(total)?);
        let sent = read_sent(&mut reader, total)?;
        let mut rows = rows(keys, versions, &key_texts, &users, sent);
        let mut group = Group::default();
        for (id, count, places) in heads {
            let rows: Vec<IntentRow> = rows.by_ref().take(count).collect();
            group.intents.push(match places {
                Some(places) => NotedIntent { id, rows, places },
                None => NotedIntent::whole(id, rows),
            });
        }
        for _ in 0..reader.count(2)? {
            let length = reader.number()?;
            let outcomes = reader.bytes(length)?.to_vec();
            let intents = (0..reader.count(2)?).map(|_| read_id(&mut reader)).collect::<Result<_, _>>()?;
            group.answers.insert(outcomes, intents);
        }
        reader.end()?;
        Ok(group)
    }
}

fn write_id(writer: &mut Writer, id: IntentId) {
    for number in [id.number, id.batch] {
        writer.number(usize::try_from(number).unwrap_or(usize::MAX));
    }
}

fn read_id(reader: &mut Reader) -> Result<IntentId, Error> {
    Ok(IntentId { number: reader.number()? as u64, batch: reader.number()? as u64 })
}

/// How often each row was sent before, and when first.
fn read_sent(reader: &mut Reader, count: usize) -> Result<Vec<(u32, Timestamp)>, Error> {
    let mut sent: Vec<(u32, Timestamp)> = Vec::with_capacity(count);
    for _ in 0..count {
        let sends = reader.number()?;
        if let (0, Some(before)) = (sends, sent.last()) {
            sent.push(*before);
            continue;
        }
        let sends = u32::try_from(sends.saturating_sub(1)).unwrap_or(u32::MAX);
        let micros = i64::try_from(reader.number()?).unwrap_or(i64::MAX);
        // A time that is none is long ago: nothing is safe to repeat then.
        sent.push((sends, Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)));
    }
    Ok(sent)
}

fn rows<'a>(
    keys: Vec<RowHash>,
    versions: Vec<RowHash>,
    key_texts: &'a Texts,
    users: &'a Texts,
    sent: Vec<(u32, Timestamp)>,
) -> impl Iterator<Item = IntentRow> + 'a {
    let hashes = keys.into_iter().zip(versions);
    let texts = key_texts.iter().zip(users.iter());
    hashes.zip(texts).zip(sent).map(|(((key, row), (key_text, user)), (sends, since))| IntentRow {
        sends,
        since,
        ..IntentRow::first(RowVersion { key, row }, key_text.into(), user.into())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_model::Reason;

    use super::*;
    use crate::codec::tests::frame_of;

    fn row(key: u128) -> IntentRow {
        let version = RowVersion { key: RowHash(key), row: RowHash(u128::MAX) };
        IntentRow::first(version, "order 7".into(), "ann".into())
    }

    #[test]
    fn intents_and_answers_come_back_also_when_rows_are_gone() {
        let since = Timestamp::from_microsecond(1_795_000_000_000_001).expect("a time");
        let id = |number| IntentId { number, batch: number / 2 };
        let rows = (0..5).map(|key| IntentRow { sends: 3, since, ..row(key) });
        let mut torn = NotedIntent::whole(id(7), rows.collect());
        torn.retain(|place, _| place % 2 == 1);
        let whole = NotedIntent::whole(id(8), vec![row(8)]);
        let mut group = Group { intents: vec![torn, whole], ..Group::default() };
        let rejected = outcomes::encode(&[Outcome::Rejected(Reason::new("bad", "it is"))]).expect("small");
        let delivered = outcomes::encode(&[Outcome::Delivered]).expect("small");
        for (intent, outcomes) in [(id(3), &delivered), (id(7), &rejected), (id(5), &delivered)] {
            group.answer(intent, outcomes.clone());
        }

        let read = Group::decode(&group.encode().expect("small")).expect("whole");

        assert_eq!(read, group);
        assert_eq!((read.last_batch(), &read.intents[0].places), (4, &vec![1, 3]));
        let mut answered: Vec<u64> =
            read.answers().expect("whole").iter().map(|(number, _)| *number).collect();
        answered.sort_unstable();
        assert_eq!(answered, [3, 5, 7]);
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Group::decode(&frame_of(VERSION, &content)).map(|group| group.answers());
        }
    }
}
