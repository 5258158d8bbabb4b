//! State that was put back from an older copy does not send again what was sent since, unless a person says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Database, Project, Sandbox, once, same};

const SYNCS: &str = "  orders: { source: { connection: db, table: orders }, cursor: ordered_at, lookback: 1s, \
     destination: { connection: braze, object: event }, mapping: { external_id: customer, name: { value: ordered }, \
     timestamp: ordered_at, properties: [id] } }
  refunds: { source: { connection: db, table: refunds }, cursor: at, destination: { connection: braze, object: event }, \
     mapping: { external_id: customer, name: { value: refunded }, timestamp: at, properties: [refund] } }
  people: { source: { connection: db, table: people }, mode: full, destination: { connection: braze, object: user }, \
     mapping: { external_id: who, attributes: [plan] } }\n";

/// Orders of a shop, and what a platform has of them.
struct Shop {
    database: Database,
    sandbox: Sandbox,
    project: Project,
    /// How many orders there are.
    orders: u32,
}

impl Shop {
    async fn new() -> Shop {
        let (database, sandbox) = (Database::create().await, Sandbox::start(&["--no-limits"]));
        database
            .run(
                "CREATE TABLE orders (id bigint, ordered_at timestamptz NOT NULL, customer text NOT NULL);
                 CREATE TABLE refunds (refund bigint, at timestamptz NOT NULL, customer text NOT NULL);
                 INSERT INTO refunds VALUES (1, '2026-03-01Z', 'u1');
                 CREATE TABLE people (who text, plan text);
                 INSERT INTO people VALUES ('u1', 'free'), ('u2', 'paid')",
            )
            .await;
        let yaml = format!(
            "connections:\n  db: {}\n{}syncs:\n{SYNCS}",
            database.connection(),
            sandbox.connections()
        );
        Shop { database, sandbox, project: Project::new(&yaml), orders: 0 }
    }

    /// Takes this many orders more, each a minute after the one before.
    async fn order(&mut self, more: u32) {
        let (first, last) = (self.orders + 1, self.orders + more);
        self.database
            .run(&format!(
                "INSERT INTO orders SELECT id, '2026-03-01Z'::timestamptz + id * interval '1 minute', 'u' || id % 9
                     FROM generate_series({first}, {last}) AS id"
            ))
            .await;
        self.orders = last;
    }

    /// Asserts that the sync of orders stops, says why and how to continue, and that each order arrived once.
    async fn stops(&self, machine: &Project) {
        let refused = machine.done(&["run", "orders"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        for said in [
            "put back from an older copy, whose newest run is of 20",
            "could count twice",
            "tidegate plan orders",
        ] {
            assert!(refused.stderr.contains(said), "{said}: {refused:?}");
        }
        let retried = machine.done(&["retry", "orders"]);
        assert!(retried.code == 1 && retried.stderr.contains("an older copy"), "{retried:?}");
        self.each_order_once("after the copy was put back").await;
    }

    async fn each_order_once(&self, when: &str) {
        let mut found: BTreeMap<String, u32> = BTreeMap::new();
        for event in self.sandbox.effects("braze/events").await {
            if event["name"] == "ordered" {
                *found.entry(event["properties"]["id"].to_string()).or_default() += 1;
            }
        }
        same(when, &once(self.orders), &found);
    }
}

/// The tables of a state on PostgreSQL, and a program of the server.
struct Tables<'a> {
    state: &'a Database,
    dump: PathBuf,
}

impl Tables<'_> {
    fn program(&self, name: &str, database: &str, more: &[&str]) {
        let bin = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
        let newest = bin.map(|version| version.path().join("bin").join(name)).max().expect("a version");
        let mut command = Command::new(newest);
        command.env("PGPASSWORD", self.state.password()).args(["--host", "127.0.0.1", "--port"]);
        command.arg(self.state.port().to_string()).args([
            "--username",
            &self.state.user(),
            "--dbname",
            database,
        ]);
        let ended = command.args(more).output().expect("it starts");
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn dump(&self) {
        let file = format!("--file={}", self.dump.display());
        self.program("pg_dump", &self.state.name, &["--format=custom", &file]);
    }

    fn put_back(&self, database: &str) {
        let dump = self.dump.to_str().expect("text");
        self.program("pg_restore", database, &["--clean", "--if-exists", "--no-owner", dump]);
    }
}

fn on(state: &Database, project: &mut Project) {
    project.set("TIDEGATE_STORE", format!("{}?sslmode=require", state.url()));
    project.set("TIDEGATE_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_dump_of_the_tables_that_is_put_back_sends_no_event_twice_and_users_continue() {
    let mut shop = Shop::new().await;
    let (state, room) = (Database::create().await, tempfile::tempdir().expect("a folder"));
    let tables = Tables { state: &state, dump: room.path().join("state.dump") };
    on(&state, &mut shop.project);
    shop.order(100).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 100)]);
    shop.project.run_to("people", "succeeded", &[("delivered", 2)]);
    tables.dump();
    shop.order(50).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 50)]);
    // One that ran for the first time after the dump: the tables do not know of it.
    shop.project.run_to("refunds", "succeeded", &[("delivered", 1)]);

    tables.put_back(&state.name);

    shop.stops(&shop.project).await;
    let late = shop.project.done(&["run", "refunds"]);
    assert!(late.code == 1 && late.stderr.contains("an older copy"), "{late:?}");
    shop.project.run_to("people", "succeeded", &[("delivered", 2)]);
    let all = shop.project.done(&["run", "--all"]);
    assert!(all.code == 0 && all.stderr.contains("orders: skipped, Tidegate paused it"), "{all:?}");
    let status = shop.project.done(&["status", "orders"]);
    assert!(status.stderr.contains("orders is paused by Tidegate: its state was put back"), "{status:?}");
    let plan = shop.project.json(&["plan", "orders"]);
    assert_eq!(plan["rows"]["added"], 50, "{plan:#}");
    // A person finds that the platform lacks them.
    assert_eq!(shop.project.done(&["resume", "orders"]).code, 0);
    shop.project.run_to("orders", "succeeded", &[("delivered", 50)]);
    shop.order(5).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_dump_that_is_put_into_another_database_is_recognized_by_a_machine_with_an_empty_disk() {
    let mut shop = Shop::new().await;
    let (state, other) = (Database::create().await, Database::create().await);
    let room = tempfile::tempdir().expect("a folder");
    let tables = Tables { state: &state, dump: room.path().join("state.dump") };
    on(&state, &mut shop.project);
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
    tables.dump();
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
    tables.put_back(&other.name);

    let yaml = fs::read_to_string(shop.project.path().join("tidegate.yaml")).expect("read");
    let mut machine = Project::new(&yaml);
    on(&other, &mut machine);

    shop.stops(&machine).await;
    // The tables that were not put back are still those of now.
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
    shop.each_order_once("from the first database").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_the_data_folder_that_are_restored_together_pause_what_could_count_twice() {
    let mut shop = Shop::new().await;
    let (state, room) = (Database::create().await, tempfile::tempdir().expect("a folder"));
    let tables = Tables { state: &state, dump: room.path().join("state.dump") };
    let backup = room.path().join("backup");
    on(&state, &mut shop.project);
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
    tables.dump();
    assert_eq!(shop.project.done(&["backup", backup.to_str().expect("text")]).code, 0);
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);

    // The tables are those of now: nothing is paused.
    let restored = shop.project.document(&["restore", backup.to_str().expect("text"), "--replace"]);
    assert_eq!(restored["syncs"], serde_json::json!([]), "{restored:#}");
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);

    tables.put_back(&state.name);
    let restored = shop.project.document(&["restore", backup.to_str().expect("text"), "--replace"]);
    let orders = restored["syncs"].as_array().expect("a list").iter().find(|sync| sync["sync"] == "orders");
    assert_eq!(orders.expect("orders")["paused"], true, "{restored:#}");
    shop.stops(&shop.project).await;
}

/// The files of the SQLite database.
fn files(data: &Path) -> Vec<PathBuf> {
    let names = ["tidegate.db", "tidegate.db-wal", "tidegate.db-shm"];
    names.iter().map(|name| data.join(name)).filter(|file| file.exists()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_tidegate_db_that_is_put_back_by_hand_sends_no_event_twice() {
    let mut shop = Shop::new().await;
    let data = shop.project.path().join(".tidegate");
    shop.order(40).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 40)]);
    let copies: Vec<_> =
        files(&data).into_iter().map(|file| (fs::read(&file).expect("read"), file)).collect();
    // Put back at once, it is the state of now.
    let put_back = || {
        files(&data).iter().for_each(|file| fs::remove_file(file).expect("removed"));
        copies.iter().for_each(|(bytes, file)| fs::write(file, bytes).expect("written"));
    };
    put_back();
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);

    put_back();

    shop.stops(&shop.project).await;
    assert_eq!(shop.project.done(&["resume", "orders"]).code, 0);
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_older_by_a_copy_of_the_server_is_recognized_by_the_folder_beside_it() {
    let mut shop = Shop::new().await;
    let room = tempfile::tempdir().expect("a folder");
    let backup = room.path().join("backup");
    let backup = backup.to_str().expect("text");
    // Copied by the server itself, with the transactions of its rows, as a snapshot of its disk is.
    let name = format!("{}_state", shop.database.name);
    let url = shop.database.url().replace(&shop.database.name, &name);
    shop.database.run(&format!("CREATE DATABASE {name}")).await;
    shop.project.set("TIDEGATE_STORE", format!("{url}?sslmode=require"));
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);
    shop.database.run(&format!("CREATE DATABASE {name}_copy TEMPLATE {name}")).await;
    assert_eq!(shop.project.done(&["backup", backup]).code, 0);
    shop.order(10).await;
    shop.project.run_to("orders", "succeeded", &[("delivered", 10)]);

    shop.database.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    shop.database.run(&format!("ALTER DATABASE {name}_copy RENAME TO {name}")).await;

    // Also if the folder is restored meanwhile: what it has seen is not forgotten.
    let restored = shop.project.document(&["restore", backup, "--replace"]);
    let orders = restored["syncs"].as_array().expect("a list").iter().find(|sync| sync["sync"] == "orders");
    assert_eq!(orders.expect("orders")["paused"], true, "{restored:#}");
    shop.stops(&shop.project).await;
    shop.database.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
}
