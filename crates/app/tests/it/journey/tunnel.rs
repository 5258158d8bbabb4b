//! A database behind a bastion host, from the key pair to a run that the bastion's end interrupts.

use std::process::Stdio;

use tidegate_testkit::sshd::Sshd;

use super::ingestion;
use crate::support::{Database, Ended, Project, Sandbox};

/// Together 50 MB: more than all buffers on the way hold.
const ROWS: u64 = 10_000;

fn project_file(database: &Database, sandbox: &Sandbox, bastion: &Sshd, host_key: &str) -> String {
    let tunnel = format!(
        "tunnel: {{ host: 127.0.0.1, port: {}, user: {}, private_key: {{ secret: shop_ssh }}, host_key: {host_key} }} }}",
        bastion.port(),
        bastion.user()
    );
    let connection = database.connection();
    let connections = sandbox.connections().replace("type: braze,", "type: braze, objects_per_request: 10,");
    format!(
        "connections:\n  shop: {}, {tunnel}\n{connections}syncs:\n  \
         orders:\n    source: {{ connection: shop, table: orders }}\n    cursor: at\n    \
         destination: {{ connection: braze, object: event }}\n    mapping:\n      external_id: customer\n      \
         name: {{ value: ordered }}\n      timestamp: at\n      properties: [id, notes]\n",
        connection.trim_end_matches('}').trim_end(),
    )
}

#[tokio::test]
async fn journey_a_database_behind_a_bastion_host_is_read_once_although_the_bastion_dies_in_between() {
    let database = Database::create().await;
    database
        .run(&format!(
            "CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, at timestamptz NOT NULL, notes jsonb NOT NULL);
             INSERT INTO orders SELECT n, 'u' || n % 500, '2026-01-01Z'::timestamptz + n * interval '1 s', to_jsonb(array_fill(repeat('x', 250), ARRAY[20]))
             FROM generate_series(1, {ROWS}) n"
        ))
        .await;
    let sandbox = Sandbox::start(&["--no-limits", "--faults", r#"{"latency_ms": 20}"#]);
    let mut bastion = Sshd::start();
    let project = Project::new(&project_file(&database, &sandbox, &bastion, "[]"));

    // The key pair is made here; the other side gets the public half.
    let made = project.done(&["secret", "generate-key", "shop_ssh", "--ssh"]);
    let setup = project.done(&["setup", "shop"]).stdout;
    let line = setup.lines().find(|line| line.contains("permitopen")).expect("the line of authorized_keys");
    let line = line.trim_start_matches("--").trim().replace("<the line above>", made.stdout.trim());

    // The host key is pinned as the check prints it.
    let unpinned = project.done(&["check", "orders"]);
    assert_ne!(unpinned.code, 0, "{unpinned:?}");
    let told = unpinned.stdout + &unpinned.stderr;
    assert!(told.contains(&format!("host_key: {}", bastion.host_key())), "{told}");
    project.write("tidegate.yaml", &project_file(&database, &sandbox, &bastion, &bastion.host_key()));
    let refused = project.done(&["check", "orders"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!((refused.stdout + &refused.stderr).contains(&line), "the check prints the line that is missing");
    bastion.allow(&[&line]);
    let checked = project.done(&["check", "orders"]);
    assert_eq!(checked.code, 0, "{checked:?}");

    // The bastion dies in the middle of a run.
    let mut command = project.tidegate(&["run", "orders", "--output", "json"]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tidegate starts");
    sandbox.wait_for("braze", "events", 500).await;
    bastion.kill();
    let ended = Ended::of(&running.wait_with_output().expect("an end"));
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(format!("{ended:?}").contains("through the tunnel at 127.0.0.1:"), "{ended:?}");
    let delivered = sandbox.stats("braze").await["events"].as_u64().expect("a count");
    assert!((500..ROWS).contains(&delivered), "{delivered} of {ROWS}");

    // It is back, with the same keys.
    bastion.restart();
    let run = project.run("orders");
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    let times = sandbox.times("braze/events", "/properties/id").await;
    assert_eq!(times.len() as u64, ROWS);
    assert!(times.values().all(|times| *times == 1), "an event was sent twice");
    ingestion::nothing_is_sent_twice(&project, &sandbox, &["orders"]).await;

    // Another machine in its place is refused.
    bastion.change_host_key();
    let refused = project.done(&["run", "orders"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!((refused.stdout + &refused.stderr).contains("nothing was sent to it"));
}
