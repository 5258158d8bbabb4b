//! The brake: a run that would delete more users than `limits` allows.

use serde_json::Value;

use crate::support::Project;

const YAML: &str = "\
connections:
  drops: { type: files, path: drops }
  braze: { type: braze, endpoint: sandbox, api_key: x }
syncs:
  gone:
    source: { connection: drops, path: gone.csv }
    destination: { connection: braze, object: deletion }
    mapping: { external_id: id }
    limits: { removed: 3 }
  customers:
    source: { connection: drops, path: customers.csv }
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
";

fn project(gone: &str) -> Project {
    let project = Project::new(YAML);
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    project.write("drops/gone.csv", gone);
    project
}

fn of<'a>(runs: &'a Value, sync: &str) -> &'a Value {
    let runs = runs["runs"].as_array().expect("runs");
    runs.iter().find(|run| run["sync"] == sync).expect("a run of the sync")
}

#[test]
fn a_table_of_deletions_that_grew_too_much_deletes_no_user_until_a_person_says_so() {
    let project = project("id\n1\n2\n3\n4\n5\n");
    let plan = project.document(&["plan", "gone"]);
    assert_eq!(plan["exceeds"]["rows"], 5, "{plan:#}");
    assert_eq!((&plan["exceeds"]["limit"], &plan["exceeds"]["allowed"]), (&"removed: 3".into(), &3.into()));

    let ended = project.done(&["run", "--all"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = "the run would delete 5 users, and `limits: { removed: 3 }` allows 3; nothing was sent";
    assert!(ended.stderr.contains(said) && ended.stderr.contains("tidegate run gone --yes"), "{ended:?}");
    assert!(ended.stdout.contains("customers: succeeded"), "the others run: {ended:?}");
    let listed = project.document(&["runs", "gone"]);
    let run = of(&listed, "gone");
    assert_eq!((&run["ending"], &run["counts"]["delivered"]), (&"failed".into(), &0.into()), "{run:#}");

    let runs = project.document(&["run", "gone", "--yes"]);
    let run = of(&runs, "gone");
    assert_eq!((&run["ending"], &run["counts"]["delivered"]), (&"succeeded".into(), &5.into()), "{run:#}");

    project.write("drops/gone.csv", "id\n1\n2\n3\n4\n5\n6\n7\n");
    let runs = project.document(&["run", "gone"]);
    assert_eq!(
        of(&runs, "gone")["counts"]["delivered"],
        2,
        "what was deleted before does not count: {runs:#}"
    );
}
