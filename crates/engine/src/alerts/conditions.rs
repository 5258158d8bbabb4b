//! Which triggers apply to a sync. Pure: what is known of the sync goes in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::alert::Trigger;
use tidegate_model::store::{FailedRowGroup, Pause, PausedBy, StatusKind, SyncState};
use tidegate_model::{Cause, Counts, Ending, ErrorKind, Run, RunFailure, RunId};
use tidegate_project::AlertRules;

use crate::service::backlog::Waiting;

/// Percent of rejected rows if nothing is said.
const REJECTED: f64 = 10.0;
/// The fewest rejected rows of an alert: no alert is about a single row.
const ROWS_MIN: u64 = 2;
/// How long a run in progress must have gone beyond its attempts to count as a recovery.
const STEADY: Duration = Duration::from_secs(60);
/// The rows of a run in progress are compared over this span.
const WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// What a trigger has to say about a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It applies: the sentence to act on.
    Bad(String),
    /// It does not apply.
    Good,
    /// It cannot be told now: an open alert stays open.
    Unclear,
}

/// How the counts of a run in progress have moved.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    run: RunId,
    /// The counts at the beginning of the window, and when that was.
    before: (Counts, Timestamp),
    /// The counts at the last look.
    now: Counts,
    /// When rows were read last.
    read_at: Timestamp,
}

impl Moved {
    /// Returns what is known after another look.
    pub(super) fn after(known: Option<Moved>, run: &Run, now: Timestamp) -> Moved {
        let Some(mut moved) = known.filter(|moved| moved.run == run.id) else {
            // A process that was just started does not know since when it has been still.
            return Moved { run: run.id.clone(), before: (run.counts, now), now: run.counts, read_at: now };
        };
        if fresh(&run.counts) > fresh(&moved.now) {
            moved.read_at = now;
        }
        if now.duration_since(moved.before.1) >= WINDOW {
            moved.before = (moved.now, now);
        }
        moved.now = run.counts;
        moved
    }

    /// Returns the counts of the window.
    fn window(&self) -> Counts {
        let (before, now) = (&self.before.0, &self.now);
        Counts {
            delivered: now.delivered.saturating_sub(before.delivered),
            rejected: now.rejected.saturating_sub(before.rejected),
            in_doubt: now.in_doubt.saturating_sub(before.in_doubt),
            ..Counts::default()
        }
    }
}

/// What is known of a sync.
pub(super) struct Facts<'a> {
    pub(super) now: Timestamp,
    pub(super) state: &'a SyncState,
    /// Its last runs, newest first.
    pub(super) runs: &'a [Run],
    /// Its open failed rows.
    pub(super) groups: &'a [FailedRowGroup],
    /// How its run in progress has moved.
    pub(super) moved: Option<&'a Moved>,
    pub(super) rules: AlertRules,
    /// How long an unreachable system is tried.
    pub(super) retry_for: Duration,
    /// Whether it follows a stream: its run never ends.
    pub(super) follows: bool,
    /// When its last run was completed, if that is longer ago than `runs` goes back.
    pub(super) earlier_success: Option<Timestamp>,
    /// When rows were read last, likewise.
    pub(super) earlier_read: Option<Timestamp>,
    /// What waits before a sync that reads a stream.
    pub(super) waiting: Waiting,
}

/// Returns what each trigger says.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<(Trigger, State)> {
    if facts.state.paused.as_ref().is_some_and(|pause| matches!(pause.by, PausedBy::Person(_))) {
        // A person knows of it: nothing opens, and nothing is over.
        return Vec::new();
    }
    vec![
        (Trigger::Failed, failed(facts)),
        (Trigger::Rejected, rejected(facts)),
        (Trigger::InDoubt, in_doubt(facts)),
        (Trigger::Stale, stale(facts)),
        (Trigger::NoRows, no_rows(facts)),
        (Trigger::Lag, lag(facts)),
    ]
}

fn failed(facts: &Facts<'_>) -> State {
    match &facts.state.paused {
        Some(pause) if pause.by == PausedBy::Restored => {
            return State::Bad(format!("Tidegate paused it until a person resumes it: {}", pause.why));
        }
        Some(Pause { why, failure: Some(RunFailure { kind: ErrorKind::Unconfirmed, .. }), .. }) => {
            return State::Bad(format!("It waits until a person confirms its run: {why}"));
        }
        Some(pause) => return State::Bad(format!("Tidegate paused it, and keeps trying: {}", pause.why)),
        None => {}
    }
    for run in facts.runs {
        match run.ending {
            None if is_steady(run, facts) => return State::Good,
            None | Some(Ending::Interrupted) => {}
            Some(Ending::Failed) => {
                let why = run.error.as_deref().unwrap_or("the cause is not known");
                return State::Bad(format!("The last run failed: {why}"));
            }
            Some(Ending::Succeeded | Ending::Partial) => return State::Good,
        }
    }
    match facts.runs.is_empty() {
        true => State::Good,
        false => State::Unclear,
    }
}

/// Whether a run in progress works: it delivered, or lasts longer than it would try in vain.
fn is_steady(run: &Run, facts: &Facts<'_>) -> bool {
    let tries = SignedDuration::try_from(facts.retry_for + STEADY).unwrap_or(SignedDuration::MAX);
    let lasts = facts.now.duration_since(run.started_at);
    run.counts.delivered > 0 || (lasts > tries && facts.state.wait.is_none())
}

fn rejected(facts: &Facts<'_>) -> State {
    let limit = facts.rules.rejected.unwrap_or(REJECTED);
    let open = facts.groups.iter().filter(|group| group.status == StatusKind::Rejected);
    let Some(largest) = open.max_by_key(|group| group.rows) else { return State::Good };
    // A retry sends rows that failed before: it says nothing about the others.
    let mut runs = facts.runs.iter().filter(|run| run.cause != Cause::Retry);
    let Some(counts) = runs.find_map(|run| counts(run, facts)) else { return State::Unclear };
    let all = handled(&counts);
    #[expect(clippy::cast_precision_loss, reason = "a share of rows, for people")]
    let share = counts.rejected as f64 * 100.0 / all as f64;
    if counts.rejected < ROWS_MIN || share < limit {
        return State::Good;
    }
    let rejected = counts.rejected;
    let code = &largest.reason.code;
    State::Bad(format!(
        "{rejected} of {all} rows were rejected ({share:.0}%), the most frequent open reason is `{code}`. \
         Next: correct them at the source, then retry them"
    ))
}

/// Returns the counts of a run, if there are rows to judge by.
fn counts(run: &Run, facts: &Facts<'_>) -> Option<Counts> {
    let counts = match (run.ending, facts.moved) {
        (None, Some(moved)) if moved.run == run.id => moved.window(),
        (None, _) => return None,
        (Some(_), _) => run.counts,
    };
    (handled(&counts) > 0).then_some(counts)
}

fn handled(counts: &Counts) -> u64 {
    counts.delivered + counts.rejected + counts.in_doubt
}

/// Rows that were not read before.
fn fresh(counts: &Counts) -> u64 {
    counts.read.saturating_sub(counts.skipped + counts.not_due)
}

fn in_doubt(facts: &Facts<'_>) -> State {
    let groups = facts.groups.iter().filter(|group| group.status == StatusKind::InDoubt);
    match groups.map(|group| group.rows).sum::<u64>() {
        0 => State::Good,
        rows => {
            let what = if rows == 1 { "1 row is".to_owned() } else { format!("{rows} rows are") };
            State::Bad(format!(
                "{what} in doubt: they were sent, and whether they took effect is not known. \
                 Next: decide whether they are sent again, with `tidegate retry --in-doubt` or `tidegate dismiss --in-doubt`"
            ))
        }
    }
}

fn stale(facts: &Facts<'_>) -> State {
    let Some(limit) = watched(facts.rules.stale) else { return State::Good };
    if facts.follows && facts.runs.first().is_some_and(|run| run.ending.is_none() && is_steady(run, facts)) {
        return State::Good;
    }
    let came_to_end = |run: &&Run| matches!(run.ending, Some(Ending::Succeeded | Ending::Partial));
    let success = facts.runs.iter().find(came_to_end).and_then(|run| run.finished_at);
    let success = success.or(facts.earlier_success);
    let Some(since) = success.or(facts.runs.last().map(|run| run.started_at)) else { return State::Unclear };
    if facts.now.duration_since(since) <= limit {
        return State::Good;
    }
    State::Bad(match success {
        Some(at) => format!("The last completed run ended on {}.", shown(at)),
        None => format!("No run was completed since {}.", shown(since)),
    })
}

fn no_rows(facts: &Facts<'_>) -> State {
    let Some(limit) = watched(facts.rules.no_rows) else { return State::Good };
    let read_at = facts.runs.iter().find_map(|run| match (run.ending, facts.moved) {
        (None, Some(moved)) if moved.run == run.id => Some(moved.read_at),
        (None, _) => Some(facts.now),
        (Some(_), _) => run.finished_at.filter(|_| fresh(&run.counts) > 0),
    });
    let read_at = read_at.or(facts.earlier_read);
    let Some(since) = read_at.or(facts.runs.last().map(|run| run.started_at)) else { return State::Unclear };
    if facts.now.duration_since(since) <= limit {
        return State::Good;
    }
    State::Bad(format!("No row was read since {}. Next: look at the source", shown(since)))
}

fn lag(facts: &Facts<'_>) -> State {
    let Some(limit) = watched(facts.rules.lag) else { return State::Good };
    match facts.waiting {
        Waiting::Unknown => State::Unclear,
        Waiting::Since(since) if facts.now.duration_since(since) > limit => State::Bad(format!(
            "What came in before {} is not delivered yet. \
             Next: look at its run, and at the speed limits of its destination",
            shown(since)
        )),
        Waiting::Nothing | Waiting::Since(_) => State::Good,
    }
}

/// The span of a rule that watches something.
pub(super) fn watched(span: Option<Duration>) -> Option<SignedDuration> {
    span.filter(|span| !span.is_zero())
        .map(|span| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX))
}

fn shown(at: Timestamp) -> String {
    at.strftime("%F %T UTC").to_string()
}
