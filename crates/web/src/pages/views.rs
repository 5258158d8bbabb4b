//! Syncs, runs and failed rows, ready for templates.

use jiff::Timestamp;
use tidegate_engine::service::{Engine, Health, NextAction, SyncOverview};
use tidegate_model::store::{FailedRow, FailedRowGroup, StatusKind};
use tidegate_model::{Ending, ErrorKind, Run, SyncId};

use super::chart::{Bar, strip};
use super::show::{self, ago, escaped, number};
use super::text;
use crate::api::row_id;
use tidegate_model::address::encoded;

/// A mark: a symbol, a word and a color, which say the same.
pub(super) fn badge(class: &str, icon: &str, word: &str) -> String {
    format!("<span class=\"badge {class}\">{}{word}</span>", show::icon(icon))
}

/// A sync in a list or at the top of its page.
pub(super) struct SyncView {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) class: &'static str,
    pub(super) badge: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) source_type: String,
    pub(super) destination_type: String,
    pub(super) object: String,
    pub(super) state: String,
    pub(super) failed_rows: u64,
    pub(super) shown_failed_rows: String,
    pub(super) is_paused: bool,
    pub(super) is_broken: bool,
    pub(super) label: String,
    pub(super) is_draft: bool,
    pub(super) is_running: bool,
    pub(super) needs_a_person: bool,
    /// What to do about what is wrong.
    pub(super) next_action: Option<NextAction>,
    /// What the button to its failed rows is called.
    pub(super) failed_rows_button: &'static str,
    /// Why the run before the one in progress failed, as HTML, if that may be why the sync is behind.
    pub(super) failed_before: Option<String>,
    pub(super) last_run: Option<RunView>,
    pub(super) delivered: String,
    pub(super) schedule: String,
    pub(super) next_run: String,
    pub(super) strip: Vec<Bar>,
    /// What an export or a stream has not delivered yet.
    pub(super) waiting: String,
    /// The connections that may be the cause, with the pages that change and check them.
    pub(super) suspects: Vec<(String, String)>,
}

impl SyncView {
    /// Whether its run waits for a person.
    pub(super) fn is_held(&self) -> bool {
        self.next_action == Some(NextAction::ConfirmRun)
    }

    /// Whether its own settings may be the cause.
    pub(super) fn may_need_a_change(&self) -> bool {
        self.next_action == Some(NextAction::ChangeSync)
    }

    pub(super) fn new(sync: &SyncOverview, now: Timestamp) -> SyncView {
        let status = &sync.status;
        let is_running = text::is_running(sync);
        let (class, icon, word) = match sync.health {
            Health::Broken => ("broken", "broken", "Broken"),
            Health::NeedsAttention => ("look", "failed", "Needs you"),
            Health::Paused => ("idle", "paused", "Paused"),
            Health::New => ("idle", "idle", "Not run yet"),
            Health::Draft => ("idle", "draft", "Draft"),
            Health::Healthy if is_running => ("good", "syncs", "Running"),
            Health::Healthy => ("good", "good", "Healthy"),
        };
        let export = status.object == "events";
        let is_behind = sync.health == Health::NeedsAttention && status.failed_rows == 0;
        let ended = sync.recent_runs.iter().find(|run| run.ending.is_some());
        SyncView {
            suspects: sync.suspects.iter().cloned().map(with_edit_path).collect(),
            next_action: sync.next_action,
            failed_rows_button: match sync.is_in_doubt {
                true => "See the rows in doubt",
                false => "See the failed rows",
            },
            path: format!("/syncs/{}", encoded(status.sync.as_str())),
            name: status.sync.to_string(),
            label: show::name(status.sync.as_str()),
            class,
            badge: badge(class, icon, word),
            source: sync.source.connection.clone(),
            destination: sync.destination.connection.clone(),
            source_type: sync.source.kind.clone(),
            destination_type: sync.destination.kind.clone(),
            object: status.object.replace('_', " "),
            state: show::with_next(&text::state(sync)),
            failed_rows: status.failed_rows,
            shown_failed_rows: number(status.failed_rows),
            is_paused: sync.health == Health::Paused,
            is_broken: sync.health == Health::Broken,
            is_draft: !status.enabled,
            is_running,
            needs_a_person: sync.health.needs_a_person(),
            failed_before: ended
                .filter(|run| is_behind && run.ending == Some(Ending::Failed))
                .and_then(error_of),
            last_run: status.last_run.as_ref().map(|run| RunView::new(run, export, now)),
            delivered: number(sync.delivered_last_day),
            schedule: sync.schedule.clone().unwrap_or_else(|| "by hand".to_owned()),
            next_run: status.next_run_at.map(|next| show::next(next, now)).unwrap_or_default(),
            strip: strip(&sync.recent_runs),
            waiting: match status.lag.iter().map(|lag| lag.behind).sum::<u64>() {
                0 => String::new(),
                behind if export => format!("{} waiting", show::count(behind, "event", "events")),
                behind => format!("{} waiting", show::count(behind, "message", "messages")),
            },
        }
    }
}

/// A connection, with the page that changes and checks it.
pub(super) fn with_edit_path(connection: String) -> (String, String) {
    let path = format!("/connections/{}/edit", encoded(&connection));
    (connection, path)
}

/// A run in a list or on its page.
pub(super) struct RunView {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) sync: String,
    pub(super) label: String,
    pub(super) sync_path: String,
    pub(super) cause: &'static str,
    pub(super) class: &'static str,
    pub(super) badge: String,
    pub(super) is_running: bool,
    pub(super) started: String,
    pub(super) started_exactly: String,
    pub(super) took: String,
    pub(super) sentence: String,
    pub(super) error: Option<String>,
    /// Whether it waited for a person.
    pub(super) is_held: bool,
    pub(super) counts: Vec<Count>,
    pub(super) delivered: String,
    pub(super) failed: u64,
    pub(super) shown_failed: String,
}

/// Why a run failed, as HTML.
fn error_of(run: &Run) -> Option<String> {
    run.error.as_deref().map(|error| show::with_next(text::of_sync(error, &run.sync)))
}

/// A number of a run.
pub(super) struct Count {
    pub(super) name: &'static str,
    pub(super) shown: String,
    pub(super) meaning: &'static str,
}

impl RunView {
    pub(super) fn new(run: &Run, export: bool, now: Timestamp) -> RunView {
        let (class, icon, word) = match run.ending {
            None => ("good", "syncs", "Running"),
            Some(Ending::Succeeded) => ("good", "good", "Succeeded"),
            Some(Ending::Partial) => ("look", "failed", "Partial"),
            Some(Ending::Failed) => ("broken", "broken", "Failed"),
            Some(Ending::Interrupted) => ("idle", "paused", "Interrupted"),
        };
        let counts = &run.counts;
        let count = |name, value, meaning| Count { name, shown: number(value), meaning };
        let failed = counts.rejected + counts.in_doubt;
        RunView {
            id: run.id.to_string(),
            path: format!("/runs/{}", encoded(run.id.as_str())),
            sync: run.sync.to_string(),
            label: show::name(run.sync.as_str()),
            sync_path: format!("/syncs/{}", encoded(run.sync.as_str())),
            cause: text::cause(run.cause),
            class,
            badge: badge(class, icon, word),
            is_running: run.ending.is_none(),
            started: ago(run.started_at, now),
            started_exactly: show::exact(run.started_at),
            took: show::took(run.started_at, run.finished_at.unwrap_or(now)),
            sentence: text::run(run, export),
            error: error_of(run),
            is_held: run.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Unconfirmed),
            counts: vec![
                count("Delivered", counts.delivered, "they took effect at the destination"),
                count("Rejected", counts.rejected, "they were not acceptable as they are"),
                count("In doubt", counts.in_doubt, "no response came, so their effect is unknown"),
                count("Skipped", counts.skipped, "they were read again and had been delivered before"),
                count("Not due", counts.not_due, "their cursor lies in the future"),
                count("Read", counts.read, "they came from the source"),
                count("Requests", counts.requests, "they were answered by the destination"),
                count("Retries", counts.retries, "requests that were sent again"),
            ],
            delivered: number(counts.delivered),
            failed,
            shown_failed: number(failed),
        }
    }
}

/// Whether a sync is an export, which moves events.
pub(super) fn is_export(engine: &Engine, sync: &SyncId) -> bool {
    engine.sync(sync).is_ok_and(|sync| sync.as_export().is_some())
}

/// A group of failed rows.
pub(super) struct GroupView {
    pub(super) path: String,
    pub(super) retry_path: String,
    pub(super) sync: String,
    pub(super) sync_path: String,
    pub(super) badge: String,
    pub(super) status: &'static str,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) shown_rows: String,
    pub(super) users: String,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) advice: &'static str,
}

impl GroupView {
    pub(super) fn new(group: &FailedRowGroup, now: Timestamp) -> GroupView {
        let query = group_query(group.sync.as_str(), group.status, &group.reason.code);
        let is_in_doubt = group.status == StatusKind::InDoubt;
        GroupView {
            path: format!("/failed-rows/group?{query}"),
            retry_path: format!("/failed-rows/retry?{query}"),
            sync: group.sync.to_string(),
            sync_path: format!("/syncs/{}", encoded(group.sync.as_str())),
            badge: status_badge(group.status),
            status: group.status.as_str(),
            code: group.reason.code.to_string(),
            message: show::prose(&group.reason.message),
            shown_rows: show::count(group.rows, "row", "rows"),
            users: match group.users {
                0 => String::new(),
                users => format!(" of {}", show::count(users, "user", "users")),
            },
            first: ago(group.first_at, now),
            last: ago(group.last_at, now),
            advice: text::advice(&group.reason.code, is_in_doubt),
        }
    }
}

/// Returns the query that names a group of failed rows.
pub(super) fn group_query(sync: &str, status: StatusKind, code: &str) -> String {
    format!("sync={}&status={}&reason={}", encoded(sync), status.as_str(), encoded(code))
}

/// Returns the mark of a row's status.
pub(super) fn status_badge(status: StatusKind) -> String {
    match status {
        StatusKind::Delivered => badge("good", "good", "Delivered"),
        StatusKind::Rejected => badge("look", "failed", "Rejected"),
        StatusKind::InDoubt => badge("idle", "idle", "In doubt"),
    }
}

/// A failed row.
pub(super) struct RowView {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) path: String,
    pub(super) retry_path: String,
    pub(super) sync: String,
    pub(super) sync_path: String,
    pub(super) run: String,
    pub(super) run_path: String,
    pub(super) object: String,
    pub(super) name: String,
    pub(super) user: String,
    pub(super) user_path: String,
    pub(super) badge: String,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) advice: &'static str,
    pub(super) last: String,
    pub(super) first_exactly: String,
    pub(super) last_exactly: String,
    pub(super) attempts: String,
    pub(super) group_path: String,
    pub(super) cells: Vec<(String, String)>,
}

impl RowView {
    pub(super) fn new(row: &FailedRow, now: Timestamp) -> RowView {
        let entry = &row.entry;
        let (code, message) =
            entry.reason.as_ref().map_or(("", ""), |reason| (&*reason.code, reason.message.as_str()));
        let sync = encoded(entry.sync.as_str());
        let id = row_id(row.key);
        RowView {
            status: entry.status.as_str(),
            path: format!("/failed-rows/{sync}/{id}"),
            retry_path: format!(
                "/failed-rows/retry?{}&row={id}",
                group_query(entry.sync.as_str(), entry.status, code)
            ),
            sync: entry.sync.to_string(),
            sync_path: format!("/syncs/{sync}"),
            run: entry.run.to_string(),
            run_path: format!("/runs/{}", encoded(entry.run.as_str())),
            object: show::prose(&entry.object.as_str().replace('_', " ")),
            name: if entry.key.is_empty() { id.clone() } else { entry.key.clone() },
            id,
            user_path: format!("/users?user={}", encoded(&entry.user)),
            user: entry.user.clone(),
            badge: status_badge(entry.status),
            code: code.to_owned(),
            message: show::prose(message),
            advice: text::advice(code, entry.status == StatusKind::InDoubt),
            last: ago(entry.at, now),
            first_exactly: show::exact(row.first_at),
            last_exactly: show::exact(entry.at),
            attempts: show::count(row.attempts, "time", "times"),
            group_path: format!(
                "/failed-rows/group?{}",
                group_query(entry.sync.as_str(), entry.status, code)
            ),
            cells: entry.payload.as_ref().map(cells).unwrap_or_default(),
        }
    }
}

/// The columns of a row and their values as HTML; a missing value is marked.
fn cells(row: &tidegate_model::KeptRow) -> Vec<(String, String)> {
    let values: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(row.to_json().as_str()).unwrap_or_default();
    let shown = |value: serde_json::Value| match value {
        serde_json::Value::String(text) if text.is_empty() => "<em>empty</em>".to_owned(),
        serde_json::Value::Null => "<em>null</em>".to_owned(),
        serde_json::Value::String(text) => escaped(&text),
        other => escaped(&other.to_string()),
    };
    values.into_iter().map(|(name, value)| (show::name(&name), shown(value))).collect()
}
