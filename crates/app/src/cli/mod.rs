//! The command line.

pub(crate) mod complete;
mod help;
pub(crate) mod hints;
mod log_address;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use tidegate_model::people::Role;

pub(crate) use self::log_address::LogAddress;
use crate::replaced::Replaced;

/// Moves customer data between warehouses, streams and engagement platforms.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) args: ProjectArgs,

    /// How results are printed.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = Output::Text,
        help_heading = GLOBAL
    )]
    pub(crate) output: Output,

    /// Log more to stderr; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    pub(crate) verbose: u8,

    /// How logs are written to stderr.
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_LOG_FORMAT",
        hide_short_help = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = LogFormat::Text,
        help_heading = GLOBAL
    )]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// A line of JSON.
    Json,
}

/// Reads the command line.
///
/// # Errors
/// If it cannot be used, or asks for help.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&help::command().try_get_matches()?)
}

/// The heading of the options that every verb takes.
const GLOBAL: &str = "Global options";

/// Where the project is and where state is kept.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = GLOBAL)]
pub(crate) struct ProjectArgs {
    /// The project file, or the folder that holds `tidegate.yaml`.
    #[arg(long, global = true, default_value = ".", value_name = "PATH")]
    pub(crate) project: PathBuf,

    /// The folder for state [default: `.tidegate` in the project].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// A PostgreSQL database for state, if more than one machine runs the project.
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_STORE",
        hide_env_values = true,
        hide_short_help = true,
        value_name = "URL"
    )]
    pub(crate) store: Option<String>,

    /// Keep incoming events in topics of a Kafka connection of the project, instead of files in the
    /// data folder: `kafka://CONNECTION`, or with the beginning of the names of its topics and what
    /// new topics get, `kafka://CONNECTION/acme.?partitions=12&replicas=3`.
    #[arg(long, global = true, env = "TIDEGATE_LOG", hide_short_help = true, value_name = "ADDRESS")]
    pub(crate) log: Option<LogAddress>,

    /// Days to keep the status of every row [default: `retention.history` of the project, or 90].
    #[arg(long, global = true, env = "TIDEGATE_HISTORY_DAYS", hide_short_help = true, value_name = "DAYS")]
    pub(crate) history_days: Option<u32>,

    /// Days to keep incoming events [default: `retention.events` of the project, or 90].
    #[arg(long, global = true, env = "TIDEGATE_EVENT_DAYS", hide_short_help = true, value_name = "DAYS")]
    pub(crate) event_days: Option<u32>,

    /// GiB of events to keep for each connection; beyond that the oldest are deleted, even if
    /// an export has not read them [default: no limit].
    #[arg(long, global = true, env = "TIDEGATE_EVENT_GIB", hide_short_help = true, value_name = "GIB")]
    pub(crate) event_gib: Option<u32>,

    /// Seconds after which another process may take over a sync in a PostgreSQL store, if the
    /// process that runs it has stopped reporting.
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_LEASE_SECONDS",
        hide_short_help = true,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600),
        hide_possible_values = true
    )]
    pub(crate) lease_seconds: u64,

    /// Scheduled runs that may run at the same time; the others wait for their turn.
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_RUNS_AT_ONCE",
        hide_short_help = true,
        value_name = "RUNS",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) runs_at_once: u16,

    #[arg(skip)]
    pub(crate) replaced: Replaced,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences.
    Text,
    /// One JSON document.
    Json,
    /// JSON Lines: one document a line, lists one element a line.
    Jsonl,
}

/// Projects to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A CSV file to Braze; runs without an account.
    Files,
    /// A PostgreSQL table to Braze.
    Postgres,
    /// A Kafka topic to OneSignal.
    Kafka,
    /// Events of applications to files; runs without an account.
    Export,
    /// Nothing yet: everything is set up in the dashboard.
    Empty,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a small project on the sandbox and opens the dashboard.
    ///
    /// Needs no account and no network: it writes a project into a folder, runs its syncs against
    /// the vendors' APIs inside the program, takes the message events that come back, and serves
    /// the dashboard until Ctrl-C.
    Demo {
        /// The folder [default: `tidegate-demo`]
        folder: Option<PathBuf>,
        /// End when everything has arrived.
        #[arg(long)]
        once: bool,
        /// The address to listen on [default: 127.0.0.1:18417, or the one that the folder was made for]
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Creates a project from a template.
    Init {
        /// The folder [default: the one given by --project]
        folder: Option<PathBuf>,
        /// What the project moves, and where to.
        #[arg(long, value_enum, value_name = "NAME", default_value_t = Template::Files)]
        template: Template,
    },
    /// Checks the project file without connecting to anything.
    Validate,
    /// Prints the JSON Schema of project files or of JSON output.
    Schema {
        /// A verb, or `error` [default: project files].
        verb: Vec<String>,
    },
    /// Shows what a run would send, without sending it.
    Plan {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
        /// Show the first N requests, byte for byte.
        #[arg(long, value_name = "N", default_value_t = 0)]
        requests: usize,
    },
    /// Tests connections, privileges and mappings.
    Check {
        /// Syncs or connections [default: everything].
        #[arg(add = ArgValueCandidates::new(complete::syncs_and_connections))]
        names: Vec<String>,
    },
    /// Examines the machine, the state and every connection.
    Doctor {
        /// The address that `tidegate serve` listens on.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Prints the grants that an administrator runs.
    Setup {
        /// A connection of the project, or a type such as `postgres`.
        #[arg(add = ArgValueCandidates::new(complete::connections_and_types))]
        name: String,
        /// A setting, for example `--set user=tidegate`.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        set: Vec<String>,
    },
    /// Shows source rows and the records they become.
    Preview {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
        /// How many rows to show.
        #[arg(long, value_name = "N", default_value_t = 5)]
        rows: usize,
    },
    /// Runs syncs once.
    #[command(group(ArgGroup::new("which").required(true)))]
    Run {
        /// The syncs, in this order.
        #[arg(group = "which", add = ArgValueCandidates::new(complete::syncs))]
        syncs: Vec<String>,
        /// Run every sync except drafts and continuous ones, in the order of the project file.
        #[arg(long, group = "which")]
        all: bool,
        /// How many syncs run at the same time.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        parallel: u8,
        /// Send also what is beyond the `limits` of a sync.
        #[arg(long)]
        yes: bool,
    },
    /// Runs syncs on schedule, receives events, serves the dashboard.
    Serve {
        /// The address to listen on.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Refuse changes of the project by page and API; the file and SIGHUP change it.
        #[arg(long, env = "TIDEGATE_READ_ONLY_PROJECT")]
        read_only_project: bool,
    },
    /// Makes this project the one of a running server.
    ///
    /// The server checks the project file, writes it in place of its own, and works by it without a restart.
    /// A token is read from `TIDEGATE_TOKEN`.
    Apply {
        /// The address of the server.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        server: String,
        /// Show what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Exit with 4 if anything changes.
        #[arg(long)]
        exit_code: bool,
    },
    /// Shows the state and progress of every sync, or of one in detail.
    Status {
        /// The sync [default: all].
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: Option<String>,
    },
    /// Counts incoming events by kind, or shows the latest.
    Events(Events),
    /// Lists runs, newest first.
    Runs {
        /// Only runs of this sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: Option<String>,
        /// The maximum number of runs.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Lists row statuses, or counts them by reason, sync, user or day.
    Rows(Rows),
    /// Sends rejected rows again, as the source has them now.
    Retry {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
        /// Only rows of this user.
        #[arg(long)]
        user: Option<String>,
        /// Send rows in doubt instead of rejected ones; they may take effect twice.
        #[arg(long)]
        in_doubt: bool,
    },
    /// Closes failed rows that need no delivery, with a note.
    Dismiss {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
        /// Why they need no delivery, shown by `rows --dismissed`.
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// Only rows of this user.
        #[arg(long)]
        user: Option<String>,
        /// Only rows with this reason code.
        #[arg(long, value_name = "CODE")]
        reason: Option<String>,
        /// Close rows in doubt instead of rejected ones.
        #[arg(long)]
        in_doubt: bool,
    },
    /// Pauses a sync.
    Pause {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
        /// The reason, shown by `status`.
        #[arg(long, value_name = "TEXT", default_value = "no reason given")]
        why: String,
    },
    /// Resumes a paused sync.
    Resume {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
    },
    /// Clears the checkpoint, so that the next run starts over.
    Reset {
        /// The sync.
        #[arg(add = ArgValueCandidates::new(complete::syncs))]
        sync: String,
    },
    /// Lists alerts, or tests the channels by which they are sent.
    Alerts {
        #[command(subcommand)]
        action: AlertsAction,
    },
    /// Stores secrets, encrypted, outside of the project file.
    Secret {
        #[command(subcommand)]
        action: SecretAction,
    },
    /// Adds and lists the people who sign in.
    People {
        #[command(subcommand)]
        action: PeopleAction,
    },
    /// Makes and lists tokens for programs that use the API.
    Tokens {
        #[command(subcommand)]
        action: TokensAction,
    },
    /// Lists who did what, or verifies that the list is intact.
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Erases users from everything that is stored.
    Users {
        #[command(subcommand)]
        action: UsersAction,
    },
    /// Copies all state into a folder, also while `tidegate serve` runs.
    ///
    /// The folder is new or empty. Of a PostgreSQL store the tables are not copied: `pg_dump` copies
    /// them.
    Backup {
        /// The folder.
        folder: PathBuf,
        /// Leave out the master key; then `restore` needs it in `TIDEGATE_MASTER_KEY`.
        #[arg(long)]
        without_key: bool,
    },
    /// Puts a backup in the place of the state, and repeats erasures.
    ///
    /// Syncs whose rows would count twice are paused, since rows that were sent after the backup are
    /// not in it.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
        /// Put it in the place of state that is there, which is kept under another name.
        #[arg(long)]
        replace: bool,
        /// A file with users to erase besides those that the backup lists, one a line.
        #[arg(long, value_name = "FILE")]
        erased: Option<PathBuf>,
    },
    /// Serves the APIs of Braze and OneSignal on this machine.
    Sandbox(Sandbox),
    /// Lists the connectors, or explains one.
    Connectors {
        /// The type.
        #[arg(value_name = "TYPE", add = ArgValueCandidates::new(complete::types))]
        kind: Option<String>,
    },
    /// Prints the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The connection that receives them [default: all].
    #[arg(add = ArgValueCandidates::new(complete::connections))]
    pub(crate) stream: Option<String>,
    /// Show the latest N events, one a line, instead of counting.
    #[arg(long, value_name = "N", requires = "stream")]
    pub(crate) last: Option<usize>,
    /// Only events of this kind; `*` stands for any text.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
}

/// What rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// The reason, for each sync.
    Reason,
    /// The sync.
    Sync,
    /// The user.
    User,
    /// The day in UTC.
    Day,
}

/// Which rows to list.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Only rows of this sync.
    #[arg(long, add = ArgValueCandidates::new(complete::syncs))]
    pub(crate) sync: Option<String>,
    /// Only rows of this run.
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Only rows of this user or catalog item.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Only rejected rows, including those delivered since.
    #[arg(long, conflicts_with_all = ["in_doubt", "delivered"])]
    pub(crate) rejected: bool,
    /// Only rows in doubt.
    #[arg(long, conflicts_with = "delivered")]
    pub(crate) in_doubt: bool,
    /// Only delivered rows.
    #[arg(long)]
    pub(crate) delivered: bool,
    /// Only failed rows that are still open: neither delivered since nor dismissed.
    #[arg(long, conflicts_with = "delivered")]
    pub(crate) open: bool,
    /// Only failed rows that were dismissed, with the note.
    #[arg(long, conflicts_with_all = ["delivered", "open", "by"])]
    pub(crate) dismissed: bool,
    /// Only rows since this time: `7d`, `yesterday`, `2026-01-31`, `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only rows before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Count the rows in groups instead of listing them.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) by: Option<GroupBy>,
    /// The maximum number of rows to list.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsAction {
    /// Lists the open alerts, and who was notified of them.
    List {
        /// List the last N that were resolved as well.
        #[arg(long, value_name = "N", default_value_t = 0)]
        resolved: usize,
    },
    /// Sends a test alert and its recovery.
    Test {
        /// The channel [default: all].
        channel: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeopleAction {
    /// Adds a person, or changes the role of one, and prints a link to choose a password.
    Add {
        /// The name to sign in with.
        name: String,
        /// What the person may do: `viewer`, `editor` or `admin`.
        #[arg(long)]
        role: Role,
        /// The person may see values of rows.
        #[arg(long)]
        rows: bool,
        /// Read the password from stdin instead of printing a link.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists everyone.
    List,
    /// Prints a new link to choose a password, for example in place of a forgotten one.
    Link {
        /// The name.
        name: String,
    },
    /// Removes a person and ends all sessions.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensAction {
    /// Makes a token and prints it, once.
    Add {
        /// The name of the program.
        name: String,
        /// What the program may do: `viewer`, `editor` or `admin`.
        #[arg(long)]
        role: Role,
        /// The program may see values of rows.
        #[arg(long)]
        rows: bool,
        /// Days until it ends, 366 at most.
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        days: u32,
    },
    /// Lists all tokens, without their secrets.
    List,
    /// Removes a token.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Lists what was done, newest first.
    List {
        /// The maximum number of entries to list.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Compares every entry with its hash.
    Verify,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Reads a secret from stdin and stores it.
    Set {
        /// Its name, as in `{ secret: NAME }`.
        name: String,
    },
    /// Makes a key pair, stores the private half and prints the public half.
    ///
    /// An RSA pair for services that know a public key of yours, as Snowflake does; with `--ssh` an Ed25519 pair
    /// for the SSH server of a tunnel. The private half is never shown.
    GenerateKey {
        /// The name of the private half, as in `{ secret: NAME }`.
        name: String,
        /// Make a key for the SSH server of a `tunnel`.
        #[arg(long)]
        ssh: bool,
    },
    /// Lists the names of the stored secrets.
    List,
    /// Removes a secret that no setting refers to.
    Remove {
        /// Its name.
        name: String,
    },
    /// Seals everything with a new master key.
    ///
    /// The new key is made in the data folder, or is the one in `TIDEGATE_MASTER_KEY`; then
    /// `TIDEGATE_FORMER_MASTER_KEY` holds the previous key.
    Rotate {
        /// Remove what was sealed with a key that is lost.
        #[arg(long)]
        discard_unreadable: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersAction {
    /// Erases a user from failed rows, history, the event log and the built-in platform.
    ///
    /// Delete the user at the source first, and stop `tidegate serve`.
    Erase {
        /// The identifier, as in `rows` and `events`.
        id: String,
    },
    /// Lists what was erased and when; the identifiers are not stored.
    Erasures {
        /// Erasures of this user only.
        id: Option<String>,
    },
}

/// How the sandbox is served.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Faults to inject, as JSON: latency_ms, throttled, unavailable, dropped, rejected, poison,
    /// poison_answer, revoked, seed.
    #[arg(long, value_name = "JSON")]
    pub(crate) faults: Option<String>,
    /// The settings under `sandbox:` of a connection, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,
    /// Do not enforce the documented rate limits.
    #[arg(long)]
    pub(crate) no_limits: bool,
    /// Keep everything in memory.
    #[arg(long)]
    pub(crate) memory: bool,
}
