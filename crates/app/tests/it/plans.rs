//! Plans that are run as they stand, runs of all rows, backfills and resets.

use serde_json::{Value, json};

use crate::support::{Database, Project, Sandbox};

const SYNCS: &str = "
  customers:
    source: { connection: db, table: customers }
    mode: mirror
    removed: delete
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
  changes:
    source: { connection: db, table: customers }
    cursor: changed_at
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
  orders:
    source: { connection: db, table: customers }
    cursor: changed_at
    destination: { connection: braze, object: event }
    mapping: { external_id: id, name: { value: ordered } }
";

struct Shop {
    database: Database,
    sandbox: Sandbox,
    project: Project,
    yaml: String,
}

impl Shop {
    async fn new() -> Shop {
        let database = Database::create().await;
        database
            .run(
                "CREATE TABLE customers (id bigint PRIMARY KEY, plan text, city text, changed_at timestamptz);
                 INSERT INTO customers SELECT n, 'free', 'Porto', timestamptz '2026-01-01' + n * interval '1 hour'
                 FROM generate_series(1, 100) n",
            )
            .await;
        let sandbox = Sandbox::start(&[]);
        let connections = sandbox.connections();
        let yaml = format!("connections:\n  db: {}\n{connections}syncs:{SYNCS}", database.connection());
        Shop { database, sandbox, project: Project::new(&yaml), yaml }
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let runs = self.project.document(&[&["run"], arguments].concat());
        runs["runs"][0].clone()
    }

    fn plan(&self, sync: &str) -> (String, Value) {
        let plan = self.project.document(&["plan", sync]);
        (plan["id"].as_str().unwrap_or_default().to_owned(), plan)
    }
}

#[tokio::test]
async fn a_plan_counts_rows_beside_one_that_would_be_rejected_and_is_refused_when_they_change() {
    let shop = Shop::new().await;
    shop.database.run("UPDATE customers SET plan = repeat('x', 300) WHERE id = 7").await;
    let (id, plan) = shop.plan("customers");
    assert_eq!((&plan["run"]["counts"]["delivered"], &plan["rows"]["added"]), (&99.into(), &100.into()));
    assert!(id.ends_with("-99-0-0"), "{id}");
    shop.database.run("UPDATE customers SET plan = 'pro' WHERE id = 5").await;
    let refused = shop.project.done(&["run", "customers", "--plan", &id]);
    assert!(refused.stderr.contains("and now it would send as many, but others"), "{refused:?}");
    assert_eq!(shop.sandbox.stats("braze").await["users"], 0);
}

#[tokio::test]
async fn a_plan_is_run_as_it_stands_and_refused_when_the_source_has_moved() {
    let shop = Shop::new().await;
    let (id, plan) = shop.plan("customers");
    assert_eq!(plan["rows"], json!({ "added": 100, "changed": 0, "removed": 0, "unchanged": 0 }), "{plan:#}");
    assert_eq!(plan["pace"]["takes_seconds"], 0, "{plan:#}");
    assert_eq!(shop.plan("customers").0, id, "nothing has changed");
    let text = shop.project.done(&["plan", "customers"]);
    assert!(text.stderr.contains(&format!("`tidegate run customers --plan {id}` sends this")), "{text:?}");
    assert!(text.stdout.contains("less than a minute at the documented limit of"), "{text:?}");

    shop.database
        .run("UPDATE customers SET plan = 'pro' WHERE id = 5; DELETE FROM customers WHERE id = 6")
        .await;
    let refused = shop.project.done(&["run", "customers", "--plan", &id]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let said = "would send 100 added, 0 changed and 0 removed rows, and now it would send 99 added, 0 changed and 0 \
                removed rows: nothing was sent";
    assert!(refused.stderr.contains(said), "{refused:?}");
    assert_eq!(shop.sandbox.stats("braze").await["users"], 0);

    let (id, _) = shop.plan("customers");
    assert_eq!(shop.run(&["customers", "--plan", &id])["counts"]["delivered"], 99);
    // As many rows, but others, and rows that are beyond the limit.
    shop.database.run("DELETE FROM customers WHERE id > 50").await;
    let (id, plan) = shop.plan("customers");
    assert_eq!(plan["exceeds"]["rows"], 50, "{plan:#}");
    shop.database
        .run("DELETE FROM customers WHERE id = 1; INSERT INTO customers SELECT 51, 'free', 'Porto', now()")
        .await;
    let refused = shop.project.done(&["run", "customers", "--plan", &id]);
    assert!(refused.stderr.contains("and now it would send as many, but others"), "{refused:?}");
    let (id, _) = shop.plan("customers");
    let run = shop.run(&["customers", "--plan", &id]);
    assert_eq!((&run["counts"]["delivered"], &run["ending"]), (&50.into(), &"succeeded".into()), "{run:#}");

    let (id, _) = shop.plan("changes");
    assert_eq!(shop.run(&["changes", "--plan", &id])["counts"]["delivered"], 49);
    let (_, plan) = shop.plan("changes");
    assert_eq!(plan["rows"]["removed"], Value::Null, "a cursor cannot see them: {plan:#}");
    let wrong = shop.project.done(&["run", "changes", "--plan", "x"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`x` is not the id of a plan"), "{wrong:?}");
}

#[tokio::test]
async fn a_full_run_sends_all_rows_once_and_events_only_if_a_person_says_so() {
    let shop = Shop::new().await;
    for sync in ["customers", "changes", "orders"] {
        assert_eq!(shop.run(&[sync])["counts"]["delivered"], 100);
    }
    for sync in ["customers", "changes"] {
        let full = shop.run(&[sync, "--full"]);
        assert_eq!((&full["counts"]["delivered"], &full["counts"]["skipped"]), (&100.into(), &0.into()));
        assert_eq!(shop.run(&[sync])["counts"]["delivered"], 0);
    }
    let refused = shop.project.done(&["run", "orders", "--full"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("what was sent before may count twice"),
        "{refused:?}"
    );
    assert_eq!(shop.sandbox.stats("braze").await["events"], 100);
    assert_eq!(shop.run(&["orders", "--full", "--yes"])["counts"]["delivered"], 100);
    assert_eq!(shop.sandbox.stats("braze").await["events"], 200);
}

#[tokio::test]
async fn a_column_that_is_mapped_later_is_sent_for_all_rows_and_nothing_else_is() {
    let shop = Shop::new().await;
    shop.run(&["changes"]);
    shop.project.write("tidegate.yaml", &shop.yaml.replace("[plan]", "[plan, city]"));
    // A change that no run has sent yet stays unsent.
    shop.database.run("UPDATE customers SET plan = 'pro' WHERE id = 5").await;
    let run = shop.run(&["changes", "--backfill", "city"]);
    assert_eq!((&run["counts"]["delivered"], &run["ending"]), (&100.into(), &"succeeded".into()), "{run:#}");
    let users = shop.sandbox.effects("braze/users").await;
    let user = users.iter().find(|user| user["external_id"] == "5").expect("a user");
    assert_eq!(user["attributes"], json!({ "plan": "free", "city": "Porto" }), "{user:#}");
    for (arguments, said) in [
        (["changes", "--backfill", "town"], "takes no attribute from a column `town`"),
        (["orders", "--backfill", "city"], "has no attributes of users"),
        (["customers", "--backfill", "city"], "its next run sends a column that was added"),
    ] {
        let refused = shop.project.done(&[&["run"], &arguments[..]].concat());
        assert!(refused.code == 2 && refused.stderr.contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn a_reset_says_what_follows_and_asks() {
    let shop = Shop::new().await;
    shop.run(&["orders"]);
    let asked = shop.project.done(&["reset", "orders"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    for said in [
        "the next run starts from the beginning",
        "events and purchases that were sent before may count twice",
        "`tidegate run orders --full`",
        "run `tidegate reset orders --yes`",
    ] {
        assert!(asked.stderr.contains(said), "{said}: {asked:?}");
    }
    assert_eq!(shop.run(&["orders"])["counts"]["delivered"], 0, "nothing was reset");
    assert_eq!(shop.project.done(&["reset", "orders", "--yes"]).code, 0);
    assert_eq!(shop.run(&["orders"])["counts"]["delivered"], 100);
}

#[tokio::test]
async fn a_file_that_is_late_deletes_no_user() {
    let sandbox = Sandbox::start(&[]);
    let yaml = format!(
        "connections:
  drops: {{ type: files, path: drops }}
{}syncs:
  customers:
    source: {{ connection: drops, path: \"*.csv\" }}
    mode: mirror
    primary_key: id
    removed: delete
    destination: {{ connection: braze, object: user }}
    mapping: {{ external_id: id, attributes: [plan] }}
",
        sandbox.connections()
    );
    let project = Project::new(&yaml);
    let many = (1..=200).map(|id| format!("{id},free\n")).collect::<String>();
    project.write("drops/a.csv", &format!("id,plan\n{many}"));
    project.write("drops/b.csv", "id,plan\n1001,free\n1002,free\n");
    let run = || project.document(&["run", "customers"])["runs"][0].clone();
    assert_eq!(run()["counts"]["delivered"], 202);
    std::fs::remove_file(project.path().join("drops/b.csv")).expect("removed");
    let braked = project.done(&["run", "customers"]);
    assert_eq!(braked.code, 1, "{braked:?}");
    let said = "2 rows at the platform, because they are gone with these files: `b.csv`";
    assert!(format!("{}{}", braked.stdout, braked.stderr).contains(said), "{braked:?}");
    assert_eq!(sandbox.stats("braze").await["users"], 202);
    assert!(project.document(&["plan", "customers"])["exceeds"]["effect"].as_str().is_some());

    // A row that is gone from a file that is there is a row that is gone.
    project.write("drops/b.csv", "id,plan\n1002,free\n");
    let run = run();
    assert_eq!((&run["counts"]["delivered"], &run["compared"]["removed"]), (&1.into(), &1.into()), "{run:#}");
}

#[tokio::test]
async fn going_live_from_the_built_in_sandbox_says_what_would_be_skipped_and_what_to_do() {
    let shop = Shop::new().await;
    let project = |braze: &str| {
        format!(
            "connections:\n  db: {}\n  braze: {{ type: braze, endpoint: {braze}, api_key: key }}\nsyncs:{SYNCS}",
            shop.database.connection()
        )
    };
    shop.project.write("tidegate.yaml", &project("sandbox"));
    for sync in ["customers", "changes"] {
        assert_eq!(shop.run(&[sync])["counts"]["delivered"], 100);
    }
    shop.project.write("tidegate.yaml", &shop.yaml);
    for sync in ["customers", "changes"] {
        let said = format!("since the last run of `{sync}`: rows that were delivered there would be skipped");
        let remedy = format!("tidegate reset {sync}");
        let run = shop.project.done(&["run", sync]);
        assert!(run.code == 1 && run.stderr.contains(&said) && run.stderr.contains(&remedy), "{run:?}");
        assert!(run.stderr.contains("`endpoint` of `braze` was `sandbox` and is `http://"), "{run:?}");
        for look in ["check", "plan"] {
            let seen = shop.project.done(&[look, sync]);
            let all = format!("{}{}", seen.stdout, seen.stderr);
            let all = all.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(all.contains(&said) && all.contains(&remedy), "{look}: {seen:?}");
        }
    }
    assert_eq!(shop.sandbox.stats("braze").await["users"], 0, "nothing was sent");
    assert_eq!(shop.run(&["customers", "--yes"])["counts"]["delivered"], 0, "a person has confirmed it");
    assert_eq!(shop.run(&["customers"])["ending"], "succeeded", "and is not asked again");

    shop.project.done(&["reset", "changes", "--yes"]);
    assert_eq!(shop.run(&["changes"])["counts"]["delivered"], 100);
    assert_eq!(shop.sandbox.stats("braze").await["users"], 100);
}

#[tokio::test]
async fn a_renamed_connection_goes_on_and_another_database_stops_the_sync() {
    let shop = Shop::new().await;
    assert_eq!(shop.run(&["orders"])["counts"]["delivered"], 100);
    let renamed =
        shop.yaml.replace("  db: ", "  warehouse: ").replace("connection: db", "connection: warehouse");
    shop.project.write("tidegate.yaml", &renamed);
    let run = shop.run(&["orders"]);
    assert_eq!((&run["ending"], &run["counts"]["delivered"]), (&"succeeded".into(), &0.into()), "{run:#}");

    let other = Database::create().await;
    other
        .run("CREATE TABLE customers (id bigint PRIMARY KEY, plan text, city text, changed_at timestamptz)")
        .await;
    shop.project.write("tidegate.yaml", &renamed.replace(&shop.database.connection(), &other.connection()));
    let run = shop.project.done(&["run", "orders"]);
    assert!(run.stderr.contains("`database` of `warehouse` was"), "{run:?}");
    assert!(run.stderr.contains("rows of another system would be skipped up to its checkpoint"), "{run:?}");
}
