//! Options that every verb takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tidegate_transport::storage::BucketAddress;

use super::log_address::LogAddress;
use crate::replaced::Replaced;

/// The heading of the options that every verb takes.
pub(super) const GLOBAL: &str = "Global options";

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

    /// A folder in an object store for history files and the hashes of delivered rows, beside `--store`:
    /// `s3://BUCKET/FOLDER?region=eu-central-1`, `gs://BUCKET/FOLDER` or
    /// `az://CONTAINER/FOLDER?account=NAME`.
    #[arg(long, global = true, env = "TIDEGATE_BUCKET", hide_short_help = true, value_name = "ADDRESS")]
    pub(crate) bucket: Option<BucketAddress>,

    /// Keep incoming events in topics of a Kafka connection of the project, instead of files in the data
    /// folder: `kafka://CONNECTION`, or with a prefix of the topics and settings of new topics,
    /// `kafka://CONNECTION/acme.?partitions=12&replicas=3`.
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

    /// How many scheduled runs may be in progress at the same time; others wait for their turn.
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

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// A line of JSON.
    Json,
}
