//! One run of a mirror whose rows are made as they are read: no server, a million or a hundred million keys.
//!
//! `tidegate-bench mirror-keys` starts it for each run, and looks at its time, memory and disk. From the source on
//! it is a sync as `tidegate run` runs it: the engine compares and sends, the state keeps and sorts.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use clap::Parser;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tidegate_engine::pipeline::{self, Import, Input, Parts, RateLimiters};
use tidegate_model::source::Dataset;
use tidegate_model::{
    Batch, Cause, Checks, Columns, Destination, Error, Feed, Idempotency, Limits, ObjectKind, ObjectSpec,
    Outcome, Platform, Progress, ReadMode, Reason, Receipt, Record, Row, Selection, Source, SyncId,
    SystemClock, Value,
};
use tidegate_state::{MasterKeys, StateConfig, StoreLocation};
use tidegate_testkit::mapping;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
struct Args {
    /// Where the state is.
    #[arg(long)]
    folder: PathBuf,
    /// How many rows the source has.
    #[arg(long)]
    keys: u64,
    /// One of this many rows has another value than it has without this.
    #[arg(long)]
    changed: Option<NonZeroU64>,
    /// Reads the rows in an order that no earlier run has met.
    #[arg(long)]
    shuffled: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { tokio::spawn(run(args)).await? })
}

/// Runs the mirror once; prints how many rows were read, sent and left out.
async fn run(args: Args) -> Result<()> {
    let clock = Arc::new(SystemClock);
    let config = StateConfig {
        data: args.folder.clone(),
        store: StoreLocation::Embedded,
        clock: clock.clone(),
        history_days: 90,
        failed_row_days: 0,
        master_keys: MasterKeys::default(),
        lease: tidegate_state::LEASE,
        bucket: None,
    };
    let store = tidegate_state::open(config).await?;
    let import = mirror(&args);
    let lease = store.claim(&import.sync).await?.taken().context("another process uses the folder")?;
    let parts =
        Parts { store, clock, rate_limiters: Arc::new(RateLimiters::default()), lease, next_run: None };
    let (progress, _) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let run = pipeline::run(&import, &parts, Cause::Manual, Input::Changes, stop, progress).await?;
    ensure!(run.error.is_none(), "{run:?}");
    println!("{} {} {}", run.counts.read, run.counts.delivered, run.counts.skipped);
    parts.lease.release().await;
    Ok(())
}

/// Users by their number, of whom one attribute is sent.
fn mirror(args: &Args) -> Import {
    let sync = SyncId::new("keys");
    let columns = Columns::new(["id", "hash"]);
    let target = mapping::target(&sync, ObjectKind::User, &["id"]);
    let mapping =
        mapping::compiled(json!({ "external_id": "id", "attributes": ["hash"] }), &target, &columns);
    let Args { keys, changed, shuffled, .. } = *args;
    let source = Keys { columns: columns.clone(), keys, changed, shuffled };
    Import::mirror(sync, Arc::new(source), Arc::new(Taking), mapping, columns)
}

/// A source that makes each row of its number.
#[derive(Clone)]
struct Keys {
    columns: Arc<Columns>,
    keys: u64,
    changed: Option<NonZeroU64>,
    shuffled: bool,
}

impl Keys {
    fn row(&self, at: u64) -> Row {
        /// A prime that is larger than every number of keys: each number is met once.
        const STEP: u128 = 1_000_000_000_039;
        let id = if self.shuffled { (u128::from(at) * STEP % u128::from(self.keys)) as u64 } else { at };
        let is_changed = self.changed.is_some_and(|one_of| id.is_multiple_of(one_of.get()));
        let hash = mixed(id ^ (u64::from(is_changed) << 63));
        Row {
            columns: Arc::clone(&self.columns),
            values: vec![Value::Int(id.cast_signed()), Value::Int(hash.cast_signed())],
        }
    }
}

/// SplitMix64.
fn mixed(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[async_trait]
impl Source for Keys {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        Err(Error::internal("not asked"))
    }

    async fn read(&self, _: &Selection, _: &ReadMode, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let keys = self.clone();
        let batches = (0..keys.keys).step_by(batch_rows.max(1)).map(move |from| {
            let through = keys.keys.min(from + batch_rows as u64);
            Ok(Batch::of((from..through).map(|at| keys.row(at)).collect()))
        });
        Ok(stream::iter(batches).boxed())
    }
}

/// A platform that takes everything, 75 users at once.
struct Taking;

#[async_trait]
impl Destination<Record> for Taking {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        Limits { max_items: 75, max_in_flight: 32, ..Limits::GENEROUS }
    }

    fn estimated_size(&self, _: &Record) -> usize {
        100
    }

    fn validate(&self, _: &Record) -> Result<(), Reason> {
        Ok(())
    }

    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        Ok(Receipt { outcomes: vec![Outcome::Delivered; items.len()], rate_limit: None })
    }
}

impl Platform for Taking {
    fn object(&self) -> ObjectSpec {
        ObjectSpec {
            kind: ObjectKind::User,
            idempotency: Idempotency::Idempotent,
            identifiers: &["external_id"],
        }
    }
}
