//! Forms of the dashboard that write the project, as a browser without JavaScript sends them.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::served::{Answer, Served, until};
use crate::support::Project;

async fn send(served: &Served, path: &str, form: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    served.post(path, &headers, form.to_owned()).await
}

fn file(project: &Project) -> String {
    fs::read_to_string(project.path().join("tidegate.yaml")).expect("a file")
}

#[tokio::test]
async fn a_secret_of_a_form_takes_no_place_of_another_one_and_has_the_name_of_its_connection() {
    let project = Project::new("connections:\n\nsyncs:\n");
    let mut set = project.tidegate(&["secret", "set", "braze_api_key"]);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    set.stdin.take().expect("piped").write_all(b"canary-of-another").expect("written");
    assert!(set.wait().expect("ended").success());
    let served = Served::start(&project);

    let form = "connection=braze&endpoint=sandbox&api_key=canary-of-the-form";
    let checked = send(&served, "/connections/new/braze", &format!("{form}&act=check")).await;
    assert!(checked.body.contains("It works. Nothing is saved yet."), "{checked:?}");
    assert!(!checked.body.contains("canary"), "a secret comes back");
    let (_, rest) = checked.body.split_once("name=\"stored\" value=\"").expect("what is sealed");
    let (stored, _) = rest.split_once('"').expect("an end");
    assert_eq!(file(&project), "connections:\n\nsyncs:\n");

    // The connection gets another name in between: its secret gets that name, too.
    let renamed = format!("connection=shop&endpoint=sandbox&api_key=&stored={stored}&act=save");
    send(&served, "/connections/new/braze", &renamed).await;
    assert!(file(&project).contains("api_key: { secret: shop_api_key }"), "{}", file(&project));
    send(&served, "/connections/new/braze", &format!("{form}&act=save")).await;
    assert!(file(&project).contains("api_key: { secret: braze_api_key_2 }"), "{}", file(&project));
    let names = project.json(&["secret", "list"]);
    assert_eq!(names, serde_json::json!(["braze_api_key", "braze_api_key_2", "shop_api_key"]));

    // A name that the form did not get is none.
    let forged = "connection=other&endpoint=sandbox&api_key=&stored=api_key=shop_api_key&act=anyway";
    send(&served, "/connections/new/braze", forged).await;
    assert!(!file(&project).contains("other_api_key"), "{}", file(&project));
}

#[tokio::test]
async fn an_export_is_set_up_by_its_form_and_runs_at_once() {
    let project = Project::new(
        "connections:\n  shop: { type: events, token: a-token-of-the-shops-own }\n  out: { type: files, path: out }\nsyncs:\n",
    );
    let served = Served::start(&project);
    let choose = served.get("/exports/new").await;
    assert!(choose.body.contains("value=\"shop\"") && choose.body.contains("value=\"out\""), "{choose:?}");
    let form = "from=shop&to=out&kinds=order.*,+seen&sync_name=shop_to_out";
    let looked = send(&served, "/exports/new", &format!("{form}&act=look")).await;
    assert!(looked.body.contains("It can run. Nothing is saved yet."), "{looked:?}");
    assert!(!file(&project).contains("shop_to_out"));

    let done = send(&served, "/exports/new", &format!("{form}&act=activate")).await;
    assert!(done.body.contains("It is active."), "{done:?}");
    assert!(
        file(&project).contains("source: { connection: shop, kinds: [\"order.*\", seen] }"),
        "{}",
        file(&project)
    );
    let event = r#"{"id":"e1","kind":"seen","user_id":"u1"}"#;
    let bearer = [("authorization", "Bearer a-token-of-the-shops-own")];
    assert_eq!(served.post("/in/events/shop", &bearer, event).await.status, 202);
    until("the event in a file", async || {
        let status = served.get("/api/v1/syncs/shop_to_out").await.json();
        (status["delivered_last_day"] == 1).then_some(())
    })
    .await;
    let again = send(&served, "/exports/new", &format!("{form}&act=activate")).await;
    assert!(again.body.contains("shop_to_out</code> already"), "{again:?}");
}
