//! What a folder of files holds after deliveries and crashes.

use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::{ErrorKind, Json, Layout, LogId, SinkTarget};

use crate::support::{
    all_delivered, counts, event_on, events, files_below, once, open, parquet_rows, target,
};

const FILES: tidegate_model::SinkRole = tidegate_lake::files::SINK;

#[tokio::test]
async fn each_day_has_its_own_file_named_after_the_export_and_its_offsets() {
    let project = tempdir().expect("folder");
    let sink = open(FILES, project.path(), &target("export", json!({})));
    let events = [event_on(1, 0), event_on(2, 86_400), event_on(3, 5)];

    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert!(all_delivered(&receipt, 3));
    let folder = project.path().join("lake/onesignal_events/message_events");
    let files = files_below(&folder, ".parquet");
    let names: Vec<String> =
        files.iter().map(|file| file.strip_prefix(&folder).expect("below").display().to_string()).collect();
    assert_eq!(
        names,
        [
            "event_date=2026-03-01/20260301T120000000001Z-onesignal.export-0-1-3.parquet",
            "event_date=2026-03-02/20260301T120000000001Z-onesignal.export-0-1-3.parquet",
        ]
    );
    assert_eq!(counts(&files), once(&events));
    let columns = parquet_rows(&files[0])[0].schema();
    assert!(columns.column_with_name("event_date").is_none(), "the folder says it");
}

#[tokio::test]
async fn a_delivery_repeated_after_a_crash_is_written_once() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({ "path": "a/b", "compression": "zstd" }));
    open(FILES, project.path(), &target).deliver(&events(1..=5)).await.expect("a receipt");

    let again = open(FILES, project.path(), &target);
    again.deliver(&events(1..=3)).await.expect("a receipt");
    again.deliver(&events(4..=8)).await.expect("a receipt");
    again.deliver(&events(8..=9)).await.expect("a receipt");

    let files = files_below(&project.path().join("lake/a/b"), ".parquet");
    assert_eq!(counts(&files), once(&events(1..=9)));
}

#[tokio::test]
async fn what_a_crash_between_two_files_left_is_written_anew() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    open(FILES, project.path(), &target).deliver(&events(1..=2)).await.expect("a receipt");
    let torn = [event_on(3, 200), event_on(4, 86_400), event_on(5, 2 * 86_400)];
    open(FILES, project.path(), &target).deliver(&torn).await.expect("a receipt");
    let folder = project.path().join("lake/onesignal_events/message_events");
    // As if the machine had stopped before the last file of three.
    std::fs::remove_file(&files_below(&folder, "3-5.parquet")[2]).expect("removed");

    let again = open(FILES, project.path(), &target);
    again.deliver(&torn[..2]).await.expect("a receipt");
    again.deliver(&torn[2..]).await.expect("a receipt");

    let mut expected = once(&events(1..=2));
    expected.extend(once(&torn));
    assert_eq!(counts(&files_below(&folder, ".parquet")), expected);
}

#[tokio::test]
async fn a_file_that_a_killed_process_was_writing_is_never_among_those_that_are_read() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({ "partition_by_date": false }));
    let folder = project.path().join("lake/onesignal_events/message_events");
    // As if the machine had stopped before the files got their names.
    for left in
        ["onesignal.export.staged", "onesignal.export.7c9e6679.writer/half", "onesignal.exports.1.writer/x"]
    {
        let left = folder.join("_tidegate").join(left);
        std::fs::create_dir_all(left.parent().expect("a folder")).expect("made");
        std::fs::write(left, "half a file").expect("written");
    }
    let sink = open(FILES, project.path(), &target);
    let seen = || files_below(&folder, "").into_iter().filter(|file| !file.to_string_lossy().contains("/_"));
    let unfinished = || {
        let files = files_below(&folder.join("_tidegate"), "").into_iter();
        files.filter(|file| file.extension().is_none_or(|ending| ending != "json")).collect::<Vec<_>>()
    };

    let delivered = sink.deliver(&events(1..=3)).await.expect("a receipt");

    assert!(all_delivered(&delivered, 3));
    let of_another_export = folder.join("_tidegate/onesignal.exports.1.writer/x");
    assert_eq!(unfinished(), [&*of_another_export]);
    let files: Vec<_> = seen().collect();
    assert_eq!(counts(&files), once(&events(1..=3)));

    // The next file cannot be named.
    let in_the_way = folder.join("20260301T120000000004Z-onesignal.export-0-4-5.parquet/full");
    std::fs::create_dir_all(&in_the_way).expect("made");
    sink.deliver(&events(4..=5)).await.expect_err("in the way");
    assert_eq!(unfinished(), [&*of_another_export]);
    assert_eq!(seen().filter(|file| file.is_file()).count(), 1, "only the whole file is seen");
}

#[tokio::test]
async fn a_process_that_was_paused_while_another_took_over_writes_nothing_twice() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    let paused = open(FILES, project.path(), &target);
    paused.deliver(&events(1..=3)).await.expect("a receipt");
    open(FILES, project.path(), &target).deliver(&events(4..=6)).await.expect("a receipt");

    let error = paused.deliver(&events(4..=5)).await.expect_err("another took over");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let again = paused.deliver(&events(4..=8)).await.expect("a receipt");

    assert!(all_delivered(&again, 5));
    open(FILES, project.path(), &target).deliver(&events(7..=9)).await.expect("a receipt");
    let files = files_below(&project.path().join("lake"), ".parquet");
    assert_eq!(counts(&files), once(&events(1..=9)));
}

#[tokio::test]
async fn events_of_a_log_that_began_anew_while_the_clock_was_behind_are_written() {
    let project = tempdir().expect("folder");
    let sink = open(FILES, project.path(), &target("export", json!({})));
    let [former, anew] = [7, 8].map(|log| {
        events(1..=3).into_iter().map(move |mut event| {
            event.offset.log = LogId(log);
            event.event.id = format!("{log}-{}", event.offset.at).into();
            event
        })
    });
    let (former, mut anew): (Vec<_>, Vec<_>) = (former.collect(), anew.collect());
    for event in &mut anew {
        event.logged_at -= jiff::SignedDuration::from_hours(1);
    }
    sink.deliver(&former).await.expect("a receipt");

    sink.deliver(&anew).await.expect("a receipt");
    // Also after a restart, and if the sync is reset.
    let sink = open(FILES, project.path(), &target("export", json!({})));
    sink.deliver(&former).await.expect("a receipt");
    sink.deliver(&anew).await.expect("a receipt");

    let mut expected = once(&former);
    expected.extend(once(&anew));
    assert_eq!(counts(&files_below(&project.path().join("lake"), ".parquet")), expected);
}

#[tokio::test]
async fn files_that_a_reader_took_away_are_not_missed_once_the_export_went_on() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    let two_days = [event_on(1, 0), event_on(2, 86_400)];
    open(FILES, project.path(), &target).deliver(&two_days).await.expect("a receipt");
    let folder = project.path().join("lake/onesignal_events/message_events");
    std::fs::remove_file(&files_below(&folder, ".parquet")[0]).expect("taken away");

    open(FILES, project.path(), &target).deliver(&events(3..=4)).await.expect("a receipt");

    let mut expected = once(&two_days[1..]);
    expected.extend(once(&events(3..=4)));
    assert_eq!(counts(&files_below(&folder, ".parquet")), expected);
}

#[tokio::test]
async fn partitions_of_the_log_go_on_by_themselves() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    let mut both = events(1..=4);
    for event in &mut both[2..] {
        event.offset.partition = 1;
    }
    open(FILES, project.path(), &target).deliver(&both).await.expect("a receipt");

    open(FILES, project.path(), &target).deliver(&both[2..]).await.expect("a receipt");

    let files = files_below(&project.path().join("lake"), ".parquet");
    assert_eq!(files.len(), 2);
    assert_eq!(counts(&files), once(&both));
}

#[tokio::test]
async fn json_lines_hold_one_event_each() {
    let project = tempdir().expect("folder");
    let sink = open(
        FILES,
        project.path(),
        &target("export", json!({ "format": "jsonl", "partition_by_date": false })),
    );

    sink.deliver(&events(1..=3)).await.expect("a receipt");

    let files = files_below(&project.path().join("lake"), ".jsonl");
    let text = std::fs::read_to_string(&files[0]).expect("file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["event_id"], "event-1");
    assert_eq!(lines[0]["message_title"], "Grüße \"you\"");
    assert!(lines[0].get("template_id").is_none(), "empty columns are left out");
}

#[tokio::test]
async fn a_pretty_printed_event_is_one_json_line() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({ "format": "jsonl", "partition_by_date": false }));
    let target = SinkTarget { layout: Layout::Events, ..target };
    let mut events = events(1..=3);
    events[1].event.payload = Json::parse("{\r\n\"n\": 1,\n\"text\": \"a\\nb\"\r}\n".into()).expect("JSON");

    open(FILES, project.path(), &target).deliver(&events).await.expect("a receipt");

    let files = files_below(&project.path().join("lake"), ".jsonl");
    let text = std::fs::read_to_string(&files[0]).expect("file");
    // Some readers take a carriage return alone for the end of a line.
    let lines: Vec<&str> = text.strip_suffix('\n').expect("a last line").split(['\n', '\r']).collect();
    assert_eq!(lines.len(), 3, "{text}");
    let line: Value = serde_json::from_str(lines[1]).expect("JSON");
    assert_eq!(
        (&line["event_id"], &line["payload"]),
        (&json!("event-2"), &json!({ "n": 1, "text": "a\nb" }))
    );
}

#[tokio::test]
async fn a_broken_journal_stops_the_export() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    open(FILES, project.path(), &target).deliver(&events(1..=2)).await.expect("a receipt");
    let journal = files_below(&project.path().join("lake"), ".json").remove(0);
    std::fs::write(&journal, "{").expect("broken");

    let error = open(FILES, project.path(), &target).deliver(&events(3..=3)).await.expect_err("broken");

    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(error.message().contains("_tidegate/onesignal.export.0.json"), "{error}");
}

#[tokio::test]
async fn a_path_cannot_lead_out_of_the_lake() {
    let project = tempdir().expect("folder");
    for path in ["../x", "a//b", "/etc", "_hidden"] {
        let target = target("export", json!({ "path": path }));
        let opened = (FILES.open)(
            &crate::support::settings(json!({ "path": "lake" })),
            &target,
            &crate::support::context(project.path()),
        );
        assert_eq!(opened.map(drop).expect_err(path).kind(), ErrorKind::Settings);
    }
}
