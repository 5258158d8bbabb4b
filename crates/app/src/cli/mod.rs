//! The command line.

mod actions;
mod address;
mod args;
pub(crate) mod complete;
mod help;
pub(crate) mod hints;
mod log_address;
mod oidc;
mod people;
mod rows;
mod sandbox;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

pub(crate) use self::actions::{AlertsAction, SecretAction, UsersAction};
use self::args::GLOBAL;
pub(crate) use self::args::{LogFormat, Output, ProjectArgs};
pub(crate) use self::people::{AuditAction, PeopleAction, TokensAction};
pub(crate) use self::rows::{Events, GroupBy, Rows};
pub(crate) use self::sandbox::Sandbox;
pub(crate) use self::serve::Serve;

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

/// Reads the command line.
///
/// # Errors
/// If it cannot be used, or asks for help.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&help::command().try_get_matches()?)
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
        /// The address to listen on [default: 127.0.0.1:18417]
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
        /// Show the first N requests of each kind, byte for byte.
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
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address::listened_on)]
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
        /// Run even if the `limits` of a sync are exceeded, or its cursor, table or query has changed.
        #[arg(long)]
        yes: bool,
        /// Send all rows in this run, including those that were sent before.
        #[arg(long)]
        full: bool,
        /// Run the plan with this id, or nothing if a plan would differ by now.
        #[arg(long, value_name = "ID", conflicts_with_all = ["all", "full", "yes"])]
        plan: Option<String>,
        /// Send only the attributes that come from this column, for all rows.
        #[arg(long, value_name = "COLUMN", conflicts_with_all = ["all", "full", "yes", "plan"])]
        backfill: Option<String>,
    },
    /// Runs syncs on schedule, receives events, serves the dashboard.
    Serve(Box<Serve>),
    /// Prints the syncs as dbt exposures, for lineage.
    Exposures,
    /// Serves an agent over the Model Context Protocol (MCP).
    ///
    /// The agent starts it and speaks to it on standard input and output: its settings name this command. It
    /// may look at syncs, runs and reasons, and at nothing else without an option.
    Mcp {
        /// Let the agent run, pause, resume and retry syncs.
        #[arg(long)]
        write: bool,
        /// Let the agent see values of rows.
        #[arg(long)]
        rows: bool,
    },
    /// Gives a running server this version of the project.
    ///
    /// The server checks the project file, writes it in place of its own, and works by it without a restart.
    /// A token is read from `TIDEGATE_TOKEN`.
    Apply {
        /// The address of the server.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        server: String,
        /// Show what would change, without changing it.
        #[arg(long)]
        dry_run: bool,
        /// Exit with 4 if something changes.
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
        /// Do not ask.
        #[arg(long)]
        yes: bool,
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
    /// Creates and lists tokens for programs that use the API.
    Tokens {
        #[command(subcommand)]
        action: TokensAction,
    },
    /// Lists who did what, or verifies that no entry was changed.
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
    /// Replaces the state by a backup, and repeats erasures.
    ///
    /// Syncs whose rows would count twice are paused, since rows that were sent after the backup are
    /// not in it.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
        /// Replace the state that is there, which is kept under another name.
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
