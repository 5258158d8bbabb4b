//! What a Delta table holds after deliveries, crashes and other writers.

use serde_json::json;
use tempfile::tempdir;
use tidegate_model::{ErrorKind, LogId};

use crate::support::{
    all_delivered, counts, data_files, delta, event_on, events, log_of, once, open, parquet_rows, target,
};

#[tokio::test]
async fn the_first_delivery_makes_the_table_with_a_folder_for_each_day() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    let events = [event_on(1, 0), event_on(2, 86_400), event_on(3, 5)];

    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert!(all_delivered(&receipt, 3));
    let table = project.path().join("lake/onesignal_events/message_events");
    let files = data_files(&table);
    assert_eq!(files.len(), 2);
    assert!(files.iter().any(|file| file.to_string_lossy().contains("/event_date=2026-03-02/")));
    assert_eq!(counts(&files), once(&events));
    let columns = parquet_rows(&files[0])[0].schema();
    assert!(columns.column_with_name("event_date").is_none(), "the folder says it");
    assert!(columns.column_with_name("_fivetran_synced").is_some());
}

#[tokio::test]
async fn a_delivery_repeated_after_a_crash_is_written_once() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    let first = open(delta(), project.path(), &target);
    first.deliver(&events(1..=5)).await.expect("a receipt");
    drop(first);

    let second = open(delta(), project.path(), &target);
    // The engine cuts its requests again.
    let receipt = second.deliver(&events(1..=8)).await.expect("a receipt");
    second.deliver(&events(7..=9)).await.expect("a receipt");

    assert!(all_delivered(&receipt, 8));
    let table = project.path().join("lake/onesignal_events/message_events");
    assert_eq!(counts(&data_files(&table)), once(&events(1..=9)));
}

#[tokio::test]
async fn a_log_that_began_anew_is_written_although_its_offsets_are_known() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    sink.deliver(&events(100..=105)).await.expect("a receipt");
    let mut anew = events(1..=3);
    for event in &mut anew {
        event.logged_at = "2026-06-01T00:00:00Z".parse().expect("timestamp");
        event.event.id = format!("anew-{}", event.offset.at).into();
    }

    sink.deliver(&anew).await.expect("a receipt");
    sink.deliver(&anew).await.expect("a receipt");

    let table = project.path().join("lake/onesignal_events/message_events");
    let mut expected = once(&events(100..=105));
    expected.extend(once(&anew));
    assert_eq!(counts(&data_files(&table)), expected);
}

#[tokio::test]
async fn events_of_a_log_that_began_anew_while_the_clock_was_behind_are_written() {
    let project = tempdir().expect("folder");
    let of_log = |log: u64, offsets: std::ops::RangeInclusive<u64>| {
        let mut events = events(offsets);
        for event in &mut events {
            event.offset.log = LogId(log);
            event.event.id = format!("{log}-{}", event.offset.at).into();
        }
        events
    };
    let (former, mut anew) = (of_log(7, 1..=5), of_log(8, 1..=3));
    for event in &mut anew {
        event.logged_at -= jiff::SignedDuration::from_hours(1);
    }
    let target = target("export", json!({}));
    open(delta(), project.path(), &target).deliver(&former).await.expect("a receipt");

    for _ in 0..2 {
        let sink = open(delta(), project.path(), &target);
        sink.deliver(&anew).await.expect("a receipt");
        // The sync is reset: it reads the former log again, up to where the other begins.
        sink.deliver(&[&former[2..], &anew[..]].concat()).await.expect("a receipt");
    }

    let table = project.path().join("lake/onesignal_events/message_events");
    let mut expected = once(&former);
    expected.extend(once(&anew));
    assert_eq!(counts(&data_files(&table)), expected);
    let staged = crate::support::files_below(&table, "").into_iter().filter(|file| {
        file.to_string_lossy().contains(['#']) || file.extension().is_some_and(|e| e == "staged")
    });
    assert_eq!(staged.count(), 0, "nothing is left of what was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_write_one_table_at_the_same_time_lose_nothing() {
    let project = tempdir().expect("folder");
    let table = json!({ "table": "shared" });
    let mut writers = Vec::new();
    for name in ["a", "b", "c"] {
        let sink = open(delta(), project.path(), &target(name, table.clone()));
        writers.push(tokio::spawn(async move {
            for round in 0..6u64 {
                let mut batch = events(round * 10..round * 10 + 10);
                for event in &mut batch {
                    event.event.id = format!("{name}-{}", event.offset.at).into();
                }
                let receipt = sink.deliver(&batch).await.expect("a receipt");
                assert!(all_delivered(&receipt, 10));
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }

    let counts = counts(&data_files(&project.path().join("lake/onesignal_events/shared")));
    assert_eq!(counts.len(), 180);
    assert!(counts.values().all(|times| *times == 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_was_given_up_and_the_next_one_write_files_of_their_own() {
    for round in 0..8 {
        let project = tempdir().expect("folder");
        let target = target("export", json!({}));
        let (few, all) = (events(1..=3_000), events(1..=4_000));
        let abandoned = open(delta(), project.path(), &target);
        abandoned.deliver(&events(0..=0)).await.expect("a receipt");
        // The engine drops a delivery that exceeds its grace; the thread that writes goes on.
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, abandoned.deliver(&few)).await;
        assert!(given_up.is_err(), "it writes longer than that");

        let receipt = open(delta(), project.path(), &target).deliver(&all).await.expect("a receipt");

        assert!(all_delivered(&receipt, 4_000));
        // It waits for the thread.
        abandoned.deliver(&few).await.expect("a receipt");
        let table = project.path().join("lake/onesignal_events/message_events");
        for action in log_of(&table).iter().filter(|action| action["add"].is_object()) {
            let file = table.join(action["add"]["path"].as_str().expect("a path"));
            let size = std::fs::metadata(&file).expect("a file").len();
            assert_eq!(Some(size), action["add"]["size"].as_u64(), "round {round}: {file:?}");
        }
        assert_eq!(counts(&data_files(&table)), once(&events(0..=4_000)), "round {round}");
    }
}

#[tokio::test]
async fn a_table_that_was_removed_is_made_anew() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    sink.deliver(&events(1..=2)).await.expect("a receipt");
    let table = project.path().join("lake/onesignal_events/message_events");
    std::fs::remove_dir_all(&table).expect("removed");

    sink.deliver(&events(3..=4)).await.expect("a receipt");

    assert!(table.join("_delta_log/00000000000000000000.json").exists());
    assert_eq!(counts(&data_files(&table)), once(&events(3..=4)));
}

#[tokio::test]
async fn a_checkpoint_comes_as_often_as_the_table_says() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    for at in 1..=101 {
        sink.deliver(&events([at])).await.expect("a receipt");
    }

    let log = project.path().join("lake/onesignal_events/message_events/_delta_log");
    assert!(log.join("_last_checkpoint").exists());
    let again = open(delta(), project.path(), &target("export", json!({})));
    again.deliver(&events(95..=103)).await.expect("a receipt");
    assert_eq!(counts(&data_files(log.parent().expect("table"))), once(&events(1..=103)));
}

#[tokio::test]
async fn a_commit_names_the_export_and_the_place_in_its_log() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    sink.deliver(&events(1..=7)).await.expect("a receipt");

    let log = log_of(&project.path().join("lake/onesignal_events/message_events"));

    let txn = |id: &str| {
        log.iter().find(|action| action["txn"]["appId"] == id).map(|action| &action["txn"]["version"])
    };
    assert_eq!(txn("tidegate/onesignal/export/0"), Some(&json!(7)));
    assert!(txn("tidegate/onesignal/export/0/logged").is_some());
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let project = tempdir().expect("folder");
    let mut context = crate::support::context(project.path());
    context.dry_run = true;
    let sink = (delta().open)(
        &crate::support::settings(json!({ "path": "lake" })),
        &target("export", json!({})),
        &context,
    )
    .expect("a sink");

    let receipt = sink.deliver(&events(1..=3)).await.expect("a receipt");

    assert!(all_delivered(&receipt, 3));
    assert_eq!(std::fs::read_dir(project.path()).expect("folder").count(), 0);
}

#[tokio::test]
async fn the_check_proves_writing_and_says_what_becomes_of_the_table() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));

    let before = sink.check().await.expect("checks");
    sink.deliver(&events(1..=1)).await.expect("a receipt");
    let after = sink.check().await.expect("checks");

    assert!(before.passed() && after.passed(), "{before:?} {after:?}");
    assert_eq!(before.0.last().expect("check").detail, "is created with the first delivery");
    assert_eq!(after.0.last().expect("check").detail, "is at version 1 and has every column");
    assert!(
        crate::support::files_below(&project.path().join("lake"), "")
            .iter()
            .all(|file| { !file.to_string_lossy().contains("probe") })
    );
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_named() {
    let project = tempdir().expect("folder");
    std::fs::write(project.path().join("lake"), "no folder").expect("file");
    let sink = open(delta(), project.path(), &target("export", json!({})));

    let error = sink.deliver(&events(1..=1)).await.expect_err("no folder");

    assert!(error.message().contains("lake"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
}
