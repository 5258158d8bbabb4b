//! Airflow's providers of other vendors run syncs: the requests are those that they send
//! (`clients/python/airflow/prove.py` runs the providers themselves).

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::api::project;
use crate::served::{Answer, Served, until};
use crate::support::Project;

const SYNC: &str = "orders_to_braze";

/// A connection that takes requests and never answers: a run on it stays under way.
fn silent() -> (TcpListener, Project) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let project = Project::new(&format!(
        "connections:
  shop: {{ type: files, path: data }}
  braze: {{ type: braze, endpoint: \"http://127.0.0.1:{port}\", api_key: key }}
syncs:
  orders_to_braze:
    source: {{ connection: shop, path: orders.csv }}
    primary_key: id
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: order_placed }}, timestamp: at }}
"
    ));
    project.write("data/orders.csv", "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n");
    (listener, project)
}

/// Posts as `requests` does without a body.
async fn post(served: &Served, path: &str) -> Answer {
    served.post(path, &[], "").await
}

/// What Python's `datetime.fromisoformat` takes before 3.11.
fn is_time(text: &Value) -> bool {
    let text = text.as_str().unwrap_or_default();
    text.len() == "2026-01-01T00:00:00.000000Z".len() && text.ends_with('Z')
}

#[tokio::test]
async fn orchestrators_the_operator_of_braze_runs_a_sync_and_waits_for_it() {
    let project = project();
    let served = Served::start(&project);
    for base in ["/cdi", "/compat/braze/cdi"] {
        let path = format!("{base}/integrations/{SYNC}");
        #[expect(clippy::disallowed_methods, reason = "the other process has the machine's clock")]
        let asked = jiff::Timestamp::now();
        let json = [("content-type", "application/json")];
        // The job before may hold its sync for a moment after its end.
        let triggered = until("a free sync", async || {
            let triggered = served.post(&format!("{path}/sync"), &json, "").await;
            (triggered.status != 429).then_some(triggered)
        })
        .await;
        assert_eq!((triggered.status, &triggered.json()["message"]), (202, &json!("success")));
        let job = until("the job", async || {
            let status = served.get(&format!("{path}/job_sync_status")).await.json();
            let job = status["results"][0].clone();
            let start: Option<jiff::Timestamp> = job["sync_start_time"].as_str()?.parse().ok();
            (start? >= asked && job["job_status"] != "running").then_some(job)
        })
        .await;
        assert!(is_time(&job["sync_start_time"]) && is_time(&job["sync_finish_time"]), "{job}");
        assert!(job["rows_synced"].is_u64() && job["rows_failed_with_errors"].is_u64(), "{job}");
    }
    let first = served.get(&format!("/cdi/integrations/{SYNC}/job_sync_status")).await.json();
    let first = first["results"].as_array().and_then(|jobs| jobs.last()).expect("a job").clone();
    assert_eq!(first["job_status"], "partial", "{first}");
    assert_eq!((&first["rows_synced"], &first["rows_failed_with_errors"]), (&json!(1), &json!(2)));

    let listed = served.get("/cdi/integrations").await;
    let names: Vec<Value> = listed.json()["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["integration_id"].clone())
        .collect();
    assert_eq!((names.len(), listed.header("link")), (2, ""), "{listed:?}");
    let unknown = post(&served, "/cdi/integrations/nothing/sync").await;
    assert!(unknown.status == 404 && unknown.body.contains("orders_to_braze"), "{unknown:?}");
    assert_eq!(served.get("/cdi/integrations?cursor=nothing").await.status, 400);
}

#[tokio::test]
async fn orchestrators_jobs_come_in_pages_with_relative_links() {
    let project = project();
    let served = Served::start(&project);
    for _ in 0..11 {
        assert_eq!(post(&served, &format!("/api/v1/syncs/{SYNC}/run?wait=30")).await.status, 200);
    }
    let path = format!("/cdi/integrations/{SYNC}/job_sync_status");
    let first = served.get(&path).await;
    assert_eq!(first.json()["results"].as_array().map(Vec::len), Some(10));
    let link = first.header("link").to_owned();
    assert!(link.ends_with(">; rel=\"next\"") && !link.contains("prev"), "{link}");
    let next = link.trim_start_matches('<').split('>').next().expect("an address").to_owned();
    let second = served.get(&next).await;
    assert_eq!(second.json()["results"].as_array().map(Vec::len), Some(1));
    assert!(second.header("link").ends_with("rel=\"prev\""), "{second:?}");
}

#[tokio::test]
async fn orchestrators_a_sync_that_runs_or_is_paused_is_not_run_again() {
    let (_listener, project) = silent();
    let served = Served::start(&project);
    let braze = format!("/cdi/integrations/{SYNC}/sync");
    let (census, hightouch) =
        (format!("/compat/census/api/v1/syncs/{SYNC}/trigger"), "/compat/hightouch/api/v1/syncs/trigger");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let begun = post(&served, &census).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let run = begun.json()["data"]["sync_run_id"].as_str().expect("an id").to_owned();
    let status = served.get(&format!("/compat/census/api/v1/sync_runs/{run}")).await.json();
    assert_eq!(status["data"]["status"], "working", "{status}");

    let busy = post(&served, &braze).await;
    assert_eq!(busy.status, 429, "{busy:?}");
    assert!(
        busy.json()["message"].as_str().is_some_and(|text| text.starts_with("Another job is in progress"))
    );
    assert_eq!(post(&served, &census).await.status, 409);
    assert_eq!(served.post(hightouch, &form, format!("syncId={SYNC}")).await.status, 409);
    drop(served);

    let project = crate::api::project();
    let served = Served::start(&project);
    assert_eq!(post(&served, &format!("/api/v1/syncs/{SYNC}/pause")).await.status, 204);
    let paused = post(&served, &braze).await;
    assert!(paused.status == 409 && paused.body.contains("tidegate resume"), "{paused:?}");
}

#[tokio::test]
async fn orchestrators_the_operators_of_census_and_hightouch_run_a_sync_and_wait_for_it() {
    let project = project();
    let served = Served::start(&project);
    let census = "/compat/census/api/v1";
    let tested = served.get(&format!("{census}/syncs?page=1&per_page=1")).await.json();
    assert_eq!((&tested["status"], tested["data"].as_array().map(Vec::len)), (&json!("success"), Some(1)));
    let triggered = post(&served, &format!("{census}/syncs/{SYNC}/trigger")).await.json();
    let run = triggered["data"]["sync_run_id"].as_str().expect("an id").to_owned();
    let ended = until("the end of the run", async || {
        let run = served.get(&format!("{census}/sync_runs/{run}")).await.json();
        (run["data"]["status"] == "completed").then_some(run)
    })
    .await;
    assert_eq!((&ended["status"], &ended["data"]["records_failed"]), (&json!("success"), &json!(2)));
    let link = served.get(&format!("/compat/census/syncs/{SYNC}/history?sync_run_id={run}")).await;
    assert!(link.status == 200 && link.body.contains(&run), "the link of the task leads to the run");

    let hightouch = "/compat/hightouch/api/v1";
    let form = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
    let begun = served.post(&format!("{hightouch}/syncs/trigger"), &form, format!("syncSlug={SYNC}")).await;
    let run = begun.json()["id"].as_str().expect("an id").to_owned();
    let found = served.get(&format!("{hightouch}/syncs?slug={SYNC}")).await.json();
    assert_eq!(found["data"][0]["id"], SYNC);
    let ended = until("the end of the run", async || {
        let runs = served.get(&format!("{hightouch}/syncs/{SYNC}/runs?runId={run}")).await.json();
        (runs["data"][0]["status"] != "processing").then(|| runs["data"][0].clone())
    })
    .await;
    assert_eq!((&ended["id"], &ended["completionRatio"]), (&json!(run), &json!(1.0)), "{ended}");
    for rows in ["plannedRows", "successfulRows", "failedRows"] {
        assert!(ended[rows]["addedCount"].is_u64(), "{ended}");
    }
    assert_eq!(served.get(&format!("{hightouch}/syncs/{SYNC}")).await.json()["id"], SYNC);
    let json = [("content-type", "application/json")];
    let again =
        served.post(&format!("{hightouch}/syncs/trigger"), &json, format!(r#"{{"syncId":"{SYNC}"}}"#)).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(served.post(&format!("{hightouch}/syncs/trigger"), &form, "sync=x").await.status, 422);
    assert_eq!(served.get(&format!("{hightouch}/syncs/nothing/runs?runId=x")).await.status, 404);
    assert_eq!(served.get(&format!("{census}/sync_runs/nothing")).await.status, 404);
}

const DBT: &str = "dbt: { webhook_secret: a-secret-of-dbt }
connections:
  shop: { type: files, path: data }
  braze: { type: braze, endpoint: sandbox, api_key: key }
syncs:
  orders_to_braze:
    source: { connection: shop, path: orders.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: order_placed }, timestamp: at }
    contacts: [ada@example.com]
    dbt: { jobs: [70403103916, 7], models: [orders] }
  drafted:
    source: { connection: shop, path: orders.csv }
    primary_key: id
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: drafted }, timestamp: at }
    enabled: false
    dbt: { jobs: [7] }
";

/// An event as dbt documents it.
fn event(id: &str, job: &str, status: &str) -> String {
    json!({
        "accountId": 1, "webhookId": "wsu_12345abcde", "eventId": id, "timestamp": "2026-01-31T19:28:15.742843678Z",
        "eventType": "job.run.completed", "webhookName": "tidegate",
        "data": {
            "jobId": job, "jobName": "Daily Job (dbt build)", "runId": "12345", "environmentId": "1234",
            "environmentName": "Production", "dbtVersion": "1.0.0", "projectName": "Shop", "projectId": "167194",
            "runStatus": status, "runStatusCode": 10, "runStatusMessage": "None",
            "runReason": "Kicked off from the UI", "runStartedAt": "2026-01-31T19:28:07Z",
        },
    })
    .to_string()
}

/// Signs as the example in dbt's documentation does.
fn signed(secret: &str, body: &str) -> String {
    const SIGN: &str = "import hashlib, hmac, sys; print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())";
    let python = std::process::Command::new(crate::support::variable("TIDEGATE_TEST_PYTHON"))
        .args(["-c", SIGN, secret, body])
        .output()
        .expect("Python starts");
    String::from_utf8(python.stdout).expect("text").trim().to_owned()
}

#[tokio::test]
async fn orchestrators_a_job_of_dbt_that_succeeded_runs_the_syncs_that_name_it_and_a_wrong_signature_none() {
    let project = Project::new(DBT);
    project.write("data/orders.csv", "id,customer,at\n1,ann,2026-01-01T00:00:00Z\n");
    let served = Served::start(&project);
    let hook = async |signature: &str, body: &str| {
        // As it comes through a proxy, from dbt's machines.
        let headers = [
            ("content-type", "application/json"),
            ("authorization", signature),
            ("x-forwarded-for", "52.45.144.63"),
        ];
        served.post("/hooks/dbt", &headers, body.to_owned()).await
    };
    let body = event("wev_1", "70403103916", "Success");
    let signature = signed("a-secret-of-dbt", &body);
    for (wrong, body) in [
        (signed("another", &body), body.clone()),
        (signature.clone(), event("wev_1", "7", "Success")),
        (String::new(), body.clone()),
        (format!("Bearer {signature}"), body.clone()),
    ] {
        let refused = hook(&wrong, &body).await;
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    assert_eq!(served.get("/api/v1/runs").await.json()["data"], json!([]), "nothing ran");

    let taken = hook(&signature, &body).await;
    assert_eq!((taken.status, taken.json()), (200, json!({ "syncs": ["orders_to_braze"], "why": null })));
    let runs =
        async || served.get("/api/v1/runs").await.json()["data"].as_array().cloned().unwrap_or_default();
    let ran =
        until("the run", async || runs().await.first().filter(|run| run["ending"] == "succeeded").cloned())
            .await;
    assert_eq!((&ran["sync"], &ran["counts"]["delivered"]), (&json!("orders_to_braze"), &json!(1)));

    let again = hook(&signature, &body).await;
    assert_eq!(
        (again.status, &again.json()["syncs"]),
        (200, &json!([])),
        "dbt repeats what it takes for lost"
    );
    for (id, job, status) in [("wev_2", "70403103916", "Error"), ("wev_3", "8", "Success")] {
        let body = event(id, job, status);
        let taken = hook(&signed("a-secret-of-dbt", &body), &body).await;
        assert!(taken.status == 200 && taken.json()["why"].is_string(), "{taken:?}");
    }
    assert_eq!(runs().await.len(), 1);
    let unreadable = hook(&signed("a-secret-of-dbt", "[]"), "[]").await;
    assert_eq!(unreadable.status, 400, "{unreadable:?}");
    let audit = project.document(&["audit", "list"]);
    assert_eq!(audit["entries"][0]["actor"], "dbt", "{audit}");
}

#[test]
fn orchestrators_exposures_name_the_models_the_owner_and_the_sync() {
    let project = Project::new(DBT);
    let printed = project.done(&["exposures"]);
    for line in [
        "  - name: orders_to_braze",
        "    type: application",
        "    depends_on: [\"ref('orders')\"]",
        "    owner: { email: \"ada@example.com\" }",
    ] {
        assert!(printed.stdout.lines().any(|printed| printed == line), "{line}: {printed:?}");
    }
    assert!(printed.stderr.contains("dbt: { models"), "the draft reads a file: {printed:?}");
}

#[tokio::test]
async fn orchestrators_without_a_secret_no_job_of_dbt_can_run_anything() {
    let project = Project::new(&DBT.replace("dbt: { webhook_secret: a-secret-of-dbt }\n", ""));
    let invalid = project.tidegate(&["validate"]).output().expect("tidegate starts");
    let said = String::from_utf8_lossy(&invalid.stderr).into_owned();
    assert!(said.contains("syncs.orders_to_braze.dbt") && said.contains("webhook_secret"), "{said}");
    let project = crate::api::project();
    let served = Served::start(&project);
    let body = event("wev_1", "7", "Success");
    assert_eq!(served.post("/hooks/dbt", &[("authorization", "00")], body).await.status, 404);
}
