//! `mode: mirror` over a warehouse that enforces no keys: compared here, there, and by hashes.

use serde_json::Value;

use crate::redshift::Redshift;
use crate::support::{Project, Sandbox};

fn compared(run: &Value) -> [u64; 4] {
    ["added", "changed", "removed", "unchanged"]
        .map(|name| run["compared"][name].as_u64().unwrap_or_else(|| panic!("{name}: {run:#}")))
}

#[tokio::test]
async fn a_mirror_of_redshift_is_compared_there_and_here_and_sends_no_row_twice() {
    let redshift = Redshift::new().await;
    redshift
        .run(
            "CREATE TABLE customers (id INTEGER, plan VARCHAR(20), share FLOAT8);
             INSERT INTO customers SELECT n, 'free', n / 7.0 FROM generate_series(1, 300) AS n",
        )
        .await;
    let user = redshift.reader("public", "Secret-1").await;
    let sandbox = Sandbox::start(&[]);
    let yaml = format!(
        "connections:\n{}{}syncs:\n  customers:\n    source: {{ connection: red, table: public.customers }}\n    \
         mode: mirror\n    primary_key: id\n    removed: delete\n    \
         destination: {{ connection: braze, object: user }}\n    \
         mapping: {{ external_id: id, attributes: [plan, share] }}\n",
        redshift.connection(&user, "Secret-1"),
        sandbox.connections()
    );
    let project = Project::new(&yaml);
    let set = |setting: &str| {
        project
            .write("tidegate.yaml", &yaml.replace("mode: mirror", &format!("mode: mirror\n    {setting}")));
    };
    let run = || project.document(&["run", "customers"])["runs"][0].clone();
    assert_eq!(compared(&run()), [300, 0, 0, 0]);

    set("state: source");
    let check = project.done(&["check", "customers"]);
    assert!(check.code == 1 && check.stdout.contains("CREATE SCHEMA \"tidegate\""), "{check:?}");
    redshift.run(&format!("CREATE SCHEMA tidegate; GRANT USAGE, CREATE ON SCHEMA tidegate TO {user}")).await;
    let check = project.done(&["check", "customers"]);
    assert!(check.stdout.contains("tables can be made in the schema tidegate"), "{check:?}");
    let first = run();
    assert_eq!((compared(&first), &first["counts"]["delivered"]), ([0, 0, 0, 300], &0.into()), "{first:#}");
    let second = run();
    assert_eq!((compared(&second), &second["counts"]["read"]), ([0, 0, 0, 300], &0.into()), "{second:#}");
    redshift
        .run(
            "INSERT INTO customers VALUES (1000, 'pro', 1); UPDATE customers SET plan = 'pro' WHERE id = 5;
             DELETE FROM customers WHERE id = 7",
        )
        .await;
    assert_eq!(compared(&project.document(&["plan", "customers"])["run"]), [1, 1, 1, 298]);
    let third = run();
    assert_eq!((compared(&third), &third["counts"]["read"]), ([1, 1, 1, 298], &2.into()), "{third:#}");

    // Redshift lets two rows have one key: neither is sent, and what was sent before stays.
    redshift.run("INSERT INTO customers VALUES (9, 'twin', 1)").await;
    let twins = run();
    assert_eq!(
        (&twins["compared"]["duplicate_keys"], &twins["counts"]["delivered"]),
        (&1.into(), &0.into()),
        "{twins:#}"
    );
    assert_eq!(twins["reasons"][0]["code"], "duplicate_key", "{twins:#}");
    redshift.run("DELETE FROM customers WHERE plan = 'twin'").await;
    assert_eq!(compared(&run()), [0, 0, 0, 300]);

    for setting in ["state: ours", "compare: hashes", "compare: hashes"] {
        set(setting);
        let run = run();
        assert_eq!(
            (compared(&run), &run["counts"]["delivered"]),
            ([0, 0, 0, 300], &0.into()),
            "{setting}: {run:#}"
        );
    }
    redshift.run("UPDATE customers SET share = share + 1e-12 WHERE id = 5").await;
    assert_eq!(compared(&run()), [0, 1, 0, 299]);
    // What was sent meanwhile makes the entries at the source void.
    redshift.run("UPDATE customers SET share = share - 1e-12 WHERE id = 5").await;
    set("state: source");
    assert_eq!(compared(&run()), [0, 1, 0, 299]);
    assert_eq!(compared(&run()), [0, 0, 0, 300]);
    let users = sandbox.effects("braze/users").await;
    assert_eq!(users.len(), 300);
}
