//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::events_out::{self, Part};
use crate::topic::Registry;
use crate::{far, full, many, mirror_keys, rows_in, scale, stream_in, warehouses};

/// Measures how fast rows and events move.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) bench: Bench,
}

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Counts what is posted to it and answers at once, until it is stopped.
    Receiver(ReceiverArgs),
    /// Makes the table `bench_events`.
    Fill(FillArgs),
    /// Reads messages of a topic and does nothing with them.
    Consume(ConsumeArgs),
    /// PostgreSQL to requests, against `psql \copy` of the same rows.
    RowsIn(RowsInArgs),
    /// A topic to requests, against a bare consumer of the same topic; and how long a message takes.
    StreamIn(StreamInArgs),
    /// Events by HTTP to the log, and from the log to files, tables and streams.
    EventsOut(EventsOutArgs),
    /// Rows to platforms that answer over TLS after a while, against their documented rates.
    Latency(LatencyArgs),
    /// Many syncs that fall due together, and what they cost when nothing is due.
    Many(ManyArgs),
    /// How long pages take with the work of three months in the store, and what they cost an import.
    Full(FullArgs),
    /// One, two and four processes that share a topic and scheduled syncs.
    Scale(ScaleArgs),
    /// Runs of a mirror of up to a hundred million keys, whose rows are made as they are read.
    MirrorKeys(MirrorKeysArgs),
    /// A result of a warehouse to requests, against fetching its parts, and against the vendor's client.
    Warehouses(WarehousesArgs),
}

#[derive(Args)]
pub(crate) struct LatencyArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// After how many milliseconds answers come.
    #[arg(long, value_delimiter = ',', default_value = "60,150")]
    millis: Vec<u64>,
    /// For about how many seconds each platform is sent to.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

impl LatencyArgs {
    pub(crate) fn plan(self) -> far::Plan {
        far::Plan {
            tidegate: self.tidegate,
            postgres: self.postgres,
            millis: self.millis,
            seconds: self.seconds,
        }
    }
}

#[derive(Args)]
pub(crate) struct ManyArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// How many syncs there are.
    #[arg(long, default_value_t = 1_000)]
    syncs: u64,
    /// For how many seconds it is watched when nothing is due.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl ManyArgs {
    pub(crate) fn plan(self) -> many::Plan {
        many::Plan {
            tidegate: self.tidegate,
            postgres: self.postgres,
            syncs: self.syncs,
            seconds: self.seconds,
        }
    }
}

#[derive(Args)]
pub(crate) struct FullArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// Where the state is made; one that an earlier call made is used as it is.
    #[arg(long)]
    folder: PathBuf,
    /// Syncs in the store.
    #[arg(long, default_value_t = 1_000)]
    syncs: u64,
    /// Runs of each sync.
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// Rows that fail in each run.
    #[arg(long, default_value_t = 10)]
    failed: u64,
    /// Rows that each run delivers.
    #[arg(long, default_value_t = 90)]
    delivered: u64,
    /// Events in the log.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Rows of the import beside the questions.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often it runs with and without questions.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// For how many seconds questions are asked.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
}

impl FullArgs {
    pub(crate) fn plan(self) -> full::Plan {
        let FullArgs { syncs, runs, failed, delivered, events, .. } = self;
        full::Plan {
            tidegate: self.tidegate,
            postgres: self.postgres,
            folder: self.folder,
            amounts: full::Amounts { syncs, runs, failed, delivered, events },
            rows: self.rows,
            rounds: self.rounds,
            seconds: self.seconds,
        }
    }
}

#[derive(Args)]
pub(crate) struct ScaleArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// The bootstrap servers.
    #[arg(long, env = "TIDEGATE_TEST_KAFKA")]
    brokers: String,
    /// How many processes share the work, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    processes: Vec<usize>,
    /// After how many milliseconds the platform answers: so long that cores are not the limit.
    #[arg(long, default_value_t = 3_000)]
    millis: u64,
    /// Messages in the topic.
    #[arg(long, default_value_t = 1_600_000)]
    messages: u64,
    /// Syncs that are due at the same time.
    #[arg(long, default_value_t = 160)]
    syncs: u64,
    /// How many processes are killed in each measurement of the part `kills`.
    #[arg(long, default_value_t = 6)]
    kills: u32,
    /// Which parts are measured.
    #[arg(long = "part", value_enum, value_delimiter = ',', default_value = "topic,syncs,kills")]
    parts: Vec<scale::Part>,
}

impl ScaleArgs {
    pub(crate) fn plan(self) -> scale::Plan {
        scale::Plan {
            tidegate: self.tidegate,
            postgres: self.postgres,
            brokers: self.brokers,
            processes: self.processes,
            millis: self.millis,
            messages: self.messages,
            syncs: self.syncs,
            kills: self.kills,
            parts: self.parts,
        }
    }
}

#[derive(Args)]
pub(crate) struct ReceiverArgs {
    /// Where to listen; `GET /counts` on the same address tells what arrived.
    #[arg(long, default_value = "127.0.0.1:8790")]
    pub(crate) listen: String,
    /// Counts requests and bytes only, without looking into the bodies.
    #[arg(long)]
    pub(crate) blind: bool,
}

#[derive(Args)]
pub(crate) struct FillArgs {
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    pub(crate) postgres: String,
    /// How many rows the table has afterwards.
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) rows: u64,
}

#[derive(Args)]
pub(crate) struct ConsumeArgs {
    /// The bootstrap servers.
    #[arg(long, env = "TIDEGATE_TEST_KAFKA")]
    pub(crate) brokers: String,
    /// The topic.
    #[arg(long)]
    pub(crate) topic: String,
    /// How many messages it ends after.
    #[arg(long)]
    pub(crate) messages: u64,
}

#[derive(Args)]
pub(crate) struct RowsInArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// Sizes of the table, smallest first: memory must not grow with them.
    #[arg(long, value_delimiter = ',', default_value = "2000000,10000000")]
    rows: Vec<u64>,
    /// How often each way is measured, taking turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measures a mirror instead, that compares so: a run that finds nothing, and one that finds 1 % changed.
    #[arg(long, value_delimiter = ',', num_args = 0..=1, default_missing_value = "rows,hashes,source")]
    mirror: Vec<rows_in::Compares>,
    /// A program of another project that moves the same rows; may be given again.
    #[arg(long = "peer")]
    peers: Vec<PathBuf>,
}

impl RowsInArgs {
    pub(crate) fn plan(self) -> rows_in::Plan {
        rows_in::Plan {
            tidegate: self.tidegate,
            postgres: self.postgres,
            rows: self.rows,
            rounds: self.rounds,
            mirror: self.mirror,
            peers: self.peers,
        }
    }
}

#[derive(Args)]
pub(crate) struct MirrorKeysArgs {
    /// How many keys there are, fewest first: memory must not grow with them.
    #[arg(long, value_delimiter = ',', default_value = "1000000,100000000")]
    keys: Vec<u64>,
    /// Where the state is made: 100 bytes of disk for each key.
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl MirrorKeysArgs {
    pub(crate) fn plan(self) -> mirror_keys::Plan {
        mirror_keys::Plan { keys: self.keys, folder: self.folder }
    }
}

#[derive(Args)]
pub(crate) struct WarehousesArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// What is read from, or written to.
    #[arg(long, value_enum, default_value = "databricks")]
    system: warehouses::System,
    /// Sizes of the result, smallest first: memory must not grow with them.
    #[arg(long, value_delimiter = ',', default_value = "500000,2000000")]
    rows: Vec<u64>,
    /// How often each way is measured, taking turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A program of another project that reads the same; may be given again.
    #[arg(long = "peer")]
    peers: Vec<PathBuf>,
}

impl WarehousesArgs {
    pub(crate) fn plan(self) -> warehouses::Plan {
        warehouses::Plan {
            tidegate: self.tidegate,
            system: self.system,
            rows: self.rows,
            rounds: self.rounds,
            peers: self.peers,
        }
    }
}

#[derive(Args)]
pub(crate) struct StreamInArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// The bootstrap servers.
    #[arg(long, env = "TIDEGATE_TEST_KAFKA")]
    brokers: String,
    /// The schema registry, as `http://<ip>:<port>`; Avro is left out without one.
    #[arg(long, env = "TIDEGATE_TEST_REGISTRY")]
    registry: Option<String>,
    /// The user at the registry, where it asks for one.
    #[arg(long, env = "TIDEGATE_TEST_REGISTRY_USER", requires = "registry_password")]
    registry_user: Option<String>,
    /// The password of that user.
    #[arg(long, env = "TIDEGATE_TEST_REGISTRY_PASSWORD", hide_env_values = true)]
    registry_password: Option<String>,
    /// Messages in the topic, smallest first; 0 leaves the throughput out.
    #[arg(long, value_delimiter = ',', default_value = "2000000")]
    messages: Vec<u64>,
    /// How often each way is measured, taking turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For how many seconds the latency is measured; 0 leaves it out.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// A program of another project that reads the topic; may be given again.
    #[arg(long = "peer")]
    peers: Vec<PathBuf>,
}

impl StreamInArgs {
    pub(crate) fn plan(self) -> stream_in::Plan {
        stream_in::Plan {
            tidegate: self.tidegate,
            brokers: self.brokers,
            registry: self
                .registry
                .map(|url| Registry { url, login: self.registry_user.zip(self.registry_password) }),
            messages: self.messages,
            rounds: self.rounds,
            seconds: self.seconds,
            peers: self.peers,
        }
    }
}

#[derive(Args)]
pub(crate) struct EventsOutArgs {
    /// The program under test, built with `--release`.
    #[arg(long)]
    tidegate: PathBuf,
    /// Events in the log, smallest first: memory must not grow with them.
    #[arg(long, value_delimiter = ',', default_value = "2000000")]
    events: Vec<u64>,
    /// Events that come one a request.
    #[arg(long, default_value_t = 200_000)]
    singles: u64,
    /// How often each way is measured, taking turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For how many seconds the latency is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Which parts are measured.
    #[arg(
        long = "part",
        value_enum,
        value_delimiter = ',',
        default_value = "ingest,lake,kinesis,latency,peer"
    )]
    parts: Vec<Part>,
    /// The bootstrap servers of the broker that the peer reads from.
    #[arg(long, env = "TIDEGATE_TEST_KAFKA")]
    brokers: Option<String>,
    /// A program of another project that moves a topic to Kinesis.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Events that the peer moves.
    #[arg(long, default_value_t = 100_000)]
    peer_events: u64,
}

impl EventsOutArgs {
    pub(crate) fn plan(self) -> events_out::Plan {
        events_out::Plan {
            tidegate: self.tidegate,
            events: self.events,
            singles: self.singles,
            rounds: self.rounds,
            seconds: self.seconds,
            parts: self.parts,
            brokers: self.brokers,
            peer: self.peer,
            peer_events: self.peer_events,
        }
    }
}
