//! One function for each promise. They panic where it is broken.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::SignedDuration;
use tidegate_model::{
    Appended, Checkpoint, Clock as _, Event, EventLog, Exported, Feed, Json, LoggedEvent, Reading, Retention,
    StreamId, SyncId, Text,
};

use super::backend::Backend;
use super::events::{event, events};

const ALL: Reading = Reading { batch_events: 1_000, follow: false };
const FOLLOW: Reading = Reading { batch_events: 1_000, follow: true };

async fn append(log: &dyn EventLog, stream: &StreamId, events: Vec<Event>) -> Appended {
    log.append(stream, events).await.expect("appended")
}

/// All that is there, and the checkpoint after each batch.
async fn batches(
    log: &dyn EventLog,
    stream: &StreamId,
    after: Option<&Checkpoint>,
    reading: Reading,
) -> Vec<(Vec<LoggedEvent>, Checkpoint)> {
    let mut feed = log.read(stream, after, reading).await.expect("feed");
    let mut found = Vec::new();
    while let Some(batch) = feed.next().await {
        let batch = batch.expect("batch");
        assert!(!batch.items.is_empty(), "a batch without events");
        found.push((batch.items, batch.checkpoint.expect("a checkpoint behind the batch")));
    }
    found
}

async fn read(log: &dyn EventLog, stream: &StreamId, after: Option<&Checkpoint>) -> Vec<LoggedEvent> {
    batches(log, stream, after, ALL).await.into_iter().flat_map(|(items, _)| items).collect()
}

async fn ids(log: &dyn EventLog, stream: &StreamId) -> Vec<String> {
    ids_of(&read(log, stream, None).await)
}

fn ids_of(logged: &[LoggedEvent]) -> Vec<String> {
    logged.iter().map(|logged| logged.event.id.to_string()).collect()
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|id| id.to_string()).collect()
}

/// The next `count` events of a feed that follows.
async fn next(feed: &mut Feed<LoggedEvent>, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let batch = feed.next().await.expect("follows").expect("batch");
        found.extend(ids_of(&batch.items));
    }
    found
}

/// Every field comes back; offsets rise; the time is the clock's.
pub async fn events_are_read_as_they_were_appended(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");

    let appended = append(&*log, &stream, events(0, 100)).await;

    assert_eq!(appended, Appended { events: 100, duplicates: 0 });
    let read = read(&*log, &stream, None).await;
    let found: Vec<Event> = read.iter().map(|logged| logged.event.clone()).collect();
    assert_eq!(found, events(0, 100));
    assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
    assert!(read.iter().all(|logged| logged.logged_at == backend.clock().now()));
}

/// What was appended is there after a restart, with its offsets.
pub async fn events_survive_a_restart(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    append(&*log, &stream, events(0, 10)).await;
    let before = read(&*log, &stream, None).await;
    drop(log);

    let log = backend.open().await;

    assert_eq!(read(&*log, &stream, None).await, before);
    append(&*log, &stream, events(10, 20)).await;
    let after = read(&*log, &stream, None).await;
    assert_eq!(after[..10], before);
    assert_eq!(ids_of(&after), numbers(0, 20));
}

/// By its id, in one append, in the next, and beside new ones.
pub async fn an_event_that_was_logged_is_skipped(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");

    let first = append(&*log, &stream, vec![event("a"), event("b"), event("a")]).await;
    let second = append(&*log, &stream, vec![event("b"), event("c")]).await;
    let third = append(&*log, &stream, vec![event("c")]).await;

    assert_eq!(first, Appended { events: 2, duplicates: 1 });
    assert_eq!(second, Appended { events: 1, duplicates: 1 });
    assert_eq!(third, Appended { events: 0, duplicates: 1 });
    assert_eq!(ids(&*log, &stream).await, ["a", "b", "c"]);
}

/// A sender that did not get its answer sends again to the process that comes next.
pub async fn an_event_is_known_by_its_id_after_a_restart(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    append(&*log, &stream, events(0, 50)).await;
    drop(log);
    backend.clock().advance(backend.dedup_window() - SignedDuration::from_secs(60));

    let log = backend.open().await;
    let again = append(&*log, &stream, events(0, 60)).await;

    assert_eq!(again, Appended { events: 10, duplicates: 50 });
    assert_eq!(ids(&*log, &stream).await, numbers(0, 60));
}

/// Ids are known for a time, not for ever.
pub async fn an_event_is_new_again_after_the_window(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    append(&*log, &stream, vec![event("a")]).await;
    backend.clock().advance(backend.dedup_window() + SignedDuration::from_secs(60));

    let again = append(&*log, &stream, vec![event("a")]).await;

    assert_eq!(again, Appended { events: 1, duplicates: 0 });
    assert_eq!(ids(&*log, &stream).await, ["a", "a"]);
}

/// Neither by ids nor by order; and all are listed.
pub async fn streams_have_nothing_to_do_with_each_other(backend: &dyn Backend) {
    let log = backend.open().await;
    let streams = [backend.stream("shop"), backend.stream("Shop_2"), backend.stream("../é b")];

    for stream in &streams {
        assert_eq!(append(&*log, stream, events(0, 3)).await.duplicates, 0);
    }

    let listed = log.streams().await.expect("streams");
    for stream in &streams {
        assert_eq!(ids(&*log, stream).await, numbers(0, 3));
        assert!(listed.contains(stream), "{stream}");
    }
}

/// Asking makes no stream, and neither does appending nothing.
pub async fn a_stream_without_events_gives_nothing(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("nothing");

    assert_eq!(append(&*log, &stream, Vec::new()).await, Appended::default());
    assert!(read(&*log, &stream, None).await.is_empty());
    assert!(log.lag(&stream, None).await.expect("lag").iter().all(|lag| lag.behind == 0));
    assert!(!log.streams().await.expect("streams").contains(&stream));
}

/// From each checkpoint on one gets exactly the rest; also in the next process.
pub async fn every_checkpoint_goes_on_where_its_batch_ended(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    for at in 0..10 {
        append(&*log, &stream, events(at * 10, at * 10 + 10)).await;
    }
    let small = Reading { batch_events: 7, follow: false };
    let batches = batches(&*log, &stream, None, small).await;
    drop(log);

    let log = backend.open().await;

    let mut done = 0;
    for (items, checkpoint) in &batches {
        done += items.len();
        let rest = read(&*log, &stream, Some(checkpoint)).await;
        assert_eq!(rest.len(), 100 - done);
        let mut all: Vec<usize> = batches
            .iter()
            .flat_map(|(items, _)| items)
            .take(done)
            .chain(&rest)
            .map(|logged| logged.event.id.parse().expect("number"))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
    assert_eq!(done, 100);
}

/// And all of them come.
pub async fn batches_hold_no_more_than_was_asked_for(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 100)).await;

    for most in [1, 3, 100, 1_000] {
        let reading = Reading { batch_events: most, follow: false };
        let batches = batches(&*log, &stream, None, reading).await;
        assert!(batches.iter().all(|(items, _)| items.len() <= most));
        let found: Vec<LoggedEvent> = batches.into_iter().flat_map(|(items, _)| items).collect();
        assert_eq!(ids_of(&found), numbers(0, 100));
    }
}

/// After the last event there is nothing, until more comes.
pub async fn a_feed_ends_where_nothing_is_left(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 3)).await;
    let (_, end) = batches(&*log, &stream, None, ALL).await.pop().expect("batch");

    assert!(read(&*log, &stream, Some(&end)).await.is_empty());
    append(&*log, &stream, events(3, 5)).await;

    assert_eq!(ids_of(&read(&*log, &stream, Some(&end)).await), ["3", "4"]);
}

/// Without being asked again.
pub async fn a_feed_that_follows_waits_for_what_comes(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 3)).await;
    let mut feed = log.read(&stream, None, FOLLOW).await.expect("feed");
    assert_eq!(next(&mut feed, 3).await, numbers(0, 3));

    let (found, _) = tokio::join!(next(&mut feed, 20), async {
        for at in 3..23 {
            append(&*log, &stream, events(at, at + 1)).await;
        }
    });

    assert_eq!(found, numbers(3, 23));
}

/// An export may be active before the first event has come.
pub async fn a_feed_can_follow_a_stream_that_does_not_exist_yet(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("later");
    let mut feed = log.read(&stream, None, FOLLOW).await.expect("feed");

    let (found, _) = tokio::join!(next(&mut feed, 2), append(&*log, &stream, events(0, 2)));

    assert_eq!(found, numbers(0, 2));
}

/// Each has its own position, however slow another is.
pub async fn readers_do_not_disturb_each_other(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 50)).await;
    let small = Reading { batch_events: 5, follow: true };
    let mut slow = log.read(&stream, None, small).await.expect("feed");
    let mut quick = log.read(&stream, None, FOLLOW).await.expect("feed");

    assert_eq!(next(&mut slow, 5).await, numbers(0, 5));
    assert_eq!(next(&mut quick, 50).await, numbers(0, 50));
    append(&*log, &stream, events(50, 60)).await;
    assert_eq!(next(&mut quick, 10).await, numbers(50, 60));
    drop(quick);

    assert_eq!(next(&mut slow, 55).await, numbers(5, 60));
}

/// Nothing is lost or doubled, and what one appender brought stays in its order.
pub async fn appends_at_once_are_all_kept_in_their_order(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    let mut tasks = Vec::new();
    for task in 0..16 {
        let (log, stream) = (Arc::clone(&log), stream.clone());
        tasks.push(tokio::spawn(async move {
            for at in 0..10 {
                let id = task * 100 + at;
                append(&*log, &stream, vec![event(&id.to_string()), event(&format!("{id}+"))]).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("appended");
    }

    let found = ids(&*log, &stream).await;

    assert_eq!(found.len(), 320);
    for task in 0..16 {
        let own: Vec<&String> = found
            .iter()
            .filter(|id| id.trim_end_matches('+').parse::<usize>().expect("number") / 100 == task)
            .collect();
        let expected: Vec<String> =
            (0..10).map(|at| task * 100 + at).flat_map(|id| [id.to_string(), format!("{id}+")]).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

/// Over all partitions together.
pub async fn lag_counts_what_waits(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 10)).await;
    let small = Reading { batch_events: 4, follow: false };
    let batches = batches(&*log, &stream, None, small).await;

    let mut waiting = 10;
    assert_eq!(behind(&*log, &stream, None).await, waiting);
    for (items, checkpoint) in &batches {
        waiting -= items.len() as u64;
        assert_eq!(behind(&*log, &stream, Some(checkpoint)).await, waiting);
    }
}

async fn behind(log: &dyn EventLog, stream: &StreamId, after: Option<&Checkpoint>) -> u64 {
    let lag = log.lag(stream, after).await.expect("lag");
    assert!(lag.iter().all(|lag| lag.end - lag.position == lag.behind));
    lag.iter().map(|lag| lag.behind).sum()
}

/// A log may keep more than it has to, never less.
pub async fn retention_keeps_what_is_younger(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 10)).await;
    backend.clock().advance(SignedDuration::from_hours(24 * 100));
    append(&*log, &stream, events(10, 20)).await;

    log.trim(&Retention::by_age(backend.clock().now() - SignedDuration::from_hours(24 * 90)))
        .await
        .expect("trimmed");

    let found = ids(&*log, &stream).await;
    assert!(found.ends_with(&numbers(10, 20)), "{found:?}");
    append(&*log, &stream, events(20, 21)).await;
    assert!(ids(&*log, &stream).await.ends_with(&numbers(10, 21)));
}

/// However old they are, and whatever the clock says.
pub async fn retention_keeps_what_an_export_has_not_read(backend: &dyn Backend) {
    let log = backend.open().await;
    let stream = backend.stream("shop");
    append(&*log, &stream, events(0, 10)).await;
    let half = Reading { batch_events: 5, follow: false };
    let (items, checkpoint) = batches(&*log, &stream, None, half).await.remove(0);
    // The clock jumps ahead.
    backend.clock().advance(SignedDuration::from_hours(24 * 100));
    let export =
        |name: &str, checkpoint| Exported { sync: SyncId::new(name), stream: stream.clone(), checkpoint };
    let before = backend.clock().now() - SignedDuration::from_hours(24 * 90);

    for exports in [vec![export("new", None)], vec![export("half", Some(checkpoint.clone()))]] {
        log.trim(&Retention { exports, ..Retention::by_age(before) }).await.expect("trimmed");

        let found = read(&*log, &stream, Some(&checkpoint)).await;
        assert_eq!(ids_of(&found), numbers(items.len(), 10));
    }
}

/// It gets what was not removed, once and in order.
pub async fn a_reader_behind_retention_goes_on_with_what_is_there(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    append(&*log, &stream, events(0, 10)).await;
    let one = Reading { batch_events: 1, follow: true };
    let mut feed = log.read(&stream, None, one).await.expect("feed");
    let batch = feed.next().await.expect("follows").expect("batch");
    backend.clock().advance(SignedDuration::from_hours(24 * 100));
    log.trim(&Retention::by_age(backend.clock().now() - SignedDuration::from_hours(24 * 90)))
        .await
        .expect("trimmed");
    append(&*log, &stream, events(10, 20)).await;

    let rest = read(&*log, &stream, batch.checkpoint.as_ref()).await;
    let rest = ids_of(&rest);
    assert!(rest.ends_with(&numbers(10, 20)), "{rest:?}");

    // The feed that was open goes on as well.
    let mut followed = Vec::new();
    while followed.last().is_none_or(|last| last != "19") {
        followed.extend(next(&mut feed, 1).await);
    }
    assert!(followed.ends_with(&numbers(10, 20)), "{followed:?}");
    assert_eq!(behind(&*log, &stream, batch.checkpoint.as_ref()).await, rest.len() as u64);
}

/// A payload of megabytes, and an event of which nothing is known.
pub async fn large_and_empty_texts_are_kept(backend: &dyn Backend) {
    let stream = backend.stream("shop");
    let log = backend.open().await;
    let large = Event {
        payload: Json::trusted(format!(r#"{{"text":"{}"}}"#, "é".repeat(400_000))),
        ..event("large")
    };
    let empty = Event {
        kind: Text::new(),
        app: Text::new(),
        message: Text::new(),
        payload: Json::empty_object(),
        ..event("empty")
    };
    let sent = vec![event("before"), large, empty, event("after")];
    append(&*log, &stream, sent.clone()).await;
    drop(log);

    let log = backend.open().await;

    let found: Vec<Event> = read(&*log, &stream, None).await.into_iter().map(|logged| logged.event).collect();
    assert_eq!(found, sent);
}
