//! One platform for one kind of object, with everything it touches in hand.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_model::{
    Connector, ConnectorContext, Faults, Http, HttpFailure, ObjectKind, Outcome, Platform, PlatformRole,
    Reaction, Reason, Record, SandboxContext, Settings,
};

use super::context::{NoHttp, settings_of};
use crate::ManualClock;

/// Passes requests on and keeps them.
struct Recorder {
    inner: Arc<dyn Http>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

#[async_trait]
impl Http for Recorder {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        self.requests.lock().expect("no test panics here").push(request.clone());
        self.inner.send(request).await
    }
}

/// Answers as the connector's own dry run does.
struct DryRun(PlatformRole);

#[async_trait]
impl Http for DryRun {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        Ok((self.0.dry_run_response)(&request))
    }
}

/// What the other side keeps, entry by entry.
#[derive(Clone, Debug, PartialEq)]
pub struct State(Vec<Value>);

/// A platform that can be sent to inside this process.
pub struct PlatformExample {
    /// A sync's own settings under `destination:`.
    pub target: fn(ObjectKind) -> Value,
    /// A good record; different numbers make records that differ. Users `0..8` exist
    /// before any other kind of object is sent.
    pub record: fn(ObjectKind, usize) -> Record,
    /// A record that the platform itself refuses, where it refuses any.
    pub bad: fn(ObjectKind) -> Option<Record>,
    /// Requests that get the sandbox ready: method, path, body.
    pub prepare: &'static [(&'static str, &'static str, &'static str)],
    /// Everything that deliveries have changed, entry by entry.
    pub state: for<'a> fn(&'a World) -> BoxFuture<'a, Vec<Value>>,
}

/// A platform, its sandbox and its folder, for one kind of object. As text it
/// is the kind of the connector and of the object.
pub struct World {
    /// Whose platform it is.
    pub connector: &'static Connector,
    /// The kind of object.
    pub kind: ObjectKind,
    /// The example.
    pub example: PlatformExample,
    /// How the sandbox misbehaves.
    pub faults: Arc<Mutex<Faults>>,
    settings: Value,
    recorder: Arc<Recorder>,
    clock: ManualClock,
    folder: TempDir,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.connector.kind, self.kind)
    }
}

impl World {
    /// A new world in which users `0..8` exist, and what else the example asks for.
    pub(super) async fn new(
        connector: &'static Connector,
        settings: Value,
        example: PlatformExample,
        kind: ObjectKind,
    ) -> World {
        let clock = ManualClock::default();
        let faults = Arc::new(Mutex::new(Faults::default()));
        let inner: Arc<dyn Http> = match connector.sandbox {
            None => Arc::new(NoHttp),
            Some(sandbox) => {
                let clock = Arc::new(clock.clone());
                let faults = Arc::clone(&faults);
                let settings = Settings::default();
                let context = SandboxContext {
                    data: None,
                    clock,
                    faults,
                    limits: false,
                    settings,
                    http: None,
                    webhooks: Arc::default(),
                };
                (sandbox.open)(&context).unwrap_or_else(|error| panic!("{}: {error:?}", connector.kind))
            }
        };
        let recorder = Arc::new(Recorder { inner, requests: Mutex::default() });
        let folder = tempfile::tempdir().expect("a folder");
        let world = World { connector, kind, example, faults, settings, recorder, clock, folder };
        world.prepare().await;
        world
    }

    async fn prepare(&self) {
        for (method, path, body) in self.example.prepare {
            let request = Request::builder().method(*method).uri(format!("http://sandbox{path}"));
            let request =
                request.header("authorization", "Bearer anybody").body(Bytes::from_static(body.as_bytes()));
            let answer = self.recorder.inner.send(request.expect("a request")).await.expect("an answer");
            assert!(answer.status().is_success(), "{self}: {method} {path}: {answer:?}");
        }
        if self.role().objects.contains(&ObjectKind::User) {
            let users: Vec<Record> = (0..8).map(|n| (self.example.record)(ObjectKind::User, n)).collect();
            let platform = self.open(ObjectKind::User, Arc::clone(&self.recorder.inner), false);
            let outcomes = deliver_all(&*platform, &users).await;
            assert_eq!(outcomes, vec![Outcome::Delivered; 8], "{self}: the example's users");
        }
    }

    pub(super) fn role(&self) -> PlatformRole {
        self.connector.platform.expect("a world is a platform's")
    }

    fn open(&self, kind: ObjectKind, http: Arc<dyn Http>, dry_run: bool) -> Arc<dyn Platform> {
        let context = ConnectorContext {
            http,
            clock: Arc::new(self.clock.clone()),
            project: self.folder().to_owned(),
            data: self.folder().to_owned(),
            dry_run,
        };
        let target = settings_of(&(self.example.target)(kind));
        (self.role().open)(&settings_of(&self.settings), kind, &target, &context)
            .unwrap_or_else(|error| panic!("{self}: the example cannot be opened: {error:?}"))
    }

    /// Returns the platform.
    pub fn platform(&self) -> Arc<dyn Platform> {
        self.open(self.kind, Arc::clone(&self.recorder) as Arc<dyn Http>, false)
    }

    /// Returns the platform with another server.
    pub fn platform_behind(&self, http: Arc<dyn Http>) -> Arc<dyn Platform> {
        self.open(self.kind, http, false)
    }

    /// Returns the platform in a dry run.
    pub fn dry_run(&self) -> Arc<dyn Platform> {
        self.open(self.kind, Arc::new(DryRun(self.role())), true)
    }

    /// Returns the folder of the project and of embedded parts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As many good records as asked for, at most as many as one request takes.
    pub fn records(&self, count: usize) -> Vec<Record> {
        let limits = self.platform().limits();
        // Users `0..8` are there already: delivering them would have no effect to see.
        let first = if self.kind == ObjectKind::User { 8 } else { 0 };
        let mut records: Vec<Record> = (first..first + count.min(limits.max_items))
            .map(|n| (self.example.record)(self.kind, n))
            .collect();
        if let (true, Some(first)) = (limits.single_user, records.first().cloned()) {
            records.iter_mut().for_each(|record| record.identity = first.identity.clone());
        }
        records
    }

    /// What was sent since this was asked last.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut self.recorder.requests.lock().expect("no test panics here"))
    }

    /// Returns everything that deliveries have changed.
    pub async fn state(&self) -> State {
        State((self.example.state)(self).await)
    }

    /// Holds against the state of another moment.
    ///
    /// # Panics
    /// With the difference, if there is one.
    pub async fn assert_still(&self, before: &State, why: &str) {
        let now = self.state().await;
        let only = |a: &State, b: &State| -> Vec<Value> {
            a.0.iter().filter(|entry| !b.0.contains(entry)).cloned().collect()
        };
        let (gone, new) = (only(before, &now), only(&now, before));
        assert!(*before == now, "{self}: {why}\ngone: {gone:?}\nnew: {new:?}");
    }

    /// What the sandbox shows under these names.
    pub async fn shown(&self, names: &[&str]) -> Vec<Value> {
        let mut entries = Vec::new();
        for name in names {
            let request = Request::get(format!("http://sandbox/_sandbox/{name}")).body(Bytes::new());
            let answer = self.recorder.inner.send(request.expect("a request")).await.expect("an answer");
            assert!(answer.status().is_success(), "{self}: the sandbox shows no `{name}`");
            let lines = std::str::from_utf8(answer.body()).expect("text").lines();
            entries.extend(lines.map(|line| serde_json::from_str::<Value>(line).expect("lines of JSON")));
        }
        entries
    }

    /// Makes the sandbox misbehave.
    pub fn misbehave(&self, faults: &Faults) {
        *self.faults.lock().expect("no test panics here") = faults.clone();
    }
}

/// Delivers as the engine does: inside the limits, one user's alone where that
/// is asked for, again what was deferred, halved what was refused as a whole.
pub(super) async fn deliver_all(platform: &dyn Platform, records: &[Record]) -> Vec<Outcome> {
    let limits = platform.limits();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; records.len()];
    let mut waiting: Vec<Vec<usize>> = vec![(0..records.len()).collect()];
    let mut requests = 0;
    while let Some(mut indexes) = waiting.pop() {
        let fits = |at: &usize| !limits.single_user || records[*at].identity == records[indexes[0]].identity;
        let (mut now, mut later): (Vec<usize>, Vec<usize>) = indexes.iter().partition(|at| fits(at));
        later.extend(now.split_off(now.len().min(limits.max_items)));
        indexes = now;
        if !later.is_empty() {
            waiting.push(later);
        }
        requests += 1;
        assert!(requests < 10_000, "the records never come to an outcome");

        let request: Vec<Record> = indexes.iter().map(|at| records[*at].clone()).collect();
        match platform.deliver(&request).await {
            Ok(receipt) => {
                assert_eq!(receipt.outcomes.len(), request.len(), "one outcome for each record");
                let mut again = Vec::new();
                for (at, outcome) in indexes.into_iter().zip(receipt.outcomes) {
                    match outcome {
                        Outcome::Deferred(_) => again.push(at),
                        outcome => outcomes[at] = Some(outcome),
                    }
                }
                if !again.is_empty() {
                    waiting.push(again);
                }
            }
            Err(error) if error.reaction() == Reaction::Halve && indexes.len() > 1 => {
                let second = indexes.split_off(indexes.len() / 2);
                waiting.extend([second, indexes]);
            }
            Err(error) if error.reaction() == Reaction::Halve => {
                outcomes[indexes[0]] = Some(Outcome::Rejected(Reason::new("rejected", error.chain())));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    outcomes.into_iter().map(|outcome| outcome.expect("every record was committed")).collect()
}
