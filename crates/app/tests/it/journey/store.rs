//! State in PostgreSQL instead of a file: everything works alike.

use crate::support::{Database, Project, Sandbox};

#[tokio::test]
async fn journey_state_may_live_in_postgresql() {
    let (source, state) = (Database::create().await, Database::create().await);
    source
        .run(
            "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, at timestamptz NOT NULL);
             INSERT INTO orders SELECT n, nullif('c' || n % 100, 'c7'), now() - n * interval '1 second'
             FROM generate_series(1, 500) n",
        )
        .await;
    let sandbox = Sandbox::start(&["--memory"]);
    let mut project = Project::new(&format!(
        "connections:\n  db: {}\n{}syncs:\n  orders:\n    source: {{ connection: db, table: orders }}\n    \
         cursor: at\n    destination: {{ connection: braze, object: event }}\n    \
         mapping: {{ external_id: customer, name: {{ value: ordered }}, properties: [id] }}\n",
        source.connection(),
        sandbox.connections()
    ));
    let url = format!("{}?sslmode=require", state.url());
    project.set("TIDEGATE_STORE", &url);

    project.run_to("orders", "partial", &[("read", 500), ("delivered", 495), ("rejected", 5)]);
    source.run("INSERT INTO orders VALUES (501, 'c1', now())").await;
    project.run_to("orders", "succeeded", &[("read", 501), ("delivered", 1), ("skipped", 500)]);
    assert_eq!(sandbox.stats("braze").await["events"], 496);

    let runs = project.json(&["runs", "orders"]);
    assert_eq!((runs.as_array().expect("a list").len(), &runs[0]["ending"]), (2, &"succeeded".into()));
    assert_eq!(project.rows(&["--user", "c1"]).len(), 6, "of both runs");
    assert_eq!(project.rows(&["--rejected"]).len(), 5);
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 5);

    source.run("UPDATE orders SET customer = 'corrected' WHERE customer IS NULL").await;
    let retried = project.json(&["retry", "orders"]);
    assert_eq!(retried["run"]["counts"]["delivered"], 5, "{retried:#}");
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 0);

    // The checkpoint is in the database: another machine that has the master key continues from there.
    let elsewhere =
        Project::new(&std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("read"));
    let told = elsewhere.done(&["run", "orders", "--store", &url]);
    assert!(told.stderr.contains("master.key is missing"), "{told:?}");
    let key = std::fs::read(project.path().join(".tidegate/master.key")).expect("a key");
    std::fs::write(elsewhere.path().join(".tidegate/master.key"), key).expect("written");
    let run = elsewhere.json(&["run", "orders", "--store", &url]);
    assert_eq!(run[0]["counts"]["delivered"], 0, "{run:#}");
    let names = "SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
    assert!(state.count(names).await > 0);
    assert_eq!(source.count(names).await, 1, "nothing is written at the source");
}

/// Both have a sync `a`, and each would take the other's rows for committed.
#[tokio::test]
async fn two_projects_do_not_share_checkpoints_in_one_state_database() {
    let state = Database::create().await;
    let url = format!("{}?sslmode=require", state.url());
    let of = |file: &str| {
        let mut project = Project::new(&format!(
            "connections:\n  drops: {{ type: files, path: drops }}\n  braze: {{ type: braze, endpoint: sandbox, \
             api_key: x }}\nsyncs:\n  a:\n    source: {{ connection: drops, path: {file} }}\n    \
             destination: {{ connection: braze, object: user }}\n    mapping: {{ external_id: id }}\n"
        ));
        project.set("TIDEGATE_STORE", &url);
        project.write("drops/a.csv", "id\n1\n");
        project.write("drops/b.csv", "id\n2\n");
        project
    };
    of("a.csv").run_to("a", "succeeded", &[("delivered", 1)]);
    let other = of("b.csv");
    let refused = other.done(&["run", "a"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("belongs to another project"), "{refused:?}");
    assert!(refused.stderr.contains("give this project a database of its own"), "{refused:?}");
}
