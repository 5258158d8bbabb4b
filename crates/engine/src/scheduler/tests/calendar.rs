//! Schedules by the calendar: changes of clocks, ends of months, times that were missed.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::{Pause, PausedBy, SyncControl as _};
use tidegate_model::{Cause, Ending, SyncId};

use super::{AHEAD, LATENCY, MINUTE, Stage, yaml};
use crate::pipeline::wait;

/// How long before a run is due the clock is set to.
const BEFORE: SignedDuration = SignedDuration::from_secs(40);

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// Starts a scheduler at a time, with one sync of this schedule.
fn start(schedule: &str, now: &str) -> Stage {
    AHEAD.set(at(now).duration_since(Timestamp::UNIX_EPOCH));
    Stage::of(&yaml(1).replace("{ every: 15m }", schedule), &[], 8)
}

fn cron(pattern: &str, zone: &str) -> String {
    format!("{{ cron: \"{pattern}\", time_zone: {zone} }}")
}

fn set_clock(stage: &Stage, now: Timestamp) {
    AHEAD.set(AHEAD.get() + now.duration_since(stage.engine.config.clock.now()));
}

/// Lets time pass until `end`: the clock is set to shortly before each run that is due.
async fn pass(stage: &Stage, end: &str) {
    wait::span(Duration::from_secs(2)).await;
    while let Some(next) = stage.next_run("s0").await.filter(|next| *next < at(end)) {
        set_clock(stage, next - BEFORE);
        wait::span(MINUTE).await;
        assert_ne!(stage.next_run("s0").await, Some(next), "the run of {next} did not begin");
    }
}

/// Returns when runs began, as a clock in this zone shows it.
async fn began(stage: &Stage, zone: &str) -> Vec<String> {
    let zone = TimeZone::get(zone).expect("a zone");
    let runs = stage.runs("s0").await;
    assert!(runs.iter().all(|run| run.ending == Some(Ending::Succeeded)), "{runs:?}");
    let shown = |run: &tidegate_model::Run| {
        run.started_at.to_zoned(zone.clone()).strftime("%m-%d %H:%M %:z").to_string()
    };
    runs.iter().map(shown).collect()
}

const NEW_YORK: &str = "America/New_York";

#[tokio::test(start_paused = true)]
async fn on_the_day_on_which_clocks_go_forward_a_time_that_does_not_exist_is_the_moment_after_the_gap() {
    let stage = start(&cron("30 2 * * *", NEW_YORK), "2026-03-06T12:00:00-05:00");
    pass(&stage, "2026-03-10T00:00:00-04:00").await;
    let expected = ["03-07 02:30 -05:00", "03-08 03:00 -04:00", "03-09 02:30 -04:00"];
    assert_eq!(began(&stage, NEW_YORK).await, expected);
}

#[tokio::test(start_paused = true)]
async fn on_the_day_on_which_clocks_go_back_a_time_that_comes_twice_runs_once() {
    let stage = start(&cron("30 1 * * *", NEW_YORK), "2026-10-30T12:00:00-04:00");
    pass(&stage, "2026-11-03T00:00:00-05:00").await;
    let expected = ["10-31 01:30 -04:00", "11-01 01:30 -04:00", "11-02 01:30 -05:00"];
    assert_eq!(began(&stage, NEW_YORK).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_hourly_sync_runs_23_times_on_the_shortest_day_and_25_times_on_the_longest() {
    for (from, until, hours) in [
        ("2026-03-29T00:30:00+01:00", "2026-03-30T00:30:00+02:00", 23),
        ("2026-10-25T00:30:00+02:00", "2026-10-26T00:30:00+01:00", 25),
    ] {
        let stage = start(&cron("0 * * * *", "Europe/Paris"), from);
        pass(&stage, until).await;
        let began = began(&stage, "Europe/Paris").await;
        assert_eq!(began.len(), hours, "{began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_31st_leaves_out_shorter_months_and_the_last_day_leaves_out_none() {
    let end = "2028-05-01T00:00:00Z";
    let thirty_first = start(&cron("0 6 31 * *", "UTC"), "2027-12-31T12:00:00Z");
    pass(&thirty_first, end).await;
    assert_eq!(began(&thirty_first, "UTC").await, ["01-31 06:00 +00:00", "03-31 06:00 +00:00"]);

    let last = start(&cron("0 6 L * *", "UTC"), "2027-12-31T12:00:00Z");
    pass(&last, end).await;
    let expected = ["01-31 06:00 +00:00", "02-29 06:00 +00:00", "03-31 06:00 +00:00", "04-30 06:00 +00:00"];
    assert_eq!(began(&last, "UTC").await, expected, "of a leap year");
}

#[tokio::test(start_paused = true)]
async fn days_that_were_missed_are_made_up_for_by_one_run_at_the_next_start() {
    let daily = cron("0 6 * * *", "Asia/Kolkata");
    let first = start(&daily, "2026-05-01T00:00:00+05:30");
    pass(&first, "2026-05-02T00:00:00+05:30").await;
    first.stop.cancel();
    first.scheduler.await.expect("no panic");

    AHEAD.set(AHEAD.get() + SignedDuration::from_hours(24 * 4));
    let yaml = yaml(1).replace("{ every: 15m }", &daily);
    let next = Stage::on(first.store.clone(), &yaml, &[], 8);
    wait::span(MINUTE).await;
    pass(&next, "2026-05-07T00:00:00+05:30").await;
    let expected = ["05-01 06:00 +05:30", "05-05 06:00 +05:30", "05-06 06:00 +05:30"];
    assert_eq!(began(&next, "Asia/Kolkata").await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_is_no_substitute_for_the_one_that_is_due() {
    let stage = start(&cron("0 6 * * *", "UTC"), "2026-05-01T00:00:00Z");
    wait::span(MINUTE).await;
    set_clock(&stage, at("2026-05-01T05:55:00Z"));
    assert_eq!(stage.run_by_hand("s0").await.ending, Some(Ending::Succeeded));
    pass(&stage, "2026-05-03T00:00:00Z").await;
    let causes: Vec<Cause> = stage.runs("s0").await.iter().map(|run| run.cause).collect();
    assert_eq!(causes, [Cause::Manual, Cause::Schedule, Cause::Schedule]);
    assert_eq!(began(&stage, "UTC").await[1..], ["05-01 06:00 +00:00", "05-02 06:00 +00:00"]);
}

#[tokio::test(start_paused = true)]
async fn runs_that_fall_due_while_one_is_under_way_are_one_run_after_it() {
    LATENCY.set(50 * MINUTE);
    let stage = start("{ every: 15m }", "2026-05-01T00:00:00Z");
    wait::span(51 * MINUTE).await;
    LATENCY.set(Duration::ZERO);
    let runs = stage.runs("s0").await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[0].finished_at.is_some_and(|ended| ended <= runs[1].started_at), "{runs:?}");

    // The second one was under way for 50 minutes as well.
    wait::span(125 * MINUTE).await;
    let runs = stage.runs("s0").await;
    let apart = runs.windows(2).all(|two| two[0].finished_at.is_some_and(|end| end <= two[1].started_at));
    assert!(apart, "{runs:?}");
    let quick: Vec<i64> = runs[2..]
        .windows(2)
        .map(|two| two[1].started_at.duration_since(two[0].started_at).as_mins())
        .collect();
    assert!(quick.len() >= 3 && quick.iter().all(|minutes| *minutes == 15), "{quick:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_was_paused_over_its_time_runs_once_when_it_is_resumed() {
    let stage = start(&cron("0 6 * * *", "UTC"), "2026-05-01T00:00:00Z");
    wait::span(MINUTE).await;
    let id = SyncId::new("s0");
    let pause = Pause::new(PausedBy::Person("Ann".to_owned()), "a new key", at("2026-05-01T00:00:00Z"));
    stage.store.set_paused(&id, Some(pause)).await.expect("paused");
    wait::span(MINUTE).await;
    set_clock(&stage, at("2026-05-03T07:00:00Z"));
    wait::span(5 * MINUTE).await;
    assert_eq!(stage.runs("s0").await.len(), 0, "it is paused");

    stage.store.set_paused(&id, None).await.expect("resumed");
    wait::span(MINUTE).await;
    pass(&stage, "2026-05-05T00:00:00Z").await;
    assert_eq!(began(&stage, "UTC").await, ["05-03 07:05 +00:00", "05-04 06:00 +00:00"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_servers_on_one_store_one_runs_what_is_due() {
    LATENCY.set(Duration::from_secs(20));
    let first = start("{ every: 15m }", "2026-05-01T00:00:00Z");
    let second = Stage::on(first.store.clone(), &yaml(1), &[], 8);
    wait::span(121 * MINUTE).await;
    LATENCY.set(Duration::ZERO);
    let runs = first.runs("s0").await;
    let apart: Vec<i64> =
        runs.windows(2).map(|two| two[1].started_at.duration_since(two[0].started_at).as_mins()).collect();
    assert_eq!(apart, [15; 8], "each due run once: {runs:?}");

    first.stop.cancel();
    first.scheduler.await.expect("no panic");
    wait::span(30 * MINUTE).await;
    assert_eq!(second.runs("s0").await.len(), 11, "the other one continues");
}
