//! The HTTP API of `tidegate serve`.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::served::{Answer, Served, until};
use crate::support::{Project, Sandbox};

const PROJECT: &str = "connections:
  shop: { type: files, path: data }
  braze: { type: braze, endpoint: sandbox, api_key: canary-of-the-key }
syncs:
  orders_to_braze:
    source: { connection: shop, path: orders.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: order_placed }, timestamp: at, properties: [id] }
  refunds_to_braze:
    source: { connection: shop, path: refunds.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: refunded }, timestamp: at }
    enabled: false
";

/// Three orders; those of the second and the third row have no customer.
const ORDERS: &str =
    "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n2,,2026-01-02T00:00:00Z\n3,,2026-01-03T00:00:00Z\n";

pub(crate) fn project() -> Project {
    let project = Project::new(PROJECT);
    project.write("data/orders.csv", ORDERS);
    project.write("data/refunds.csv", "id,customer,at\n");
    project
}

async fn post(served: &Served, path: &str, body: &Value) -> Answer {
    served.post(path, &[("content-type", "application/json")], body.to_string()).await
}

#[tokio::test]
async fn api_a_failed_row_is_found_fixed_and_retried() {
    let project = project();
    let served = Served::start(&project);

    let run = post(&served, "/api/v1/syncs/orders_to_braze/run?wait=30", &json!({})).await;
    assert_eq!((run.status, &run.json()["ending"]), (200, &json!("partial")), "{run:?}");

    let status = served.get("/api/v1/status").await.json();
    assert_eq!(status["syncs"], json!({ "draft": 1, "needs_attention": 1 }));
    assert_eq!(status["failed_rows"], 2);
    let syncs = served.get("/api/v1/syncs").await.json();
    assert_eq!(syncs["data"][0]["sync"], "orders_to_braze", "what needs a person comes first");
    assert!(
        syncs["data"][0]["why"].as_str().is_some_and(|why| why.starts_with("2 rows failed. ")),
        "{syncs}"
    );

    let groups = served.get("/api/v1/groups").await.json();
    assert_eq!((&groups["data"][0]["rows"], &groups["data"][1]), (&json!(2), &Value::Null));
    let code = groups["data"][0]["reason"]["code"].as_str().expect("a code").to_owned();

    let mut pages: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/failed-rows?sync=orders_to_braze&reason={code}&limit=1{after}");
        let page = served.get(&path).await.json();
        pages.extend(page["data"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let mut keys: Vec<&Value> = pages.iter().map(|row| &row["key"]).collect();
    keys.sort_by_key(ToString::to_string);
    assert_eq!(keys, ["2", "3"]);
    let id = pages[0]["id"].as_str().expect("an id").to_owned();
    let row = served.get(&format!("/api/v1/failed-rows/orders_to_braze/{id}")).await.json();
    assert_eq!(row["row"]["id"], pages[0]["key"], "the row as it was read: {row}");

    project.write("data/orders.csv", &ORDERS.replace(",,", ",ben,"));
    let one = post(&served, "/api/v1/syncs/orders_to_braze/retry?wait=30", &json!({ "row": id })).await;
    assert_eq!(one.status, 200, "{one:?}");
    let rest = post(&served, "/api/v1/syncs/orders_to_braze/run?wait=30", &json!({})).await;
    assert_eq!(rest.status, 200, "{rest:?}");

    let runs = served.get("/api/v1/runs?sync=orders_to_braze&limit=2").await.json();
    assert_eq!(runs["data"].as_array().map(Vec::len), Some(2));
    let older = served.get(&format!("/api/v1/runs?after={}", runs["next"].as_str().expect("more"))).await;
    assert_eq!(older.json()["data"].as_array().map(Vec::len), Some(1));
}

/// The entries of a list, asked for one by one.
async fn one_by_one(served: &Served, list: &str) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), String::new());
    loop {
        let sign = if list.contains('?') { '&' } else { '?' };
        let page = served.get(&format!("{list}{sign}limit=1{after}")).await;
        assert_eq!(page.status, 200, "{list}: {page:?}");
        let page = page.json();
        entries.extend(page["data"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next"].as_str() else { return entries };
        after = format!("&after={next}");
        assert!(entries.len() < 100, "{list} has no end");
    }
}

#[tokio::test]
async fn api_every_list_comes_page_by_page_and_an_invented_position_is_an_error() {
    let project = project();
    project.write("data/refunds.csv", "id,customer,at\n1,,2026-01-02T00:00:00Z\n");
    let served = Served::start(&project);
    for sync in ["orders_to_braze", "refunds_to_braze"] {
        post(&served, &format!("/api/v1/syncs/{sync}/run?wait=30"), &json!({})).await;
    }

    let lists = [
        // First, since it notes who looks at rows.
        ("/api/v1/audit", 2),
        ("/api/v1/syncs", 2),
        ("/api/v1/connections", 2),
        ("/api/v1/groups", 2),
        ("/api/v1/runs", 2),
        ("/api/v1/failed-rows", 3),
        ("/api/v1/alerts?resolved=true", 0),
        ("/api/v1/channels", 0),
        ("/api/v1/people", 0),
        ("/api/v1/tokens", 0),
    ];
    for (list, count) in lists {
        let whole = served.get(list).await.json();
        assert_eq!(whole["next"], Value::Null, "{list}");
        let whole = whole["data"].as_array().expect("a list").clone();
        // Opened alerts depend on the moment.
        if !list.contains("alerts") {
            assert_eq!(whole.len(), count, "{list}: {whole:?}");
            assert_eq!(one_by_one(&served, list).await, whole, "{list}");
        }
        if !list.contains("runs") {
            let sign = if list.contains('?') { '&' } else { '?' };
            let refused = served.get(&format!("{list}{sign}after=nosuch")).await;
            assert_eq!(refused.status, 422, "{list}: {refused:?}");
            assert!(
                refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("`after`")),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn api_a_sync_is_paused_resumed_and_reset() {
    let project = project();
    let served = Served::start(&project);
    let sync = async || served.get("/api/v1/syncs/orders_to_braze").await.json();

    assert_eq!(
        post(&served, "/api/v1/syncs/orders_to_braze/pause", &json!({ "why": "moving" })).await.status,
        204
    );
    assert_eq!(
        (&sync().await["health"], &sync().await["paused"]["why"]),
        (&json!("paused"), &json!("moving"))
    );
    let refused = post(&served, "/api/v1/syncs/orders_to_braze/run", &json!({})).await;
    assert_eq!((refused.status, refused.header("content-type")), (409, "application/problem+json"));
    assert!(refused.json()["remedy"].as_str().is_some_and(|remedy| remedy.contains("resume")), "{refused:?}");
    assert_eq!(post(&served, "/api/v1/syncs/orders_to_braze/resume", &json!({})).await.status, 204);
    post(&served, "/api/v1/syncs/orders_to_braze/run?wait=30", &json!({})).await;
    assert!(!sync().await["checkpoint"].is_null());

    let wrong = post(&served, "/api/v1/syncs/orders_to_braze/reset", &json!({ "confirm": "orders" })).await;
    assert_eq!(wrong.status, 422);
    let reset = json!({ "confirm": "orders_to_braze" });
    assert_eq!(post(&served, "/api/v1/syncs/orders_to_braze/reset", &reset).await.status, 204);
    assert!(sync().await["checkpoint"].is_null());
}

#[tokio::test]
async fn api_what_is_not_there_and_what_is_not_right_are_problems_with_a_next_step() {
    let project = project();
    let served = Served::start(&project);
    for (path, status) in [
        ("/api/v1/syncs/nothing", 404),
        ("/api/v1/runs/nothing", 404),
        ("/api/v1/failed-rows/orders_to_braze/nothing", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/runs?nothing=1", 422),
        ("/api/v1/failed-rows?after=nothing", 422),
        ("/api/v1/failed-rows?status=nothing", 422),
    ] {
        let answer = served.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{path}"
        );
        for member in ["detail", "remedy"] {
            assert!(answer.json()[member].as_str().is_some_and(|text| text.len() > 10), "{answer:?}");
        }
    }
    for body in ["{}", "{", r#"{"confirm":7}"#] {
        let json = &[("content-type", "application/json")];
        let wrong = served.post("/api/v1/syncs/orders_to_braze/reset", json, body.to_owned()).await;
        let detail = wrong.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(wrong.status == 422 || wrong.status == 400, "{wrong:?}");
        assert!(detail.starts_with("the body ") && !detail.contains("eserialize"), "{wrong:?}");
    }
    let unknown = served.get("/api/v1/syncs/nothing").await;
    assert!(
        unknown.json()["remedy"].as_str().is_some_and(|text| text.contains("orders_to_braze")),
        "{unknown:?}"
    );
    let bad = post(&served, "/api/v1/syncs/orders_to_braze/retry", &json!({ "usr": "x" })).await;
    assert_eq!((bad.status, bad.header("content-type")), (422, "application/problem+json"));
}

#[tokio::test]
async fn api_no_secret_is_shown_and_the_description_lists_every_operation() {
    let project = project();
    let served = Served::start(&project);
    for path in ["/api/v1/connections", "/api/v1/syncs", "/api/v1/syncs/orders_to_braze"] {
        assert!(!served.get(path).await.body.contains("canary"), "{path}");
    }
    let connections = served.get("/api/v1/connections").await;
    assert_eq!(connections.json()["data"][1]["settings"]["endpoint"], "sandbox");
    assert_eq!(connections.json()["data"][0]["used_by"].as_array().map(Vec::len), Some(2));

    let description = served.get("/api/openapi.json").await.json();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.values().filter_map(Value::as_object).flatten();
    let names: Vec<&str> =
        operations.filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
    assert_eq!(names.len(), 25, "{names:?}");
    for (path, _) in paths.iter().filter(|(path, _)| !path.contains('{')) {
        assert_eq!(served.get(&format!("/api/v1{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn api_another_name_and_another_site_are_refused_while_health_is_answered() {
    let project = project();
    let served = Served::start(&project);
    let ask = async |method: Method, path: &str, name: &'static str, value: &str| {
        let client = reqwest::Client::new();
        let request = client.request(method, format!("{}{path}", served.url)).header(name, value);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask(Method::GET, "/api/v1/status", "host", "evil.example").await, 403);
    assert_eq!(ask(Method::GET, "/api/v1/status", "x-forwarded-for", "10.0.0.1").await, 403);
    assert_eq!(ask(Method::GET, "/healthz", "host", "tidegate.example").await, 200);
    let run = "/api/v1/syncs/orders_to_braze/run";
    assert_eq!(ask(Method::POST, run, "origin", "https://evil.example").await, 403);
    assert_eq!(ask(Method::POST, run, "sec-fetch-site", "cross-site").await, 403);
    assert!(project_has_no_run(&served).await);
}

async fn project_has_no_run(served: &Served) -> bool {
    served.get("/api/v1/runs").await.json()["data"] == json!([])
}

#[tokio::test]
async fn api_an_answer_that_is_known_is_not_sent_again() {
    let project = project();
    let served = Served::start(&project);
    let first = served.get("/api/v1/syncs").await;
    let client = reqwest::Client::new();
    let again =
        client.get(format!("{}/api/v1/syncs", served.url)).header("if-none-match", first.header("etag"));
    let again = again.send().await.expect("an answer");
    assert_eq!(again.status().as_u16(), 304);
    assert_eq!(again.text().await.expect("text"), "");
}

#[tokio::test]
async fn api_a_request_that_is_sent_again_with_its_key_takes_effect_once_and_gets_the_same_answer() {
    let project = project();
    let served = Served::start(&project);
    let run = "/api/v1/syncs/orders_to_braze/run?wait=30";
    let ask = async |path: &str, key: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        served.post(path, &headers, body.to_owned()).await
    };
    let first = ask(run, "k1", "").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""), "{first:?}");
    let again = ask(run, "k1", "").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{again:?}");
    assert_eq!((&again.body, again.header("content-type")), (&first.body, "application/json"));
    let runs = async || served.get("/api/v1/runs").await.json()["data"].as_array().map(Vec::len);
    assert_eq!(runs().await, Some(1), "it ran once");
    assert_ne!(ask(run, "k2", "").await.json()["id"], first.json()["id"], "another key is another run");

    let pause = "/api/v1/syncs/orders_to_braze/pause";
    assert_eq!(ask(pause, "k3", r#"{"why":"a move"}"#).await.status, 204);
    let other = ask(pause, "k3", r#"{"why":"another"}"#).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("key_of_another_request")));
    assert_eq!(ask(run, "k3", "").await.status, 422, "the key of another path");

    // What was refused had no effect: the same request with the same key is tried again.
    assert_eq!(ask(run, "k4", "").await.status, 409, "it is paused");
    assert_eq!(ask("/api/v1/syncs/orders_to_braze/resume", "k5", "").await.status, 204);
    assert_eq!(ask(run, "k4", "").await.status, 200);
    for key in ["", " ", &"k".repeat(256)] {
        assert_eq!(ask(run, key, "").await.json()["code"], "invalid_request", "{key:?}");
    }

    let (code, _) = served.stop().await;
    assert_eq!(code, 0);
    let served = Served::start(&project);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let later = served.post(run, &headers, "").await;
    assert_eq!((later.header("idempotency-replayed"), &later.body), ("true", &first.body), "after a restart");
}

#[tokio::test]
async fn api_what_was_asked_for_is_in_the_audit_log_although_its_sender_hung_up() {
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    let project =
        Project::new(&PROJECT.replace("endpoint: sandbox", &format!("endpoint: \"{}\"", sandbox.url)));
    project.write("data/orders.csv", ORDERS);
    project.write("data/refunds.csv", "id,customer,at\n");
    let served = Served::start(&project);
    let runs =
        async || served.get("/api/v1/runs").await.json()["data"].as_array().cloned().unwrap_or_default();
    let noted = async || {
        let entries =
            served.get("/api/v1/audit").await.json()["data"].as_array().cloned().unwrap_or_default();
        entries.into_iter().filter(|entry| entry["action"] == "run_sync").collect::<Vec<_>>()
    };

    let run = "/api/v1/syncs/orders_to_braze/run?wait=30";
    let mut orders = ORDERS.to_owned();
    for (times, headers) in [(1, ""), (2, "idempotency-key: k1\r\n")] {
        orders.push_str(&format!("{},ann,2026-01-04T00:00:00Z\n", times + 3));
        project.write("data/orders.csv", &orders);
        sandbox.put_faults(r#"{"latency_ms": 3000}"#).await;
        let mut sender = TcpStream::connect(served.address()).await.expect("it listens");
        let host = served.address();
        let request = format!("POST {run} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: 0\r\n\r\n");
        sender.write_all(request.as_bytes()).await.expect("written");
        until("the run", async || (runs().await.len() == times).then_some(())).await;
        drop(sender);
        sandbox.put_faults("{}").await;
        until("its end", async || runs().await.iter().all(|run| !run["ending"].is_null()).then_some(()))
            .await;
        let entries =
            until("its entry", async || Some(noted().await).filter(|entries| entries.len() == times));
        assert_eq!(entries.await[0]["subject"], "orders_to_braze");
    }

    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let again = served.post(run, &headers, "").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{again:?}");
    assert_eq!((runs().await.len(), noted().await.len()), (2, 2), "a repetition is not noted");
}
