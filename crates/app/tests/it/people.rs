//! Signing in, roles, tokens and the audit log, seen from a browser and from programs.

use std::collections::BTreeSet;

use reqwest::{Client, Method, StatusCode, redirect};
use serde_json::{Value, json};

use crate::api::project;
use crate::served::Served;
use crate::support::{Ended, Project};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// What asks: no one, a browser with a cookie, a program with a token.
#[derive(Clone, Debug)]
enum Asker {
    NoOne,
    Browser(String),
    Program(String),
}

/// A client that follows no redirect, at a server.
struct Door<'a> {
    served: &'a Served,
    client: Client,
}

impl Door<'_> {
    fn at(served: &Served) -> Door<'_> {
        let client = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Door { served, client }
    }

    /// Asks as a page of this server would; returns the status and the headers and body.
    async fn ask(&self, method: Method, path: &str, asker: &Asker, form: &str) -> reqwest::Response {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.served.url));
        request = match asker {
            Asker::NoOne => request,
            Asker::Browser(cookie) => request.header("cookie", cookie),
            Asker::Program(token) => request.bearer_auth(token),
        };
        if method != Method::GET {
            let kind = if path.starts_with("/api") {
                "application/json"
            } else {
                "application/x-www-form-urlencoded"
            };
            request = request.header("origin", &self.served.url).header("content-type", kind);
            request = request.body(form.to_owned());
        }
        request.send().await.expect("an answer")
    }

    async fn status(&self, method: Method, path: &str, asker: &Asker) -> StatusCode {
        self.ask(method, path, asker, "").await.status()
    }

    /// Signs in, and returns the cookie.
    async fn sign_in(&self, name: &str) -> Asker {
        let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.ask(Method::POST, "/sign-in", &Asker::NoOne, &form).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{name}");
        let cookie = answer.headers()["set-cookie"].to_str().expect("text");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        Asker::Browser(cookie.split(';').next().expect("a pair").to_owned())
    }
}

pub(crate) fn add(project: &Project, name: &str, role: &str, rows: bool) {
    let mut command = project.tidegate(&["people", "add", name, "--role", role, "--password-stdin"]);
    if rows {
        command.arg("--rows");
    }
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut process = command.spawn().expect("tidegate starts");
    std::io::Write::write_all(&mut process.stdin.take().expect("piped"), PASSWORD.as_bytes())
        .expect("written");
    let ended = Ended::of(&process.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 0, "{ended:?}");
}

fn token(project: &Project, name: &str, role: &str, rows: bool) -> Asker {
    let mut words = vec!["tokens", "add", name, "--role", role];
    if rows {
        words.push("--rows");
    }
    Asker::Program(project.document(&words)["token"].as_str().expect("a token").to_owned())
}

/// What each address needs: the lowest role, or the right to see rows. The table of the test is not that of
/// the program.
const API: &[(&str, &str, &str)] = &[
    ("GET", "/api/v1/project", "editor"),
    ("PUT", "/api/v1/project", "editor"),
    ("GET", "/api/v1/status", "viewer"),
    ("GET", "/api/v1/syncs", "viewer"),
    ("GET", "/api/v1/syncs/refunds_to_braze", "viewer"),
    ("GET", "/api/v1/runs", "viewer"),
    ("GET", "/api/v1/runs/nosuch", "viewer"),
    ("GET", "/api/v1/runs/nosuch/events", "viewer"),
    ("GET", "/api/v1/groups", "viewer"),
    ("GET", "/api/v1/connections", "viewer"),
    ("GET", "/api/v1/alerts", "viewer"),
    ("GET", "/api/v1/channels", "viewer"),
    ("GET", "/api/v1/failed-rows", "rows"),
    ("GET", "/api/v1/failed-rows/orders_to_braze/00", "rows"),
    ("GET", "/api/v1/users/ann/timeline", "rows"),
    ("POST", "/api/v1/syncs/refunds_to_braze/run", "editor"),
    ("POST", "/api/v1/syncs/refunds_to_braze/run?yes=true", "admin"),
    ("POST", "/api/v1/syncs/refunds_to_braze/retry", "editor"),
    ("POST", "/api/v1/syncs/refunds_to_braze/dismiss", "editor"),
    ("POST", "/api/v1/syncs/refunds_to_braze/pause", "editor"),
    ("POST", "/api/v1/syncs/refunds_to_braze/resume", "editor"),
    ("POST", "/api/v1/syncs/refunds_to_braze/reset", "admin"),
    ("POST", "/api/v1/channels/nosuch/test", "admin"),
    ("GET", "/api/v1/people", "admin"),
    ("GET", "/api/v1/tokens", "admin"),
    ("GET", "/api/v1/audit", "admin"),
    ("GET", "/cdi/integrations", "viewer"),
    ("GET", "/cdi/integrations/refunds_to_braze/job_sync_status", "viewer"),
    ("POST", "/cdi/integrations/refunds_to_braze/sync", "editor"),
    ("GET", "/compat/braze/cdi/integrations", "viewer"),
    ("GET", "/compat/braze/cdi/integrations/refunds_to_braze/job_sync_status", "viewer"),
    ("POST", "/compat/braze/cdi/integrations/refunds_to_braze/sync", "editor"),
    ("GET", "/compat/census/api/v1/syncs", "viewer"),
    ("GET", "/compat/census/api/v1/sync_runs/nosuch", "viewer"),
    ("POST", "/compat/census/api/v1/syncs/refunds_to_braze/trigger", "editor"),
    ("GET", "/compat/hightouch/api/v1/syncs", "viewer"),
    ("GET", "/compat/hightouch/api/v1/syncs/refunds_to_braze", "viewer"),
    ("GET", "/compat/hightouch/api/v1/syncs/refunds_to_braze/runs", "viewer"),
    ("POST", "/compat/hightouch/api/v1/syncs/trigger", "editor"),
    ("GET", "/mcp", "viewer"),
    ("POST", "/mcp", "viewer"),
    ("DELETE", "/mcp", "viewer"),
];

const PAGES: &[(&str, &str, &str)] = &[
    ("GET", "/", "viewer"),
    ("GET", "/live", "viewer"),
    ("GET", "/syncs", "viewer"),
    ("GET", "/syncs/refunds_to_braze", "viewer"),
    ("GET", "/runs", "viewer"),
    ("GET", "/runs/nosuch", "viewer"),
    ("GET", "/runs/nosuch/live", "viewer"),
    ("GET", "/failed-rows", "viewer"),
    ("GET", "/failed-rows/group?sync=refunds_to_braze", "rows"),
    ("GET", "/failed-rows/retry?sync=refunds_to_braze", "editor"),
    ("GET", "/failed-rows/refunds_to_braze/00", "rows"),
    ("GET", "/users", "rows"),
    ("GET", "/events", "viewer"),
    ("GET", "/connections", "viewer"),
    ("GET", "/syncs/new", "editor"),
    ("POST", "/syncs/new", "editor"),
    ("GET", "/exports/new", "editor"),
    ("POST", "/exports/new", "editor"),
    ("GET", "/syncs/refunds_to_braze/edit/mapping", "editor"),
    ("POST", "/syncs/refunds_to_braze/edit/mapping", "editor"),
    ("POST", "/syncs/refunds_to_braze/activate", "editor"),
    ("GET", "/project", "editor"),
    ("POST", "/project", "editor"),
    ("GET", "/connections/new", "editor"),
    ("GET", "/connections/new/braze", "editor"),
    ("POST", "/connections/new/braze", "editor"),
    ("GET", "/connections/braze/edit", "editor"),
    ("POST", "/connections/braze/edit", "editor"),
    ("GET", "/connections/new/edit", "editor"),
    ("POST", "/connections/new/edit", "editor"),
    ("GET", "/alerts", "viewer"),
    ("GET", "/about", "viewer"),
    ("POST", "/display", "viewer"),
    ("GET", "/people", "admin"),
    ("GET", "/audit", "admin"),
    ("GET", "/compat/census/syncs/refunds_to_braze/history", "viewer"),
    ("GET", "/compat/census/sync-runs/nosuch", "viewer"),
    ("POST", "/syncs/refunds_to_braze/run", "editor"),
    ("GET", "/syncs/refunds_to_braze/confirm", "editor"),
    ("POST", "/syncs/refunds_to_braze/confirm", "admin"),
    ("POST", "/syncs/refunds_to_braze/pause", "editor"),
    ("POST", "/syncs/refunds_to_braze/resume", "editor"),
    ("POST", "/syncs/refunds_to_braze/reset", "admin"),
    ("POST", "/failed-rows/retry", "editor"),
    ("POST", "/failed-rows/dismiss", "editor"),
    ("POST", "/alerts/test", "admin"),
    ("POST", "/people/add", "admin"),
    ("POST", "/people/link", "admin"),
    ("POST", "/people/remove", "admin"),
    ("POST", "/people/tokens/remove", "admin"),
];

/// Whether a role is enough.
fn may(role: &str, rows: bool, needs: &str) -> bool {
    let order = ["viewer", "editor", "admin"];
    let rank = |role: &str| order.iter().position(|one| *one == role).expect("a role");
    if needs == "rows" { rows } else { rank(role) >= rank(needs) }
}

#[tokio::test]
async fn every_operation_answers_those_who_may_and_no_one_else() {
    let project = project();
    for (name, role, rows) in
        [("vera", "viewer", false), ("vic", "viewer", true), ("ed", "editor", false), ("ada", "admin", false)]
    {
        add(&project, name, role, rows);
    }
    let programs = [
        ("viewer", false, token(&project, "t1", "viewer", false)),
        ("viewer", true, token(&project, "t2", "viewer", true)),
        ("editor", false, token(&project, "t3", "editor", false)),
        ("admin", true, token(&project, "t4", "admin", true)),
    ];
    let served = Served::start(&project);
    let door = Door::at(&served);
    let mut browsers = Vec::new();
    for (name, role, rows) in
        [("vera", "viewer", false), ("vic", "viewer", true), ("ed", "editor", false), ("ada", "admin", false)]
    {
        browsers.push((role, rows, door.sign_in(name).await));
    }

    for (method, path, needs) in API {
        let method: Method = method.parse().expect("a method");
        let unknown = Asker::Program("tidegate_0123456789abcdef".to_owned());
        for asker in [Asker::NoOne, unknown, Asker::Browser("tidegate_session=abc".to_owned())] {
            let status = door.status(method.clone(), path, &asker).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {asker:?}");
        }
        for (role, rows, asker) in programs.iter().chain(&browsers) {
            let status = door.status(method.clone(), path, asker).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            assert_eq!(refused, !may(role, *rows, needs), "{method} {path} {role} rows={rows}: {status}");
            assert!(!status.is_server_error(), "{method} {path} {role}: {status}");
        }
    }
    for (method, path, needs) in PAGES {
        let method: Method = method.parse().expect("a method");
        let status = door.status(method.clone(), path, &Asker::NoOne).await;
        let expected = if method == Method::GET { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED };
        assert_eq!(status, expected, "{method} {path}");
        let program = door.status(method.clone(), path, &programs[3].2).await;
        assert_eq!(program, expected, "a token is nothing for pages: {method} {path}");
        for (role, rows, asker) in &browsers {
            let status = door.status(method.clone(), path, asker).await;
            assert_eq!(
                status == StatusCode::FORBIDDEN,
                !may(role, *rows, needs),
                "{method} {path} {role} rows={rows}: {status}"
            );
            assert!(!status.is_server_error(), "{method} {path} {role}: {status}");
        }
    }

    // Every operation of the description is in the table.
    let described = door.ask(Method::GET, "/api/openapi.json", &programs[0].2, "").await;
    let described: Value = serde_json::from_str(&described.text().await.expect("text")).expect("JSON");
    let pattern = |path: &str| {
        let names = ["refunds_to_braze", "orders_to_braze", "nosuch", "00", "ann"];
        path.split('/')
            .map(|part| if names.contains(&part) { "{}" } else { part })
            .collect::<Vec<_>>()
            .join("/")
    };
    let listed: BTreeSet<String> =
        API.iter().map(|(method, path, _)| format!("{method} {}", pattern(path))).collect();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let path: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
        for method in methods.as_object().expect("methods").keys() {
            let operation = format!("{} /api/v1{}", method.to_uppercase(), path.join("/"));
            assert!(listed.contains(&operation), "{operation} is not in the table of this test");
        }
    }
}

/// Pages that need no one, or that would end the sessions of the test above.
const OTHERS: &[&str] = &[
    "GET /assets/{}",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/provider",
    "GET /sign-in/provider/back",
    "POST /sign-out",
    "GET /welcome",
    "POST /welcome",
];

/// Pages have no description of their own: their routes are in the source.
#[test]
fn every_page_is_in_the_table_of_this_test() {
    let path = crate::support::repository().join("crates/web/src/pages/mod.rs");
    let source = std::fs::read_to_string(path).expect("a source");
    let pattern = |path: &str| {
        let named = ["refunds_to_braze", "nosuch", "00", "mapping", "braze"];
        let parts = path.split('/').map(|part| match part.starts_with('{') || named.contains(&part) {
            true => "{}",
            false => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let listed: BTreeSet<String> = PAGES
        .iter()
        .map(|(method, path, _)| format!("{method} {}", pattern(path.split('?').next().unwrap_or_default())))
        .chain(OTHERS.iter().map(|page| (*page).to_owned()))
        .collect();
    let routes: Vec<&str> = source.split(".route(\"").skip(1).collect();
    assert!(routes.len() > 30, "{}", routes.len());
    for route in routes {
        let (path, handlers) = route.split_once('"').expect("an end");
        for (method, called) in [("GET", "get("), ("POST", "post(")] {
            let page = format!("{method} {}", pattern(path));
            assert!(
                !handlers.contains(called) || listed.contains(&page),
                "{page} is not in the table of this test"
            );
        }
    }
}

/// Another machine asks by another name than this machine's own.
#[tokio::test]
async fn the_link_of_the_first_person_can_be_opened_from_another_machine() {
    const HOST: &str = "tidegate.example.com";
    let project = project();
    let served = Served::start(&project);
    let door = Door::at(&served);
    let printed = project.done(&["people", "add", "ada", "--role", "admin"]);
    let link =
        printed.stdout.lines().find_map(|line| line.find("/welcome?key=").map(|at| line[at..].to_owned()));
    let link = link.expect("a link");
    let ask = async |method: Method, path: &str, form: &str| {
        let request = door.client.request(method, format!("{}{path}", served.url)).header("host", HOST);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("origin", format!("http://{HOST}")).body(form.to_owned());
        request.send().await.expect("an answer").status()
    };
    assert_eq!(ask(Method::GET, "/", "").await, StatusCode::FORBIDDEN, "nothing else is answered");
    assert_eq!(ask(Method::GET, "/welcome?key=guessed", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask(Method::GET, &link, "").await, StatusCode::OK);
    let key = link.split("key=").nth(1).expect("a key");
    let form = format!("key={key}&name=ada&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(ask(Method::POST, "/welcome", &form).await, StatusCode::SEE_OTHER);
    assert_eq!(ask(Method::GET, "/", "").await, StatusCode::SEE_OTHER, "now everyone signs in");
}

#[tokio::test]
async fn the_first_link_makes_an_admin_and_what_people_do_is_noted_and_cannot_be_changed() {
    let project = project();
    let served = Served::start(&project);
    let door = Door::at(&served);
    assert_eq!(door.status(Method::GET, "/", &Asker::NoOne).await, StatusCode::OK, "this machine, no people");
    let link = crate::served::until("a link", async || {
        let said = served.said();
        let line = said.lines().find(|line| line.contains("first admin"))?;
        line.split("127.0.0.1").nth(1).and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()))
    })
    .await;
    assert_eq!(door.status(Method::GET, &link, &Asker::NoOne).await, StatusCode::OK);
    let key = link.split("key=").nth(1).expect("a key");
    let form = |password: &str| format!("key={key}&name=ada&password={}", password.replace(' ', "+"));
    let short = door.ask(Method::POST, "/welcome", &Asker::NoOne, &form("short")).await;
    assert_eq!(short.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.text().await.expect("text").contains("12 characters"));
    let done = door.ask(Method::POST, "/welcome", &Asker::NoOne, &form(PASSWORD)).await;
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    let again = door.ask(Method::POST, "/welcome", &Asker::NoOne, &form(PASSWORD)).await;
    assert_ne!(again.status(), StatusCode::SEE_OTHER, "the link works once");
    assert_eq!(door.status(Method::GET, "/", &Asker::NoOne).await, StatusCode::SEE_OTHER, "now one signs in");

    let ada = door.sign_in("ada").await;
    let paused = door.ask(Method::POST, "/syncs/refunds_to_braze/pause", &ada, "why=a+move").await;
    assert_eq!(paused.status(), StatusCode::SEE_OTHER);
    let state = project.json(&["status", "refunds_to_braze"]);
    assert_eq!(state[0]["paused"]["by"]["person"], "ada", "{state}");
    door.ask(Method::GET, "/users?user=canary-user", &ada, "").await;
    door.ask(Method::POST, "/sign-in", &Asker::NoOne, "name=ada&password=wrong-canary").await;

    let audit = project.document(&["audit", "list"]);
    let noted: Vec<String> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .rev()
        .map(|entry| format!("{} {} {}", entry["actor"], entry["action"], entry["subject"]).replace('"', ""))
        .collect();
    for expected in [
        "ada accept_invitation 127.0.0.1",
        "ada sign_in 127.0.0.1",
        "ada pause_sync refunds_to_braze",
        "ada see_user ",
        "ada sign_in_failed 127.0.0.1",
    ] {
        assert!(noted.iter().any(|line| line == expected), "{expected}: {noted:?}");
    }
    assert!(!audit.to_string().contains("canary"), "{audit}");
    assert_eq!(project.document(&["audit", "verify"])["intact"], true);
    let database = project.path().join(".tidegate/tidegate.db");
    let (code, _) = served.stop().await;
    assert_eq!(code, 0);
    let forged = std::process::Command::new(crate::support::variable("TIDEGATE_TEST_PYTHON"))
        .args(["-c", "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db: db.execute(\"UPDATE audit SET actor = 'eve' WHERE seq = 2\")"])
        .arg(database)
        .status()
        .expect("Python starts");
    assert!(forged.success());
    let verdict = project.document(&["audit", "verify"]);
    assert_eq!((&verdict["intact"], &verdict["broken_at"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn those_who_may_not_see_rows_see_none_and_a_foreign_page_can_do_nothing() {
    let project = project();
    // The platform's words repeat the value of the row.
    project.write("data/orders.csv", "id,customer,at\n1,,2026-01-01T00:00:00Z\n");
    project.run("orders_to_braze");
    add(&project, "ada", "admin", true);
    add(&project, "ed", "editor", false);
    let served = Served::start(&project);
    let door = Door::at(&served);
    let (ada, ed) = (door.sign_in("ada").await, door.sign_in("ed").await);
    let text = async |path: &str, asker: &Asker| {
        door.ask(Method::GET, path, asker, "").await.text().await.expect("text")
    };
    for path in ["/", "/syncs/orders_to_braze", "/failed-rows", "/api/v1/groups", "/api/v1/syncs"] {
        assert!(text(path, &ed).await.contains("no_identifier"), "{path} names the code of the reason");
    }
    for link in ["href=\"/people\"", "href=\"/users\"", "action=\"/users\""] {
        assert!(text("/", &ada).await.contains(link), "{link}");
        assert!(!text("/", &ed).await.contains(link), "a link that is refused: {link}");
    }
    let told = text("/api/v1/groups", &ada).await;
    assert!(!told.contains("the reason is `no_identifier`"), "{told}");

    let post = door.client.post(format!("{}/syncs/orders_to_braze/pause", served.url));
    let Asker::Browser(cookie) = &ada else { panic!("a browser") };
    let foreign = post.header("cookie", cookie).header("origin", "https://evil.example");
    let foreign = foreign.header("sec-fetch-site", "cross-site").body("why=x");
    assert_eq!(foreign.send().await.expect("an answer").status(), StatusCode::FORBIDDEN);
    let link = door.client.get(format!("{}/syncs/orders_to_braze", served.url));
    let from_mail = link.header("sec-fetch-site", "cross-site").send().await.expect("an answer");
    assert_eq!(from_mail.status(), StatusCode::OK, "the browser left its cookie at home");
    assert!(from_mail.text().await.expect("text").contains("http-equiv=\"refresh\""));

    let out = door.ask(Method::POST, "/sign-out", &ada, "").await;
    assert_eq!(out.status(), StatusCode::SEE_OTHER);
    assert_eq!(door.status(Method::GET, "/", &ada).await, StatusCode::SEE_OTHER, "the session has ended");
}

#[tokio::test]
async fn a_secret_that_is_written_out_in_the_project_file_is_shown_to_admins_only() {
    let project = Project::new(
        "connections:\n  braze: { type: braze, endpoint: \"http://127.0.0.1:9\", api_key: canary-of-the-key }\nsyncs:\n",
    );
    add(&project, "ada", "admin", false);
    add(&project, "ed", "editor", false);
    let editor = token(&project, "t", "editor", false);
    let served = Served::start(&project);
    let door = Door::at(&served);
    let (ada, ed) = (door.sign_in("ada").await, door.sign_in("ed").await);
    for path in ["/project", "/api/v1/project"] {
        let shown = door.ask(Method::GET, path, &ada, "").await;
        assert_eq!(shown.status(), StatusCode::OK, "{path}");
        assert!(shown.text().await.expect("text").contains("canary-of-the-key"), "{path}");
        let asker = if path.starts_with("/api") { &editor } else { &ed };
        let refused = door.ask(Method::GET, path, asker, "").await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        let said = refused.text().await.expect("text");
        assert!(said.contains("connections.braze.api_key") && !said.contains("canary"), "{said}");
    }
    // With its version, which is no secret, an editor may replace the project, and then see it.
    let Asker::Program(secret) = &editor else { panic!("a program") };
    let mut file =
        Project::new("connections:\n  braze: { type: braze, endpoint: sandbox, api_key: none }\nsyncs:\n");
    file.set("TIDEGATE_TOKEN", secret);
    let applied = file.done(&["apply", "--server", &served.url]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(door.status(Method::GET, "/project", &ed).await, StatusCode::OK);
}
