//! Runs and statuses of rows, in memory.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_model::store::{HourCounts, RowEntry, RowQuery, RowResult, RunHistory, RunQuery};
use tidegate_model::{Error, Run, RunId, SyncId};

use super::MemoryStore;

#[async_trait]
impl RunHistory for MemoryStore {
    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        Ok(self.memory().runs.get(id).map(|(run, _)| run.clone()))
    }

    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        let memory = self.memory();
        let runs = memory.runs.values().rev().map(|(run, _)| run);
        Ok(runs.filter(|run| sync.is_none_or(|sync| run.sync == *sync)).take(limit).cloned().collect())
    }

    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        let memory = self.memory();
        let wanted = |run: &&Run| {
            query.sync.as_ref().is_none_or(|sync| run.sync == *sync)
                && query.ending.is_none_or(|ending| run.ending == Some(ending))
                && query.from.is_none_or(|from| run.started_at >= from)
                && query.before.as_ref().is_none_or(|before| run.id < *before)
        };
        let runs = memory.runs.values().rev().map(|(run, _)| run).filter(wanted);
        Ok(runs.take(query.limit).cloned().collect())
    }

    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error> {
        let runs = self.memory().runs.clone();
        Ok(runs.into_values().map(|(run, _)| (run.sync.clone(), run)).collect())
    }

    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error> {
        let mut found: BTreeMap<(SyncId, Option<i64>), HourCounts> = BTreeMap::new();
        for (run, _) in self.memory().runs.values() {
            let is_late = run.started_at >= started && run.finished_at.is_none_or(|at| at > ended);
            if !is_late || sync.is_some_and(|sync| run.sync != *sync) {
                continue;
            }
            let hour = run.finished_at.map(|at| at.as_second().div_euclid(3_600));
            let none = HourCounts { sync: run.sync.clone(), hour, delivered: 0, rejected: 0, in_doubt: 0 };
            let counts = found.entry((run.sync.clone(), hour)).or_insert(none);
            counts.delivered += run.counts.delivered;
            counts.rejected += run.counts.rejected;
            counts.in_doubt += run.counts.in_doubt;
        }
        Ok(found.into_values().collect())
    }

    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        let memory = self.memory();
        let wanted = |entry: &RowEntry| {
            query.sync.as_ref().is_none_or(|sync| entry.sync == *sync)
                && query.run.as_ref().is_none_or(|run| entry.run == *run)
                && query.user.as_ref().is_none_or(|user| entry.user == *user)
                && query.status.is_none_or(|status| entry.status == status)
                && query.from.is_none_or(|from| entry.at >= from)
                && query.to.is_none_or(|to| entry.at < to)
        };
        let open = |entry: &RowEntry, row: &RowResult| {
            let kept =
                memory.failed_rows.iter().find(|(sync, kept)| *sync == entry.sync && kept.row == row.row);
            let kept = kept.filter(|_| !query.without_payload);
            let payload = kept.and_then(|(_, kept)| kept.entry.payload.clone());
            RowEntry { payload: payload.filter(|_| entry.reason.is_some()), ..entry.clone() }
        };
        let newest = memory.ledger.iter().rev().filter(|(entry, _)| wanted(entry));
        Ok(newest.take(query.limit).map(|(entry, row)| open(entry, row)).collect())
    }

    async fn trim_history(&self, before: Timestamp) -> Result<(), Error> {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        self.memory().ledger.retain(|(entry, _)| day(entry.at) >= day(before));
        Ok(())
    }
}
