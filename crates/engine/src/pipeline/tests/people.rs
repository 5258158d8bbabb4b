//! A table of people that tests of mirrors change, and that compares its rows itself if it is asked to.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use tidegate_model::bookkeeping::{Bookkeeping, DifferingRows, NotedRow, SourceHashes};
use tidegate_model::source::Hashed;
use tidegate_testkit::Dice;

use super::*;

/// A row: its key, or null, and a number whose type may change.
pub(super) type Person = (Option<i64>, i64, bool);

/// A table of people, read a few rows at a time in any order, how many were read whole beside their hashes, and what
/// it keeps for a mirror that it compares itself.
#[derive(Clone, Default)]
pub(super) struct People(
    pub(super) Arc<Mutex<(Vec<Person>, u64)>>,
    pub(super) Arc<Mutex<usize>>,
    Arc<Mutex<Kept>>,
);

/// A second attribute, which changes less often.
pub(super) fn tier(plan: i64) -> i64 {
    plan / 5
}

pub(super) fn people_columns() -> Arc<Columns> {
    Columns::new(["id", "plan", "tier"])
}

/// A person as a row.
fn row_of(&(id, plan, as_text): &Person) -> Row {
    let plan_value = if as_text { Value::Text(plan.to_string().into()) } else { Value::Int(plan) };
    let values = vec![id.map_or(Value::Null, Value::Int), plan_value, Value::Int(tier(plan))];
    Row { columns: people_columns(), values }
}

impl People {
    /// The rows in any order.
    fn shuffled(&self) -> Vec<Person> {
        let (mut rows, seed) = self.0.lock().expect("no panic").clone();
        let mut dice = Dice(seed);
        for at in (1..rows.len()).rev() {
            rows.swap(at, usize::try_from(dice.roll(at as u64 + 1)).expect("small"));
        }
        rows
    }

    /// The rows with what the table makes of them.
    fn hashed(&self) -> Vec<(Person, SourceHashes)> {
        let rows = self.shuffled();
        let hashes = |person: &Person| {
            let several = rows.iter().filter(|other| person.0.is_some() && other.0 == person.0).count() > 1;
            let row = RowHash::of_bytes(format!("{person:?}").as_bytes()).0;
            SourceHashes { key: key_hash(person), row, several }
        };
        rows.iter().map(|person| (*person, hashes(person))).collect()
    }
}

fn key_hash(person: &Person) -> u128 {
    RowHash::of_bytes(format!("{:?}", person.0).as_bytes()).0
}

/// What the table keeps for a mirror.
#[derive(Default)]
struct Kept {
    /// The name of the entries, and whether they are those of all keys.
    name: Option<(String, bool)>,
    named: u64,
    /// By the key in the ledger: the key of the table, and the hash.
    entries: BTreeMap<RowHash, (u128, Option<u128>)>,
}

/// Keeps entries in the table. Each step takes a moment, before and after it takes effect.
struct Book {
    people: People,
    held: Mutex<Vec<NotedRow>>,
}

impl Book {
    async fn step<T>(&self, step: impl FnOnce(&mut Kept) -> T) -> T {
        crate::pipeline::wait::span(Duration::from_millis(1)).await;
        let done = step(&mut self.people.2.lock().expect("no panic"));
        crate::pipeline::wait::span(Duration::from_millis(1)).await;
        done
    }
}

#[async_trait]
impl Bookkeeping for Book {
    async fn begin(&self, name: Option<&str>) -> Result<(String, bool), Error> {
        let (there, complete) = self.step(|kept| kept.name.clone().unwrap_or_default()).await;
        if complete && name == Some(&there) {
            return Ok((there, true));
        }
        let new = self.step(|kept| {
            kept.named += 1;
            kept.name = Some((kept.named.to_string(), false));
            kept.entries.clear();
            kept.named.to_string()
        });
        Ok((new.await, false))
    }

    async fn rows(
        &self,
        all: bool,
        _: usize,
    ) -> Result<BoxStream<'static, Result<DifferingRows, Error>>, Error> {
        let mut rows = self.people.hashed();
        let known: BTreeMap<u128, Option<u128>> =
            self.step(|kept| kept.entries.values().copied().collect()).await;
        let differs = |hashes: &SourceHashes| known.get(&hashes.key) != Some(&Some(hashes.row));
        rows.retain(|(person, hashes)| all || person.0.is_none() || hashes.several || differs(hashes));
        let batches = rows.chunks(7).map(|rows| {
            let batch = Batch::of(rows.iter().map(|(person, _)| row_of(person)).collect());
            let hashes = rows.iter().map(|(_, hashes)| *hashes).collect();
            Ok(DifferingRows { batch, hashes, malformed: Vec::new() })
        });
        Ok(futures_util::stream::iter(batches.collect::<Vec<_>>()).boxed())
    }

    async fn count(&self) -> Result<u64, Error> {
        let rows = &self.people.0.lock().expect("no panic").0;
        Ok(rows.iter().filter(|person| person.0.is_some()).count() as u64)
    }

    async fn removed(&self, after: Option<RowHash>, limit: usize) -> Result<Vec<RowHash>, Error> {
        let there: Vec<u128> = self.people.shuffled().iter().map(key_hash).collect();
        let gone = |kept: &mut Kept| {
            let entries = kept.entries.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
            let gone = entries.filter(|(_, (source_key, _))| !there.contains(source_key));
            gone.map(|(key, _)| *key).take(limit).collect()
        };
        Ok(self.step(gone).await)
    }

    async fn note(&self, rows: &[NotedRow]) -> Result<(), Error> {
        let is_full = {
            let mut held = self.held.lock().expect("no panic");
            held.extend_from_slice(rows);
            held.len() > 9
        };
        if is_full { self.flush().await } else { Ok(()) }
    }

    async fn flush(&self) -> Result<(), Error> {
        let held = std::mem::take(&mut *self.held.lock().expect("no panic"));
        for rows in held.chunks(5) {
            self.step(|kept| {
                for NotedRow { key, hashes, known } in rows {
                    kept.entries.insert(*key, (hashes.key, known.then_some(hashes.row)));
                }
            })
            .await;
        }
        Ok(())
    }

    async fn note_removed(&self, keys: &[RowHash]) -> Result<(), Error> {
        self.flush().await?;
        self.step(|kept| kept.entries.extend(keys.iter().map(|key| (*key, (key.0, None))))).await;
        Ok(())
    }

    async fn complete(&self) -> Result<(), Error> {
        self.step(|kept| kept.name.iter_mut().for_each(|(_, complete)| *complete = true)).await;
        Ok(())
    }

    async fn doubt(&self, keys: &[RowHash]) -> Result<(), Error> {
        self.flush().await?;
        let doubt = |kept: &mut Kept| {
            let entries = kept.entries.iter_mut().filter(|(key, _)| keys.contains(key));
            entries.for_each(|(_, (_, hash))| *hash = None);
        };
        self.step(doubt).await;
        Ok(())
    }

    async fn forget(&self, keys: &[RowHash]) -> Result<(), Error> {
        self.flush().await?;
        self.step(|kept| kept.entries.retain(|key, _| !keys.contains(key))).await;
        Ok(())
    }

    fn keeps(&self) -> bool {
        true
    }
}

#[async_trait]
impl Source for People {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        Err(Error::internal("not asked"))
    }

    async fn read(&self, _: &Selection, _: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        let rows = self.shuffled();
        let batches: Vec<_> =
            rows.chunks(7).map(|rows| Ok(Batch::of(rows.iter().map(row_of).collect()))).collect();
        Ok(futures_util::stream::iter(batches).boxed())
    }

    async fn bookkeeping(
        &self,
        _: &SyncId,
        _: &Selection,
        _: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        Ok(Some(Arc::new(Book { people: self.clone(), held: Mutex::default() })))
    }

    /// Another state of the table may make other hashes of the same rows, as another version of a server may.
    async fn hashed(
        &self,
        selection: &Selection,
        _: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Option<Feed<Row>>, Error> {
        let rendering = self.0.lock().expect("no panic").1 % 2;
        let wanted = match what {
            Hashed::These(keys) => Some(keys.concat()),
            Hashed::Keys | Hashed::Rows => None,
        };
        let only_keys = matches!(what, Hashed::Keys);
        let count = self.1.clone();
        let rows = self.read(selection, &ReadMode::Full, batch_rows).await?;
        let hashed = move |mut batch: Batch<Row>| {
            batch.items.retain(|row| wanted.as_ref().is_none_or(|wanted| wanted.contains(&row.values[0])));
            for row in &mut batch.items {
                let hash = Value::Text(format!("{rendering} {:?}", row.values).into());
                *count.lock().expect("no panic") += usize::from(!only_keys);
                row.values.truncate(if only_keys { 1 } else { 3 });
                row.values.push(hash);
            }
            batch
        };
        Ok(Some(rows.map_ok(hashed).boxed()))
    }
}
