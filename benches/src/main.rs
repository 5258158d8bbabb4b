//! Measures how fast rows and events move, as ratios to what the same machine
//! can do at best.
//!
//! Every figure comes from one run on one machine; none of them is asserted in
//! a test. `README.md` beside this crate says what is measured and why.

mod cli;
mod clock;
mod events_out;
mod far;
mod full;
mod http;
mod latency;
mod load;
mod many;
mod memory;
mod mirror_keys;
mod peer;
mod receiver;
mod report;
mod rows_in;
mod samples;
mod scale;
mod stream_in;
mod tidegate;
mod topic;
mod warehouses;

use std::net::TcpListener;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{Bench, Cli};
use crate::receiver::{Counting, Receiver};

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
            let client = rows_in::connect(&args.postgres.parse()?).await?;
            rows_in::fill(&client, args.rows).await
        }
        Bench::Consume(args) => topic::consume(&args.brokers, &args.topic, args.messages),
        Bench::RowsIn(args) => rows_in::run(&args.plan()).await,
        Bench::StreamIn(args) => stream_in::run(&args.plan()).await,
        Bench::EventsOut(args) => events_out::run(&args.plan()).await,
        Bench::Latency(args) => far::run(&args.plan()).await,
        Bench::Many(args) => many::run(&args.plan()).await,
        Bench::Full(args) => full::run(&args.plan()).await,
        Bench::Scale(args) => scale::run(&args.plan()).await,
        Bench::MirrorKeys(args) => mirror_keys::run(&args.plan()).await,
        Bench::Warehouses(args) => warehouses::run(&args.plan()).await,
    }
}
