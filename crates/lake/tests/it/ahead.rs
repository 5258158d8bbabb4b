//! What is prepared before its delivery.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use jiff::SignedDuration;
use serde_json::json;
use tempfile::tempdir;
use tidegate_model::{Clock, ConnectorContext, LoggedEvent, Sink, SinkRole};
use tidegate_testkit::ManualClock;

use crate::support::{
    context, counts, data_files, delta, events, files_below, once, parquet_rows, settings, target,
};

const FILES: SinkRole = tidegate_lake::files::SINK;

fn open(role: SinkRole, project: &Path, clock: &Arc<ManualClock>) -> Arc<Sink> {
    let context = ConnectorContext { clock: clock.clone(), ..context(project) };
    (role.open)(&settings(json!({ "path": "lake" })), &target("export", json!({})), &context).expect("a sink")
}

/// The times that the rows of these events say they were written at.
fn written(project: &Path, wanted: &[LoggedEvent]) -> BTreeSet<i64> {
    let wanted = once(wanted);
    let mut times = BTreeSet::new();
    for batch in files_below(&project.join("lake"), ".parquet").iter().flat_map(|file| parquet_rows(file)) {
        let ids = batch["event_id"].as_string::<i32>().iter().flatten();
        let synced = batch["_fivetran_synced"].as_primitive::<TimestampMicrosecondType>().values();
        times.extend(ids.zip(synced).filter(|(id, _)| wanted.contains_key(*id)).map(|(_, time)| *time));
    }
    times
}

#[tokio::test]
async fn what_was_prepared_is_what_is_written() {
    for role in [FILES, delta()] {
        let (project, clock) = (tempdir().expect("folder"), Arc::new(ManualClock::default()));
        let sink = open(role, project.path(), &clock);
        sink.deliver(&events(1..=2)).await.expect("a receipt");
        let prepared = clock.now();
        sink.prepare(&events(3..=6));
        clock.advance(SignedDuration::from_secs(60));

        sink.deliver(&events(3..=6)).await.expect("a receipt");

        assert_eq!(written(project.path(), &events(3..=6)), BTreeSet::from([prepared.as_microsecond()]));
        let files = files_below(&project.path().join("lake"), ".parquet");
        assert_eq!(counts(&files), once(&events(1..=6)));
    }
}

#[tokio::test]
async fn times_of_writing_rise_though_an_earlier_delivery_came_late() {
    for role in [FILES, delta()] {
        let (project, clock) = (tempdir().expect("folder"), Arc::new(ManualClock::default()));
        let sink = open(role, project.path(), &clock);
        sink.deliver(&events(1..=2)).await.expect("a receipt");
        sink.prepare(&events(5..=6));
        clock.advance(SignedDuration::from_secs(60));

        sink.deliver(&events(3..=4)).await.expect("a receipt");
        sink.deliver(&events(5..=6)).await.expect("a receipt");

        assert_eq!(written(project.path(), &events(3..=6)), BTreeSet::from([clock.now().as_microsecond()]));
    }
}

#[tokio::test]
async fn events_that_are_there_already_are_left_out_of_what_was_prepared() {
    let (project, clock) = (tempdir().expect("folder"), Arc::new(ManualClock::default()));
    open(FILES, project.path(), &clock).deliver(&events(1..=4)).await.expect("a receipt");
    let again = open(FILES, project.path(), &clock);

    again.prepare(&events(3..=6));
    again.deliver(&events(3..=6)).await.expect("a receipt");

    assert_eq!(counts(&files_below(&project.path().join("lake"), ".parquet")), once(&events(1..=6)));
}

#[tokio::test]
async fn a_table_that_others_wrote_to_meanwhile_gets_each_event_once() {
    let (project, clock) = (tempdir().expect("folder"), Arc::new(ManualClock::default()));
    let [first, second] = [(); 2].map(|()| open(delta(), project.path(), &clock));
    first.deliver(&events(1..=2)).await.expect("a receipt");
    first.prepare(&events(3..=6));

    second.deliver(&events(3..=4)).await.expect("a receipt");
    first.deliver(&events(3..=6)).await.expect("a receipt");

    let table = project.path().join("lake/onesignal_events/message_events");
    assert_eq!(counts(&data_files(&table)), once(&events(1..=6)));
}
