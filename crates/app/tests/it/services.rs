//! What machines share: PostgreSQL, a bucket and Kafka. A machine that is gone with its disk takes nothing along.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tidegate::registry::CONNECTORS;
use tidegate_engine::service::Engine;
use tidegate_model::{Clock, ConnectorContext, Secret, SystemClock};
use tidegate_state::{BucketConfig, CACHE_BYTES, MasterKeys, StateConfig, StoreLocation};
use tidegate_transport::http::RealHttp;
use tidegate_transport::storage::{LakeSettings, StorageBucket};

use crate::outside::{Bucket, unique};
use crate::support::{Database, Project, engine_on, state_in, variable};

const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The state database, the bucket of its files, and the topics of the event log.
pub(crate) struct Services {
    pub(crate) state: Database,
    pub(crate) bucket: Bucket,
    log: String,
}

impl Services {
    /// New ones, with nothing in them.
    pub(crate) async fn new() -> Services {
        Services {
            state: Database::create().await,
            bucket: Bucket::new("state").await,
            log: format!("kafka://log/{}.?partitions=2&replicas=1", unique("log")),
        }
    }

    /// The connection that the event log needs, as a project writes it.
    pub(crate) fn connection(brokers: &str) -> String {
        format!("  log: {{ type: kafka, brokers: \"{brokers}\", security: plaintext }}\n")
    }

    /// Lets a machine use them, at the addresses that the test has.
    pub(crate) fn share_with(&self, machine: &mut Project) {
        let postgres = ("127.0.0.1", self.state.port());
        self.share_by(machine, postgres, &variable("TIDEGATE_TEST_MOTO"));
    }

    /// The same, with the database and the object store at these addresses.
    pub(crate) fn share_by(&self, machine: &mut Project, (host, port): (&str, u16), store: &str) {
        let direct = format!("@127.0.0.1:{}/", self.state.port());
        let state = self.state.url().replace(&direct, &format!("@{host}:{port}/"));
        machine.set("TIDEGATE_STORE", format!("{state}?sslmode=require"));
        machine.set("TIDEGATE_LOG", &self.log);
        machine.set("TIDEGATE_MASTER_KEY", MASTER_KEY);
        machine.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        machine.set("AWS_SECRET_ACCESS_KEY", "not-so-secret");
        let store = store.replace(':', "%3A").replace('/', "%2F");
        let address = format!("{}?region=us-east-1&endpoint={store}", self.folder());
        machine.set("TIDEGATE_BUCKET", address);
    }

    /// The folder of the state in the bucket.
    fn folder(&self) -> String {
        format!("s3://{}/tidegate", self.bucket.name())
    }

    /// An engine inside the test, on a machine that shares them and has this folder and this clock. It moves no events.
    pub(crate) async fn engine(&self, yaml: &str, folder: &Path, clock: Arc<dyn Clock>) -> Engine {
        let settings = json!({
            "path": self.folder(), "region": "us-east-1", "endpoint": variable("TIDEGATE_TEST_MOTO"),
            "access_key_id": "AKIDEXAMPLE", "secret_access_key": "not-so-secret",
        });
        let settings: LakeSettings = serde_json::from_value(settings).expect("settings");
        let context = ConnectorContext {
            http: Arc::new(RealHttp::new().expect("a client")),
            clock: Arc::new(SystemClock),
            project: folder.to_owned(),
            data: folder.to_owned(),
            dry_run: false,
        };
        let bucket = StorageBucket::open(&settings, &context).expect("a bucket");
        let state = StateConfig {
            store: StoreLocation::Postgres {
                url: Secret::new(format!("{}?sslmode=require", self.state.url())),
            },
            master_keys: MasterKeys { current: Some(Secret::new(MASTER_KEY)), ..MasterKeys::default() },
            bucket: Some(BucketConfig { bucket: Arc::new(bucket), cache_bytes: CACHE_BYTES }),
            ..state_in(folder, clock)
        };
        engine_on(CONNECTORS, state, yaml).await
    }
}

/// The machines that a suite kills.
pub(crate) enum Machines {
    /// One with a data folder, which starts again.
    Restarted,
    /// One after the other, each with an empty disk.
    Replaced(Box<Services>),
}

impl Machines {
    /// Machines that are replaced.
    pub(crate) async fn replaced() -> Machines {
        Machines::Replaced(Box::new(Services::new().await))
    }

    /// How often one is killed: the first number if it is restarted, the second one if it is replaced.
    /// `TIDEGATE_TEST_KILLS` and `TIDEGATE_TEST_REPLACED` set others.
    pub(crate) fn kills(&self, restarted: u64, replaced: u64) -> u64 {
        let (name, usual) = match self {
            Machines::Restarted => ("TIDEGATE_TEST_KILLS", restarted),
            Machines::Replaced(_) => ("TIDEGATE_TEST_REPLACED", replaced),
        };
        std::env::var(name).map_or(usual, |kills| kills.parse().expect("a number"))
    }

    /// The connections that a project needs besides its own.
    pub(crate) fn connections(&self) -> String {
        match self {
            Machines::Restarted => String::new(),
            Machines::Replaced(_) => Services::connection(&variable("TIDEGATE_TEST_KAFKA")),
        }
    }

    /// A machine with an empty disk.
    pub(crate) fn machine(&self, yaml: &str) -> Project {
        let mut machine = Project::new(yaml);
        if let Machines::Replaced(services) = self {
            services.share_with(&mut machine);
        }
        machine
    }

    /// After a kill: the same machine, or another one with the same project and an empty disk.
    pub(crate) fn replace(&self, machine: &mut Project) {
        if let Machines::Replaced(_) = self {
            let yaml = std::fs::read_to_string(machine.path().join("tidegate.yaml")).expect("a project");
            *machine = self.machine(&yaml);
        }
    }
}
