//! What those see who operate a server: alerts, metrics, readiness, logs, the doctor.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::served::{Served, until};
use crate::support::{Project, repository, variable};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfgXXv0A1k=";

/// The receiver of another make, which verifies each signature.
struct Receiver {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Receiver {
    fn start() -> (Receiver, u64) {
        let mut process = Command::new(variable("TIDEGATE_TEST_PYTHON"))
            .arg(repository().join("clients/python/alerts.py"))
            .args(["webhook", SECRET])
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let lines = BufReader::new(process.stdout.take().expect("piped"));
        let mut receiver = Receiver { process, lines };
        let port = receiver.next().as_u64().expect("a port");
        (receiver, port)
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{line}: {cause}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn project(alerts: &str) -> Project {
    Project::new(&format!(
        "{alerts}connections:
  shop: {{ type: files, path: data }}
  braze: {{ type: braze, endpoint: sandbox, api_key: canary-of-the-key }}
syncs:
  orders_to_braze:
    source: {{ connection: shop, path: orders.csv }}
    primary_key: id
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: order_placed }}, timestamp: at }}
    schedule: {{ every: 1s }}
"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_sync_is_told_once_by_a_signed_webhook_and_so_is_its_recovery() {
    let (mut receiver, port) = Receiver::start();
    let project = project(&format!(
        "alerts:\n  channels:\n    ops: {{ type: webhook, url: \"http://127.0.0.1:{port}/\", secret: \"{SECRET}\" }}\n"
    ));
    let tested = project.json(&["alerts", "test"]);
    assert_eq!(tested["channels"][0]["error"], Value::Null, "{tested}");
    assert_eq!(receiver.next()["body"]["data"]["trigger"], "test");
    assert_eq!(receiver.next()["body"]["type"], "alert.resolved");

    // The header lacks a column of the mapping.
    project.write("data/orders.csv", "id,at\n1,2026-01-01T00:00:00Z\n");
    let served = Served::start(&project);
    let opened = receiver.next();
    assert_eq!(opened["body"]["type"], "alert.opened", "{opened}");
    assert_eq!(opened["body"]["data"]["subject"], "orders_to_braze");
    assert_eq!(opened["body"]["data"]["trigger"], "failed");
    let summary = opened["body"]["data"]["summary"].as_str().expect("a sentence");
    assert!(summary.contains("customer"), "{summary}");
    let page = served.get("/alerts").await;
    assert!(page.body.contains("orders_to_braze fails"), "{}", page.body);
    let listed = served.get("/api/v1/alerts?resolved=true").await.json();
    assert_eq!(listed["data"][0]["notices"][0]["channel"], "ops", "{listed}");

    project.write("data/orders.csv", "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n");
    let resolved = receiver.next();
    assert_eq!(resolved["body"]["type"], "alert.resolved", "nothing was told in between: {resolved}");
    assert_eq!(resolved["body"]["data"]["alert"], opened["body"]["data"]["alert"]);
    until("nothing is open", async || {
        let alerts = project.json(&["alerts", "list", "--resolved", "5"]);
        alerts["alerts"][0]["resolved_at"].is_string().then_some(())
    })
    .await;
    let (_, said) = served.stop().await;
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test]
async fn a_server_says_that_it_is_ready_what_its_metrics_mean_and_how_each_run_ended() {
    let mut project = project("");
    project.write("data/orders.csv", "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n2,,2026-01-01T00:00:00Z\n");
    project.set("TIDEGATE_LOG_FORMAT", "json");
    let served = Served::start(&project);
    assert_eq!(served.get("/readyz").await.body, "ok\n");
    let metrics = until("a run was measured", async || {
        let metrics = served.get("/metrics").await.body;
        let measured = "tidegate_runs_total{sync=\"orders_to_braze\",ending=\"partial\"} 1";
        metrics.contains(measured).then_some(metrics)
    })
    .await;
    for expected in [
        "# HELP tidegate_runs_total Runs that have ended",
        "# TYPE tidegate_run_duration_seconds histogram",
        "tidegate_build_info{version=\"",
        "tidegate_runs_total{sync=\"orders_to_braze\",ending=\"failed\"} 0\n",
        "tidegate_last_success_timestamp_seconds{sync=\"orders_to_braze\"}",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    let named = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in named {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let has_help = |name: &str| metrics.contains(&format!("# HELP {name} "));
        assert!(has_help(name) || family.is_some_and(has_help), "{name} has no help");
    }
    let (_, said) = served.stop().await;
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ended: Vec<Value> = lines.filter(|line| line["message"] == "run ended").collect();
    let first = ended.first().unwrap_or_else(|| panic!("no run ended: {said}"));
    assert_eq!((&first["level"], &first["sync"]), (&Value::from("INFO"), &Value::from("orders_to_braze")));
    assert_eq!((&first["delivered"], &first["rejected"]), (&Value::from(1), &Value::from(1)), "{first}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let project = project("");
    project.write("data/orders.csv", "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let found = project.done(&["doctor", "--listen", &address]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("cannot be listened on") && found.stdout.contains("--listen"), "{found:?}");
    drop(taken);
    let found = project.done(&["doctor", "--listen", &address]);
    assert_eq!(found.code, 0, "{found:?}");
    for expected in
        ["state folder", "disk", "open files", "clock", "sync orders_to_braze", "there is none yet"]
    {
        assert!(found.stdout.contains(expected), "{expected}: {found:?}");
    }
    assert!(!project.path().join(".tidegate").exists(), "the doctor makes no state");
}
