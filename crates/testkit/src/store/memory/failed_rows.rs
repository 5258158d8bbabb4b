//! Failed rows in plain memory, page by page and in groups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{
    DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, FailedRowStore,
};
use tidegate_model::{Error, SyncId};

use super::MemoryStore;

#[async_trait]
impl FailedRowStore for MemoryStore {
    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error> {
        let all = FailedRowQuery { limit: usize::MAX, after: None, ..query.clone() };
        let mut rows = find(self.memory().failed_rows.iter().map(|(_, row)| row), &all);
        let order = |row: &FailedRow| (row.first_at, row.position, row.key);
        rows.sort_by_key(order);
        rows.retain(|row| after.is_none_or(|after| order(row) > order(after)));
        rows.truncate(query.limit);
        Ok(rows)
    }

    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        Ok(find(self.memory().failed_rows.iter().map(|(_, row)| row), query))
    }

    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        Ok(groups(self.memory().failed_rows.iter().map(|(_, row)| row), query))
    }

    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error> {
        let mut counts = HashMap::new();
        for (sync, _) in &self.memory().failed_rows {
            *counts.entry(sync.clone()).or_default() += 1;
        }
        Ok(counts)
    }

    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let rows =
            self.failed_rows_in_order(&FailedRowQuery { limit: usize::MAX, ..query.clone() }, None).await?;
        let mut memory = self.memory();
        let count = rows.len() as u64;
        for mut row in rows {
            memory.solve(&row.entry.sync, &[row.key]);
            (row.entry.at, row.entry.payload) = (at, None);
            memory.dismissed.push((row, note.to_owned()));
        }
        Ok(count)
    }

    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        let memory = self.memory();
        let query = FailedRowQuery { after: None, ..query.clone() };
        let found = find(memory.dismissed.iter().map(|(row, _)| row), &query);
        let dismissed = |row: FailedRow| {
            let note = memory.dismissed.iter().find(|(other, _)| *other == row).map(|(_, note)| note.clone());
            DismissedRow { entry: row.entry, note: note.unwrap_or_default() }
        };
        Ok(found.into_iter().map(dismissed).collect())
    }
}

/// Returns a page of failed rows, the last one that failed first.
fn find<'a>(rows: impl Iterator<Item = &'a FailedRow>, query: &FailedRowQuery) -> Vec<FailedRow> {
    let order = |row: &FailedRow| (Reverse(row.entry.at), row.entry.sync.clone(), row.key);
    let after = query.after.as_ref().map(|after| (Reverse(after.at), after.sync.clone(), after.key));
    let mut found: Vec<FailedRow> = rows
        .filter(|row| wants(query, row) && after.as_ref().is_none_or(|after| order(row) > *after))
        .cloned()
        .collect();
    found.sort_by_key(order);
    found.truncate(query.limit);
    found
}

fn wants(query: &FailedRowQuery, row: &FailedRow) -> bool {
    let entry = &row.entry;
    query.sync.as_ref().is_none_or(|sync| entry.sync == *sync)
        && query.run.as_ref().is_none_or(|run| entry.run == *run)
        && query.user.as_ref().is_none_or(|user| entry.user == *user)
        && query.key.is_none_or(|key| row.key == key)
        && query.status.is_none_or(|status| entry.status == status)
        && query
            .reason
            .as_deref()
            .is_none_or(|code| entry.reason.as_ref().is_some_and(|reason| reason.code == code))
        && query.from.is_none_or(|from| entry.at >= from)
        && query.to.is_none_or(|to| entry.at < to)
}

/// Returns a page of the failed rows in groups, the group that failed last first.
fn groups<'a>(rows: impl Iterator<Item = &'a FailedRow>, query: &FailedRowGroupQuery) -> Vec<FailedRowGroup> {
    let mut groups: BTreeMap<_, (FailedRowGroup, BTreeSet<&str>)> = BTreeMap::new();
    for row in rows {
        let entry = &row.entry;
        let Some(reason) = &entry.reason else { continue };
        if query.syncs.as_ref().is_some_and(|syncs| !syncs.contains(&entry.sync)) {
            continue;
        }
        let name = (entry.sync.clone(), reason.code.clone(), entry.status.as_str(), entry.object.as_str());
        let (group, users) = groups.entry(name).or_insert_with(|| {
            let group = FailedRowGroup {
                sync: entry.sync.clone(),
                object: entry.object,
                status: entry.status,
                reason: reason.clone(),
                rows: 0,
                users: 0,
                first_at: row.first_at,
                last_at: entry.at,
            };
            (group, BTreeSet::new())
        });
        if !entry.user.is_empty() && !query.without_users {
            users.insert(&entry.user);
        }
        group.rows += 1;
        group.users = users.len() as u64;
        group.reason.message = group.reason.message.clone().max(reason.message.clone());
        group.first_at = group.first_at.min(row.first_at);
        group.last_at = group.last_at.max(entry.at);
    }
    let mut groups: Vec<FailedRowGroup> = groups.into_values().map(|(group, _)| group).collect();
    groups.retain(|group| query.after.as_ref().is_none_or(|after| group.cursor() > *after));
    groups.sort_by_key(FailedRowGroup::cursor);
    groups.truncate(query.limit);
    groups
}
