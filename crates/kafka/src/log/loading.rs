//! Reading the ids of events back from their topic: of the deduplication window when a
//! process begins, and of events whose results were lost.

use std::sync::Arc;

use rdkafka::Offset;
use tidegate_model::Error;

use super::appender::Appender;
use super::dedup::{IDS_MAX, IdReader, ReadStart, id_of};
use super::reading::{Offsets, Reader, TO_THE_END, offsets_since, open_consumer, watermarks};
use crate::cluster::{Cluster, blocking};

const STALLED: &str = "start the brokers that lead these partitions: until they are read, events that may be in \
                       them already are not accepted";

/// Reads to the end of the topic, and tells those who wait.
pub(super) async fn read(appender: Arc<Appender>, topic: String, ids: IdReader) {
    match try_read(&appender, &topic, &ids).await {
        Ok(next) => ids.finish(&next),
        Err(error) => {
            let (reason, next) = (error.chain(), error.next_step());
            tracing::warn!(topic, error = reason, next, "the ids of the latest events could not be read");
            ids.fail(error.message(), next);
        }
    }
}

/// Returns the offsets at which the read ended.
async fn try_read(appender: &Appender, topic: &str, ids: &IdReader) -> Result<Offsets, Error> {
    let partitions = appender.create(topic).await?;
    let now = appender.clock.now().as_millisecond();
    let (cluster, name, start) = (appender.producer.cluster().clone(), topic.to_owned(), ids.start().clone());
    let opening = move || {
        let start = match start {
            ReadStart::At(offsets) => offsets,
            ReadStart::Window(window) => {
                window_start(&cluster, &name, partitions, now - window.as_millis() as i64)?
            }
        };
        Reader::start(cluster, name, partitions, start, Offset::Beginning, TO_THE_END)
    };
    let mut reader = blocking(opening).await?;
    let mut scratch = Vec::new();
    loop {
        let Some(batch) = reader.batch_in_time(STALLED).await? else { return Ok(reader.into_offsets()) };
        let events = batch.items.iter();
        ids.know(
            events.map(|logged| (id_of(&logged.event, &mut scratch), logged.logged_at)),
            appender.clock.now(),
        );
    }
}

/// Returns where the window begins in each partition, or where the latest [`IDS_MAX`] events do
/// if it has more. Blocks.
fn window_start(cluster: &Cluster, topic: &str, partitions: i32, since: i64) -> Result<Offsets, Error> {
    let consumer = open_consumer(cluster, false)?;
    let (_, mut start) = watermarks(&consumer, cluster, topic, partitions)?;
    let found = offsets_since(&consumer, topic, partitions, since)
        .map_err(|code| cluster.explain("reading", topic, code))?;
    // Each partition gives up the same share of its events.
    let in_window = |(partition, high): (&i32, &i64)| high - found.get(partition).unwrap_or(high).min(high);
    let events: i64 = start.iter().map(in_window).sum();
    if events > IDS_MAX as i64 {
        tracing::warn!(
            topic,
            events,
            read = IDS_MAX,
            "more events than the ids that are kept: an earlier event that is repeated counts as new"
        );
    }
    for (partition, at) in &mut start {
        let events_here = in_window((partition, at));
        let read = i128::from(events_here) * IDS_MAX as i128 / i128::from(events.max(IDS_MAX as i64));
        *at -= read as i64;
    }
    Ok(start)
}
