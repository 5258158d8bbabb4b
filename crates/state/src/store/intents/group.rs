//! Intents and answers that were written together, as bytes.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_model::store::{IntendedRequest, IntentId, IntentRow, RowColumns, RowVersion};
use tidegate_model::{Error, Outcome};

use crate::codec::{Reader, Writer, damaged};
use crate::history::outcomes;

const VERSION: u8 = 2;

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
    pub(super) request: IntendedRequest,
    /// The index of each row in its request, ascending: what an answer says is found by it. `None` if all
    /// rows of the request are there.
    places: Option<Vec<usize>>,
}

impl NotedIntent {
    /// An intent that has all of its rows.
    pub(super) fn whole(id: IntentId, request: IntendedRequest) -> NotedIntent {
        NotedIntent { id, request, places: None }
    }

    /// Returns the number of its rows.
    pub(super) fn len(&self) -> usize {
        self.request.columns.len()
    }

    /// Returns whether it has no rows any more.
    pub(super) fn is_empty(&self) -> bool {
        self.request.columns.is_empty()
    }

    /// Returns the index of each row in its request.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|at| self.places.as_ref().map_or(at, |places| places[at]))
    }

    /// Removes rows, given with their index in the request.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, &IntentRow) -> bool) {
        let (mut columns, mut places) = (RowColumns::default(), Vec::new());
        for (place, row) in self.places().zip(self.request.rows()) {
            if keep(place, &row) {
                let version = RowVersion { key: row.key, row: row.row };
                columns.push(version, |text| text.push_str(&row.key_text), &row.user);
                places.push(place);
            }
        }
        if places.len() < self.len() {
            self.request.columns = Arc::new(columns);
            self.places = Some(places);
        }
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
        let columns = || self.intents.iter().map(|intent| &*intent.request.columns);
        let rows: usize = columns().map(RowColumns::len).sum();
        let texts = columns().map(|rows| rows.key_texts().joined().len() + rows.users().joined().len());
        let answers: usize = self.answers.iter().map(|(bytes, ids)| bytes.len() + 16 * ids.len() + 8).sum();
        let capacity = 16 + self.intents.len() * 32 + rows * 36 + texts.sum::<usize>() + answers;
        let mut writer = Writer::with_capacity(capacity);
        writer.number(self.intents.len());
        for intent in &self.intents {
            write_id(&mut writer, intent.id);
            writer.number(intent.len());
            writer.number(usize::from(intent.places.is_some()));
            intent.places.iter().flatten().for_each(|place| writer.number(*place));
            writer.number(intent.request.sends as usize);
            writer.number(usize::try_from(intent.request.since.as_microsecond()).unwrap_or(0));
        }
        columns().flat_map(RowColumns::keys).for_each(|key| writer.hash(*key));
        columns().flat_map(RowColumns::rows).for_each(|row| writer.hash(*row));
        writer.columns(columns().map(RowColumns::key_texts), std::iter::empty());
        writer.columns(columns().map(RowColumns::users), std::iter::empty());
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
        let heads = (0..reader.count(6)?).map(|_| Head::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let total = heads.iter().try_fold(0_usize, |total, head| total.checked_add(head.rows));
        let total = total.ok_or_else(damaged)?;
        let hashes = reader.hashes(total)?.into_iter().zip(reader.hashes(total)?);
        let (key_texts, users) = (reader.texts(total)?, reader.texts(total)?);
        let mut rows = hashes.zip(key_texts.iter().zip(users.iter()));
        let mut group = Group::default();
        for Head { id, rows: count, places, sends, since } in heads {
            let mut columns = RowColumns::with_capacity(count);
            for ((key, row), (key_text, user)) in rows.by_ref().take(count) {
                columns.push(RowVersion { key, row }, |text| text.push_str(key_text), user);
            }
            let request = IntendedRequest { columns: Arc::new(columns), sends, since };
            group.intents.push(NotedIntent { id, request, places });
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

/// What an intent has besides its columns.
struct Head {
    id: IntentId,
    /// The number of its rows.
    rows: usize,
    places: Option<Vec<usize>>,
    sends: u32,
    since: Timestamp,
}

impl Head {
    fn read(reader: &mut Reader) -> Result<Head, Error> {
        let (id, rows) = (read_id(reader)?, reader.number()?);
        let places = match reader.number()? {
            0 => None,
            _ => Some((0..rows).map(|_| reader.number()).collect::<Result<_, _>>()?),
        };
        let sends = u32::try_from(reader.number()?).unwrap_or(u32::MAX);
        let micros = i64::try_from(reader.number()?).unwrap_or(i64::MAX);
        // A time that is none is long ago: nothing is safe to repeat then.
        let since = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Head { id, rows, places, sends, since })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_model::{Reason, RowHash};

    use super::*;
    use crate::codec::tests::frame_of;

    fn request(keys: std::ops::Range<u128>, sends: u32, since: Timestamp) -> IntendedRequest {
        let mut columns = RowColumns::default();
        for key in keys {
            let version = RowVersion { key: RowHash(key), row: RowHash(u128::MAX - key) };
            columns.push(version, |text| text.push_str("order 7"), "ann");
        }
        IntendedRequest { columns: Arc::new(columns), sends, since }
    }

    #[test]
    fn intents_and_answers_come_back_also_when_rows_are_gone() {
        let since = Timestamp::from_microsecond(1_795_000_000_000_001).expect("a time");
        let id = |number| IntentId { number, batch: number / 2 };
        let mut torn = NotedIntent::whole(id(7), request(0..5, 3, since));
        torn.retain(|place, _| place % 2 == 1);
        torn.retain(|_, _| true);
        let whole = NotedIntent::whole(id(8), request(8..9, 0, Timestamp::UNIX_EPOCH));
        let mut group = Group { intents: vec![torn, whole], ..Group::default() };
        let rejected = outcomes::encode(&[Outcome::Rejected(Reason::new("bad", "it is"))]).expect("small");
        let delivered = outcomes::encode(&[Outcome::Delivered]).expect("small");
        for (intent, outcomes) in [(id(3), &delivered), (id(7), &rejected), (id(5), &delivered)] {
            group.answer(intent, outcomes.clone());
        }

        let read = Group::decode(&group.encode().expect("small")).expect("whole");

        assert_eq!(read, group);
        assert_eq!((read.last_batch(), read.intents[0].places().collect::<Vec<_>>()), (4, vec![1, 3]));
        let keys: Vec<u128> = read.intents[0].request.rows().map(|row| row.key.0).collect();
        assert_eq!((keys, read.intents[1].places().collect::<Vec<_>>()), (vec![1, 3], vec![0]));
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
