//! Machines that share PostgreSQL, Kafka and a bucket: one that is gone with its disk is missed by no sync.
//!
//! Machines that are killed and replaced again and again are in the suites of crashes: `crash`, `crash_out`,
//! `crash_kafka`, `crash_warehouses`, `crash_opensearch` and `mirror`.

mod cut_off;
mod networks;
mod taken_over;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use tidegate_model::{Cause, Clock as _, Progress, Run, SyncId, SystemClock};
use tidegate_testkit::ManualClock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::outside::table_ids;
use crate::serve::{SHOP, TOKEN};
use crate::services::Services;
use crate::support::{Database, Project, Sandbox, pause, variable};

/// Events of a request.
const EVENTS: u32 = 20;
/// A moment before a run of a month ago.
const BEFORE_A_MONTH: &str = "clock_timestamp() - interval '31 days'";

/// What outlives every machine.
struct Shared {
    source: Database,
    services: Services,
    sandbox: Sandbox,
    lake: tempfile::TempDir,
    syncs: String,
}

impl Shared {
    async fn new(syncs: &str) -> Shared {
        Shared {
            source: Database::create().await,
            services: Services::new().await,
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
            "connections:\n{SHOP}{}  lake: {{ type: delta, path: {} }}\n  db: {}\n{}syncs:\n{}",
            Services::connection(&access.kafka),
            self.lake.path().display(),
            self.source.connection().replace(&direct, &format!("host: {host}, port: {port}")),
            self.sandbox.connections().replace(&self.sandbox.url, &access.platform),
            self.syncs,
        );
        let mut project = Project::new(&yaml);
        self.services.share_by(&mut project, (host, *port), &access.store);
        project
    }

    /// Orders of ten users, which have these numbers.
    async fn order(&self, numbers: RangeInclusive<u32>) {
        self.order_at("clock_timestamp()", numbers).await;
    }

    /// Orders of this moment.
    async fn order_at(&self, moment: &str, numbers: RangeInclusive<u32>) {
        let (first, last) = (numbers.start(), numbers.end());
        self.source
            .run(&format!(
                "INSERT INTO orders SELECT n, 'u' || n % 10, {moment} FROM generate_series({first}, {last}) n"
            ))
            .await;
    }

    /// Runs the sync `orders` on a machine of a month ago, which is gone afterwards.
    async fn run_a_month_ago(&self) -> Run {
        let machine = self.machine();
        let yaml = std::fs::read_to_string(machine.path().join("tidegate.yaml")).expect("a project");
        let clock = ManualClock::at(SystemClock.now() - SignedDuration::from_hours(30 * 24));
        let engine = self.services.engine(&yaml, machine.path(), Arc::new(clock)).await;
        let (progress, _) = watch::channel(Progress::default());
        let sync = SyncId::new("orders");
        let run = engine.run(&sync, Cause::Manual, CancellationToken::new(), progress).await;
        run.expect("a run")
    }

    /// The events in the table, and how often each is there.
    fn exported(&self) -> BTreeMap<String, u32> {
        table_ids("delta", &self.lake.path().join("shop_events/seen"))
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

/// The events of a request.
fn batch(number: u32) -> String {
    let event =
        |at: u32| json!({ "id": format!("e{at}"), "kind": "seen", "user_id": format!("u{}", at % 10) });
    (number * EVENTS..(number + 1) * EVENTS).map(|at| event(at).to_string() + "\n").collect()
}

/// Sends this many batches of events, or until one is not acknowledged: it is the first one of the next call. Returns
/// what the machine answered to it, or nothing if there was no answer or all were acknowledged.
async fn send_events(url: &str, acknowledged: &AtomicU32, most: u32) -> Option<String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    for _ in 0..most {
        let number = acknowledged.load(Ordering::Relaxed);
        let request = client.post(format!("{url}/in/events/shop")).bearer_auth(TOKEN).body(batch(number));
        let answer = request.send().await.ok()?;
        if !answer.status().is_success() {
            return Some(format!("{}: {:?}", answer.status(), answer.text().await));
        }
        acknowledged.store(number + 1, Ordering::Relaxed);
        // Few enough for one page of a user's timeline.
        pause(Duration::from_millis(60)).await;
    }
    None
}
