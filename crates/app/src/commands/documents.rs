//! The JSON documents that verbs print with `--output json`: the contract with programs.
//! `tidegate schema VERB` prints their schemas, and `docs/reference/json.md` lists them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_engine::service::{
    AlertDetails, AuditVerdict, ConnectorInfo, KindCount, Plan, Rejection, Report, RetryResult, SyncStatus,
    TestedChannel,
};
use tidegate_model::event::Offset;
use tidegate_model::people::{AuditEntry, Person, Role, Token};
use tidegate_model::store::KeyRotation;
use tidegate_model::{
    Cause, Checks, Compared, ConnectionId, Counts, Ending, Erasure, ErasureCounts, Error, Run, RunFailure,
    RunId, SyncId,
};
use tidegate_project::{Finding, Variable};

/// The document of every verb that failed as a whole, on stdout.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// What failed.
    error: FailureDetails,
}

/// What failed, and what to do.
#[derive(Debug, Serialize, JsonSchema)]
struct FailureDetails {
    /// The kind of failure: `usage`, `settings`, `denied`, `missing`, `unconfirmed` (a person has to confirm the
    /// run), `throttled`, `unavailable`, `too_large`, `rejected`, `unexpected`, `storage`, `held` (by another
    /// process) or `internal`.
    kind: &'static str,
    /// What failed, with its causes.
    message: String,
    /// What to do next.
    next_step: String,
}

impl Failure {
    /// Returns the document of an error.
    pub(crate) fn of(error: &Error) -> Failure {
        let kind = error.kind().as_str();
        Failure {
            error: FailureDetails { kind, message: error.chain(), next_step: error.next_step().to_owned() },
        }
    }

    /// Returns the document of a command line that cannot be used.
    pub(crate) fn usage(message: String, next_step: String) -> Failure {
        Failure { error: FailureDetails { kind: "usage", message, next_step } }
    }
}

/// What `init` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Initialized {
    /// The template.
    pub(crate) template: String,
    /// The files, in the order in which they were written.
    pub(crate) written: Vec<String>,
}

/// What `validate` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Validation {
    /// Whether the project file can be used.
    pub(crate) valid: bool,
    /// The project file.
    pub(crate) file: String,
    /// The number of connections; 0 if the file is invalid.
    pub(crate) connections: usize,
    /// The number of syncs; 0 if the file is invalid.
    pub(crate) syncs: usize,
    /// Every error, in the order of the file.
    pub(crate) errors: Vec<Finding>,
    /// What works but could surprise.
    pub(crate) notes: Vec<Finding>,
    /// Environment variables that are used and not set.
    pub(crate) unset: Vec<Variable>,
    /// Every sync and its schedule.
    pub(crate) schedules: Vec<ScheduledSync>,
}

/// A sync as the project file has it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ScheduledSync {
    /// The sync.
    pub(crate) sync: SyncId,
    /// The connection of its source.
    pub(crate) source: ConnectionId,
    /// The connection of its destination.
    pub(crate) destination: ConnectionId,
    /// Whether it runs on its schedule; otherwise it is a draft.
    pub(crate) enabled: bool,
    /// The schedule, in words.
    pub(crate) schedule: Option<String>,
    /// When it runs next, for schedules with times of day.
    pub(crate) next_run_at: Option<Timestamp>,
    /// Contacts for questions.
    pub(crate) contacts: Vec<String>,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
}

/// What `apply` changed, or would change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Applied {
    /// The version of the project that was sent.
    pub(crate) version: String,
    /// Whether the server works by it now: false with `--dry-run`.
    pub(crate) applied: bool,
    /// Whether a connection, a sync or a setting changes.
    pub(crate) changed: bool,
    /// The connections.
    pub(crate) connections: AppliedNames,
    /// The syncs, without those of which only a connection changes.
    pub(crate) syncs: AppliedNames,
    /// Other keys of the file that change: `alerts`, `retention`.
    pub(crate) settings: Vec<String>,
    /// What works but could surprise.
    pub(crate) notes: Vec<Finding>,
    /// What counts only after the next start of the server.
    pub(crate) after_restart: Vec<String>,
}

/// Names of what is added, changed and removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AppliedNames {
    /// What is new.
    pub(crate) added: Vec<String>,
    /// What is there in another way.
    pub(crate) changed: Vec<String>,
    /// What is gone.
    pub(crate) removed: Vec<String>,
}

/// What `check` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// Whether every check passed.
    pub(crate) passed: bool,
    /// A report for each sync or connection.
    pub(crate) reports: Vec<Report>,
}

/// What `doctor` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Examined {
    /// Whether every check passed.
    pub(crate) passed: bool,
    /// The project file, the state, and what this machine allows.
    pub(crate) machine: Checks,
    /// A report for each sync or connection, as `check` prints them.
    pub(crate) reports: Vec<Report>,
}

/// What `setup` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SetupSteps {
    /// The connection or type.
    pub(crate) name: String,
    /// The statements and steps, with comments.
    pub(crate) text: String,
}

/// What `run`, `demo` and `runs` print.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Runs<R> {
    /// The runs; those of `tidegate run` in the order of the syncs, those of `tidegate runs`
    /// newest first.
    pub(crate) runs: Vec<R>,
}

/// A run, what it rejected and what is left to do. A run that could not begin has the same keys.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FinishedRun {
    /// Its name; `null` if it could not begin.
    pub(crate) id: Option<RunId>,
    /// The sync.
    pub(crate) sync: SyncId,
    /// Why it started.
    pub(crate) cause: Cause,
    /// When it started.
    pub(crate) started_at: Timestamp,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// How it ended.
    pub(crate) ending: Option<Ending>,
    /// The number of rows by status.
    pub(crate) counts: Counts,
    /// How the source differed from what was committed before, with `mode: mirror`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compared: Option<Compared>,
    /// Why it failed, with the next step.
    pub(crate) error: Option<String>,
    /// What kind of failure that was, and through which connection.
    pub(crate) failure: Option<RunFailure>,
    /// Reasons of rejected rows and rows in doubt, most frequent first.
    pub(crate) reasons: Vec<Rejection>,
    /// Open failed rows of the sync, of this run and earlier ones.
    pub(crate) failed_rows: u64,
}

impl FinishedRun {
    /// Returns the document of a run.
    pub(crate) fn of(run: Run, reasons: Vec<Rejection>, failed_rows: u64) -> FinishedRun {
        let Run { id, sync, cause, started_at, finished_at, ending, counts, compared, error, failure } = run;
        FinishedRun {
            id: Some(id),
            sync,
            cause,
            started_at,
            finished_at,
            ending,
            counts,
            compared,
            error,
            failure,
            reasons,
            failed_rows,
        }
    }

    /// Returns the document of a run that could not begin.
    pub(crate) fn not_begun(sync: SyncId, at: Timestamp, error: &Error, failed_rows: u64) -> FinishedRun {
        FinishedRun {
            id: None,
            sync,
            cause: Cause::Manual,
            started_at: at,
            finished_at: Some(at),
            ending: Some(Ending::Failed),
            counts: Counts::default(),
            compared: None,
            error: Some(format!("{}. Next: {}", error.chain(), error.next_step())),
            failure: Some(error.into()),
            reasons: Vec::new(),
            failed_rows,
        }
    }
}

/// What `retry` did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Retried {
    /// The sync.
    pub(crate) sync: SyncId,
    /// The run and the rows that could not be sent again.
    #[serde(flatten)]
    pub(crate) result: RetryResult,
}

/// What `dismiss` did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Dismissed {
    /// The sync.
    pub(crate) sync: SyncId,
    /// The number of failed rows that were closed.
    pub(crate) dismissed: u64,
    /// The failed rows of the sync that are still open.
    pub(crate) failed_rows: u64,
}

/// What `status` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Syncs {
    /// The syncs, in the order of the project file.
    pub(crate) syncs: Vec<SyncStatus>,
}

/// What `pause`, `resume` and `reset` did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Changed {
    /// The sync.
    pub(crate) sync: SyncId,
    /// `paused`, `resumed` or `reset`.
    pub(crate) done: &'static str,
}

/// What `events` counted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Kinds {
    /// A count for each connection and kind.
    pub(crate) kinds: Vec<KindCount>,
}

/// What `events --last` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Events<E> {
    /// The events, in the order of the log.
    pub(crate) events: Vec<E>,
}

/// An event and its offset.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoggedEvent<E> {
    /// Its position in the stream.
    pub(crate) offset: Offset,
    /// The event as it came in.
    pub(crate) event: E,
}

/// What `secret set` stored.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoredSecret {
    /// Its name.
    pub(crate) secret: String,
}

/// What `secret generate-key` stored and made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GeneratedKey {
    /// The name of the private half.
    pub(crate) secret: String,
    /// The public half: base64 of its `SubjectPublicKeyInfo`, or with `--ssh` the line for `authorized_keys`.
    pub(crate) public_key: String,
}

/// What `secret remove` removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovedSecret {
    /// Its name.
    pub(crate) removed: String,
}

/// What `secret list` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Secrets {
    /// The names, in alphabetical order.
    pub(crate) secrets: Vec<String>,
}

/// What `alerts list` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Alerts {
    /// The open alerts, then those that were resolved; in both parts the one that opened last first.
    pub(crate) alerts: Vec<AlertDetails>,
}

/// What `alerts test` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TestedChannels {
    /// Every channel that was tested.
    pub(crate) channels: Vec<TestedChannel>,
}

/// What `people add` did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AddedPerson {
    /// The name.
    pub(crate) person: String,
    /// What the person may do.
    pub(crate) role: Role,
    /// Whether the person may see values of rows.
    pub(crate) rows: bool,
    /// The address at which the person chooses a password; null if there is one.
    pub(crate) link: Option<String>,
}

/// What `people list` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct People {
    /// Everyone, by name.
    pub(crate) people: Vec<Person>,
}

/// What `people link` made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Invited {
    /// The name.
    pub(crate) person: String,
    /// The address at which the person chooses a password.
    pub(crate) link: String,
}

/// What `people remove` and `tokens remove` removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) removed: String,
}

/// What `tokens add` made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AddedToken {
    /// The name.
    pub(crate) name: String,
    /// The token. It is not shown again.
    pub(crate) token: String,
}

/// What `tokens list` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tokens {
    /// All tokens, by name.
    pub(crate) tokens: Vec<Token>,
}

/// What `audit list` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// What was done, newest first.
    pub(crate) entries: Vec<AuditEntry>,
}

/// What `users erase` removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErasedUser {
    /// What was removed.
    #[serde(flatten)]
    pub(crate) removed: ErasureCounts,
    /// Backups that hold the user still, and erase the user again when they are restored.
    pub(crate) backups: Vec<String>,
    /// Backups that are not at their places any more.
    pub(crate) backups_gone: Vec<String>,
}

/// What `users erasures` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Erasures {
    /// The erasures, newest first.
    pub(crate) erasures: Vec<Erasure>,
}

/// What `backup` copied.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BackedUp {
    /// The folder of the backup.
    pub(crate) backup: String,
    /// When the state database was read.
    pub(crate) made_at: Timestamp,
    /// The number of files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Whether the tables of the state are in it. If not, `pg_dump` copies them.
    pub(crate) tables: bool,
    /// Whether the master key is in it.
    pub(crate) master_key: bool,
}

/// What `restore` put back.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Restored {
    /// The folder of the backup.
    pub(crate) backup: String,
    /// When its state database was read.
    pub(crate) made_at: Timestamp,
    /// The data folder.
    pub(crate) data: String,
    /// Where the former data folder is, if there was one.
    pub(crate) replaced: Option<String>,
    /// The number of users that were erased again.
    pub(crate) erased: u64,
    /// The files that named them.
    pub(crate) erased_by: Vec<String>,
    /// What the next run of each sync does about the time since the backup.
    pub(crate) syncs: Vec<RestoredSync>,
}

/// What the next run of a sync does about the time since the backup.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RestoredSync {
    /// The sync.
    pub(crate) sync: SyncId,
    /// Whether it is paused until `tidegate resume`.
    pub(crate) paused: bool,
    /// What happens to rows or events that were sent after the backup.
    pub(crate) since_backup: String,
}

/// What `connectors` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Connectors {
    /// The connectors, in alphabetical order.
    pub(crate) connectors: Vec<ConnectorInfo>,
}

/// What `sandbox` prints once it listens.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listening {
    /// The address.
    pub(crate) url: String,
    /// The types of the APIs that it serves.
    pub(crate) kinds: Vec<String>,
}

type MakeSchema = fn() -> Schema;

/// The schemas of the documents, by verb; a verb with two documents has two.
const SCHEMAS: &[(&str, MakeSchema)] = &[
    ("error", || schema_for!(Failure)),
    ("init", || schema_for!(Initialized)),
    ("demo", || schema_for!(Runs<FinishedRun>)),
    ("validate", || schema_for!(Validation)),
    ("apply", || schema_for!(Applied)),
    ("connectors", || schema_for!(Connectors)),
    ("connectors type", || schema_for!(ConnectorInfo)),
    ("setup", || schema_for!(SetupSteps)),
    ("check", || schema_for!(Checked)),
    ("doctor", || schema_for!(Examined)),
    ("preview", || schema_for!(super::preview::Previewed<Value>)),
    ("plan", || schema_for!(Plan)),
    ("run", || schema_for!(Runs<FinishedRun>)),
    ("retry", || schema_for!(Retried)),
    ("dismiss", || schema_for!(Dismissed)),
    ("status", || schema_for!(Syncs)),
    ("runs", || schema_for!(Runs<Run>)),
    ("rows", || schema_for!(super::rows::Listed<Value>)),
    ("rows groups", || schema_for!(super::rows::Grouped)),
    ("events", || schema_for!(Kinds)),
    ("events last", || schema_for!(Events<LoggedEvent<Value>>)),
    ("exposures", || schema_for!(super::exposures::Exposures)),
    ("pause", || schema_for!(Changed)),
    ("resume", || schema_for!(Changed)),
    ("reset", || schema_for!(Changed)),
    ("secret set", || schema_for!(StoredSecret)),
    ("secret generate-key", || schema_for!(GeneratedKey)),
    ("secret list", || schema_for!(Secrets)),
    ("secret remove", || schema_for!(RemovedSecret)),
    ("secret rotate", || schema_for!(KeyRotation)),
    ("alerts list", || schema_for!(Alerts)),
    ("alerts test", || schema_for!(TestedChannels)),
    ("people add", || schema_for!(AddedPerson)),
    ("people list", || schema_for!(People)),
    ("people link", || schema_for!(Invited)),
    ("people remove", || schema_for!(Removed)),
    ("tokens add", || schema_for!(AddedToken)),
    ("tokens list", || schema_for!(Tokens)),
    ("tokens remove", || schema_for!(Removed)),
    ("audit list", || schema_for!(Audit)),
    ("audit verify", || schema_for!(AuditVerdict)),
    ("users erase", || schema_for!(ErasedUser)),
    ("users erasures", || schema_for!(Erasures)),
    ("backup", || schema_for!(BackedUp)),
    ("restore", || schema_for!(Restored)),
    ("sandbox", || schema_for!(Listening)),
];

/// Returns the schema of what a verb prints.
///
/// # Errors
/// [`ErrorKind::Settings`] if the verb prints no JSON.
pub(crate) fn schema(verb: &str) -> Result<Schema, Error> {
    SCHEMAS.iter().find(|(name, _)| *name == verb).map(|(_, schema)| schema()).ok_or_else(|| {
        let names: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
        Error::settings(format!("`{verb}` is not a verb that prints JSON"))
            .hint(format!("the documents are: {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use tidegate_model::ErrorKind;

    use super::*;

    #[test]
    fn a_sync_that_another_process_runs_is_not_a_fault_of_the_program() {
        let error = Error::new(ErrorKind::Held, "the sync `orders` is running");
        assert_eq!(Failure::of(&error).error.kind, "held");
    }
}
