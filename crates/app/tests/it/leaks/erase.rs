//! One user is erased on request, from every file.

use serde_json::json;

use super::journeys::holds;
use crate::served::Served;
use crate::support::{Database, Project};

const CANARY: &str = "canary-ann-5e0d";
const TOKEN: &str = "a-token-of-the-shops-own";

async fn scene() -> (Database, Project) {
    let database = Database::create().await;
    database
        .run(&format!(
            "CREATE TABLE people (id text PRIMARY KEY, note text);
             INSERT INTO people VALUES ('{CANARY}', 'a'), ('bob', 'b'), ('carl', repeat('x', 5000));
             CREATE TABLE orders (id bigint PRIMARY KEY, customer text, note text);
             INSERT INTO orders VALUES (1, '{CANARY}', 'first'), (2, 'bob', 'second'), (3, NULL, 'for {CANARY}'), (4, NULL, 'x');"
        ))
        .await;
    let project = Project::new(&format!(
        "connections:
  db: {}
  own: {{ type: profiles }}
  braze: {{ type: braze, endpoint: sandbox, api_key: k }}
  app: {{ type: events, token: {TOKEN} }}
  pinpoint: {{ type: pinpoint, anonymous: true }}
syncs:
  people: {{ source: {{ connection: db, table: people }}, mode: full, destination: {{ connection: own, object: user }}, mapping: {{ external_id: id, attributes: [note] }} }}
  orders: {{ source: {{ connection: db, table: orders }}, mode: full, destination: {{ connection: braze, object: event }}, mapping: {{ external_id: customer, name: {{ value: ordered }}, properties: [id, note] }} }}
",
        database.connection()
    ));
    (database, project)
}

/// Sends an event of the user, then one of another.
async fn take_events(served: &Served) {
    for (id, user) in [("e1", CANARY), ("e2", "bob")] {
        let body = json!({ "id": id, "kind": "seen", "user_id": user, "note": format!("of {user}") });
        let bearer = ("authorization", "Bearer a-token-of-the-shops-own");
        assert_eq!(served.post("/in/events/app", &[bearer], body.to_string()).await.status, 202);
    }
}

#[tokio::test]
async fn leaks_an_erased_user_is_in_no_file_also_after_a_restart() {
    let (database, project) = scene().await;
    let data = project.path().join(".tidegate");
    project.run("people");
    project.run("orders");
    let served = Served::start(&project);
    take_events(&served).await;
    let refused = project.done(&["users", "erase", CANARY]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("another process appends")
            && refused.stderr.contains("→ stop `tidegate serve`")
    );
    served.stop().await;
    assert!(holds(&data, CANARY));

    // First at the source, as the guide says.
    database
        .run(&format!("DELETE FROM people WHERE id = '{CANARY}'; DELETE FROM orders WHERE id IN (1, 3)"))
        .await;
    let removed = project.json(&["users", "erase", CANARY]);

    assert_eq!(removed["events"], 1, "{removed:#}");
    assert_eq!(removed["failed_rows"], 1, "the one that mentions the user: {removed:#}");
    assert_eq!(removed["places"]["own"], 1, "{removed:#}");
    assert_eq!(removed["places"]["sandbox of braze"], 1, "{removed:#}");
    assert!(!holds(&data, CANARY), "{removed:#}");

    // Neither a restart, nor a run, nor a repeated event brings the user back.
    let served = Served::start(&project);
    let repeated = json!({ "id": "e1", "kind": "seen", "user_id": "x" }).to_string();
    let bearer = ("authorization", "Bearer a-token-of-the-shops-own");
    assert_eq!(served.post("/in/events/app", &[bearer], repeated).await.status, 202);
    served.stop().await;
    project.run("people");
    project.run("orders");
    assert!(!holds(&data, CANARY));
    let last = project.done(&["events", "app", "--last", "10"]).stdout;
    assert!(last.contains("bob") && last.trim().lines().count() == 1, "{last}");

    let erasures = project.json(&["users", "erasures", CANARY]);
    assert_eq!(erasures["erasures"].as_array().map(Vec::len), Some(1), "{erasures:#}");
    assert_eq!(project.json(&["users", "erasures", "bob"]), json!({ "erasures": [] }));
}

#[tokio::test]
async fn leaks_a_damaged_event_log_and_a_damaged_file_keep_a_user_in_no_other_place() {
    let (database, project) = scene().await;
    let data = project.path().join(".tidegate");
    project.run("people");
    project.run("orders");
    let served = Served::start(&project);
    take_events(&served).await;
    served.stop().await;
    database
        .run(&format!("DELETE FROM people WHERE id = '{CANARY}'; DELETE FROM orders WHERE id IN (1, 3)"))
        .await;
    let segments: Vec<_> = std::fs::read_dir(data.join("events/app")).expect("a stream").flatten().collect();
    let segment =
        segments.iter().map(|entry| entry.path()).find(|path| path.extension() == Some("log".as_ref()));
    let segment = segment.expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("read");
    let frame = bytes.windows(4).position(|window| window == b"\xF5TGF").expect("a frame");
    bytes[frame + 20] ^= 1;
    std::fs::write(&segment, bytes).expect("damaged");
    project.write(".tidegate/pinpoint.db", &"no database ".repeat(1000));
    assert!(holds(&data.join("profiles.db"), CANARY) && holds(&data.join("sandbox"), CANARY));

    let failed = project.done(&["users", "erase", CANARY]);

    assert_eq!(failed.code, 1, "{failed:?}");
    for said in [
        "the event log (",
        "is damaged at byte",
        "connection `pinpoint` (",
        "Erased from: failed rows and history, connection `own`, the sandbox of braze, the sandbox of onesignal",
        "then erase the user again",
    ] {
        assert!(failed.stderr.contains(said), "{said}: {failed:?}");
    }
    assert!(!failed.stderr.contains(CANARY), "{failed:?}");
    for entry in std::fs::read_dir(&data).expect("a folder").flatten() {
        assert_eq!(holds(&entry.path(), CANARY), entry.file_name() == "events", "{entry:?}: {failed:?}");
    }
    let noted = project.json(&["users", "erasures", CANARY]);
    assert_eq!(noted, json!({ "erasures": [] }), "it is not complete");

    std::fs::remove_file(&segment).expect("deleted");
    std::fs::remove_file(data.join("pinpoint.db")).expect("deleted");
    project.json(&["users", "erase", CANARY]);
    assert!(!holds(&data, CANARY));
    let noted = project.json(&["users", "erasures", CANARY]);
    assert_eq!(noted["erasures"].as_array().map(Vec::len), Some(1), "{noted:#}");
}
