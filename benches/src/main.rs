//! Measures how fast rows move, as ratios to what the machine can do at best.
//!
//! Every figure comes from one run on one machine; none of them is asserted in
//! a test. `README.md` beside this crate says what is measured and why.

mod events;
mod memory;
mod receiver;
mod report;
mod rows_in;
mod ways;

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use crate::receiver::{Counting, Receiver};

/// Measures how fast rows move.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Counts what is posted to it and answers at once, until it is stopped.
    Receiver(ReceiverArgs),
    /// Makes the table `bench_events`.
    Fill(FillArgs),
    /// PostgreSQL to requests, against `psql \copy` of the same rows.
    RowsIn(RowsInArgs),
}

#[derive(Args)]
struct ReceiverArgs {
    /// Where to listen; `GET /counts` on the same address tells what arrived.
    #[arg(long, default_value = "127.0.0.1:8790")]
    listen: String,
    /// Counts requests and bytes only, without looking into the bodies.
    #[arg(long)]
    blind: bool,
}

#[derive(Args)]
struct FillArgs {
    /// The database.
    #[arg(long, env = "TIDEGATE_TEST_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// How many rows the table has afterwards.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
}

#[derive(Args)]
struct RowsInArgs {
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
    /// A program of another project that moves the same rows; may be given again.
    #[arg(long = "peer")]
    peers: Vec<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Cli::parse().bench {
        Bench::Receiver(args) => {
            let listener = TcpListener::bind(&args.listen)
                .with_context(|| format!("cannot listen on {}: choose another --listen", args.listen))?;
            let counting = if args.blind { Counting::Requests } else { Counting::Objects };
            println!("listening on {}", listener.local_addr()?);
            Receiver::new(counting).serve(&listener)
        }
        Bench::Fill(args) => {
            let client = events::connect(&args.postgres.parse()?).await?;
            events::fill(&client, args.rows).await
        }
        Bench::RowsIn(args) => {
            let plan = rows_in::Plan {
                tidegate: args.tidegate,
                postgres: args.postgres,
                rows: args.rows,
                rounds: args.rounds,
                peers: args.peers,
            };
            rows_in::run(&plan).await
        }
    }
}
