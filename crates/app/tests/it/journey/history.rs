//! The history files, read by third-party programs.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Project, Sandbox, repository, variable};

#[tokio::test]
async fn journey_other_programs_read_the_same_statuses_as_we_list() {
    let sandbox = Sandbox::start(&["--memory"]);
    let project = Project::new(&format!(
        "connections:\n  shop: {{ type: files, path: data }}\n{}syncs:\n  orders:\n    \
         source: {{ connection: shop, path: orders.csv }}\n    primary_key: [id]\n    \
         destination: {{ connection: braze, object: event }}\n    \
         mapping: {{ external_id: customer, name: {{ value: ordered }}, timestamp: at }}\n",
        sandbox.connections()
    ));
    let mut orders = String::from("id,customer,at\n");
    for id in 0..5_000 {
        // Stretches of rows that all arrive, single ones that do not, and a stretch of those.
        let (customer, at) = match id {
            2_000..2_100 => (String::new(), "2026-05-01T12:00:00Z"),
            _ if id % 61 == 0 => (format!("käthe-{id}"), "soon"),
            _ => (format!("ann-{}", id % 300), "2026-05-01T12:00:00Z"),
        };
        writeln!(orders, "{id},{customer},{at}").expect("written");
    }
    project.write("data/orders.csv", &orders);
    let late = (0..5_000).filter(|id| id % 61 == 0 && !(2_000..2_100).contains(id)).count() as u64;
    project.run_to("orders", "partial", &[("delivered", 4_900 - late), ("rejected", 100 + late)]);

    let done = Command::new(variable("TIDEGATE_TEST_LAKE_PYTHON"))
        .arg(repository().join("clients/python/history/read.py"))
        .arg(project.path().join(".tidegate/history"))
        .output()
        .expect("Python starts");

    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut read: Vec<Value> = serde_json::from_slice(&done.stdout).expect("JSON");
    let mut listed: Vec<Value> = project.rows(&[]).iter().map(line).collect();
    let key = |row: &Value| row[3].as_str().expect("a key").to_owned();
    read.sort_by_key(key);
    listed.sort_by_key(key);
    assert_eq!(read.len(), 5_000);
    assert_eq!(read, listed);
}

/// A row of `tidegate rows` as the program prints it.
fn line(row: &Value) -> Value {
    json!([
        row["run"],
        row["object"],
        row["user"],
        row["key"],
        row["status"],
        row["reason"]["code"],
        row["reason"]["message"]
    ])
}
