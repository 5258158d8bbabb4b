//! Alerts on a driven clock, with a channel that keeps what it is given.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::alert::{Change, Channel, ChannelType, Message, Trigger};
use tidegate_model::people::Role;
use tidegate_model::store::{
    BatchCommit, FailedRowGroup, Pause, PausedBy, RowResult, RowStatus, RunEnd, RunLedger as _, StatusKind,
    SyncControl as _, SyncState,
};
use tidegate_model::{
    Cause, Counts, Ending, Error, ErrorKind, ObjectKind, Reason, RowHash, Run, RunId, Store as _, SyncId,
};
use tidegate_project::AlertRules;

use super::conditions::{Facts, Moved, State, judge};
use crate::pipeline::wait;
use crate::scheduler::tests::{AHEAD, AWAY, BEHIND, Stage};
use crate::service::backlog::Waiting;

thread_local! {
    /// What was sent: the channel, and the message.
    static SENT: RefCell<Vec<(&'static str, Message)>> = const { RefCell::new(Vec::new()) };
    /// Whether the channel `mail` is out of order.
    static BROKEN: Cell<bool> = const { Cell::new(false) };
}

struct Kept(&'static str);

#[async_trait]
impl Channel for Kept {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        if self.0 == "mail" && BROKEN.get() {
            return Err(Error::new(ErrorKind::Unavailable, "the mail server cannot be reached"));
        }
        if self.0 == "mail" && message.contact.as_deref() == Some("gone@example.com") {
            return Err(Error::new(ErrorKind::Unavailable, "the mail server answered 550"));
        }
        SENT.with_borrow_mut(|sent| sent.push((self.0, message.clone())));
        match self.0 {
            "hanging" => std::future::pending().await,
            _ => Ok(()),
        }
    }

    fn repeats(&self) -> Option<Duration> {
        (self.0 == "pager").then_some(Duration::from_secs(60))
    }
}

const CHANNELS: &[ChannelType] = &[
    ChannelType {
        kind: "mail",
        title: "Mail",
        reaches_contacts: true,
        settings: any,
        open: |_, _| Ok(Arc::new(Kept("mail"))),
    },
    ChannelType {
        kind: "chat",
        title: "Chat",
        reaches_contacts: false,
        settings: any,
        open: |_, _| Ok(Arc::new(Kept("chat"))),
    },
    ChannelType {
        kind: "pager",
        title: "Pager",
        reaches_contacts: false,
        settings: any,
        open: |_, _| Ok(Arc::new(Kept("pager"))),
    },
    ChannelType {
        kind: "hanging",
        title: "Hanging",
        reaches_contacts: true,
        settings: any,
        open: |_, _| Ok(Arc::new(Kept("hanging"))),
    },
];

fn any() -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "properties": { "recipients": { "type": "array", "items": { "type": "string" } } },
    })
}

const MINUTE: Duration = Duration::from_secs(60);

/// A project of one sync, with these channels and keys of the sync.
fn project(channels: &str, keys: &str) -> String {
    format!(
        "alerts:\n  dashboard: https://tidegate.example.com\n  channels:\n{channels}\
         connections:\n  a: {{ type: system }}\nsyncs:\n  orders:\n    source: {{ connection: a }}\n    \
         mode: full\n    destination: {{ connection: a, object: event }}\n    \
         mapping: {{ external_id: id, name: {{ value: e }} }}\n    schedule: {{ every: 15m }}\n{keys}"
    )
}

fn start(channels: &str, keys: &str) -> Stage {
    SENT.take();
    BROKEN.set(false);
    Stage::of(&project(channels, keys), CHANNELS, 8)
}

/// What was sent, as channel, change, trigger and contact.
fn sent() -> Vec<(&'static str, Change, Trigger, Option<String>)> {
    SENT.with_borrow(|sent| {
        let told = sent.iter().map(|(channel, message)| {
            (*channel, message.change, message.alert.trigger, message.contact.clone())
        });
        told.collect()
    })
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_breaks_is_told_once_and_its_recovery_once() {
    AWAY.set(true);
    let stage = start("    team: { type: chat }\n", "");
    wait::span(10 * MINUTE).await;
    assert!(stage.runs("orders").await.len() > 8, "it was tried again and again");
    assert_eq!(sent(), [("chat", Change::Opened, Trigger::Failed, None)]);
    let message = SENT.with_borrow(|sent| sent[0].1.clone());
    assert!(message.alert.summary.contains("the table cannot be reached"), "{}", message.alert.summary);
    assert_eq!(message.link.as_deref(), Some("https://tidegate.example.com/syncs/orders"));

    AWAY.set(false);
    wait::span(20 * MINUTE).await;
    assert_eq!(sent()[1..], [("chat", Change::Resolved, Trigger::Failed, None)]);
    let alerts = stage.engine.alerts(10).await.expect("alerts");
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].alert.resolved_at.is_some());
    assert!(alerts[0].notices.iter().all(|notice| notice.sent_at.is_some() && notice.due_at.is_none()));
}

#[tokio::test(start_paused = true)]
async fn contacts_of_a_sync_get_mail_of_their_own_and_a_sync_names_its_channels() {
    AWAY.set(true);
    let channels = "    team: { type: chat }\n    office: { type: mail }\n    night: { type: pager }\n";
    let keys = "    contacts: [ada@example.com, '#growth', Ada Lovelace]\n    alerts: { channels: [team] }\n";
    let stage = start(channels, keys);
    wait::span(MINUTE).await;
    let mut told = sent();
    told.sort_by_key(|one| one.0);
    assert_eq!(
        told,
        [
            ("chat", Change::Opened, Trigger::Failed, None),
            ("mail", Change::Opened, Trigger::Failed, Some("ada@example.com".to_owned())),
        ]
    );
    stage.stop.cancel();
    AWAY.set(false);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_is_told_on_the_others_and_its_notices_arrive_later() {
    AWAY.set(true);
    let stage =
        start("    office: { type: mail, recipients: [ops@example.com] }\n    team: { type: chat }\n", "");
    BROKEN.set(true);
    wait::span(10 * MINUTE).await;
    assert_eq!(
        sent(),
        [("chat", Change::Opened, Trigger::Failed, None), ("chat", Change::Opened, Trigger::Channel, None),]
    );

    BROKEN.set(false);
    wait::span(20 * MINUTE).await;
    assert_eq!(
        sent()[2..],
        [
            ("mail", Change::Opened, Trigger::Failed, Some("ops@example.com".to_owned())),
            ("chat", Change::Resolved, Trigger::Channel, None),
        ]
    );
    AWAY.set(false);
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_the_mail_server_refuses_keeps_the_message_from_no_other_and_is_told_once() {
    AWAY.set(true);
    let office = "    office: { type: mail, recipients: [gone@example.com, Ada <ada@example.com>] }\n    team: { type: chat }\n";
    let stage = start(office, "");
    wait::span(10 * MINUTE).await;
    AWAY.set(false);
    wait::span(20 * MINUTE).await;
    let ada = Some("Ada <ada@example.com>".to_owned());
    let told = |channel| sent().into_iter().filter(move |one| one.0 == channel).collect::<Vec<_>>();
    assert_eq!(
        told("mail"),
        [
            ("mail", Change::Opened, Trigger::Failed, ada.clone()),
            ("mail", Change::Resolved, Trigger::Failed, ada)
        ]
    );
    assert_eq!(
        told("chat"),
        [
            ("chat", Change::Opened, Trigger::Failed, None),
            ("chat", Change::Opened, Trigger::Channel, None),
            ("chat", Change::Resolved, Trigger::Failed, None),
        ],
        "what Ada gets does not end the alert about the channel"
    );
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn no_message_is_sent_by_two_processes_at_a_time_although_its_channel_hangs() {
    AWAY.set(true);
    let contacts: Vec<String> = (0..40).map(|number| format!("c{number}@example.com")).collect();
    let channels = "    office: { type: hanging, recipients: [] }\n";
    let keys = format!("    contacts: [{}]\n", contacts.join(", "));
    let stage = start(channels, &keys);
    let other = Stage::on(stage.store.clone(), &project(channels, &keys), CHANNELS, 8);
    wait::span(20 * MINUTE).await;
    let mut attempts: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    SENT.with_borrow(|sent| {
        for (_, message) in sent {
            attempts.entry(message.contact.clone().expect("a contact")).or_default().push(message.at);
        }
    });
    assert_eq!(attempts.len(), 40, "all of them are tried");
    for (contact, times) in attempts {
        let minute = SignedDuration::from_mins(1);
        let at_once = times.windows(2).any(|pair| pair[1].duration_since(pair[0]) < minute);
        assert!(!at_once && times.len() > 1, "{contact}: {times:?}");
    }
    stage.stop.cancel();
    other.stop.cancel();
    AWAY.set(false);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_forgets_is_told_each_minute_until_it_is_over() {
    AWAY.set(true);
    let stage = start("    night: { type: pager }\n", "");
    wait::span(10 * MINUTE).await;
    let told = sent();
    assert!((6..=11).contains(&told.len()), "{told:?}");
    let names: Vec<String> = SENT.with_borrow(|sent| sent.iter().map(|(_, one)| one.id.clone()).collect());
    assert!(names.iter().all(|name| *name == names[0]), "a repetition has the name of the first");

    AWAY.set(false);
    wait::span(10 * MINUTE).await;
    assert_eq!(sent().last(), Some(&("pager", Change::Resolved, Trigger::Failed, None)));
    let after = sent().len();
    wait::span(10 * MINUTE).await;
    assert_eq!(sent().len(), after, "nothing is repeated once it is over");
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_added_later_gets_what_is_open() {
    AWAY.set(true);
    let stage = start("    team: { type: chat }\n", "");
    wait::span(2 * MINUTE).await;
    assert_eq!(sent().len(), 1);
    stage.stop.cancel();
    stage.scheduler.await.expect("no panic");

    // The same store, as after a restart with one channel more.
    SENT.take();
    let channels = "    team: { type: chat }\n    office: { type: mail, recipients: [ops@example.com] }\n";
    let next = Stage::on(stage.store, &project(channels, ""), CHANNELS, 8);
    wait::span(2 * MINUTE).await;
    let ops = Some("ops@example.com".to_owned());
    assert_eq!(sent(), [("mail", Change::Opened, Trigger::Failed, ops)]);
    next.stop.cancel();
    AWAY.set(false);
}

#[tokio::test(start_paused = true)]
async fn a_test_of_a_channel_says_why_it_does_not_work() {
    let stage =
        start("    team: { type: chat }\n    office: { type: mail, recipients: [ops@example.com] }\n", "");
    BROKEN.set(true);
    let tested = stage.engine.test_channels(None).await.expect("channels");
    assert_eq!(tested[0].error, None);
    assert_eq!(tested[1].error.as_deref(), Some("the mail server cannot be reached"));
    let next = "correct the settings of the channel, then run `tidegate alerts test office`";
    assert_eq!(tested[1].next.as_deref(), Some(next), "no run tries it again");
    assert_eq!(
        sent(),
        [("chat", Change::Opened, Trigger::Test, None), ("chat", Change::Resolved, Trigger::Test, None)]
    );
    let error = stage.engine.test_channels(Some("teams")).await.expect_err("no such channel");
    assert_eq!(error.message(), "there is no channel `teams`");
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_test_of_a_channel_for_contacts_reaches_them_and_one_without_any_says_that_nothing_was_sent() {
    let channel = "    office: { type: mail, recipients: [] }\n";
    let stage = start(channel, "    contacts: [ada@example.com, '#growth']\n");
    let tested = stage.engine.test_channels(None).await.expect("channels");
    assert_eq!(tested[0].error, None);
    let ada = Some("ada@example.com".to_owned());
    assert_eq!(
        sent(),
        [
            ("mail", Change::Opened, Trigger::Test, ada.clone()),
            ("mail", Change::Resolved, Trigger::Test, ada)
        ]
    );
    stage.stop.cancel();
    let stage = start(channel, "");
    let tested = stage.engine.test_channels(None).await.expect("channels");
    assert!(tested[0].error.as_deref().is_some_and(|why| why.starts_with("nothing was sent")), "{tested:?}");
    assert!(sent().is_empty());
    stage.stop.cancel();
}

// --- conditions ----------------------------------------------------------------

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn run(started: i64, ending: Option<Ending>, counts: Counts) -> Run {
    Run {
        id: RunId::new(format!("r{started}")),
        sync: SyncId::new("orders"),
        cause: Cause::Schedule,
        started_at: at(started),
        finished_at: ending.map(|_| at(started + 1)),
        ending,
        counts,
        error: None,
        failure: None,
        compared: None,
    }
}

fn group(status: StatusKind, rows: u64) -> FailedRowGroup {
    FailedRowGroup {
        sync: SyncId::new("orders"),
        status,
        object: ObjectKind::User,
        reason: Reason::new("text_too_long", "too long"),
        rows,
        users: rows,
        first_at: at(0),
        last_at: at(0),
    }
}

/// What a trigger says at minute 100.
fn state(
    trigger: Trigger,
    change: impl FnOnce(&mut Facts<'_>),
    runs: &[Run],
    groups: &[FailedRowGroup],
) -> State {
    let known = SyncState::default();
    let mut facts = Facts {
        now: at(100),
        state: &known,
        runs,
        groups,
        moved: None,
        rules: AlertRules::default(),
        retry_for: Duration::from_secs(120),
        follows: false,
        earlier_success: None,
        earlier_read: None,
        waiting: Waiting::Unknown,
    };
    change(&mut facts);
    judge(&facts).into_iter().find(|(one, _)| *one == trigger).expect("judged").1
}

fn is_bad(state: &State) -> bool {
    matches!(state, State::Bad(_))
}

#[test]
fn a_run_in_progress_is_a_recovery_only_if_it_delivers_or_lasts() {
    let failed = run(90, Some(Ending::Failed), Counts::default());
    let judged = |newest: Run| state(Trigger::Failed, |_| {}, &[newest, failed.clone()], &[]);
    assert!(is_bad(&judged(run(99, None, Counts::default()))), "it may be trying in vain");
    assert_eq!(judged(run(92, None, Counts::default())), State::Good);
    assert_eq!(judged(run(99, None, Counts { delivered: 1, ..Counts::default() })), State::Good);
    assert!(
        is_bad(&judged(run(98, Some(Ending::Interrupted), Counts::default()))),
        "a restart cures nothing"
    );
    assert_eq!(judged(run(98, Some(Ending::Partial), Counts::default())), State::Good);
}

#[test]
fn a_single_rejected_row_is_never_told_and_a_share_is() {
    let counts = |delivered, rejected| Counts { delivered, rejected, ..Counts::default() };
    let judged = |runs: &[Run], rule: Option<f64>| {
        let change = |facts: &mut Facts<'_>| facts.rules.rejected = rule;
        state(Trigger::Rejected, change, runs, &[group(StatusKind::Rejected, 9)])
    };
    let one = |counts| [run(90, Some(Ending::Partial), counts)];
    assert_eq!(judged(&one(counts(0, 1)), None), State::Good);
    assert_eq!(judged(&one(counts(1_000, 99)), None), State::Good);
    let State::Bad(why) = judged(&one(counts(80, 20)), None) else { panic!("a fifth") };
    assert!(why.contains("20 of 100 rows were rejected (20%)") && why.contains("`text_too_long`"), "{why}");
    assert!(is_bad(&judged(&one(counts(1_000, 99)), Some(1.0))));
    let quiet = run(95, Some(Ending::Succeeded), Counts::default());
    assert!(
        is_bad(&judged(&[quiet, one(counts(80, 20))[0].clone()], None)),
        "a run without rows says nothing"
    );
    let nothing_open = state(Trigger::Rejected, |_| {}, &one(counts(0, 20)), &[]);
    assert_eq!(nothing_open, State::Good, "all were delivered or dismissed since");
}

#[test]
fn a_stream_that_begins_to_reject_is_told_by_its_last_minutes() {
    let mut running = run(0, None, Counts { delivered: 1_000_000, ..Counts::default() });
    let moved = Moved::after(None, &running, at(94));
    running.counts.rejected = 50;
    let moved = Moved::after(Some(moved), &running, at(97));
    let change = |facts: &mut Facts<'_>| {
        facts.follows = true;
        facts.rules.rejected = Some(5.0);
    };
    let groups = [group(StatusKind::Rejected, 50)];
    let known = SyncState::default();
    let mut facts = Facts {
        now: at(100),
        state: &known,
        runs: std::slice::from_ref(&running),
        groups: &groups,
        moved: Some(&moved),
        rules: AlertRules::default(),
        retry_for: Duration::from_secs(120),
        follows: true,
        earlier_success: None,
        earlier_read: None,
        waiting: Waiting::Unknown,
    };
    change(&mut facts);
    let judged = judge(&facts);
    assert!(
        judged.iter().any(|(trigger, state)| *trigger == Trigger::Rejected && is_bad(state)),
        "{judged:?}"
    );
}

#[test]
fn rows_in_doubt_are_told_and_what_is_watched_for_time_only_if_asked() {
    let ran = [run(10, Some(Ending::Succeeded), Counts { read: 5, delivered: 5, ..Counts::default() })];
    assert!(is_bad(&state(Trigger::InDoubt, |_| {}, &ran, &[group(StatusKind::InDoubt, 1)])));
    for trigger in [Trigger::Stale, Trigger::NoRows] {
        assert_eq!(state(trigger, |_| {}, &ran, &[]), State::Good);
        let hour = |facts: &mut Facts<'_>| {
            facts.rules.stale = Some(60 * MINUTE);
            facts.rules.no_rows = Some(60 * MINUTE);
        };
        assert!(is_bad(&state(trigger, hour, &ran, &[])), "{trigger}: the last was 89 minutes ago");
        let off = |facts: &mut Facts<'_>| {
            facts.rules.stale = Some(Duration::ZERO);
            facts.rules.no_rows = Some(Duration::ZERO);
        };
        assert_eq!(state(trigger, off, &ran, &[]), State::Good);
        assert_eq!(state(trigger, hour, &[], &[]), State::Unclear, "it never ran");
    }
}

#[test]
fn a_sync_that_a_person_paused_opens_nothing_and_ends_nothing() {
    let pause =
        |by| SyncState { paused: Some(Pause::new(by, "the key was refused", at(0))), ..SyncState::default() };
    let judged = |state: &SyncState| {
        judge(&Facts {
            now: at(100),
            state,
            runs: &[],
            groups: &[],
            moved: None,
            rules: AlertRules::default(),
            retry_for: Duration::from_secs(120),
            follows: false,
            earlier_success: None,
            earlier_read: None,
            waiting: Waiting::Unknown,
        })
    };
    assert!(judged(&pause(PausedBy::Person("ann".to_owned()))).is_empty());
    let by_us = judged(&pause(PausedBy::System));
    assert!(matches!(&by_us[0], (Trigger::Failed, State::Bad(why)) if why.contains("the key was refused")));
}

/// Rows in doubt, over the store: nothing of a row is in the message.
#[tokio::test(start_paused = true)]
async fn no_value_of_a_row_is_in_a_message() {
    let stage = start("    team: { type: chat }\n", "");
    let id = SyncId::new("orders");
    wait::span(MINUTE).await;
    let claim = stage.store.claim(&id).await.expect("asked").taken().expect("free");
    let run = stage.store.start_run(&claim, ObjectKind::Event, Cause::Manual, at(0)).await.expect("a run");
    let reason = Reason::new("lost", "the answer to canary-1234 was lost");
    let row = RowResult {
        key: RowHash(1),
        key_text: "canary-1234".into(),
        row: RowHash(1),
        user: "canary-1234".into(),
        status: RowStatus::InDoubt(reason),
        payload: None,
    };
    let commit = BatchCommit { results: vec![row], ..BatchCommit::default() };
    stage.store.commit_batch(&run.id, commit).await.expect("committed");
    stage.store.finish_run(&run.id, RunEnd::new(Ending::Partial, at(0))).await.expect("ended");
    claim.release().await;
    wait::span(2 * MINUTE).await;

    assert_eq!(sent(), [("chat", Change::Opened, Trigger::InDoubt, None)]);
    let text = SENT.with_borrow(|sent| format!("{:?}", sent[0].1));
    assert!(!text.contains("canary"), "{text}");
    assert_eq!(stage.store.alert_book().list(0).await.expect("alerts").len(), 1);
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_does_not_keep_up_with_its_stream_is_told_and_so_is_that_it_does_again() {
    let stream = project("    team: { type: chat }\n", "    alerts: { lag: 10m }\n")
        .replace("type: system", "type: stream")
        .replace("    mode: full\n", "    mode: stream\n")
        .replace("{ every: 15m }", "continuous");
    SENT.take();
    BEHIND.set(Some((3, 10)));
    let stage = Stage::of(&stream, CHANNELS, 8);
    wait::span(9 * MINUTE).await;
    assert_eq!(sent(), [], "what waits is not old yet");
    wait::span(3 * MINUTE).await;
    assert_eq!(sent(), [("chat", Change::Opened, Trigger::Lag, None)]);
    let summary = SENT.with_borrow(|sent| sent[0].1.alert.summary.clone());
    assert!(summary.starts_with("What came in before 1970-01-01 00:00:"), "{summary}");

    BEHIND.set(Some((12, 20)));
    wait::span(2 * MINUTE).await;
    assert_eq!(sent()[1..], [("chat", Change::Resolved, Trigger::Lag, None)]);
    stage.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_within_a_week_is_told_once_and_is_over_when_it_is_replaced() {
    let stage = start("    team: { type: chat }\n", "    contacts: [ada@example.com]\n");
    stage.engine.add_token("orders", Role::Viewer, false, 90).await.expect("added");
    wait::span(MINUTE).await;
    assert_eq!(sent(), []);
    AHEAD.set(SignedDuration::from_hours(24 * 84));
    wait::span(2 * MINUTE).await;
    assert_eq!(sent(), [("chat", Change::Opened, Trigger::Expires, None)]);
    let message = SENT.with_borrow(|sent| sent[0].1.clone());
    assert!(message.alert.summary.starts_with("It expires at 1970-04-01"), "{}", message.alert.summary);
    assert_eq!(message.link.as_deref(), Some("https://tidegate.example.com/people"), "not that of the sync");

    stage.engine.remove_token("orders").await.expect("removed");
    wait::span(2 * MINUTE).await;
    assert_eq!(sent()[1..], [("chat", Change::Resolved, Trigger::Expires, None)]);
    AHEAD.set(SignedDuration::ZERO);
    stage.stop.cancel();
}
