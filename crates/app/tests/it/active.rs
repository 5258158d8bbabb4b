//! The project of a running server: read, tried and replaced over the API, applied by the command line, read
//! again at SIGHUP.

use std::process::Output;

use serde_json::{Value, json};

use crate::api::project;
use crate::served::{Answer, Served, until};
use crate::support::{Ended, Project};

/// A second sync of the same orders, as people add it.
const THANKS: &str = "  thanks_to_braze: # for the shop
    source: { connection: shop, path: orders.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: thanked }, timestamp: at }
    schedule: { every: 1s }
";

fn yaml(project: &Project) -> String {
    std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("the file")
}

async fn put(served: &Served, query: &str, version: &str, yaml: &str) -> Answer {
    let headers = [("if-match", version), ("content-type", "application/yaml")];
    served.put(&format!("/api/v1/project{query}"), &headers, yaml.to_owned()).await
}

async fn version(served: &Served) -> String {
    served.get("/api/v1/project").await.header("etag").to_owned()
}

#[tokio::test]
async fn a_sync_that_is_put_runs_without_a_restart_and_its_comment_is_in_the_file() {
    let project = project();
    let served = Served::start(&project);
    let read = served.get("/api/v1/project").await;
    assert_eq!((read.status, read.body.as_str()), (200, yaml(&project).as_str()));
    let new = format!("# ours\n{}{THANKS}", read.body);

    let tried = put(&served, "?dry_run=true", read.header("etag"), &new).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    assert_eq!(
        (&tried.json()["applied"], &tried.json()["syncs"]["added"]),
        (&json!(false), &json!(["thanks_to_braze"]))
    );
    assert_eq!(yaml(&project), read.body, "a trial changes nothing");
    assert_eq!(served.get("/api/v1/syncs/thanks_to_braze").await.status, 404);

    let done = put(&served, "", read.header("etag"), &new).await;
    assert_eq!((done.status, &done.json()["applied"]), (200, &json!(true)), "{done:?}");
    assert_eq!(yaml(&project), new, "as it was sent");
    assert_eq!(version(&served).await, done.header("etag"));
    until("a run of the new sync", async || {
        let sync = served.get("/api/v1/syncs/thanks_to_braze").await.json();
        (sync["delivered_last_day"] == 1).then_some(())
    })
    .await;

    let (code, _) = served.stop().await;
    assert_eq!(code, 0);
    let audit = project.document(&["audit", "list"]);
    let changes: Vec<&Value> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter(|entry| entry["action"] == "change_project")
        .collect();
    assert_eq!(changes.len(), 1, "the trial is not noted: {audit}");
    assert_eq!(changes[0]["subject"], "+ sync thanks_to_braze");
}

#[tokio::test]
async fn a_project_with_errors_is_refused_with_their_lines_and_nothing_changes() {
    let project = project();
    let served = Served::start(&project);
    let (before, known) = (yaml(&project), version(&served).await);
    let bad = before.replace("    primary_key: id\n", "    primery_key: id\n");
    for query in ["?dry_run=true", ""] {
        let refused = put(&served, query, &known, &bad).await;
        assert_eq!((refused.status, refused.header("content-type")), (422, "application/problem+json"));
        let problem = refused.json();
        assert_eq!(problem["code"], "invalid_project", "{problem}");
        let errors = problem["errors"].as_array().expect("errors");
        let lines: Vec<&Value> = errors.iter().map(|error| &error["line"]).collect();
        assert!(lines == [&json!(7), &json!(12)], "{problem}");
        assert!(errors.iter().all(|error| !error["next"].as_str().unwrap_or_default().is_empty()));
    }
    assert_eq!(
        put(&served, "", &known, &format!("{before}\n# ${{NOT_SET}}\n")).await.status,
        200,
        "a comment"
    );
    let unset = before.replace("canary-of-the-key", "${TG_NOT_SET}");
    let refused = put(&served, "", "*", &unset).await;
    assert!(refused.status == 422 && refused.body.contains("TG_NOT_SET"), "{refused:?}");
    assert_eq!(served.put("/api/v1/project", &[("if-match", "*")], vec![0xff, 0xfe]).await.status, 422);
    assert_eq!(served.put("/api/v1/project", &[("if-match", "*")], vec![b'#'; 1_100_000]).await.status, 413);
    let missing = served.put("/api/v1/project", &[], before.clone()).await;
    assert_eq!((missing.status, &missing.json()["code"]), (428, &json!("precondition_required")));
    assert!(yaml(&project).starts_with(&before));
}

#[tokio::test]
async fn a_sync_that_has_run_keeps_its_object() {
    let project = project();
    project.run("orders_to_braze");
    let served = Served::start(&project);
    let other = yaml(&project).replacen("object: event", "object: purchase", 1);
    let other = other.replacen(
        "name: { value: order_placed }, timestamp: at, properties: [id]",
        "product_id: id, currency: { value: EUR }, price: { value: 1 }, timestamp: at",
        1,
    );
    let refused = put(&served, "?dry_run=true", "*", &other).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("has run with the object `event`"), "{refused:?}");
}

#[tokio::test]
async fn of_two_who_apply_at_once_one_wins_and_the_other_is_told() {
    let project = project();
    let served = Served::start(&project);
    let known = version(&served).await;
    let (mine, yours) = (format!("{}{THANKS}", yaml(&project)), format!("# yours\n{}", yaml(&project)));
    let (mine, yours) = tokio::join!(put(&served, "", &known, &mine), put(&served, "", &known, &yours));
    let mut statuses = [mine.status, yours.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{mine:?} {yours:?}");
    let (winner, loser) = if mine.status == 200 { (mine, yours) } else { (yours, mine) };
    let now = loser.json();
    assert_eq!(now["code"], "stale");
    assert_eq!(winner.header("etag"), format!("\"{}\"", now["version"].as_str().expect("a version")));
}

fn apply(from: &Project, served: &Served, options: &[&str]) -> Ended {
    let words = ["apply", "--server", &served.url];
    let words: Vec<&str> = words.into_iter().chain(options.iter().copied()).collect();
    let output: Output = from.tidegate(&words).output().expect("tidegate starts");
    Ended::of(&output)
}

#[tokio::test]
async fn apply_says_what_would_change_then_changes_it_and_ends_with_4_if_asked() {
    let project = project();
    let served = Served::start(&project);
    let laptop = Project::new(&format!("{}{THANKS}", yaml(&project)));

    let tried = apply(&laptop, &served, &["--dry-run", "--exit-code"]);
    assert_eq!(
        (tried.code, tried.stdout.as_str()),
        (4, "would change:\n  + sync thanks_to_braze\n"),
        "{tried:?}"
    );
    assert_eq!(apply(&laptop, &served, &["--dry-run"]).code, 0);
    let done = apply(&laptop, &served, &["--output", "json"]);
    let document: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((done.code, &document["applied"]), (0, &json!(true)), "{done:?}");
    assert_eq!(yaml(&project), yaml(&laptop));
    let again = apply(&laptop, &served, &["--exit-code"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "applied: no connection, sync or setting changed\n"));

    laptop.write("tidegate.yaml", &yaml(&laptop).replace("type: files", "type: filez"));
    let wrong = apply(&laptop, &served, &[]);
    assert!(wrong.code == 2 && wrong.stderr.contains("tidegate.yaml:2:"), "{wrong:?}");
    let nowhere = apply(&laptop, &served, &["--server", "nowhere"]);
    assert_ne!(nowhere.code, 0, "{nowhere:?}");
}

#[tokio::test]
async fn a_server_that_reads_its_file_again_takes_what_is_right_and_says_what_is_not() {
    let project = project();
    let served = Served::start(&project);
    let before = yaml(&project);
    project.write("tidegate.yaml", &before.replace("mapping:", "maping:"));
    served.signal("HUP");
    until("the error", async || served.said().contains("maping").then_some(())).await;
    assert!(served.said().contains("cannot be used; the one before stays active"), "{}", served.said());
    assert_eq!(served.get("/api/v1/syncs/orders_to_braze").await.status, 200);

    project.write("tidegate.yaml", &format!("{before}{THANKS}"));
    served.signal("HUP");
    until("the sync", async || {
        (served.get("/api/v1/syncs/thanks_to_braze").await.status == 200).then_some(())
    })
    .await;
    // It says so after it does so.
    until("the sentence", async || {
        served.said().contains("read again: + sync thanks_to_braze").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_with_a_read_only_project_refuses_changes_and_still_reads_its_file_again() {
    let project = project();
    let served = Served::with(&project, &["--read-only-project"]);
    let new = format!("{}{THANKS}", yaml(&project));
    let tried = put(&served, "?dry_run=true", "*", &new).await;
    assert_eq!(tried.status, 200, "trying is allowed: {tried:?}");
    let refused = put(&served, "", "*", &new).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("read_only_project")));
    project.write("tidegate.yaml", &new);
    served.signal("HUP");
    until("the sync", async || {
        (served.get("/api/v1/syncs/thanks_to_braze").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_put_receives_events_at_once_and_one_that_is_removed_no_longer() {
    let project = project();
    let served = Served::start(&project);
    let event = r#"{"type":"opened","user":"ann"}"#;
    let post = async || {
        let headers = [("authorization", "Bearer 0123456789abcdef"), ("content-type", "application/json")];
        served.post("/in/events/app", &headers, event).await.status
    };
    assert_eq!(post().await, 404);
    let before = yaml(&project);
    let with = before.replacen(
        "connections:\n",
        "connections:\n  app: { type: events, token: 0123456789abcdef }\n",
        1,
    );
    assert_eq!(put(&served, "", "*", &with).await.status, 200);
    assert_ne!(post().await, 404);
    assert_eq!(put(&served, "", "*", &before).await.status, 200);
    assert_eq!(post().await, 404);
}
