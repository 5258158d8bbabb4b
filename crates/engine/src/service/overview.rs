//! All syncs at a glance, and one sync in detail.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tidegate_model::store::{FailedRowGroup, FailedRowGroupQuery, HourCounts, SyncState};
use tidegate_model::{Checkpoint, Error, Mode, Run, SyncId};

use super::Engine;
use super::health::{self, Health, NextAction, Outlook};
use super::runs::SyncStatus;
use super::shown;
use tidegate_project::SyncSpec;

/// Hours that the overview counts rows of.
const HOURS: i64 = 24;
/// Runs that are listed with a sync.
const RECENT: usize = 30;

/// A sync, how it is doing, and its last runs.
#[derive(Clone, Debug, Serialize)]
pub struct SyncOverview {
    /// The sync and its progress.
    #[serde(flatten)]
    pub status: SyncStatus,
    /// How it is doing.
    pub health: Health,
    /// The sentence that says why, unless there is nothing to say. In an [`Overview`] failed rows have none
    /// until [`Engine::read_reasons`].
    pub why: Option<String>,
    /// What a person does about it, if it cannot run or does not keep up.
    pub next_action: Option<NextAction>,
    /// The connections that may be the cause.
    pub suspects: Vec<String>,
    /// Whether all of its failed rows are in doubt. In an [`Overview`] it is not known until
    /// [`Engine::read_reasons`].
    pub is_in_doubt: bool,
    /// The connection that is read from, and its type.
    pub source: Endpoint,
    /// The connection that is delivered to, and its type.
    pub destination: Endpoint,
    /// When it runs, in words.
    pub schedule: Option<String>,
    /// Rows and events that were delivered in the last 24 hours, by runs that ended in them or are in progress.
    pub delivered_last_day: u64,
    /// Its last runs, newest first. In an [`Overview`] it is the last one alone
    /// ([`Engine::read_recent_runs`]).
    pub recent_runs: Vec<Run>,
}

/// What the store knows of a sync.
struct KnownOfSync<'a> {
    state: SyncState,
    recent_runs: Vec<Run>,
    failed_rows: u64,
    /// The largest group of its failed rows, if it was read.
    largest: Option<&'a FailedRowGroup>,
    delivered_last_day: u64,
}

/// One end of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The connection.
    pub connection: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What happened to the rows of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When the hour began.
    pub at: Timestamp,
    /// Rows and events that were delivered.
    pub delivered: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows in doubt.
    pub in_doubt: u64,
}

/// Everything at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// The time of this overview.
    pub at: Timestamp,
    /// Every sync, with those that need a person first.
    pub syncs: Vec<SyncOverview>,
    /// Open failed rows of all syncs.
    pub failed_rows: u64,
    /// The last 24 hours, oldest first. A run counts in the hour in which it ended.
    pub hours: Vec<Hour>,
}

/// One sync in detail.
#[derive(Clone, Debug, Serialize)]
pub struct SyncDetails {
    /// The sync, its health and its last runs.
    #[serde(flatten)]
    pub overview: SyncOverview,
    /// How its rows are found: `full`, `incremental`, `mirror` or `stream`. `None` for an export.
    pub mode: Option<&'static str>,
    /// The column by which new rows are found.
    pub cursor: Option<String>,
    /// The position after the last committed batch.
    pub checkpoint: Option<Checkpoint>,
    /// The settings of the source. References are shown by the name of their setting.
    pub reads: Value,
    /// The settings of the destination, shown in the same way.
    pub writes: Value,
    /// How a row becomes a record, as the project file says it. `None` for an export and a contract.
    pub mapping: Option<Value>,
    /// Its open failed rows in groups.
    pub groups: Vec<FailedRowGroup>,
}

impl Engine {
    /// Returns all syncs at a glance. No outside system is asked.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn overview(&self) -> Result<Overview, Error> {
        let at = self.config.clock.now();
        let failed_rows = self.config.store.failed_row_counts().await?;
        let counts = self.counts_of_a_day(None, at).await?;
        let mut delivered: HashMap<&SyncId, u64> = HashMap::new();
        for of_hour in &counts {
            *delivered.entry(&of_hour.sync).or_default() += of_hour.delivered;
        }
        let (mut states, mut last_runs) =
            (self.config.store.sync_states().await?, self.config.store.last_runs().await?);
        let mut syncs = Vec::new();
        for (id, sync) in &self.config.project.syncs {
            let known = KnownOfSync {
                state: states.remove(id).unwrap_or_default(),
                recent_runs: last_runs.remove(id).into_iter().collect(),
                failed_rows: failed_rows.get(id).copied().unwrap_or_default(),
                largest: None,
                delivered_last_day: delivered.get(id).copied().unwrap_or_default(),
            };
            syncs.push(self.sync_overview(id, sync, known).await);
        }
        syncs.sort_by_key(|sync| sync.health);
        let failed_rows = syncs.iter().map(|sync| sync.status.failed_rows).sum();
        Ok(Overview { at, syncs, failed_rows, hours: hours(&counts, at) })
    }

    /// Reads the recent runs of syncs, of which an overview has the last one alone.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read_recent_runs(&self, syncs: &mut [SyncOverview]) -> Result<(), Error> {
        for sync in syncs {
            sync.recent_runs = self.config.store.runs(Some(&sync.status.sync), RECENT).await?;
        }
        Ok(())
    }

    /// Reads why rows failed of syncs of an overview.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read_reasons(&self, syncs: &mut [SyncOverview]) -> Result<(), Error> {
        let lacks = |sync: &SyncOverview| {
            sync.health == Health::NeedsAttention && sync.why.is_none() && sync.status.failed_rows > 0
        };
        let named: Vec<SyncId> =
            syncs.iter().filter(|sync| lacks(sync)).map(|sync| sync.status.sync.clone()).collect();
        if named.is_empty() {
            return Ok(());
        }
        let query = FailedRowGroupQuery {
            syncs: Some(named),
            without_users: true,
            ..FailedRowGroupQuery::all_of(None)
        };
        let mut by_sync: HashMap<SyncId, Vec<FailedRowGroup>> = HashMap::new();
        for group in self.failed_row_groups(&query).await? {
            by_sync.entry(group.sync.clone()).or_default().push(group);
        }
        for sync in syncs {
            let Some(groups) = by_sync.get(&sync.status.sync) else { continue };
            if let Some(group) = health::largest(groups) {
                sync.why = Some(health::failed_rows(sync.status.failed_rows, group));
                sync.is_in_doubt = health::are_in_doubt(groups);
            }
        }
        Ok(())
    }

    /// Returns one sync in detail, with the progress of its stream.
    ///
    /// # Errors
    /// If there is no such sync, or the store cannot be read.
    pub async fn sync_details(&self, id: &SyncId) -> Result<SyncDetails, Error> {
        let sync = self.sync(id)?;
        let groups = self.failed_row_groups(&FailedRowGroupQuery::all_of(Some(id))).await?;
        let state = self.config.store.sync_state(id).await?;
        let checkpoint = state.checkpoint.clone();
        let counts = self.counts_of_a_day(Some(id), self.config.clock.now()).await?;
        let known = KnownOfSync {
            state,
            recent_runs: self.config.store.runs(Some(id), RECENT).await?,
            failed_rows: groups.iter().map(|group| group.rows).sum(),
            largest: health::largest(&groups),
            delivered_last_day: counts.iter().map(|of_hour| of_hour.delivered).sum(),
        };
        let mut overview = self.sync_overview(id, sync, known).await;
        overview.is_in_doubt = health::are_in_doubt(&groups);
        if matches!(sync, SyncSpec::Import(_)) {
            overview.status.lag = self.lag(sync, checkpoint.as_ref()).await;
        }
        let (reads, writes) = self.shown_ends(sync);
        let (mode, cursor, mapping) = match sync {
            SyncSpec::Import(import) => (
                Some(import.mode.as_str()),
                import.cursor.clone(),
                import.mapping.as_ref().map(shown::mapping),
            ),
            SyncSpec::Export(_) => (None, None, None),
        };
        Ok(SyncDetails { overview, mode, cursor, checkpoint, reads, writes, mapping, groups })
    }

    async fn sync_overview(&self, id: &SyncId, sync: &SyncSpec, known: KnownOfSync<'_>) -> SyncOverview {
        let KnownOfSync { state, recent_runs, failed_rows, largest, delivered_last_day } = known;
        let lag = match sync {
            // The event log is here; a stream of an import is elsewhere.
            SyncSpec::Export(_) => self.lag(sync, state.checkpoint.as_ref()).await,
            SyncSpec::Import(_) => Vec::new(),
        };
        let status = self.status_of(id, sync, state, recent_runs.first().cloned(), failed_rows, lag);
        let follows = sync.as_import().is_none_or(|import| import.mode == Mode::Stream);
        let outlook = Outlook {
            continues: sync.schedule().is_some() || follows,
            behind: self.backlogs.behind(id, self.config.clock.now()),
        };
        let (health, why) = health::of(&status, largest, &outlook);
        let schedule = match sync {
            SyncSpec::Export(_) if sync.schedule().is_none() => Some("continuous".to_owned()),
            _ => sync.schedule().map(ToString::to_string),
        };
        let endpoint = |connection| Endpoint {
            connection: ToString::to_string(connection),
            kind: self.config.project.connections.get(connection).map_or("", |spec| &spec.kind).to_owned(),
        };
        let (source, destination) = (endpoint(sync.source()), endpoint(sync.destination()));
        let both = [sync.source().as_str(), sync.destination().as_str()];
        let (next_action, suspects) = health::next_action(health, &status, both);
        SyncOverview {
            status,
            health,
            why,
            next_action,
            suspects,
            is_in_doubt: false,
            source,
            destination,
            schedule,
            delivered_last_day,
            recent_runs,
        }
    }

    /// Returns the counts of runs that ended in the last 24 hours or are in progress.
    async fn counts_of_a_day(&self, id: Option<&SyncId>, now: Timestamp) -> Result<Vec<HourCounts>, Error> {
        let before = |hours| now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN);
        // A run that ended in the last hours may have started the day before.
        self.config.store.hour_counts(id, before(2 * HOURS), before(HOURS)).await
    }
}

/// Counts the rows of the last hours.
fn hours(counts: &[HourCounts], now: Timestamp) -> Vec<Hour> {
    let hour = |at: Timestamp| at.as_second().div_euclid(3_600);
    let first = hour(now) - HOURS + 1;
    let begin = |number: i64| Timestamp::from_second(number * 3_600).unwrap_or(now);
    let mut hours: Vec<Hour> = (first..first + HOURS)
        .map(|number| Hour { at: begin(number), delivered: 0, rejected: 0, in_doubt: 0 })
        .collect();
    for of_hour in counts {
        let at = of_hour.hour.unwrap_or_else(|| hour(now)) - first;
        let Some(hour) = usize::try_from(at).ok().and_then(|at| hours.get_mut(at)) else { continue };
        hour.delivered += of_hour.delivered;
        hour.rejected += of_hour.rejected;
        hour.in_doubt += of_hour.in_doubt;
    }
    hours
}
