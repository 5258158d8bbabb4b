//! `mode: mirror`: PostgreSQL is compared with what was sent, and the platforms follow.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use crate::services::Machines;
use crate::support::{Database, Project, Sandbox};

const CUSTOMERS: &str = "
  customers:
    source: { connection: db, table: customers }
    mode: mirror
    removed: delete
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
";

struct Shop {
    database: Database,
    sandbox: Sandbox,
    project: Project,
    yaml: String,
}

impl Shop {
    async fn new(syncs: &str, options: &[&str]) -> Shop {
        Shop::on(&Machines::Restarted, syncs, options).await
    }

    async fn on(machines: &Machines, syncs: &str, options: &[&str]) -> Shop {
        let database = Database::create().await;
        database
            .run(
                "CREATE TABLE customers (id bigint PRIMARY KEY, plan text, note text);
                 INSERT INTO customers SELECT n, 'free', 'x' FROM generate_series(1, 300) n;
                 CREATE VIEW names AS SELECT id + 1000 AS id, plan, 'c' || id || '@example.com' AS email FROM customers",
            )
            .await;
        let sandbox = Sandbox::start(options);
        let connections = sandbox.connections() + &machines.connections();
        let yaml = format!("connections:\n  db: {}\n{connections}syncs:{syncs}", database.connection());
        Shop { database, sandbox, project: machines.machine(&yaml), yaml }
    }

    /// Compares at the source from now on, or here.
    fn compare(&self, place: &str) {
        let state = format!("mode: mirror\n    state: {place}");
        self.project.write("tidegate.yaml", &self.yaml.replace("mode: mirror", &state));
    }

    async fn run(&self, sync: &str) -> Value {
        let runs = self.project.document(&["run", sync]);
        runs["runs"][0].clone()
    }

    /// The plan of each customer of the platform, by id.
    async fn users(&self) -> BTreeMap<i64, String> {
        let user = |user: &Value| {
            let id = user["external_id"].as_str().expect("an id").parse().expect("a number");
            (id, user["attributes"]["plan"].as_str().unwrap_or_default().to_owned())
        };
        self.sandbox.effects("braze/users").await.iter().map(user).collect()
    }

    async fn table(&self) -> BTreeMap<i64, String> {
        let rows = self.database.client.query("SELECT id, plan FROM customers", &[]).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

fn compared(run: &Value) -> [u64; 4] {
    ["added", "changed", "removed", "unchanged"]
        .map(|name| run["compared"][name].as_u64().unwrap_or_else(|| panic!("{name}: {run:#}")))
}

#[tokio::test]
async fn a_table_without_a_cursor_is_mirrored_with_its_deletions() {
    let shop = Shop::new(CUSTOMERS, &[]).await;
    assert_eq!(compared(&shop.run("customers").await), [300, 0, 0, 0]);
    assert_eq!(shop.users().await, shop.table().await);
    shop.database
        .run(
            "INSERT INTO customers VALUES (1000, 'pro', ''); UPDATE customers SET plan = 'pro' WHERE id = 5;
             UPDATE customers SET note = 'not mapped'; DELETE FROM customers WHERE id IN (7, 8, 9)",
        )
        .await;
    let plan = shop.project.document(&["plan", "customers"]);
    assert_eq!(compared(&plan["run"]), [1, 1, 3, 296], "{plan:#}");
    assert_eq!(plan["requests"]["POST /users/delete"]["count"], 1, "{plan:#}");
    assert_eq!(shop.users().await.len(), 300, "nothing was sent");
    let run = shop.run("customers").await;
    assert_eq!(compared(&run), [1, 1, 3, 296]);
    assert_eq!((&run["counts"]["delivered"], &run["counts"]["skipped"]), (&5.into(), &296.into()), "{run:#}");
    assert_eq!(shop.users().await, shop.table().await);
    let run = shop.run("customers").await;
    assert_eq!((compared(&run), &run["counts"]["requests"]), ([0, 0, 0, 298], &0.into()));

    // A key that comes back is a new row, and can be deleted again.
    shop.database.run("INSERT INTO customers VALUES (7, 'pro', '')").await;
    assert_eq!(compared(&shop.run("customers").await), [1, 0, 0, 298]);
    shop.database.run("DELETE FROM customers WHERE id = 7").await;
    assert_eq!(compared(&shop.run("customers").await), [0, 0, 1, 298]);
    assert_eq!(shop.users().await, shop.table().await);
}

#[tokio::test]
async fn an_emptied_table_deletes_no_user_until_a_person_says_so() {
    let shop = Shop::new(CUSTOMERS, &[]).await;
    shop.run("customers").await;
    shop.database.run("CREATE TABLE kept AS SELECT * FROM customers; DELETE FROM customers").await;
    let ended = shop.project.done(&["run", "customers"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = "would delete 300 of 300 rows at the platform, because they are gone from the source, and \
                `limits: { removed: 10% }` allows 0";
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(told.matches(said).count(), 1, "{told}");
    assert!(told.contains("`tidegate run customers --yes`"), "{told}");
    assert_eq!(shop.users().await.len(), 300);
    let plan = shop.project.document(&["plan", "customers"]);
    assert_eq!((&plan["exceeds"]["rows"], &plan["run"]["compared"]["removed"]), (&300.into(), &300.into()));

    // The table is back: the pause ends with the next run, and nothing is sent.
    shop.database.run("INSERT INTO customers SELECT * FROM kept").await;
    assert_eq!(compared(&shop.run("customers").await), [0, 0, 0, 300]);
    shop.database.run("DELETE FROM customers WHERE id > 100").await;
    assert_eq!(shop.project.done(&["run", "customers"]).code, 1);
    let confirmed = shop.project.document(&["run", "customers", "--yes"]);
    assert_eq!(confirmed["runs"][0]["counts"]["delivered"], 200, "{confirmed:#}");
    assert_eq!(shop.users().await, shop.table().await);
}

#[tokio::test]
async fn a_view_and_a_query_need_a_key_and_say_so() {
    let syncs = "
  of_view:
    source: { connection: db, table: names }
    mode: mirror
    destination: { connection: onesignal, object: user }
    mapping: { external_id: id, attributes: [plan, email] }
  of_query:
    source: { connection: db, query: \"SELECT id % 10 AS id, plan FROM customers\" }
    mode: mirror
    primary_key: id
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
";
    let shop = Shop::new(syncs, &[]).await;
    let ended = shop.project.done(&["run", "of_view"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains("`mode: mirror` compares rows by their key, and these have none"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("add `primary_key:`"), "{ended:?}");
    let run = shop.run("of_query").await;
    assert_eq!(
        (&run["counts"]["rejected"], &run["reasons"][0]["code"]),
        (&300.into(), &"duplicate_key".into())
    );

    let yaml = format!(
        "connections:\n  db: {}\n{}syncs:{syncs}",
        shop.database.connection(),
        shop.sandbox.connections()
    );
    shop.project
        .write("tidegate.yaml", &yaml.replace("table: names }\n", "table: names }\n    primary_key: id\n"));
    assert_eq!(compared(&shop.run("of_view").await), [300, 0, 0, 0]);
    shop.database.run("DELETE FROM customers WHERE id = 3").await;
    let run = shop.run("of_view").await;
    assert_eq!((compared(&run), &run["counts"]["delivered"]), ([0, 0, 1, 299], &0.into()), "counted only");
    let duplicate = yaml.replace("    primary_key: id\n", "");
    shop.project.write("tidegate.yaml", &duplicate);
    let told = shop.project.done(&["validate"]).stderr;
    assert!(
        told.contains("`mode: mirror` compares rows by their key, and only a table has one of its own"),
        "{told}"
    );
}

#[tokio::test]
async fn a_mirror_that_is_compared_at_the_source_and_here_again_sends_no_row_twice() {
    let shop = Shop::new(CUSTOMERS, &[]).await;
    assert_eq!(compared(&shop.run("customers").await), [300, 0, 0, 0]);
    shop.compare("source");
    assert_eq!(compared(&shop.project.document(&["plan", "customers"])["run"]), [0, 0, 0, 300]);
    let refused = shop.project.done(&["run", "customers"]);
    assert!(refused.stderr.contains("the schema `tidegate` is not there"), "{refused:?}");
    let check = shop.project.done(&["check", "customers"]);
    assert!(check.code == 1 && check.stdout.contains("CREATE SCHEMA \"tidegate\""), "{check:?}");
    shop.database.run("CREATE SCHEMA tidegate").await;
    let check = shop.project.done(&["check", "customers"]);
    assert!(check.stdout.contains("the schema tidegate can be written"), "{check:?}");

    // The first run reads all rows, the ones after it what differs.
    let first = shop.run("customers").await;
    assert_eq!((compared(&first), &first["counts"]["delivered"]), ([0, 0, 0, 300], &0.into()), "{first:#}");
    let second = shop.run("customers").await;
    assert_eq!((compared(&second), &second["counts"]["read"]), ([0, 0, 0, 300], &0.into()), "{second:#}");
    shop.database
        .run(
            "INSERT INTO customers VALUES (1000, 'pro', ''); UPDATE customers SET plan = 'pro' WHERE id = 5;
             UPDATE customers SET note = 'not mapped'; DELETE FROM customers WHERE id = 7",
        )
        .await;
    let plan = shop.project.document(&["plan", "customers"]);
    assert_eq!(compared(&plan["run"]), [1, 1, 1, 298], "{plan:#}");
    let third = shop.run("customers").await;
    assert_eq!((compared(&third), &third["counts"]["read"]), ([1, 1, 1, 298], &2.into()), "{third:#}");
    assert_eq!(shop.users().await, shop.table().await);
    assert_eq!(compared(&shop.run("customers").await), [0, 0, 0, 300]);

    shop.compare("ours");
    let ours = shop.run("customers").await;
    assert_eq!((compared(&ours), &ours["counts"]["delivered"]), ([0, 0, 0, 300], &0.into()), "{ours:#}");
    // What is sent meanwhile makes the entries at the source void.
    shop.database.run("UPDATE customers SET plan = 'new' WHERE id = 5").await;
    assert_eq!(compared(&shop.run("customers").await), [0, 1, 0, 299]);
    shop.database.run("UPDATE customers SET plan = 'pro' WHERE id = 5").await;
    shop.compare("source");
    assert_eq!(compared(&shop.run("customers").await), [0, 1, 0, 299]);
    assert_eq!(shop.users().await, shop.table().await);
    let full = shop.project.document(&["run", "customers", "--full"]);
    assert_eq!(full["runs"][0]["counts"]["delivered"], 300, "{full:#}");
    assert_eq!(shop.run("customers").await["counts"]["read"], 0);

    // A mapping of more columns, and a reset: the source has nothing to compare with.
    let more = shop.yaml.replace("mode: mirror", "mode: mirror\n    state: source");
    shop.project.write("tidegate.yaml", &more.replace("[plan]", "[plan, note]"));
    assert_eq!(compared(&shop.run("customers").await), [0, 300, 0, 0]);
    assert_eq!(compared(&shop.run("customers").await), [0, 0, 0, 300]);
    shop.project.document(&["reset", "customers", "--yes"]);
    assert_eq!(compared(&shop.run("customers").await), [300, 0, 0, 0]);
}

#[tokio::test]
async fn an_emptied_table_deletes_no_user_when_the_source_compares_either() {
    let shop = Shop::new(CUSTOMERS, &[]).await;
    shop.database.run("CREATE SCHEMA tidegate").await;
    shop.compare("source");
    shop.run("customers").await;
    shop.database.run("CREATE TABLE kept AS SELECT * FROM customers; DELETE FROM customers").await;
    let ended = shop.project.done(&["run", "customers"]);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.code == 1 && told.contains("they are gone from the source"), "{told}");
    shop.database.run("INSERT INTO customers SELECT * FROM kept WHERE id > 5").await;
    let run = shop.run("customers").await;
    assert_eq!(&run["compared"]["removed"], 5, "{run:#}");
    assert_eq!(shop.users().await, shop.table().await);
}

#[tokio::test]
async fn a_view_cannot_be_compared_at_the_source_and_says_why() {
    let names = CUSTOMERS
        .replace("table: customers", "table: names")
        .replace("mode: mirror", "mode: mirror\n    state: source\n    primary_key: id");
    let shop = Shop::new(&names, &[]).await;
    let ended = shop.project.done(&["run", "customers"]);
    let said = "names has no primary key and no unique index without nulls on (id)";
    assert!(ended.stderr.contains(said) && ended.stderr.contains("write `state: ours`"), "{ended:?}");
}

#[tokio::test]
async fn a_mirror_that_reads_hashes_first_sends_the_same_as_one_that_reads_rows() {
    let shop = Shop::new(CUSTOMERS, &[]).await;
    let write = |setting: &str| {
        let mode = format!("mode: mirror\n    {setting}");
        shop.project.write("tidegate.yaml", &shop.yaml.replace("mode: mirror", &mode));
    };
    assert_eq!(compared(&shop.run("customers").await), [300, 0, 0, 0]);
    write("compare: hashes");
    let check = shop.project.done(&["check", "customers"]);
    assert!(check.stdout.contains("rows are found by (id)"), "{check:?}");
    for _ in 0..2 {
        let run = shop.run("customers").await;
        assert_eq!((compared(&run), &run["counts"]["delivered"]), ([0, 0, 0, 300], &0.into()), "{run:#}");
    }
    shop.database
        .run(
            "INSERT INTO customers VALUES (1000, 'pro', ''); UPDATE customers SET plan = 'pro' WHERE id = 5;
             UPDATE customers SET note = 'not mapped'; DELETE FROM customers WHERE id IN (7, 8, 9)",
        )
        .await;
    let plan = shop.project.document(&["plan", "customers"]);
    assert_eq!(compared(&plan["run"]), [1, 1, 3, 296], "{plan:#}");
    let run = shop.run("customers").await;
    assert_eq!((compared(&run), &run["counts"]["delivered"]), ([1, 1, 3, 296], &5.into()), "{run:#}");
    assert_eq!(shop.users().await, shop.table().await);
    // Hashes of the source count only as far as the ledger knows the rows.
    write("compare: rows");
    shop.database.run("UPDATE customers SET plan = 'new' WHERE id = 5").await;
    assert_eq!(compared(&shop.run("customers").await), [0, 1, 0, 297]);
    shop.database.run("UPDATE customers SET plan = 'pro' WHERE id = 5").await;
    write("compare: hashes");
    assert_eq!(compared(&shop.run("customers").await), [0, 1, 0, 297]);
    assert_eq!(shop.users().await, shop.table().await);
}

#[tokio::test]
async fn wide_rows_of_which_few_change_are_found_by_their_hashes_without_a_setting() {
    let shop = Shop::new(&CUSTOMERS.replace("[plan]", "[plan, note]"), &["--no-limits"]).await;
    shop.database
        .run(
            "INSERT INTO customers SELECT n, 'free', 'x' FROM generate_series(301, 1200) n;
             UPDATE customers SET note = repeat('n', 255), plan = repeat('p', 255)",
        )
        .await;
    let memo = || shop.project.path().join(".tidegate/compared/customers").is_dir();
    assert_eq!(compared(&shop.run("customers").await), [1200, 0, 0, 0]);
    assert_eq!(
        (compared(&shop.run("customers").await), memo()),
        ([0, 0, 0, 1200], false),
        "all rows were new before"
    );
    assert_eq!(
        (compared(&shop.run("customers").await), memo()),
        ([0, 0, 0, 1200], true),
        "no row was before"
    );
    shop.database
        .run("UPDATE customers SET note = 'narrow' WHERE id = 5; DELETE FROM customers WHERE id = 7")
        .await;
    let run = shop.run("customers").await;
    assert_eq!((compared(&run), &run["counts"]["delivered"]), ([0, 1, 1, 1198], &2.into()), "{run:#}");
    shop.database.run("UPDATE customers SET note = 'changed ' || id").await;
    assert_eq!(compared(&shop.run("customers").await), [0, 1199, 0, 0]);
    assert_eq!(compared(&shop.run("customers").await), [0, 0, 0, 1199]);
}

#[tokio::test]
async fn only_attributes_that_changed_are_sent_and_billed_until_the_user_is_erased() {
    let syncs = CUSTOMERS
        .replace("mode: mirror", "mode: mirror\n    changed: attributes")
        .replace("[plan]", "[plan, note]");
    let shop = Shop::new(&syncs, &[]).await;
    let first = shop.project.document(&["plan", "customers"]);
    assert_eq!(first["billed"], serde_json::json!({ "unit": "data point", "units": 600 }), "{first:#}");
    shop.run("customers").await;
    let change = async |note: &str| {
        shop.database.run(&format!("UPDATE customers SET note = '{note}' WHERE id = 5")).await;
        let plan = shop.project.document(&["plan", "customers", "--requests", "1"]);
        let body: Value =
            serde_json::from_str(plan["first"][0]["body"].as_str().expect("a body")).expect("JSON");
        (body["attributes"][0].clone(), plan["billed"]["units"].clone())
    };
    let (sent, units) = change("y").await;
    assert_eq!((sent, units), (serde_json::json!({ "external_id": "5", "note": "y" }), 1.into()));
    let text = shop.project.done(&["plan", "customers"]);
    assert!(text.stdout.contains("  1 data point, if the contract bills them"), "{text:?}");
    assert_eq!(shop.run("customers").await["counts"]["delivered"], 1);
    let users = shop.sandbox.effects("braze/users").await;
    let user = users.iter().find(|user| user["external_id"] == "5").expect("there");
    assert_eq!((&user["attributes"]["plan"], &user["attributes"]["note"]), (&"free".into(), &"y".into()));

    let erased = shop.project.document(&["users", "erase", "5"]);
    assert_eq!(erased["sent_users"], 1, "{erased:#}");
    let (sent, units) = change("z").await;
    let whole = serde_json::json!({ "external_id": "5", "plan": "free", "note": "z" });
    assert_eq!((sent, units), (whole, 2.into()), "what was sent before is not known");
}

#[tokio::test]
async fn a_run_that_is_killed_is_continued_and_the_platform_ends_as_the_table_is() {
    let customers = CUSTOMERS.replace("removed: delete", "removed: delete\n    limits: { removed: 100% }");
    killed_again_and_again(&Machines::Restarted, &customers).await;
}

#[tokio::test]
async fn a_run_that_is_killed_is_continued_by_another_machine_and_the_platform_ends_as_the_table_is() {
    let customers = CUSTOMERS.replace("removed: delete", "removed: delete\n    limits: { removed: 100% }");
    let machines = Machines::replaced().await;
    killed_again_and_again(&machines, &customers).await;
    let Machines::Replaced(services) = &machines else { unreachable!("machines that are replaced") };
    let files = services.bucket.keys().await;
    assert!(
        files.iter().any(|file| file.contains("/recency/")),
        "no hashes of rows in the bucket: {files:?}"
    );
}

#[tokio::test]
async fn a_run_that_compares_at_the_source_and_is_killed_is_continued_too() {
    let customers = CUSTOMERS
        .replace("removed: delete", "removed: delete\n    state: source\n    limits: { removed: 100% }");
    killed_again_and_again(&Machines::Restarted, &customers).await;
}

async fn killed_again_and_again(machines: &Machines, customers: &str) {
    let faults = ["--no-limits", "--faults", r#"{"latency_ms": 40}"#];
    let mut shop = Shop::on(machines, customers, &faults).await;
    shop.database.run("CREATE SCHEMA tidegate").await;
    shop.run("customers").await;
    for round in 0..6 {
        shop.database
            .run(&format!(
                "UPDATE customers SET plan = 'plan {round}' WHERE id % 2 = {round} % 2;
                 DELETE FROM customers WHERE id % 17 = {round};
                 INSERT INTO customers SELECT n, 'new {round}', '' FROM generate_series(1, 300) n
                 WHERE n % 17 = {round} - 2 ON CONFLICT DO NOTHING"
            ))
            .await;
        let mut process = shop
            .project
            .tidegate(&["run", "customers"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tidegate starts");
        crate::support::pause(std::time::Duration::from_millis(150 + 90 * round)).await;
        process.kill().expect("killed");
        process.wait().expect("ended");
        machines.replace(&mut shop.project);
    }
    crate::support::pause(std::time::Duration::from_millis(500)).await;
    let run = shop.run("customers").await;
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    assert_eq!(shop.users().await, shop.table().await);
    let run = shop.run("customers").await;
    assert_eq!(
        (compared(&run), &run["counts"]["requests"]),
        ([0, 0, 0, shop.table().await.len() as u64], &0.into())
    );
}

#[tokio::test]
async fn what_is_kept_of_a_user_is_erased_and_attributes_of_gone_rows_become_null() {
    let customers = CUSTOMERS.replace("delete", "update");
    let shop = Shop::new(&customers, &[]).await;
    shop.run("customers").await;
    let erased = shop.project.document(&["users", "erase", "5"]);
    assert_eq!(erased["kept_users"], 1, "{erased:#}");
    shop.database.run("DELETE FROM customers WHERE id IN (4, 5)").await;
    let run = shop.run("customers").await;
    assert_eq!((&run["counts"]["delivered"], &run["counts"]["rejected"]), (&1.into(), &1.into()), "{run:#}");
    assert_eq!(run["reasons"][0]["code"], "identifier_not_kept", "{run:#}");
    let users = shop.users().await;
    assert_eq!((&*users[&3], &*users[&4], &*users[&5]), ("free", "", "free"));

    // Nothing can be done about the erased one: it is listed until it is dismissed, and is not found again.
    let nothing = [0, 0, 0, shop.table().await.len() as u64];
    let run = shop.run("customers").await;
    assert_eq!((compared(&run), &run["ending"]), (nothing, &"succeeded".into()), "{run:#}");
    let dismiss = ["dismiss", "customers", "--reason", "identifier_not_kept", "--note", "deleted at Braze"];
    assert_eq!(shop.project.document(&dismiss)["dismissed"], 1);
    let run = shop.run("customers").await;
    assert_eq!((compared(&run), &run["counts"]["rejected"]), (nothing, &0.into()), "{run:#}");
    let open = shop.project.document(&["rows", "--open"]);
    assert_eq!(open["rows"].as_array().map(Vec::len), Some(0), "{open:#}");
}
