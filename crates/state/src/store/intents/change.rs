//! What is read of the intents of runs, and which rows leave them.

use std::collections::HashMap;

use tidegate_model::store::{Intent, IntentRow, RowVersion};
use tidegate_model::{Error, Outcome, RunId, SyncId};

use super::group::{Group, NotedIntent};
use crate::store::dialect::{Database, Tx};
use crate::store::statement::{Record, sql};

/// Everything that a run noted.
struct Noted {
    run: String,
    /// The batches up to this one are committed, and their intents done with.
    committed: u64,
    /// By their numbers, ascending.
    groups: Vec<(u64, Group)>,
    /// By the number of the intent.
    answers: HashMap<u64, Vec<Outcome>>,
}

impl Noted {
    /// Returns what the runs of these records noted, run by run: each record is a group of a run, and
    /// they are in order.
    fn of(records: &[Record]) -> Result<Vec<Noted>, Error> {
        let mut all: Vec<Noted> = Vec::new();
        for record in records {
            let run: String = record.get("run")?;
            if all.last().is_none_or(|last| last.run != run) {
                let committed = record.count("committed")?;
                all.push(Noted { run, committed, groups: Vec::new(), answers: HashMap::new() });
            }
            let Some(noted) = all.last_mut() else { continue };
            let mut group = Group::decode(&record.get::<Vec<u8>>("body")?)?;
            noted.answers.extend(group.answers()?);
            group.intents.sort_by_key(|intent| intent.id.number);
            noted.groups.push((record.count("id")?, group));
        }
        Ok(all)
    }

    /// Returns the intents that are not done with, in order.
    fn open(&self) -> impl Iterator<Item = &NotedIntent> {
        let intents = self.groups.iter().flat_map(|(_, group)| &group.intents);
        intents.filter(|intent| intent.id.batch > self.committed && !intent.is_empty())
    }

    /// Returns an intent with what was answered.
    fn intent(&self, noted: &NotedIntent) -> Intent {
        let outcomes = self.answers.get(&noted.id.number);
        let outcomes = outcomes.map(|all| noted.places().map_while(|at| all.get(at)).cloned().collect());
        Intent { rows: noted.request.rows().collect(), outcomes }
    }

    /// Removes the rows that `keep` does not keep of intents that are not done with, and writes what
    /// is left. `keep` is given the batch, the row, and whether that is known to have had no effect.
    async fn retain(
        mut self,
        tx: &mut Tx,
        mut keep: impl FnMut(u64, &IntentRow, bool) -> bool,
    ) -> Result<(), Error> {
        let mut changed = Vec::new();
        for (number, group) in &mut self.groups {
            let before: usize = group.intents.iter().map(NotedIntent::len).sum();
            group.intents.retain(|intent| intent.id.batch > self.committed);
            for intent in &mut group.intents {
                let (batch, answer) = (intent.id.batch, self.answers.get(&intent.id.number));
                intent.retain(|place, row| {
                    let outcome = answer.map(|outcomes| outcomes.get(place));
                    let no_effect = matches!(outcome, Some(None | Some(Outcome::Deferred(_))));
                    keep(batch, row, no_effect)
                });
            }
            group.intents.retain(|intent| !intent.is_empty());
            if group.intents.iter().map(NotedIntent::len).sum::<usize>() < before {
                changed.push(*number);
            }
        }
        if self.open().next().is_none() {
            // Answers alone are about nothing.
            tx.execute(sql("DELETE FROM intents WHERE run = $1").bind(self.run.as_str())).await?;
            return Ok(());
        }
        for (number, group) in self.groups.iter().filter(|(number, _)| changed.contains(number)) {
            let statement = sql("UPDATE intents SET body = $3 WHERE run = $1 AND id = $2");
            tx.execute(statement.bind(self.run.as_str()).bind(*number).bind(group.encode()?)).await?;
        }
        Ok(())
    }
}

/// Takes rows off the intents of earlier runs, oldest first. Only a run after a
/// crash has any.
pub(in crate::store) async fn recall(
    tx: &mut Tx,
    sync: &str,
    run: &RunId,
    recalled: Vec<RowVersion>,
) -> Result<(), Error> {
    if recalled.is_empty() {
        return Ok(());
    }
    let earlier = sql("SELECT intents.run AS run, intents.id AS id, intents.body AS body,
            runs.committed AS committed FROM intents JOIN runs ON runs.id = intents.run
        WHERE runs.sync = $1 AND intents.run <> $2 ORDER BY intents.run, intents.id");
    let mut taken = Taken::of(recalled);
    for noted in Noted::of(&tx.all(earlier.bind(sync).bind(run.as_str())).await?)? {
        noted.retain(tx, |_, row, no_effect| no_effect || !taken.takes(row)).await?;
    }
    Ok(())
}

/// Takes rows that have a result, or had no effect, off the intents of an unfinished batch.
pub(in crate::store) async fn keep_undecided(
    tx: &mut Tx,
    run: &RunId,
    batch: u64,
    decided: Vec<RowVersion>,
) -> Result<(), Error> {
    let own = sql("SELECT intents.run AS run, intents.id AS id, intents.body AS body,
            runs.committed AS committed FROM intents JOIN runs ON runs.id = intents.run
        WHERE intents.run = $1 ORDER BY intents.id");
    let mut taken = Taken::of(decided);
    for noted in Noted::of(&tx.all(own.bind(run.as_str())).await?)? {
        noted.retain(tx, |of, row, no_effect| of != batch || (!no_effect && !taken.takes(row))).await?;
    }
    Ok(())
}

/// Rows that leave intents: each the first one that may have had an effect on it, and those of its
/// repetitions.
struct Taken {
    counts: HashMap<RowVersion, usize>,
    /// A row that was sent more than once is in an intent of each time.
    taken: HashMap<(RowVersion, u32), usize>,
}

impl Taken {
    fn of(rows: Vec<RowVersion>) -> Taken {
        let mut counts: HashMap<RowVersion, usize> = HashMap::with_capacity(rows.len());
        rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
        Taken { counts, taken: HashMap::new() }
    }

    /// Takes a row off an intent. Returns whether it leaves.
    fn takes(&mut self, row: &IntentRow) -> bool {
        let version = RowVersion { key: row.key, row: row.row };
        let Some(count) = self.counts.get(&version) else { return false };
        let taken = self.taken.entry((version, row.sends)).or_default();
        let leaves = *taken < *count;
        *taken += usize::from(leaves);
        leaves
    }
}

/// Takes a user's rows off what was about to be sent. Returns how many.
pub(in crate::store) async fn erase(tx: &mut Tx, user: &str) -> Result<u64, Error> {
    let all = sql("SELECT intents.run AS run, intents.id AS id, intents.body AS body,
            runs.committed AS committed FROM intents JOIN runs ON runs.id = intents.run
        ORDER BY intents.run, intents.id");
    let mut erased = 0;
    for noted in Noted::of(&tx.all(all).await?)? {
        let users = noted.open().flat_map(|intent| intent.request.columns.users().iter());
        erased += users.filter(|of| *of == user).count() as u64;
        noted.retain(tx, |_, row, _| *row.user != *user).await?;
    }
    Ok(erased)
}

/// Returns the intents of a sync that were never committed, in the order of their creation.
pub(in crate::store) async fn open_of(database: &Database, sync: &SyncId) -> Result<Vec<Intent>, Error> {
    let statement = sql("SELECT intents.run AS run, intents.id AS id, intents.body AS body,
            runs.committed AS committed FROM intents JOIN runs ON runs.id = intents.run
        WHERE runs.sync = $1 ORDER BY intents.run, intents.id");
    let noted = Noted::of(&database.all(statement.bind(sync)).await?)?;
    Ok(noted.iter().flat_map(|noted| noted.open().map(|intent| noted.intent(intent))).collect())
}
