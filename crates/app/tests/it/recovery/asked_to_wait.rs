//! A platform that asks to wait for longer than a person does.

use std::process::Command;

use crate::served::until;
use crate::support::{Project, Sandbox, pause};

/// How many seconds are left of the hour, by which Braze counts.
#[expect(clippy::disallowed_methods, reason = "the sandbox counts by the hours of the system")]
fn left_of_the_hour() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    3_600 - now.as_secs() % 3_600
}

#[tokio::test]
async fn recovery_status_says_that_a_platform_asked_to_wait_and_until_when() {
    let sandbox = Sandbox::start(&["--memory"]);
    if left_of_the_hour() < 30 {
        pause(std::time::Duration::from_secs(31)).await;
    }
    let limits = reqwest::Client::new().put(format!("{}/_sandbox/braze/limits", sandbox.url));
    let limits = limits.body(r#"{ "hourly": 2, "burst": 2 }"#).send().await.expect("an answer");
    assert!(limits.status().is_success());
    let project = Project::new(&format!(
        "connections:\n  drops: {{ type: files, path: drops }}\n{}syncs:\n  orders:\n    \
         source: {{ connection: drops, path: \"*.jsonl\" }}\n    \
         destination: {{ connection: braze, object: event }}\n    \
         mapping: {{ external_id: id, name: {{ value: ordered }}, timestamp: at }}\n",
        sandbox.connections()
    ));
    // Four requests, of which the hour allows two.
    let lines = (1..=300).map(|id| format!("{{\"id\":\"u{id}\",\"at\":\"2026-03-01T12:00:00Z\"}}\n"));
    project.write("drops/1.jsonl", &lines.collect::<String>());

    let mut run = project.start("orders");
    let waits = until("the run to be asked to wait", async || {
        let status = project.json(&["status"])[0].clone();
        status["wait"].is_object().then_some(status["wait"].clone())
    })
    .await;
    assert_eq!(waits["connection"], "braze");
    let said = project.done(&["status"]);
    let whole = format!("{}{}", said.stdout, said.stderr);
    let minute = waits["until"].as_str().expect("a time")[..16].replace('T', " ");
    assert!(whole.contains(&format!("orders: `braze` asks to wait until {minute}")), "{whole}");

    // It can be stopped while it waits, and then nothing waits any more.
    let asked = Command::new("kill").arg(run.id().to_string()).status().expect("kill starts");
    assert!(asked.success());
    run.wait().expect("it ends");
    assert!(project.json(&["status"])[0]["wait"].is_null());
}
