//! Failed rows that need no delivery.

use crate::support::Project;

const YAML: &str = "\
connections:
  drops: { type: files, path: drops }
  push: { type: onesignal, endpoint: sandbox, app_id: 11111111-2222-3333-4444-555555555555, api_key: x }
syncs:
  orders:
    source: { connection: drops, path: \"*.csv\" }
    destination: { connection: push, object: event }
    primary_key: id
    mapping:
      external_id: user
      name: { value: order_placed }
      timestamp: at
";

const ORDERS: &str = "\
id,user,at
1,stranger,2026-01-01T00:00:00Z
2,test-7,2026-01-01T00:00:00Z
3,test-7,2026-01-01T00:00:00Z
";

#[test]
fn rows_of_test_users_are_dismissed_with_a_note_and_count_no_more() {
    let project = Project::new(YAML);
    project.write("drops/orders.csv", ORDERS);
    let plan = project.done(&["plan", "orders"]).stdout;
    assert!(plan.contains("events and purchases never create a user"), "{plan}");
    assert!(plan.contains("run a sync with `object: user` first"), "{plan}");
    let run = project.run("orders");
    assert_eq!(run["counts"]["rejected"], 3, "{run:#}");

    let done = project.document(&["dismiss", "orders", "--user", "test-7", "--note", "a test user"]);
    assert_eq!((&done["dismissed"], &done["failed_rows"]), (&2.into(), &1.into()), "{done:#}");

    assert_eq!(project.json(&["status"])[0]["failed_rows"], 1);
    let groups = project.document(&["rows", "--open", "--by", "reason"]);
    assert_eq!(groups["total"], 1, "{groups:#}");
    let dismissed = project.rows(&["--dismissed"]);
    let mut keys: Vec<&str> = dismissed.iter().filter_map(|row| row["key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["2", "3"]);
    assert!(dismissed.iter().all(|row| row["note"] == "a test user"), "{dismissed:#?}");
    let table = project.done(&["rows", "--dismissed"]).stdout;
    assert!(table.contains("a test user"), "{table}");
    let retried = project.json(&["retry", "orders"]);
    assert_eq!(retried["run"]["counts"]["read"], 1, "only the row that is still open: {retried:#}");
}
