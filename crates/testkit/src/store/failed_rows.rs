//! Failed rows in plain memory, page by page and in groups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::store::{FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery};

/// Returns a page of failed rows, the last one that failed first.
pub(super) fn find<'a>(rows: impl Iterator<Item = &'a FailedRow>, query: &FailedRowQuery) -> Vec<FailedRow> {
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
pub(super) fn groups<'a>(
    rows: impl Iterator<Item = &'a FailedRow>,
    query: &FailedRowGroupQuery,
) -> Vec<FailedRowGroup> {
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
