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

/// Returns the text between two others in a page.
fn between<'p>(page: &'p str, start: &str, end: &str) -> &'p str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split_once(end).expect("an end").0
}

#[tokio::test]
async fn the_key_of_a_connection_is_replaced_in_its_form_and_nothing_else_of_the_file_changes() {
    let written = "connections:
  braze:
    # the account of the shop
    type: braze
    endpoint: sandbox
    api_key: canary-of-the-file
  other: { type: braze, endpoint: sandbox, api_key: canary-of-another }
syncs:
";
    let project = Project::new(written);
    let served = Served::start(&project);
    let list = served.get("/connections").await;
    assert!(list.body.contains("href=\"/connections/braze/edit\""), "{list:?}");
    let page = served.get("/connections/braze/edit").await;
    assert!(page.body.contains("It is written out in the project file."), "{page:?}");
    assert!(!page.body.contains("canary") && page.body.contains("value=\"sandbox\""), "{page:?}");
    let version = between(&page.body, "name=\"version\" value=\"", "\"").to_owned();

    // Nothing was typed, nothing is written.
    let same = format!("version={version}&endpoint=sandbox&api_key=");
    let checked = send(&served, "/connections/braze/edit", &format!("{same}&act=check")).await;
    assert!(checked.body.contains("It works. Nothing is saved yet."), "{checked:?}");
    send(&served, "/connections/braze/edit", &format!("{same}&act=save")).await;
    assert_eq!(file(&project), written);

    let typed = format!("version={version}&endpoint=sandbox&api_key=canary-of-the-form&act=save");
    let saved = send(&served, "/connections/braze/edit", &typed).await;
    assert!(saved.body.contains("<b>braze</b> is saved."), "{saved:?}");
    let sealed = written.replace("canary-of-the-file", "{ secret: braze_api_key }");
    assert_eq!(file(&project), sealed);
    let audit = project.document(&["audit", "list"]).to_string();
    assert!(audit.contains("~ connection braze") && !audit.contains("canary"), "{audit}");

    // A form that was made from an older file writes nothing over.
    let older = format!("version={version}&endpoint=https%3A%2F%2Fbraze.example&api_key=&act=anyway");
    let stale = send(&served, "/connections/braze/edit", &older).await;
    assert!(stale.body.contains("The project was changed meanwhile"), "{stale:?}");
    assert_eq!(file(&project), sealed);

    // The key before it stays for runs under way, and the page says how to remove it.
    let page = served.get("/connections/braze/edit").await;
    assert!(page.body.contains("It is sealed as <code>braze_api_key</code>."), "{page:?}");
    let version = between(&page.body, "name=\"version\" value=\"", "\"");
    let again = format!("version={version}&endpoint=sandbox&api_key=canary-of-the-next&act=save");
    let saved = send(&served, "/connections/braze/edit", &again).await;
    assert!(saved.body.contains("tidegate secret remove braze_api_key"), "{saved:?}");
    assert!(file(&project).contains("{ secret: braze_api_key_2 }"), "{}", file(&project));
    assert_eq!(project.json(&["secret", "list"]), serde_json::json!(["braze_api_key", "braze_api_key_2"]));
    assert_eq!(served.get("/connections/nosuch/edit").await.status, 404);
}

#[tokio::test]
async fn a_connection_called_new_and_one_on_one_line_have_their_forms() {
    let project = Project::new("connections:\n  new: { type: files, path: ./drops }\nsyncs:\n");
    fs::create_dir(project.path().join("other")).expect("a folder");
    let served = Served::start(&project);
    let page = served.get("/connections/new/edit").await;
    let version = between(&page.body, "name=\"version\" value=\"", "\"");
    let saved =
        send(&served, "/connections/new/edit", &format!("version={version}&path=./other&act=anyway")).await;
    assert!(saved.body.contains("<b>new</b> is saved."), "{saved:?}");
    let text = file(&project);
    assert!(text.contains("new: { type: files, path: \"./other\" }"), "{text}");
    assert_eq!(served.stop().await.0, 0);
    let read_only = Served::with(&project, &["--read-only-project"]);
    let page = read_only.get("/connections/new/edit").await;
    assert!(page.body.contains("--read-only-project") && !page.body.contains("Check and save"), "{page:?}");
}
