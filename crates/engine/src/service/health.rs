//! Whether a sync needs attention, and why.

use serde::Serialize;
use tidegate_model::store::{FailedRowGroup, PausedBy, StatusKind};
use tidegate_model::{Ending, ErrorKind, RunFailure};

use super::backlog::Behind;
use super::runs::SyncStatus;

/// How a sync is doing: its open state, not the result of its last run alone. The order is
/// that of a list, with what needs a person first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It cannot run, or its last run failed.
    Broken,
    /// It runs, and left failed rows or an interrupted run, or is behind its stream.
    NeedsAttention,
    /// A person paused it.
    Paused,
    /// It never ran.
    New,
    /// It is a draft, which does not run.
    Draft,
    /// Nothing is wrong with it.
    Healthy,
}

impl Health {
    /// Every one, in their order.
    pub const ALL: [Health; 6] =
        [Health::Broken, Health::NeedsAttention, Health::Paused, Health::New, Health::Draft, Health::Healthy];

    /// Returns the word used in JSON and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Broken => "broken",
            Health::NeedsAttention => "needs_attention",
            Health::Paused => "paused",
            Health::New => "new",
            Health::Draft => "draft",
            Health::Healthy => "healthy",
        }
    }

    /// Returns whether a person has something to do.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Health::Broken | Health::NeedsAttention)
    }
}

/// What a person does about a sync that cannot run, or does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// Looks at what the run would do, and confirms it.
    ConfirmRun,
    /// Changes or checks the connections that may be at fault.
    CheckConnections,
    /// Changes the settings of the sync, or makes what they name at the source or the destination.
    ChangeSync,
    /// Fixes what is named, on this machine or elsewhere, and runs it again.
    RunAgain,
}

impl NextAction {
    /// Returns the word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            NextAction::ConfirmRun => "confirm_run",
            NextAction::CheckConnections => "check_connections",
            NextAction::ChangeSync => "change_sync",
            NextAction::RunAgain => "run_again",
        }
    }
}

/// Returns what to do about a sync, and the connections that may be at fault: `both` are its own.
pub(super) fn next_action(
    health: Health,
    status: &SyncStatus,
    both: [&str; 2],
) -> (Option<NextAction>, Vec<String>) {
    let mut suspects: Vec<String> = both.map(str::to_owned).to_vec();
    suspects.dedup();
    if health == Health::NeedsAttention && status.failed_rows == 0 {
        let is_behind = status.last_run.as_ref().is_some_and(|run| run.ending != Some(Ending::Interrupted));
        return match is_behind {
            // What waits is in the event log: the source has given it already.
            true if is_export(status) => (Some(NextAction::CheckConnections), vec![both[1].to_owned()]),
            true => (Some(NextAction::CheckConnections), suspects),
            false => (Some(NextAction::RunAgain), Vec::new()),
        };
    }
    if health != Health::Broken {
        return (None, Vec::new());
    }
    let failure = match &status.paused {
        Some(pause) => pause.failure.as_ref(),
        None => status.last_run.as_ref().and_then(|run| run.failure.as_ref()),
    };
    // A version before this one did not keep it: any of them may be the cause.
    let Some(RunFailure { kind, connection }) = failure else {
        return (Some(NextAction::CheckConnections), suspects);
    };
    let at_fault: Vec<String> = connection.iter().map(ToString::to_string).collect();
    match kind {
        ErrorKind::Unconfirmed => (Some(NextAction::ConfirmRun), Vec::new()),
        ErrorKind::Settings if connection.is_none() => (Some(NextAction::ChangeSync), Vec::new()),
        ErrorKind::Missing => (Some(NextAction::ChangeSync), at_fault),
        ErrorKind::Storage | ErrorKind::Held | ErrorKind::Internal => {
            (Some(NextAction::RunAgain), Vec::new())
        }
        _ if connection.is_some() => (Some(NextAction::CheckConnections), at_fault),
        _ => (Some(NextAction::CheckConnections), suspects),
    }
}

fn is_export(status: &SyncStatus) -> bool {
    status.object == "events"
}

/// What else counts for the health of a sync.
pub(super) struct Outlook {
    /// Whether it runs again without a person.
    pub(super) continues: bool,
    /// By how much it is behind the stream that it follows.
    pub(super) behind: Option<Behind>,
}

/// Returns how a sync is doing, and the sentence that says why. `largest` is the largest group of its failed
/// rows: without it, they have no sentence.
pub(super) fn of(
    status: &SyncStatus,
    largest: Option<&FailedRowGroup>,
    outlook: &Outlook,
) -> (Health, Option<String>) {
    if let Some(pause) = &status.paused {
        return match &pause.by {
            PausedBy::System => (Health::Broken, Some(pause.why.clone())),
            by => (Health::Paused, Some(format!("Paused by {by}: {}", pause.why))),
        };
    }
    if !status.enabled {
        return (Health::Draft, None);
    }
    let Some(run) = &status.last_run else { return (Health::New, None) };
    if run.ending == Some(Ending::Failed) {
        let why = run.error.clone().unwrap_or_else(|| "The last run failed.".to_owned());
        return (Health::Broken, Some(why));
    }
    if status.failed_rows > 0 {
        return (Health::NeedsAttention, largest.map(|group| failed_rows(status.failed_rows, group)));
    }
    if let Some(behind) = &outlook.behind {
        return (Health::NeedsAttention, Some(falls_behind(status, behind)));
    }
    match (run.ending, outlook.continues) {
        (Some(Ending::Interrupted), true) => {
            let why = "The last run was interrupted. The next one continues from the checkpoint.";
            (Health::Healthy, Some(why.to_owned()))
        }
        (Some(Ending::Interrupted), false) => {
            let why = "The last run was interrupted. Next: run it again, it continues from the checkpoint";
            (Health::NeedsAttention, Some(why.to_owned()))
        }
        _ => (Health::Healthy, None),
    }
}

/// The sentence about a sync that does not keep up with its stream.
fn falls_behind(status: &SyncStatus, behind: &Behind) -> String {
    let Behind { waiting, lasts } = behind;
    let what = match (is_export(status), *waiting) {
        (true, 1) => "1 event waits".to_owned(),
        (true, _) => format!("{waiting} events wait"),
        (false, 1) => "1 message waits".to_owned(),
        (false, _) => format!("{waiting} messages wait"),
    };
    let minutes = lasts.as_mins();
    let lasts = if minutes < 120 { format!("{minutes} minutes") } else { format!("{} hours", minutes / 60) };
    let next = match &status.wait {
        Some(wait) => wait.to_string(),
        None => format!("`tidegate check {}` proves that both ends answer", status.sync),
    };
    format!("It is behind: {what}, the oldest for {lasts} or more. Next: {next}")
}

/// Returns the largest group of failed rows.
pub(super) fn largest(groups: &[FailedRowGroup]) -> Option<&FailedRowGroup> {
    groups.iter().max_by_key(|group| group.rows)
}

/// Returns whether there are failed rows, and all of them are in doubt.
pub(super) fn are_in_doubt(groups: &[FailedRowGroup]) -> bool {
    !groups.is_empty() && groups.iter().all(|group| group.status == StatusKind::InDoubt)
}

/// Returns the sentence about failed rows; `group` is the largest one.
pub(super) fn failed_rows(rows: u64, group: &FailedRowGroup) -> String {
    const LOOK: &str = "look them up at the destination, then retry or dismiss them";
    let reason = sentence(&group.reason.message);
    match (group.status, rows) {
        (StatusKind::InDoubt, 1) => {
            format!(
                "1 row is in doubt. {reason}. Next: look it up at the destination, then retry or dismiss it"
            )
        }
        (StatusKind::InDoubt, _) if group.rows == rows => {
            format!("{rows} rows are in doubt. {reason}. Next: {LOOK}")
        }
        (_, 1) => format!("1 row failed. {reason}"),
        (_, _) if group.rows == rows => format!("{rows} rows failed. {reason}"),
        (_, _) => format!("{rows} rows failed, most of them for one reason. {reason}"),
    }
}

/// A message as a sentence, without its full stop.
fn sentence(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let mut letters = message.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};
    use tidegate_model::store::Pause;
    use tidegate_model::{Cause, ConnectionId, Counts, ObjectKind, Reason, Run, RunId, SyncId};

    use super::*;

    fn status(ending: Option<Ending>, failed_rows: u64) -> SyncStatus {
        let run = Run {
            id: RunId::new("r"),
            sync: SyncId::new("s"),
            cause: Cause::Schedule,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            ending,
            counts: Counts::default(),
            error: None,
            failure: None,
            compared: None,
        };
        SyncStatus {
            sync: SyncId::new("s"),
            object: "events",
            route: "a → b".to_owned(),
            paused: None,
            wait: None,
            last_run: Some(run),
            failed_rows,
            lag: Vec::new(),
            enabled: true,
            next_run_at: None,
            waiting: false,
            contacts: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    fn group(status: StatusKind, rows: u64) -> FailedRowGroup {
        FailedRowGroup {
            sync: SyncId::new("s"),
            object: ObjectKind::Event,
            status,
            reason: Reason::new("no_answer", "no answer came to the request"),
            rows,
            users: rows,
            first_at: Timestamp::UNIX_EPOCH,
            last_at: Timestamp::UNIX_EPOCH,
        }
    }

    const CONTINUES: Outlook = Outlook { continues: true, behind: None };

    #[test]
    fn an_interrupted_run_needs_a_person_only_if_nothing_continues_it() {
        let interrupted = status(Some(Ending::Interrupted), 0);
        assert_eq!(of(&interrupted, None, &CONTINUES).0, Health::Healthy);
        let (health, why) = of(&interrupted, None, &Outlook { continues: false, behind: None });
        assert_eq!(health, Health::NeedsAttention);
        assert!(why.expect("a sentence").contains("run it again"));
    }

    #[test]
    fn an_export_that_runs_and_falls_behind_is_not_healthy() {
        let behind = Some(Behind { waiting: 818, lasts: SignedDuration::from_mins(25) });
        let (health, why) = of(&status(None, 0), None, &Outlook { continues: true, behind });
        assert_eq!(health, Health::NeedsAttention);
        assert_eq!(
            why.as_deref(),
            Some(
                "It is behind: 818 events wait, the oldest for 25 minutes or more. Next: `tidegate check s` proves \
                 that both ends answer"
            )
        );
    }

    #[test]
    fn rows_in_doubt_say_what_to_do_and_a_reason_is_a_sentence_of_its_own() {
        let said = |status_kind, rows, all| {
            of(&status(Some(Ending::Partial), all), Some(&group(status_kind, rows)), &CONTINUES)
                .1
                .expect("a sentence")
        };
        assert_eq!(
            said(StatusKind::InDoubt, 3, 3),
            "3 rows are in doubt. No answer came to the request. Next: look them up at the destination, then retry \
             or dismiss them"
        );
        assert_eq!(said(StatusKind::Rejected, 1, 1), "1 row failed. No answer came to the request");
        assert_eq!(
            said(StatusKind::Rejected, 2, 5),
            "5 rows failed, most of them for one reason. No answer came to the request"
        );
    }

    #[test]
    fn only_a_connection_that_may_be_at_fault_is_a_suspect() {
        use NextAction::{ChangeSync, CheckConnections, ConfirmRun, RunAgain};

        let failed = |kind, connection: Option<&str>| {
            let mut failed = status(Some(Ending::Failed), 0);
            let connection = connection.map(ConnectionId::new);
            let why = Pause {
                failure: Some(RunFailure { kind, connection }),
                ..Pause::new(PausedBy::System, "why", Timestamp::UNIX_EPOCH)
            };
            failed.paused = Some(why);
            let (action, suspects) = next_action(Health::Broken, &failed, ["shop", "braze"]);
            (action.expect("something to do"), suspects.join(" "))
        };
        let none = String::new();
        assert_eq!(failed(ErrorKind::Unconfirmed, None), (ConfirmRun, none.clone()));
        assert_eq!(failed(ErrorKind::Denied, Some("braze")), (CheckConnections, "braze".to_owned()));
        assert_eq!(failed(ErrorKind::Unavailable, None), (CheckConnections, "shop braze".to_owned()));
        assert_eq!(failed(ErrorKind::Missing, None), (ChangeSync, none.clone()));
        assert_eq!(failed(ErrorKind::Missing, Some("shop")), (ChangeSync, "shop".to_owned()));
        assert_eq!(failed(ErrorKind::Settings, None), (ChangeSync, none.clone()));
        assert_eq!(failed(ErrorKind::Storage, None), (RunAgain, none));
    }

    #[test]
    fn an_export_that_is_behind_suspects_its_destination_and_not_the_source_of_the_events() {
        let mut behind = status(None, 0);
        let suspects = |status: &SyncStatus| next_action(Health::NeedsAttention, status, ["push", "lake"]);
        let check = Some(NextAction::CheckConnections);
        assert_eq!(suspects(&behind), (check, vec!["lake".to_owned()]));
        behind.object = "event";
        assert_eq!(
            suspects(&behind),
            (check, vec!["push".to_owned(), "lake".to_owned()]),
            "an import of a topic"
        );
    }

    #[test]
    fn a_pause_of_a_version_that_kept_no_kind_suspects_both_connections() {
        let old: Pause = serde_json::from_str(r#"{"by":"system","why":"w","at":"2026-01-01T00:00:00Z"}"#)
            .expect("a pause of an older version");
        let mut failed = status(Some(Ending::Failed), 0);
        failed.paused = Some(old);
        let (action, suspects) = next_action(Health::Broken, &failed, ["shop", "braze"]);
        assert_eq!((action, suspects.len()), (Some(NextAction::CheckConnections), 2));
    }
}
