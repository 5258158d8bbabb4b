//! What a sink promises, as tests: [`crate::sinks_conform`].
//!
//! Each sink brings a way to make new backends that events can be delivered to,
//! and to see which events are there. The other side is a real one or a third-party
//! emulator, if there is one.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate_model::{
    Connector, ConnectorContext, Error, ErrorKind, Event, Http, Json, Layout, LoggedEvent, Offset, Outcome,
    Reaction, Sink, SinkTarget, StreamId, SyncId, Text,
};

use super::context::{NoHttp, settings_of};
use super::example::PRIVATE;
use super::log;
use super::opening::{NOWHERE, mangled, nowhere, try_each, with_typo};
use super::secrets::{assert_silent, told};
use super::settings::secrets;
use crate::ManualClock;

/// Makes a new, empty backend.
pub type MakeBackend = fn() -> BoxFuture<'static, SinkBackend>;

/// Somewhere to deliver to.
pub struct SinkBackend {
    /// Connection settings that reach it.
    pub settings: Value,
    /// The export's own settings under `destination:`.
    pub target: Value,
    /// The project's folder, and that of embedded parts.
    pub folder: PathBuf,
    /// The way to speak HTTP, for sinks that do.
    pub http: Option<Arc<dyn Http>>,
    /// The ids of the events that are there, each as often as it is.
    pub ids: Box<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>,
    /// Whether a repetition leaves each event there once.
    pub exactly_once: bool,
    /// Bytes of a payload that the sink does not take, if there is such a limit.
    pub too_large: Option<usize>,
    /// Ways to be set up wrongly, with what `deliver` then says.
    pub wrong: Vec<WrongBackend>,
    /// What has to live as long as this.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// A backend that cannot be delivered to.
pub struct WrongBackend {
    /// What is wrong, for messages.
    pub what: &'static str,
    /// Connection settings.
    pub settings: Value,
    /// The export's own settings.
    pub target: Value,
    /// The kind of the error.
    pub kind: ErrorKind,
}

/// The registry and its backends.
pub struct SinkSuite {
    /// Every connector.
    pub connectors: &'static [Connector],
    /// How a backend for a type is made.
    pub backend: fn(&str) -> Option<MakeBackend>,
}

/// A backend and the sink that delivers to it.
struct World {
    connector: &'static Connector,
    backend: SinkBackend,
}

impl SinkSuite {
    /// A new world for each sink.
    ///
    /// # Panics
    /// When a sink has no backend.
    async fn worlds(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for connector in self.connectors.iter().filter(|connector| connector.sink.is_some()) {
            let make = (self.backend)(connector.kind)
                .unwrap_or_else(|| panic!("`{}` has no backend to deliver to", connector.kind));
            worlds.push(World { connector, backend: make().await });
        }
        worlds
    }
}

impl World {
    fn open_with(
        &self,
        settings: &Value,
        target: &Value,
        context: &ConnectorContext,
    ) -> Result<Arc<Sink>, Error> {
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("shop"),
            layout: Layout::Events,
            settings: settings_of(target),
        };
        (self.connector.sink.expect("a sink").open)(&settings_of(settings), &target, context)
    }

    fn context(&self, dry_run: bool) -> ConnectorContext {
        ConnectorContext {
            http: self.backend.http.clone().unwrap_or_else(|| Arc::new(NoHttp)),
            clock: Arc::new(ManualClock::default()),
            project: self.backend.folder.clone(),
            data: self.backend.folder.clone(),
            dry_run,
        }
    }

    fn open(&self, dry_run: bool) -> Arc<Sink> {
        self.open_with(&self.backend.settings, &self.backend.target, &self.context(dry_run))
            .unwrap_or_else(|error| panic!("{}: {error:?}", self.connector.kind))
    }

    /// How often each event is there.
    async fn there(&self) -> BTreeMap<String, usize> {
        let mut there = BTreeMap::new();
        for id in (self.backend.ids)().await {
            *there.entry(id).or_default() += 1;
        }
        there
    }
}

/// Event number `at` of the log, of one of five users, with [`PRIVATE`] in it.
fn event(at: u64, more: &str) -> LoggedEvent {
    let id = format!("e-{at}");
    let payload = format!(r#"{{"event_id":"{id}","note":"{PRIVATE} \"é\"","more":"{more}"}}"#);
    let logged_at = Timestamp::constant(1_772_366_400, 0) + SignedDuration::from_micros(at as i64);
    let event = Event {
        id: id.into(),
        kind: "order_placed".into(),
        at: logged_at,
        user: format!("{PRIVATE}-{}", at % 5).into(),
        app: Text::new(),
        message: Text::new(),
        template: Text::new(),
        payload: Json::trusted(payload),
    };
    LoggedEvent { offset: Offset::new(0, at), logged_at, event }
}

fn events(count: usize) -> Vec<LoggedEvent> {
    (0..count as u64).map(|at| event(at, "")).collect()
}

fn once_each(events: &[LoggedEvent]) -> BTreeMap<String, usize> {
    events.iter().map(|logged| (logged.event.id.to_string(), 1)).collect()
}

/// Prepares as the engine does: on a thread that may block.
async fn prepare(kind: &str, sink: &Arc<Sink>, events: &[LoggedEvent]) {
    let (sink, events) = (sink.clone(), events.to_vec());
    let prepared = tokio::task::spawn_blocking(move || sink.prepare(&events)).await;
    prepared.unwrap_or_else(|fault| panic!("{kind}: preparing panicked: {fault}"));
}

/// Delivers as the engine does: prepared where one request is sent at a time, and
/// again what was deferred, in its order.
async fn deliver_all(kind: &str, sink: &Arc<Sink>, events: &[LoggedEvent]) {
    let mut waiting = events.to_vec();
    if sink.limits().max_in_flight == 1 {
        prepare(kind, sink, &waiting).await;
    }
    for _ in 0..1_000 {
        let receipt = match sink.deliver(&waiting).await {
            Ok(receipt) => receipt,
            Err(error) if matches!(error.reaction(), Reaction::Wait(_)) => continue,
            Err(error) => panic!("{kind}: {error:?}"),
        };
        assert_eq!(receipt.outcomes.len(), waiting.len(), "{kind}: one outcome for each event");
        let mut again = Vec::new();
        for (logged, outcome) in waiting.into_iter().zip(receipt.outcomes) {
            match outcome {
                Outcome::Delivered => {}
                Outcome::Deferred(_) => again.push(logged),
                outcome => panic!("{kind}: {} is {outcome:?}", logged.event.id),
            }
        }
        waiting = again;
        if waiting.is_empty() {
            return;
        }
    }
    panic!("{kind}: the events never come to an outcome");
}

/// On a thread without a runtime, with HTTP that panics, in folders that are not there.
pub async fn opening_does_no_io(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let kind = world.connector.kind;
        let SinkBackend { settings, target, .. } = &world.backend;
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| world.open_with(settings, target, &nowhere()).map(|_| ())).join();
            let opened = opened.unwrap_or_else(|_| panic!("{kind}: opening panicked"));
            opened.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        });
        assert!(!Path::new(NOWHERE).exists(), "{kind}: opening made a folder");
        assert!(world.there().await.is_empty(), "{kind}: opening wrote something");
    }
}

/// In the connection's settings and in the export's own: a typo is never ignored.
pub async fn unknown_members_are_refused(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let SinkBackend { settings, target, .. } = &world.backend;
        for (settings, target) in
            [(with_typo(settings), target.clone()), (settings.clone(), with_typo(target))]
        {
            let kind = world.connector.kind;
            let Err(error) = world.open_with(&settings, &target, &nowhere()) else {
                panic!("{kind}: an unknown member is skipped")
            };
            assert_eq!(error.kind(), ErrorKind::Settings, "{kind}: {error:?}");
            assert!(error.message().contains("no_such_setting"), "{kind}: {error:?}");
        }
    }
}

/// Any JSON at all: the result is an opened sink or an error about a setting.
pub async fn no_settings_make_opening_panic(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let SinkBackend { settings, target, .. } = &world.backend;
        let settings_or_fine = |result: Result<Arc<Sink>, Error>| match result {
            Err(error) if error.kind() != ErrorKind::Settings => {
                let kind = world.connector.kind;
                Err(proptest::test_runner::TestCaseError::fail(format!("{kind}: {error:?}")))
            }
            _ => Ok(()),
        };
        try_each(&mangled(settings), |settings| {
            settings_or_fine(world.open_with(&settings, target, &nowhere()))
        });
        try_each(&mangled(target), |target| settings_or_fine(world.open_with(settings, &target, &nowhere())));
    }
}

/// An empty delivery has an empty receipt, and nothing comes of it.
pub async fn nothing_is_delivered_without_an_effect(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let kind = world.connector.kind;
        let receipt = world.open(false).deliver(&[]).await;
        let receipt = receipt.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        assert!(receipt.outcomes.is_empty(), "{kind}: {receipt:?}");
        assert!(world.there().await.is_empty(), "{kind}: something was delivered");
    }
}

/// What is `Delivered` is there, once.
pub async fn every_event_arrives(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, sink, events) = (world.connector.kind, world.open(false), events(40));
        for logged in &events {
            assert_eq!(sink.validate(logged), Ok(()), "{kind}");
        }

        deliver_all(kind, &sink, &events).await;

        assert_eq!(world.there().await, once_each(&events), "{kind}");
    }
}

/// An event may come in as JSON of several lines, which is one event also where a line is one.
pub async fn an_event_of_several_lines_arrives_as_one(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, sink, mut events) = (world.connector.kind, world.open(false), events(5));
        for logged in &mut events[1..4] {
            let id = &logged.event.id;
            let payload = format!("{{\r\n  \"event_id\": \"{id}\",\n\r  \"more\": [\n1,\r2]\n}}\n");
            logged.event.payload = Json::trusted(payload);
        }

        deliver_all(kind, &sink, &events).await;

        assert_eq!(world.there().await, once_each(&events), "{kind}");
    }
}

/// Before the first delivery and after it, and when others come in its place: half
/// of it, or what is not prepared at all.
pub async fn what_is_prepared_and_not_delivered_has_no_effect(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, sink, events) = (world.connector.kind, world.open(false), events(40));
        prepare(kind, &sink, &events[..20]).await;
        assert!(world.there().await.is_empty(), "{kind}: preparing delivered something");
        deliver_all(kind, &sink, &events[..10]).await;

        prepare(kind, &sink, &events[10..30]).await;
        assert_eq!(world.there().await, once_each(&events[..10]), "{kind}");

        for half in [&events[10..20], &events[20..30]] {
            let receipt = sink.deliver(half).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
            assert_eq!(receipt.outcomes.len(), half.len(), "{kind}");
        }
        deliver_all(kind, &sink, &events[30..]).await;
        // A sink that defers some leaves them out here, for they are not sent again.
        let there = world.there().await;
        assert!(there.values().all(|times| *times == 1), "{kind}: {there:?}");
        assert!(events[30..].iter().all(|logged| there.contains_key(&*logged.event.id)), "{kind}");
        drop(sink);
        prepare(kind, &world.open(false), &events[..5]).await;
        assert_eq!(world.there().await, there, "{kind}: preparing alone delivered something");
    }
}

/// As many events as the limits allow, by number and by weight, are taken.
pub async fn a_full_request_is_taken(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, sink) = (world.connector.kind, world.open(false));
        let limits = sink.limits();
        assert!(limits.max_items > 0 && limits.max_in_flight > 0, "{kind}: {limits:?}");
        // No more than can be read back in a test, of sinks that take any number.
        let mut full = events(limits.max_items.min(2_000));
        let room = limits.max_bytes.min(3 << 20);
        let each = room / full.len();
        let weight = |logged: &LoggedEvent| sink.estimated_size(logged);
        let filler = "x".repeat(each.saturating_sub(weight(&full[0])) / 2);
        full = (0..full.len() as u64).map(|at| event(at, &filler)).collect();
        let whole: usize = full.iter().map(weight).sum();
        assert!(whole <= limits.max_bytes, "{kind}: {whole} of {limits:?}");

        deliver_all(kind, &sink, &full).await;

        assert_eq!(world.there().await, once_each(&full), "{kind}");
    }
}

/// Before it is sent, with a reason that does not repeat it.
pub async fn what_is_too_large_is_not_admitted(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let Some(bytes) = world.backend.too_large else { continue };
        let (kind, sink) = (world.connector.kind, world.open(false));

        let refused = sink.validate(&event(0, &"x".repeat(bytes)));

        let reason = refused.expect_err(kind);
        assert!(!reason.code.is_empty() && reason.message.len() < 200, "{kind}: {}", reason.code);
        assert_silent(kind, &reason.message, &[]);
        assert_eq!(sink.validate(&event(0, &"x".repeat(1_000))), Ok(()), "{kind}");
    }
}

/// As after a crash: by another instance, what was there already and what was not.
pub async fn a_repetition_loses_nothing(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, events) = (world.connector.kind, events(30));
        deliver_all(kind, &world.open(false), &events[..20]).await;

        deliver_all(kind, &world.open(false), &events[10..]).await;

        let there = world.there().await;
        let ids: Vec<&String> = there.keys().collect();
        assert_eq!(ids, once_each(&events).keys().collect::<Vec<_>>(), "{kind}");
        if world.backend.exactly_once {
            assert_eq!(there, once_each(&events), "{kind}: repeated");
        }
    }
}

/// It says what would be delivered, and nothing changes.
pub async fn a_dry_run_changes_nothing(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let (kind, sink, events) = (world.connector.kind, world.open(true), events(5));

        let receipt = sink.deliver(&events).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));

        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; events.len()], "{kind}");
        assert!(world.there().await.is_empty(), "{kind}: a dry run wrote something");
    }
}

/// A check passes where deliveries do and leaves nothing behind.
pub async fn a_check_passes_where_deliveries_do(suite: &SinkSuite) {
    for world in suite.worlds().await {
        let kind = world.connector.kind;

        let checks = world.open(false).check().await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));

        assert!(checks.passed() && !checks.0.is_empty(), "{kind}: {checks:?}");
        assert!(world.there().await.is_empty(), "{kind}: a check wrote something");
    }
}

/// Each by its kind, with a next step, without an effect; and neither errors,
/// nor checks, nor the log tell a secret or a value.
pub async fn what_is_wrong_is_said_without_secrets(suite: &SinkSuite) {
    log::start();
    for world in suite.worlds().await {
        let kind = world.connector.kind;
        assert!(!world.backend.wrong.is_empty(), "{kind}: nothing can go wrong?");
        for WrongBackend { what, settings, target, kind: expected } in &world.backend.wrong {
            let backend = format!("{kind}, {what}");
            let secrets = secrets(world.connector, settings);
            let sink = world
                .open_with(settings, target, &world.context(false))
                .unwrap_or_else(|error| panic!("{backend}: {error:?}"));

            let error = match sink.deliver(&events(3)).await {
                Err(error) => error,
                Ok(receipt) => panic!("{backend}: {receipt:?}"),
            };

            assert_eq!(error.kind(), *expected, "{backend}: {error:?}");
            assert!(!error.next_step().is_empty(), "{backend}: {error:?}");
            assert_silent(&backend, &told(&error), &secrets);
            let checked = match sink.check().await {
                Err(error) => told(&error),
                Ok(checks) => {
                    assert!(!checks.passed(), "{backend}: {checks:?}");
                    let failed = checks.0.iter().filter(|check| !check.passed);
                    assert!(failed.clone().all(|check| check.remedy.is_some()), "{backend}: {checks:?}");
                    format!("{checks:?}")
                }
            };
            assert_silent(&backend, &checked, &secrets);
            assert_silent("the log", &log::written(), &secrets);
        }
        assert!(world.there().await.is_empty(), "{kind}: an error had an effect");
    }
}

/// Makes one test of each promise of a sink, each over all sinks of `$connectors`.
/// `$backend` is a function from a kind to a [`MakeBackend`].
#[macro_export]
macro_rules! sinks_conform {
    ($connectors:expr, $backend:expr) => {
        $crate::sinks_conform! { @each $connectors, $backend;
            opening_does_no_io
            unknown_members_are_refused
            no_settings_make_opening_panic
            nothing_is_delivered_without_an_effect
            every_event_arrives
            an_event_of_several_lines_arrives_as_one
            what_is_prepared_and_not_delivered_has_no_effect
            a_full_request_is_taken
            what_is_too_large_is_not_admitted
            a_repetition_loses_nothing
            a_dry_run_changes_nothing
            a_check_passes_where_deliveries_do
            what_is_wrong_is_said_without_secrets
        }
    };
    (@each $connectors:expr, $backend:expr; $($promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let suite = $crate::conforms::sink::SinkSuite { connectors: $connectors, backend: $backend };
                $crate::conforms::sink::$promise(&suite).await;
            }
        )*
    };
}
