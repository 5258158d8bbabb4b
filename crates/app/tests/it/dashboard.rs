//! The dashboard: over HTTP, and in a browser.

use std::process::Command;

use crate::api;
use crate::outside::program;
use crate::served::Served;
use crate::support::{Database, Project, repository};

/// The addresses of all pages of a project that has run.
const PAGES: &[&str] = &[
    "/",
    "/syncs",
    "/syncs/orders_to_braze",
    "/runs",
    "/failed-rows",
    "/users?user=ann",
    "/events?count=kinds",
    "/connections",
    "/about",
];

fn script(name: &str) -> String {
    repository().join("clients/node/pages").join(name).to_string_lossy().into_owned()
}

async fn form(served: &Served, path: &str, body: &str) -> (u16, String) {
    let client = reqwest::Client::new();
    let request = client
        .post(format!("{}{path}", served.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned());
    let answer = request.send().await.expect("an answer");
    let url = answer.url().path().to_owned();
    (answer.status().as_u16(), format!("{url}\n{}", answer.text().await.expect("text")))
}

#[tokio::test]
async fn dashboard_every_page_keeps_the_policy_and_shows_no_secret() {
    let project = api::project();
    let served = Served::start(&project);
    let (status, run) = form(&served, "/syncs/orders_to_braze/run", "").await;
    assert!(status == 200 && run.contains("1 of 3 rows were delivered, and 2 failed."), "{run}");
    for path in PAGES {
        let page = served.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(
            (page.header("cache-control"), page.header("x-content-type-options")),
            ("no-store", "nosniff")
        );
        assert!(!page.body.contains("canary"), "{path} shows a secret");
        assert!(!page.body.contains("style=") && !page.body.contains("onclick"), "{path}");
    }
    assert!(served.get("/").await.body.contains("1 of 2 syncs needs you"));
}

#[tokio::test]
async fn dashboard_what_people_type_is_text() {
    let project = api::project();
    let served = Served::start(&project);
    let typed = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in ["/users?user=", "/runs/", "/syncs/", "/runs?sync=", "/failed-rows/group?sync="] {
        let page = served.get(&format!("{path}{typed}")).await;
        assert!(!page.body.contains("<script>alert"), "{path}: {}", page.body);
    }
    let (status, page) = form(&served, "/syncs/orders_to_braze/pause", &format!("why={typed}")).await;
    assert!(status == 200 && page.contains("&lt;script&gt;alert(1)"), "{page}");
}

#[tokio::test]
async fn dashboard_a_reset_and_rows_in_doubt_need_a_confirmation() {
    let project = api::project();
    let served = Served::start(&project);
    let (status, page) = form(&served, "/syncs/orders_to_braze/reset", "confirm=orders").await;
    assert!(status == 422 && page.contains("nothing was reset"), "{page}");
    assert!(page.contains("<details class=\"danger\" id=\"start-over\" open>"), "the page is lost: {page}");
    let retry = "sync=orders_to_braze&status=in_doubt&reason=no_answer";
    let (status, page) = form(&served, "/failed-rows/retry", retry).await;
    assert!(status == 422 && page.contains("may take effect twice"), "{page}");
}

#[tokio::test]
async fn dashboard_colors_and_times_are_chosen_without_a_script_and_last() {
    let project = api::project();
    let served = Served::start(&project);
    form(&served, "/syncs/orders_to_braze/run", "").await;
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let choose = async |body: &'static str| {
        let referer = format!("{}/runs", served.url);
        let request = client.post(format!("{}/display", served.url)).header("referer", referer);
        let answer =
            request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].as_bytes()), (303, &b"/runs"[..]));
        let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
        cookie.split_once(';').expect("a cookie").0.to_owned()
    };
    let cookie = format!("{}; {}", choose("theme=dark").await, choose("times=exact").await);
    let page = client.get(format!("{}/runs", served.url)).header("cookie", cookie).send().await;
    let page = page.expect("an answer").text().await.expect("text");
    assert!(page.contains("<html lang=\"en\" data-theme=\"dark\">"), "{page}");
    assert!(!page.contains("just now") && page.contains(" UTC</time>"), "{page}");
    assert_eq!(form(&served, "/display", "theme=pink").await.0, 422);
}

#[tokio::test]
async fn dashboard_a_mapping_that_cannot_run_has_one_verdict_and_is_saved_on_the_second_word() {
    let project = api::project();
    let served = Served::start(&project);
    let file = || std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("a file");
    let before = file();
    let page = served.get("/syncs/orders_to_braze/edit/mapping").await.body;
    let (_, rest) = page.split_once("name=\"version\" value=\"").expect("a version");
    let version = rest.split_once('"').expect("an end").0;
    let lines = "mapping%3A%20%7B%20external_id%3A%20custmer%2C%20name%3A%20%7B%20value%3A%20x%20%7D%20%7D";
    let body = |act: &str| format!("version={version}&lines={lines}&act={act}");
    let path = "/syncs/orders_to_braze/edit/mapping";
    for act in ["look", "save"] {
        let (_, page) = form(&served, path, &body(act)).await;
        assert!(page.contains("By these lines the sync cannot run."), "{act}: {page}");
        assert!(!page.contains("The file is valid") && !page.contains("card good"), "{act}: {page}");
        assert_eq!(page.contains("Save it all the same"), act == "save");
        assert_eq!(file(), before);
    }
    let (_, page) = form(&served, path, &body("anyway")).await;
    assert!(page.contains("It is saved and active.") && file().contains("custmer"), "{page}");
}

#[tokio::test]
async fn dashboard_another_site_cannot_press_a_button() {
    let project = api::project();
    let served = Served::start(&project);
    let origin = [("origin", "https://evil.example")];
    assert_eq!(served.post("/syncs/orders_to_braze/run", &origin, "").await.status, 403);
    let client = reqwest::Client::new();
    let page = client.get(&served.url).header("host", "evil.example").send().await.expect("an answer");
    assert_eq!(page.status().as_u16(), 403);
}

#[tokio::test]
async fn dashboard_a_failed_row_is_found_fixed_and_retried_in_a_browser() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, customer text, at timestamptz NOT NULL);
             INSERT INTO orders VALUES (1, 'ann', '2026-01-01Z'), (2, NULL, '2026-01-02Z'), (3, NULL, '2026-01-03Z')",
        )
        .await;
    let project = Project::new(&format!(
        "connections:
  shop: {}
  braze: {{ type: braze, endpoint: sandbox, api_key: test }}
syncs:
  orders_to_braze:
    source: {{ connection: shop, table: orders }}
    mode: incremental
    cursor: at
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: order_placed }}, timestamp: at, properties: [id] }}
",
        database.connection()
    ));
    let served = Served::start(&project);
    let told = program("node", &script("journey.mjs"), &[&served.url, &database.url()], &[]);
    assert!(told.trim_end().ends_with("8 proofs"), "{told}");
}

/// A mirror of twenty customers that deletes the users of rows that are gone, and has run once.
async fn mirror() -> (Project, Served) {
    let project = Project::new(
        "connections:
  drops: { type: files, path: drops }
  braze: { type: braze, endpoint: sandbox, api_key: test }
syncs:
  customers:
    source: { connection: drops, path: customers.csv }
    mode: mirror
    removed: delete
    primary_key: id
    destination: { connection: braze, object: user }
    mapping: { external_id: id, attributes: [plan] }
",
    );
    keep(&project, 20);
    let served = Served::start(&project);
    let run = served.post("/api/v1/syncs/customers/run?wait=30", &[], "").await.json();
    assert_eq!(run["counts"]["delivered"], 20, "{run}");
    (project, served)
}

/// Leaves the first customers at the source.
fn keep(project: &Project, rows: usize) {
    let lines: String = (1..=rows).map(|id| format!("{id},free\n")).collect();
    project.write("drops/customers.csv", &format!("id,plan\n{lines}"));
}

#[tokio::test]
async fn dashboard_a_mirror_that_is_held_is_confirmed_in_a_browser_as_it_was_shown() {
    let (project, served) = mirror().await;
    let file = project.path().join("drops/customers.csv");
    let told = program("node", &script("brake.mjs"), &[&served.url, &file.to_string_lossy()], &[]);
    assert!(told.trim_end().ends_with("4 proofs"), "{told}");
    let audit = project.document(&["audit", "list"]);
    let confirmed =
        audit["entries"].as_array().expect("entries").iter().filter(|deed| deed["action"] == "confirm_run");
    let subjects: Vec<&str> = confirmed.filter_map(|deed| deed["subject"].as_str()).collect();
    assert_eq!(
        subjects,
        [
            "customers, up to 0 added, 0 changed and 18 removed rows",
            "customers, up to 0 added, 0 changed and 17 removed rows",
        ],
        "{audit:#}"
    );
}

#[tokio::test]
async fn api_a_mirror_that_is_held_says_so_and_is_confirmed_by_its_plan_or_by_a_person() {
    let (project, served) = mirror().await;
    let run = async |query: &str| {
        let path = format!("/api/v1/syncs/customers/run?wait=30{query}");
        served.post(&path, &[], "").await.json()
    };
    keep(&project, 5);
    let held = run("").await;
    assert_eq!(
        (&held["ending"], &held["failure"]["kind"]),
        (&"failed".into(), &"unconfirmed".into()),
        "{held}"
    );
    let sync = served.get("/api/v1/syncs/customers").await.json();
    assert_eq!(
        (&sync["next_action"], &sync["suspects"], &sync["paused"]["failure"]["kind"]),
        (&"confirm_run".into(), &serde_json::json!([]), &"unconfirmed".into()),
        "{sync}"
    );
    let plan = project.document(&["plan", "customers"])["id"].as_str().expect("an id").to_owned();
    assert_eq!(run(&format!("&yes=true&plan={plan}")).await["code"], "invalid_request");

    keep(&project, 4);
    let moved = run(&format!("&plan={plan}")).await;
    assert_eq!((&moved["status"], &moved["code"]), (&409.into(), &"unconfirmed".into()), "{moved}");
    let listed = served.get("/api/v1/runs?sync=customers&limit=1").await.json();
    assert!(
        listed["data"][0]["error"].as_str().is_some_and(|error| error.contains("16 removed rows")),
        "who asked may be gone: {listed}"
    );
    assert_eq!(run("&yes=true").await["counts"]["delivered"], 16);
    let audit = project.document(&["audit", "list"]);
    assert_eq!(audit["entries"][0]["subject"], "customers, beyond its limits", "{audit:#}");
    assert_eq!(served.get("/api/v1/syncs/customers").await.json()["health"], "healthy");
}

#[tokio::test]
async fn dashboard_a_sync_is_set_up_in_a_browser_from_an_empty_server() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, customer text, updated_at timestamptz NOT NULL);
             INSERT INTO orders VALUES (1, 'ann', '2026-01-01Z'), (2, NULL, '2026-01-02Z'), (3, NULL, '2026-01-03Z')",
        )
        .await;
    let project = Project::new("# ours\nconnections:\n\nsyncs:\n");
    let served = Served::start(&project);
    let told = program("node", &script("setup.mjs"), &[&served.url, &database.url()], &[]);
    assert!(told.trim_end().ends_with("7 proofs"), "{told}");
}

#[tokio::test]
async fn dashboard_a_connection_is_changed_in_its_form_in_a_browser_while_another_person_changes_it() {
    let database = Database::create().await;
    let settings = database.connection().trim_matches(['{', ' ', '}']).replace(", ", "\n    ");
    let project = Project::new(&format!("# ours\nconnections:\n  shop:\n    {settings}\nsyncs:\n"));
    let served = Served::start(&project);
    let told = program("node", &script("edit.mjs"), &[&served.url, &database.url()], &[]);
    assert!(told.trim_end().ends_with("6 proofs"), "{told}");
}

#[test]
fn dashboard_its_pages_work_zoomed_by_keyboard_without_a_script_in_high_contrast_and_without_motion() {
    let tidegate = [("TIDEGATE", env!("CARGO_BIN_EXE_tidegate"))];
    let told = program("node", &script("access.mjs"), &[], &tidegate);
    assert!(told.trim_end().ends_with("7 proofs"), "{told}");
}

#[test]
fn dashboard_its_pages_have_no_fault_that_a_machine_can_see() {
    let mut command = Command::new("node");
    command.arg(script("shots.mjs")).args(["unused", "broken"]).env("QUICK", "1");
    let ended = command.env("TIDEGATE", env!("CARGO_BIN_EXE_tidegate")).output().expect("node starts");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn people_sign_in_at_an_identity_provider_in_a_browser_by_their_address_or_their_groups() {
    let mut command = Command::new("node");
    command.arg(script("sign_in.mjs")).env("TIDEGATE", env!("CARGO_BIN_EXE_tidegate"));
    let ended = command.output().expect("node starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    assert_eq!(told.lines().filter(|line| line.starts_with("ok  ")).count(), 8, "{told}");
}
