//! Machines that share PostgreSQL, Kafka and a bucket: one that is gone with its disk is missed by no sync.

mod cut_off;
mod networks;
mod taken_over;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::time::Duration;

use crate::outside::Bucket;
use crate::serve::SHOP;
use crate::support::{Database, Project, Sandbox, pause, same, variable};
use crate::topics::unique;

const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// How often a machine is killed and replaced.
const KILLS: u64 = 8;

/// What outlives every machine.
struct Shared {
    source: Database,
    state: Database,
    bucket: Bucket,
    log: String,
    sandbox: Sandbox,
    lake: tempfile::TempDir,
    syncs: String,
}

impl Shared {
    async fn new(syncs: &str) -> Shared {
        Shared {
            source: Database::create().await,
            state: Database::create().await,
            bucket: Bucket::new("state").await,
            log: format!("kafka://stream/{}.?partitions=2&replicas=1", unique("log")),
            sandbox: Sandbox::start(&["--no-limits"]),
            lake: tempfile::tempdir().expect("a folder"),
            syncs: syncs.to_owned(),
        }
    }

    /// A machine with an empty disk.
    fn machine(&self) -> Project {
        self.machine_by(&Access {
            postgres: ("127.0.0.1".to_owned(), self.source.port()),
            kafka: variable("TIDEGATE_TEST_KAFKA"),
            store: variable("TIDEGATE_TEST_MOTO"),
            platform: self.sandbox.url.clone(),
        })
    }

    /// A machine with an empty disk that reaches everything by these addresses.
    fn machine_by(&self, access: &Access) -> Project {
        let (host, port) = &access.postgres;
        let direct = format!("host: 127.0.0.1, port: {}", self.source.port());
        let yaml = format!(
            "connections:\n{SHOP}  stream: {{ type: kafka, brokers: \"{}\", security: plaintext }}\n  lake: {{ type: delta, path: {} }}\n  \
             db: {}\n{}syncs:\n{}",
            access.kafka,
            self.lake.path().display(),
            self.source.connection().replace(&direct, &format!("host: {host}, port: {port}")),
            self.sandbox.connections().replace(&self.sandbox.url, &access.platform),
            self.syncs,
        );
        let mut project = Project::new(&yaml);
        let direct = format!("@127.0.0.1:{}/", self.state.port());
        let state = self.state.url().replace(&direct, &format!("@{host}:{port}/"));
        project.set("TIDEGATE_STORE", format!("{state}?sslmode=require"));
        project.set("TIDEGATE_LOG", &self.log);
        project.set("TIDEGATE_MASTER_KEY", MASTER_KEY);
        project.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        project.set("AWS_SECRET_ACCESS_KEY", "not-so-secret");
        let store = access.store.replace(':', "%3A").replace('/', "%2F");
        let address = format!("s3://{}/tidegate?region=us-east-1&endpoint={store}", self.bucket.name());
        project.set("TIDEGATE_BUCKET", address);
        project
    }
}

/// Where a machine reaches what it shares with others.
struct Access {
    /// The host and the port.
    postgres: (String, u16),
    /// The brokers.
    kafka: String,
    /// The address of the object store.
    store: String,
    /// The address of the platform.
    platform: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_machines_that_are_killed_and_replaced_lose_no_row_double_none_and_list_each() {
    let shared = Shared::new(
        "  people: { source: { connection: db, table: people }, mode: full, \
         destination: { connection: onesignal, object: user }, mapping: { external_id: who, attributes: [email] } }
  events: { source: { connection: db, table: rows }, cursor: at, destination: { connection: onesignal, object: event }, \
         mapping: { external_id: who, name: { value: e }, properties: [id] } }\n",
    )
    .await;
    shared
        .source
        .run(
            "CREATE TABLE people AS SELECT 'u' || n AS who, 'u' || n || '@example.com' AS email FROM generate_series(0, 9) n;
             CREATE TABLE rows (id bigserial PRIMARY KEY, who text NOT NULL, at timestamptz NOT NULL)",
        )
        .await;
    let write = async || {
        shared
            .source
            .run("INSERT INTO rows (who, at) SELECT 'u' || n % 10, clock_timestamp() FROM generate_series(1, 400) n")
            .await;
    };
    let first = shared.machine();
    assert_eq!(first.done(&["run", "people"]).code, 0);
    shared.sandbox.put_faults(r#"{"latency_ms": 400}"#).await;
    let mut died = 0;
    for kill in 0..KILLS {
        write().await;
        let machine = shared.machine();
        let mut process = machine.tidegate(&["run", "events"]);
        let mut process = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        pause(Duration::from_millis(300 + RandomState::new().hash_one(kill) % 900)).await;
        died += u64::from(process.try_wait().expect("a state").is_none());
        process.kill().expect("killed");
        process.wait().expect("ended");
    }
    assert!(died > 1, "{died} of {KILLS} were killed while they ran");
    write().await;
    assert!(!shared.bucket.keys().await.is_empty(), "files of machines that are gone");
    let last = shared.machine();
    let ended = last.done(&["run", "events"]);
    assert!(matches!(ended.code, 0 | 3), "{ended:?}");

    let expected: BTreeMap<String, u32> = (1..=(KILLS + 1) * 400).map(|id| (id.to_string(), 1)).collect();
    same("OneSignal", &expected, &shared.sandbox.times("onesignal/events", "/properties/id").await);
    let delivered = last.rows(&["--sync", "events", "--delivered"]);
    assert_eq!(delivered.len(), expected.len(), "each is listed once, whichever machine sent it");
}
