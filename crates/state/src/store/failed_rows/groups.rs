//! Failed rows in groups, by their reasons.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use tidegate_model::store::{FailedRowGroup, FailedRowGroupQuery};
use tidegate_model::{Error, Reason, SyncId};

use super::block::{FailedEntry, Summary, read_marks, user_mark};
use super::table::{self, BlockRef, Reasons, Table};
use crate::store::dialect::{Database, Tx};

/// Syncs whose reasons are read at once.
const SYNCS_AT_ONCE: usize = 16;

/// What makes a group of a sync: what its rows become, their status, and the code of their reason.
type Name = (&'static str, &'static str, String);

/// Returns a page of the failed rows in groups, the group that failed last first. Syncs are read in the order of
/// their last failure, until no other can have a group of the page.
pub(crate) async fn groups(
    database: &Database,
    query: &FailedRowGroupQuery,
) -> Result<Vec<FailedRowGroup>, Error> {
    let mut tx = database.snapshot().await?;
    let syncs = match &query.syncs {
        Some(syncs) => syncs.iter().map(|sync| (sync.clone(), i64::MAX)).collect(),
        None => table::last_failures(&mut tx).await?,
    };
    let mut groups: Vec<FailedRowGroup> = Vec::new();
    for some in syncs.chunks(SYNCS_AT_ONCE) {
        let is_full = groups.len() >= query.limit;
        if is_full && groups.last().is_none_or(|last| last.last_at.as_microsecond() > some[0].1) {
            break;
        }
        let some: Vec<&SyncId> = some.iter().map(|(sync, _)| sync).collect();
        groups.extend(counted(table::reasons(&mut tx, &some).await?)?);
        groups.retain(|group| query.after.as_ref().is_none_or(|after| group.cursor() > *after));
        groups.sort_by_cached_key(FailedRowGroup::cursor);
        groups.truncate(query.limit);
    }
    if !query.without_users {
        count_users(&mut tx, &mut groups).await?;
    }
    Ok(groups)
}

/// Adds up the reasons of blocks.
fn counted(blocks: Vec<Reasons>) -> Result<Vec<FailedRowGroup>, Error> {
    let mut groups: HashMap<(SyncId, Name), FailedRowGroup> = HashMap::new();
    for Reasons { place, summaries } in blocks {
        for summary in summaries {
            let name = (place.sync.clone(), name(&place, &summary));
            let (first_at, last_at) = (time(summary.first_at)?, time(summary.last_at)?);
            let group = groups.entry(name).or_insert_with(|| FailedRowGroup {
                sync: place.sync.clone(),
                object: place.object,
                status: summary.status,
                reason: Reason::new(summary.code.clone(), String::new()),
                rows: 0,
                users: 0,
                first_at,
                last_at,
            });
            group.rows += summary.rows;
            group.first_at = group.first_at.min(first_at);
            group.last_at = group.last_at.max(last_at);
            if *summary.message > *group.reason.message {
                group.reason.message = summary.message;
            }
        }
    }
    Ok(groups.into_values().collect())
}

fn name(place: &BlockRef, summary: &Summary) -> Name {
    (place.object.as_str(), summary.status.as_str(), summary.code.clone())
}

/// Counts the users of groups.
async fn count_users(tx: &mut Tx, groups: &mut [FailedRowGroup]) -> Result<(), Error> {
    let mut of_syncs: BTreeMap<SyncId, HashMap<Name, HashSet<u64>>> = BTreeMap::new();
    let name_of = |group: &FailedRowGroup| {
        (group.object.as_str(), group.status.as_str(), group.reason.code.to_string())
    };
    for group in &*groups {
        of_syncs.entry(group.sync.clone()).or_default().insert(name_of(group), HashSet::new());
    }
    for (sync, groups) in &mut of_syncs {
        users_of_sync(tx, sync, groups).await?;
    }
    for group in groups {
        let users = of_syncs.get(&group.sync).and_then(|groups| groups.get(&name_of(group)));
        // Rows without a user count as none.
        let count = |users: &HashSet<u64>| users.iter().filter(|mark| **mark != user_mark("")).count();
        group.users = users.map_or(0, count) as u64;
    }
    Ok(())
}

/// Collects the marks of the users of some groups of a sync.
async fn users_of_sync(
    tx: &mut Tx,
    sync: &SyncId,
    groups: &mut HashMap<Name, HashSet<u64>>,
) -> Result<(), Error> {
    let mut behind = -1;
    loop {
        let blocks = table::users(tx, sync, behind).await?;
        let Some((last, _)) = blocks.last() else { return Ok(()) };
        behind = i64::try_from(last.place.seq).unwrap_or(i64::MAX);
        for (Reasons { place, summaries }, users) in blocks {
            // The users of one reason are those of the block. Of several, the rows say it.
            let wanted = summaries.iter().any(|summary| groups.contains_key(&name(&place, summary)));
            let entries = match summaries.len() {
                2.. if wanted => table::entries(tx, Table::Open, &place).await?,
                _ => Vec::new(),
            };
            for summary in &summaries {
                let Some(found) = groups.get_mut(&name(&place, summary)) else { continue };
                match summaries.len() {
                    1 => found.extend(read_marks(&users)),
                    _ => found.extend(
                        entries.iter().filter(|entry| summary.has(entry)).map(|entry| user_mark(&entry.user)),
                    ),
                }
            }
        }
    }
}

impl Summary {
    fn has(&self, entry: &FailedEntry) -> bool {
        entry.kind() == self.status && entry.reason().is_some_and(|reason| *reason.code == *self.code)
    }
}

fn time(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros).map_err(|_| crate::codec::damaged())
}
