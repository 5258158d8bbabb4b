//! Databases, processes and the sandbox, for all journeys.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::registry::{CHANNELS, CONNECTORS};
use tidegate_engine::service::{Config as Parts, Engine};
use tidegate_model::{Clock, Connector, SystemClock};
use tidegate_state::{LogAccess, LogConfig, MasterKeys, StateConfig, StoreLocation};
use tidegate_testkit::postgres::TestDatabase;
use tokio_postgres::{Client, Config, NoTls};

use crate::canaries;

/// A variable that `scripts/test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

/// A database of its own.
pub(crate) struct Database {
    pub(crate) client: Client,
    pub(crate) name: String,
    config: Config,
    _made: TestDatabase,
}

impl Database {
    pub(crate) async fn create() -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let config: Config = variable("TIDEGATE_TEST_POSTGRES").parse().expect("a PostgreSQL URL");
        let admin = connect(&config).await;
        let name = format!("journey_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("dropped");
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("created");
        let _made = TestDatabase::new(config.clone(), &name);
        let mut config = config;
        config.dbname(&name);
        Database { client: connect(&config).await, name, config, _made }
    }

    /// One more connection, for a second writer.
    pub(crate) async fn another(&self) -> Client {
        connect(&self.config).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|cause| panic!("{sql}: {cause:?}"));
    }

    pub(crate) async fn count(&self, sql: &str) -> u64 {
        let row = self.client.query_one(sql, &[]).await.unwrap_or_else(|cause| panic!("{sql}: {cause:?}"));
        row.get::<_, i64>(0).try_into().expect("a count")
    }

    pub(crate) fn port(&self) -> u16 {
        self.config.get_ports()[0]
    }

    /// Its address, as programs take it.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{}:{}@127.0.0.1:{}/{}", self.user(), self.password(), self.port(), self.name)
    }

    pub(crate) fn user(&self) -> String {
        self.config.get_user().expect("a user").to_owned()
    }

    pub(crate) fn password(&self) -> String {
        String::from_utf8(self.config.get_password().expect("a password").to_vec()).expect("text")
    }

    /// The connection as a project writes it.
    pub(crate) fn connection(&self) -> String {
        format!(
            "{{ type: postgres, host: 127.0.0.1, port: {}, database: {}, user: {}, password: \"{}\", tls: require }}",
            self.port(),
            self.name,
            self.user(),
            self.password()
        )
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

/// A project folder with its state, thrown away at the end.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    /// The network namespace that its commands run in, if not in that of the test.
    namespace: Option<String>,
}

impl Project {
    pub(crate) fn new(yaml: &str) -> Project {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Project { folder, environment: Vec::new(), namespace: None };
        project.write("tidegate.yaml", yaml);
        project
    }

    /// Sets a variable for every command that follows.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        canaries::note_variable(name, &value);
        self.environment.push((name.to_owned(), value));
    }

    /// Runs every command that follows in this network namespace.
    pub(crate) fn enter(&mut self, namespace: String) {
        self.namespace = Some(namespace);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        if name == "tidegate.yaml" {
            canaries::note_file(text);
        }
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_tidegate");
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
        };
        command.arg("--project").arg(self.path()).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a run of a sync and goes on; its output is read when it ended.
    pub(crate) fn start(&self, sync: &str) -> Child {
        let mut command = self.tidegate(&["run", sync, "--output", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tidegate starts")
    }

    /// Runs to the end.
    pub(crate) fn done(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.tidegate(arguments).output().expect("tidegate starts"))
    }

    /// Runs to the end and reads the document that it prints.
    pub(crate) fn document(&self, arguments: &[&str]) -> Value {
        let ended = self.done(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|cause| panic!("{cause}: {ended:?}"))
    }

    /// The same, but of a document that holds a list the list alone.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let document = self.document(arguments);
        let lists = ["runs", "rows", "syncs", "kinds", "events", "reports", "secrets", "connectors"];
        let list = lists.iter().find_map(|name| document.get(name).filter(|list| list.is_array()));
        list.cloned().unwrap_or(document)
    }

    /// Runs a sync and returns the run.
    pub(crate) fn run(&self, sync: &str) -> Value {
        self.json(&["run", sync])[0].clone()
    }

    /// Runs a sync that must end in this way and count these rows, and returns the run.
    pub(crate) fn run_to(&self, sync: &str, ending: &str, counts: &[(&str, u64)]) -> Value {
        let run = self.run(sync);
        assert_eq!(run["ending"], ending, "{sync}: {run:#}");
        for (name, count) in counts {
            assert_eq!(run["counts"][name], *count, "{sync}, {name}: {run:#}");
        }
        run
    }

    /// The lines of the ledger that these options ask for.
    pub(crate) fn rows(&self, options: &[&str]) -> Vec<Value> {
        let rows = self.json(&[&["rows", "--limit", "100000"], options].concat());
        rows.as_array().expect("a list").clone()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        canaries::search_folder(&self.path().join(".tidegate"));
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Ended {
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        canaries::search("what a command printed", &ended.stdout);
        canaries::search("what a command logged", &ended.stderr);
        ended
    }
}

/// `tidegate sandbox` on a free port, ended with the test.
pub(crate) struct Sandbox {
    process: Child,
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Sandbox {
    /// One with nothing in it.
    pub(crate) fn start(options: &[&str]) -> Sandbox {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().to_owned();
        Sandbox::serve(&data, options, Some(folder))
    }

    /// The one that `endpoint: sandbox` means in a project. No run may use it meanwhile.
    pub(crate) fn of(project: &Project) -> Sandbox {
        Sandbox::serve(&project.path().join(".tidegate"), &[], None)
    }

    fn serve(data: &Path, options: &[&str], folder: Option<tempfile::TempDir>) -> Sandbox {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let url = line.split_whitespace().last().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://"), "the sandbox says where it listens: {line}");
        Sandbox { process, url, _folder: folder }
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        let answer = reqwest::get(&url).await.unwrap_or_else(|cause| panic!("{url}: {cause}"));
        answer.text().await.expect("text")
    }

    pub(crate) async fn stats(&self, vendor: &str) -> Value {
        serde_json::from_str(&self.get(&format!("/_sandbox/{vendor}/stats")).await).expect("JSON")
    }

    /// What took effect, one JSON object each.
    pub(crate) async fn effects(&self, path: &str) -> Vec<Value> {
        let text = self.get(&format!("/_sandbox/{path}")).await;
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What took effect, one line each, as it was written.
    pub(crate) async fn lines(&self, path: &str) -> Vec<String> {
        self.get(&format!("/_sandbox/{path}")).await.lines().map(str::to_owned).collect()
    }

    /// How often each value of a member took effect.
    pub(crate) async fn times(&self, path: &str, member: &str) -> BTreeMap<String, u32> {
        let mut times = BTreeMap::new();
        for effect in self.effects(path).await {
            let value = effect.pointer(member).unwrap_or_else(|| panic!("{member} in {effect}"));
            let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            *times.entry(name).or_default() += 1;
        }
        times
    }

    /// Waits until this many of them took effect.
    #[expect(clippy::disallowed_methods, reason = "the other process does not say when it gets there")]
    pub(crate) async fn wait_for(&self, vendor: &str, kind: &str, count: u64) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self.stats(vendor).await[kind].as_u64().is_some_and(|found| found >= count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} {kind} of {vendor} did not arrive within a minute");
    }

    /// Makes a catalog as an administrator does; `fields` are pairs of name and type.
    pub(crate) async fn make_catalog(&self, name: &str, fields: &[(&str, &str)]) {
        let fields: Vec<Value> = [("id", "string")]
            .iter()
            .chain(fields)
            .map(|(name, kind)| json!({ "name": name, "type": kind }))
            .collect();
        let body = json!({ "catalogs": [{ "name": name, "description": "of a test", "fields": fields }] });
        assert_eq!(self.post("/catalogs", "Bearer admin", &body.to_string()).await, 201);
    }

    pub(crate) async fn put_faults(&self, faults: &str) {
        let client = reqwest::Client::new();
        let answer = client.put(format!("{}/_sandbox/faults", self.url)).body(faults.to_owned()).send().await;
        assert!(answer.expect("an answer").status().is_success());
    }

    pub(crate) async fn post(&self, path: &str, authorization: &str, body: &str) -> u16 {
        let client = reqwest::Client::new();
        let request = client
            .post(format!("{}{path}", self.url))
            .header("authorization", authorization)
            .header("content-type", "application/json")
            .body(body.to_owned());
        request.send().await.expect("an answer").status().as_u16()
    }

    /// The connections `braze` and `onesignal` as a project writes them.
    pub(crate) fn connections(&self) -> String {
        format!(
            "  braze: {{ type: braze, endpoint: \"{0}\", api_key: test }}\n  \
             onesignal: {{ type: onesignal, endpoint: \"{0}\", api_key: test, app_id: 7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17 }}\n",
            self.url
        )
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Asserts that two collections hold the same; names the first differences only.
pub(crate) fn same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    let missing = expected.iter().filter(|(key, value)| found.get(key) != Some(value));
    let differences: Vec<String> = missing
        .take(3)
        .map(|(key, value)| format!("{key:?}: {value:?} became {:?}", found.get(key)))
        .collect();
    assert!(differences.is_empty(), "{what}: {}", differences.join("; "));
    let strangers: Vec<&K> = found.keys().filter(|key| !expected.contains_key(key)).take(3).collect();
    assert!(strangers.is_empty(), "{what}: nobody sent {strangers:?}");
}

/// The rows `1..=count`, once each.
pub(crate) fn once(count: u32) -> BTreeMap<String, u32> {
    (1..=count).map(|id| (id.to_string(), 1)).collect()
}

/// Lets other processes get on.
#[expect(clippy::disallowed_methods, reason = "a journey waits for processes, not for the engine")]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// An engine inside the test, over one connector more than the program has.
pub(crate) async fn engine(connector: Connector, yaml: &str, folder: &Path) -> Engine {
    let connectors: &'static [Connector] = Vec::leak(CONNECTORS.iter().copied().chain([connector]).collect());
    engine_on(connectors, state_in(folder, Arc::new(SystemClock)), yaml).await
}

/// A state in a data folder.
pub(crate) fn state_in(folder: &Path, clock: Arc<dyn Clock>) -> StateConfig {
    StateConfig {
        data: folder.to_owned(),
        store: StoreLocation::Embedded,
        clock,
        history_days: 90,
        failed_row_days: 0,
        master_keys: MasterKeys::default(),
        lease: tidegate_state::LEASE,
        bucket: None,
    }
}

/// An engine inside the test, on this state and by its clock.
pub(crate) async fn engine_on(connectors: &'static [Connector], state: StateConfig, yaml: &str) -> Engine {
    let (clock, folder) = (state.clock.clone(), state.data.clone());
    let store = tidegate_state::open(state).await.expect("a store");
    let log = LogConfig::new(folder.join("events"), clock.clone(), LogAccess::Append);
    Engine::new(Parts {
        connectors,
        channels: CHANNELS,
        run_store: store.clone(),
        store,
        log: tidegate_state::open_log(log).expect("a log"),
        http: Arc::new(tidegate_transport::http::RealHttp::new().expect("a client")),
        clock,
        project: tidegate_project::parse(yaml, "tidegate.yaml", connectors, CHANNELS).expect("a project"),
        data: folder.clone(),
        folder,
        log_days: 90,
        log_bytes: None,
        log_connection: None,
        runs_at_once: 8,
    })
}
