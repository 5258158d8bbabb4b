//! Looking before sending: plan, preview, check.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Shop, expect, yaml};
use crate::support::{Ended, Project};

#[tokio::test]
async fn cli_a_plan_shows_counts_and_payloads_and_changes_nothing() {
    let shop = Shop::open().await;
    let plan = shop.project.done(&["plan", "orders"]);
    expect(
        &plan,
        3,
        &[
            "300 rows read",
            "297 would be sent",
            "3 would be rejected",
            "POST /users/track: ",
            "nothing was sent",
        ],
    );
    let plan = shop.project.json(&["plan", "orders", "--requests", "10"]);
    assert_eq!(plan["run"]["counts"]["delivered"], 297);
    assert_eq!(plan["rejections"][0]["rows"], 3);
    let requests = plan["first"].as_array().expect("requests");
    let planned: usize = requests.iter().map(|request| events(&request["body"])).sum();
    assert_eq!(planned, 297, "each row is in one of the requests");
    let stats = shop.sandbox.stats("braze").await;
    assert_eq!((&stats["requests"], &stats["events"]), (&0.into(), &0.into()));
    assert!(shop.project.json(&["runs"]).as_array().expect("a list").is_empty());
    assert!(shop.project.rows(&[]).is_empty());

    // After a run there is nothing left to plan.
    shop.project.run_to("orders", "partial", &[("delivered", 297), ("rejected", 3)]);
    let plan = shop.project.json(&["plan", "orders"]);
    assert_eq!((&plan["run"]["counts"]["delivered"], &plan["requests"]), (&0.into(), &serde_json::json!({})));
}

fn events(body: &Value) -> usize {
    let body: Value = serde_json::from_str(body.as_str().expect("text")).expect("JSON");
    body["events"].as_array().expect("events").len()
}

#[tokio::test]
async fn cli_a_run_sends_byte_for_byte_what_was_planned() {
    let shop = Shop::open().await;
    // Few enough rows of one user for one request.
    shop.database.run("DELETE FROM orders WHERE id > 40; UPDATE orders SET customer = 'c1'").await;
    let platform = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", platform.local_addr().expect("an address"));
    let yaml = std::fs::read_to_string(shop.project.path().join("tidegate.yaml")).expect("read");
    let project = Project::new(&yaml.replace(&shop.sandbox.url, &address));

    let plan = project.json(&["plan", "orders", "--requests", "3"]);
    let [planned] = plan["first"].as_array().expect("requests").as_slice() else { panic!("{plan:#}") };
    let run = project.start("orders");
    let (head, body) = hear(&platform).await;
    let ended = Ended::of(&run.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = format!(
        "{} {} HTTP/1.1",
        planned["method"].as_str().unwrap_or(""),
        planned["path"].as_str().unwrap_or("")
    );
    assert_eq!(head.lines().next(), Some(line.as_str()));
    assert_eq!(planned["body"].as_str(), Some(body.as_str()));
}

/// A platform that hears one request and takes all of it.
async fn hear(platform: &TcpListener) -> (String, String) {
    let (mut stream, _) = platform.accept().await.expect("a connection");
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.expect("bytes");
        assert!(read > 0, "the request ended early");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
        if length.trim().parse() == Ok(body.len()) {
            let said = r#"{"message":"success"}"#;
            let answer = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{said}", said.len());
            stream.write_all(answer.as_bytes()).await.expect("answered");
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[tokio::test]
async fn cli_a_preview_shows_rows_and_what_they_become_without_effect() {
    let shop = Shop::open().await;
    shop.database.run("DELETE FROM orders WHERE id NOT IN (100, 101)").await;
    expect(
        &shop.project.done(&["preview", "orders"]),
        0,
        &["row     ", "becomes ", "rejected ", "order_placed"],
    );
    let previews = shop.project.json(&["preview", "orders", "--rows", "2"]);
    let of = |id: i64| {
        let found = previews.as_array().expect("a list").iter().find(|preview| preview["row"]["id"] == id);
        found.unwrap_or_else(|| panic!("{id} in {previews:#}"))
    };
    assert_eq!(of(101)["record"]["body"]["properties"]["id"], 101);
    assert!(of(100)["rejected"]["message"].as_str().is_some_and(|why| !why.is_empty()));
    assert_eq!(shop.sandbox.stats("braze").await["requests"], 0);
}

#[tokio::test]
async fn cli_a_check_prints_the_missing_grant_and_passes_once_it_is_given() {
    let shop = Shop::open().await;
    let user = format!("reader_{}", shop.database.name);
    shop.database.run(&format!("CREATE USER {user} PASSWORD 'reader'")).await;
    let connection = shop
        .database
        .connection()
        .replace("user: postgres", &format!("user: {user}"))
        .replace(&format!("password: \"{}\"", shop.database.password()), "password: reader");
    let project = Project::new(&yaml(&connection, &shop.sandbox));
    let grant = format!("GRANT SELECT ON \"public\".\"orders\" TO \"{user}\";");
    let refused = project.done(&["check", "orders"]);
    expect(&refused, 1, &["FAIL SELECT on public.orders", &grant]);
    let report = project.json(&["check"]);
    let checks = report[0]["checks"].to_string();
    assert!(checks.contains("GRANT SELECT"), "{report:#}");

    // The statement does what it says.
    shop.database.run(&grant).await;
    let passed = project.done(&["check", "orders"]);
    expect(&passed, 0, &["ok   SELECT on public.orders", "ok   users.track", "ok   mapping"]);
    assert!(!passed.stdout.contains("FAIL"), "{passed:?}");
    assert_eq!(shop.sandbox.stats("braze").await["events"], 0, "checking has no effect");
    shop.database.run(&format!("DROP OWNED BY {user}; DROP USER {user}")).await;
}

#[tokio::test]
async fn cli_a_revoked_key_fails_the_check_with_the_next_step() {
    let shop = Shop::open().await;
    shop.sandbox.put_faults(r#"{"revoked": true}"#).await;
    expect(&shop.project.done(&["check", "orders"]), 1, &["FAIL users.track", "401", "→ "]);
}
