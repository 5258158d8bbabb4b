//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::replaced::Replaced;

/// Moves customer data between warehouses, streams and engagement platforms.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partial (rows
/// rejected or in doubt).
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) args: ProjectArgs,

    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,

    /// Tells more on stderr; twice, even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the project is and where state is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProjectArgs {
    /// The project file, or the folder with `tidegate.yaml`.
    #[arg(long, global = true, default_value = ".", value_name = "PATH")]
    pub(crate) project: PathBuf,

    /// Where state is kept [default: `.tidegate` in the project].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// A PostgreSQL URL to keep state in, when one machine is not enough.
    #[arg(long, global = true, env = "TIDEGATE_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,

    /// Days that the status of every row is kept.
    #[arg(long, global = true, env = "TIDEGATE_HISTORY_DAYS", default_value_t = 90)]
    pub(crate) history_days: u32,

    /// Days that events are kept.
    #[arg(long, global = true, env = "TIDEGATE_EVENT_DAYS", default_value_t = 90)]
    pub(crate) event_days: u32,

    /// GiB of events of one connection beyond which the oldest go though an export has not read them [default: no limit]
    #[arg(long, global = true, env = "TIDEGATE_EVENT_GIB", value_name = "GIB")]
    pub(crate) event_gib: Option<u32>,

    /// Seconds that a process keeps a sync in a PostgreSQL store after it was heard of last.
    #[arg(long, global = true, env = "TIDEGATE_LEASE_SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600), hide_possible_values = true)]
    pub(crate) lease_seconds: u64,

    #[arg(skip)]
    pub(crate) replaced: Replaced,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people.
    Text,
    /// JSON for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a project in a folder.
    Init {
        /// The folder [default: the one given by --project].
        folder: Option<PathBuf>,
    },
    /// Checks the project file without connecting to anything.
    Validate,
    /// Prints the JSON Schema of project files, for editors.
    Schema,
    /// Finds out what a run would do: counts, requests, exact payloads. Sends nothing.
    Plan {
        /// The sync.
        sync: String,
        /// How many of the first requests to show.
        #[arg(long, default_value_t = 3)]
        requests: usize,
    },
    /// Connects and proves each privilege; what is missing comes with its GRANT.
    Check {
        /// Syncs or connections [default: everything].
        names: Vec<String>,
    },
    /// Prints the statements and steps that the other system's administrator runs.
    Setup {
        /// A connection of the project, or a type such as `postgres`.
        name: String,
        /// A setting, for example `--set user=tidegate`.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        set: Vec<String>,
    },
    /// Shows real rows and what they would become. Sends nothing.
    Preview {
        /// The sync.
        sync: String,
        /// How many rows.
        #[arg(long, default_value_t = 5)]
        rows: usize,
    },
    /// Runs syncs once.
    #[command(group(ArgGroup::new("which").required(true)))]
    Run {
        /// Syncs, in this order.
        #[arg(group = "which")]
        syncs: Vec<String>,
        /// Every sync but drafts and those that run continuously, in the order of the project file.
        #[arg(long, group = "which")]
        all: bool,
        /// How many run at the same time.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        parallel: u8,
    },
    /// Takes events that come in by HTTP and runs syncs as their schedules say.
    Serve {
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Shows every sync and its progress; of one sync, every partition of its stream.
    Status {
        /// The sync [default: every one].
        sync: Option<String>,
    },
    /// Counts the events that came in by kind, or shows the last ones.
    Events(Events),
    /// Lists runs, newest first.
    Runs {
        /// Of one sync.
        sync: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Lists row statuses, newest first.
    Rows(Rows),
    /// Sends rejected rows again, as the source has them now.
    Retry {
        /// The sync.
        sync: String,
        /// Rows of one user only.
        #[arg(long)]
        user: Option<String>,
        /// Rows in doubt instead: they may take effect twice.
        #[arg(long)]
        in_doubt: bool,
    },
    /// Keeps a sync from running.
    Pause {
        /// The sync.
        sync: String,
        /// Why.
        #[arg(long, default_value = "asked for")]
        why: String,
    },
    /// Lets a paused sync run again.
    Resume {
        /// The sync.
        sync: String,
    },
    /// Clears the checkpoint of a sync: its next run reads from the beginning.
    Reset {
        /// The sync.
        sync: String,
    },
    /// Keeps secrets, sealed, so that project files need not hold them.
    Secret {
        #[command(subcommand)]
        action: SecretAction,
    },
    /// Serves the vendors' APIs locally, with their limits, errors and headers.
    Sandbox(Sandbox),
    /// Lists what can be connected, or explains one connector.
    Connectors {
        /// The type.
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Prints the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The connection that they came in through [default: every one].
    pub(crate) stream: Option<String>,
    /// Shows the last ones, a line each, instead of counting.
    #[arg(long, value_name = "N", requires = "stream")]
    pub(crate) last: Option<usize>,
    /// Of one kind only; `*` stands for any text.
    #[arg(long, requires = "last")]
    pub(crate) kind: Option<String>,
}

/// Which rows to list.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Of one sync.
    #[arg(long)]
    pub(crate) sync: Option<String>,
    /// Of one run.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Of one user, or one catalog item.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Rejected ones.
    #[arg(long, conflicts_with_all = ["in_doubt", "delivered"])]
    pub(crate) rejected: bool,
    /// Those in doubt.
    #[arg(long, conflicts_with = "delivered")]
    pub(crate) in_doubt: bool,
    /// Delivered ones.
    #[arg(long)]
    pub(crate) delivered: bool,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Reads a secret from stdin and keeps it.
    Set {
        /// Its name, as in `{ secret: name }`.
        name: String,
    },
    /// Lists the names.
    List,
    /// Removes a secret that no setting refers to.
    Remove {
        /// Its name.
        name: String,
    },
    /// Seals everything with a new master key.
    ///
    /// The new key is made in the data folder, or is the one in `TIDEGATE_MASTER_KEY`; then
    /// `TIDEGATE_FORMER_MASTER_KEY` holds the key until now.
    Rotate {
        /// Removes what was sealed with a key that is lost.
        #[arg(long)]
        discard_unreadable: bool,
    },
}

/// How the sandbox is served.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// How it misbehaves, as JSON: latency_ms, throttled, unavailable, dropped, rejected, revoked, seed.
    #[arg(long, value_name = "JSON")]
    pub(crate) faults: Option<String>,
    /// The settings under `sandbox:` of a connection, as JSON: {"message_events": {"url": …, "token": …}}.
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,
    /// Does not enforce the documented rate limits.
    #[arg(long)]
    pub(crate) no_limits: bool,
    /// Keeps everything in memory.
    #[arg(long)]
    pub(crate) memory: bool,
}
