//! `tidegate` that forgets: what a part costs is the difference to the whole program.
//!
//! With `BENCH_LEDGER=off` the status of rows is not kept; with `BENCH_LOG=off` events are
//! acknowledged and dropped.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tidegate::Replaced;
use tidegate_engine::service::DryRun;
use tidegate_model::{
    Appended, Checkpoint, Error, Event, EventLog, Feed, Lag, LoggedEvent, Reading, StreamId,
};

#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let is_off = |part: &str| std::env::var(part).is_ok_and(|value| value == "off");
    let mut replaced = Replaced::default();
    if is_off("BENCH_LEDGER") {
        replaced.run_store = Some(|store| Arc::new(DryRun::over(store)));
    }
    if is_off("BENCH_LOG") {
        replaced.log = Some(|| Arc::new(Forgetful));
    }
    tidegate::run(replaced)
}

/// A log that keeps nothing.
struct Forgetful;

#[async_trait]
impl EventLog for Forgetful {
    async fn append(&self, _: &StreamId, events: Vec<Event>) -> Result<Appended, Error> {
        Ok(Appended { events: events.len() as u64, duplicates: 0 })
    }

    async fn read(
        &self,
        _: &StreamId,
        _: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        Ok(match reading.follow {
            true => futures_util::stream::pending().boxed(),
            false => futures_util::stream::empty().boxed(),
        })
    }

    async fn lag(&self, _: &StreamId, _: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        Ok(Vec::new())
    }

    async fn streams(&self) -> Result<Vec<StreamId>, Error> {
        Ok(Vec::new())
    }

    async fn trim(&self, _: &tidegate_model::event_log::Retention) -> Result<(), Error> {
        Ok(())
    }
}
