//! What the scheduler runs, and by what.

use tidegate_model::{ConnectionId, ExportRequest, Mode, SyncId};
use tidegate_project::{ConnectionSpec, Project, Schedule, SyncSpec};

use crate::service::export::requested_id;

/// A sync that the scheduler runs.
#[derive(Clone)]
pub(super) enum ScheduledSync {
    /// One of the project.
    Configured(SyncId, Schedule),
    /// An export that a caller of a connection's API asked for.
    Requested(ConnectionId, Box<ExportRequest>),
}

impl ScheduledSync {
    pub(super) fn id(&self) -> SyncId {
        match self {
            ScheduledSync::Configured(id, _) => id.clone(),
            ScheduledSync::Requested(connection, request) => requested_id(connection, &request.name),
        }
    }

    pub(super) fn schedule(&self) -> Schedule {
        match self {
            ScheduledSync::Configured(_, schedule) => schedule.clone(),
            ScheduledSync::Requested(..) => Schedule::Continuous,
        }
    }
}

/// Returns when a sync runs. One that follows a stream runs without a schedule, too; whether its source
/// can be opened is found by the run.
pub(super) fn schedule_of(sync: &SyncSpec) -> Option<Schedule> {
    let follows = sync.as_import().is_some_and(|import| import.mode == Mode::Stream);
    sync.schedule().cloned().or_else(|| follows.then_some(Schedule::Continuous))
}

/// What a scheduled run works by: if it changes, the sync is run by the new version.
#[derive(Clone, PartialEq)]
pub(super) struct Way {
    pub(super) schedule: Schedule,
    sync: SyncSpec,
    connections: [Option<ConnectionSpec>; 2],
    key_days: Option<u32>,
}

impl Way {
    pub(super) fn of(project: &Project, sync: &SyncSpec, schedule: Schedule) -> Way {
        let connection = |id| project.connections.get(id).cloned();
        Way {
            schedule,
            sync: sync.without_people(),
            connections: [connection(sync.source()), connection(sync.destination())],
            key_days: project.retention.key_days,
        }
    }
}
