//! What an attacker tries: a planted session, guessed passwords, huge bodies, and names that are paths or SQL.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, redirect};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::project;
use crate::people::{PASSWORD, add};
use crate::served::Served;

/// A browser that follows no redirect and keeps no cookie.
fn browser() -> Client {
    Client::builder().redirect(redirect::Policy::none()).build().expect("a client")
}

/// Posts a form as a page of the server does, with a cookie.
async fn post(served: &Served, path: &str, cookie: &str, form: &str) -> reqwest::Response {
    let request = browser().post(format!("{}{path}", served.url)).header("origin", &served.url);
    let request =
        request.header("content-type", "application/x-www-form-urlencoded").header("cookie", cookie);
    request.body(form.to_owned()).send().await.expect("an answer")
}

async fn home(served: &Served, cookie: &str) -> StatusCode {
    let asked = browser().get(&served.url).header("cookie", cookie).send().await;
    asked.expect("an answer").status()
}

fn form(name: &str, password: &str) -> String {
    format!("name={name}&password={}", password.replace(' ', "+"))
}

/// The cookie that an answer sets.
fn cookie(answer: &reqwest::Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().expect("text");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_session_that_was_planted_before_is_nothing_after_signing_in_and_each_one_is_new() {
    let project = project();
    add(&project, "ada", "admin", false);
    let served = Served::start(&project);
    let planted = format!("tidegate_session={}", "a".repeat(64));

    let first = post(&served, "/sign-in", &planted, &form("ada", PASSWORD)).await;
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let (first, planted_now) = (cookie(&first), home(&served, &planted).await);
    assert_eq!(planted_now, StatusCode::SEE_OTHER, "it leads to the page of signing in");
    assert_ne!(first, planted);
    assert_eq!(home(&served, &first).await, StatusCode::OK);
    let second = cookie(&post(&served, "/sign-in", &first, &form("ada", PASSWORD)).await);
    assert_ne!(first, second, "the one before is not used on");

    add(&project, "ada", "admin", true);
    for session in [&first, &second] {
        assert_eq!(home(&served, session).await, StatusCode::SEE_OTHER, "another right ends all of them");
    }
}

#[tokio::test]
async fn passwords_are_not_guessed_one_after_the_other_or_all_at_once() {
    let project = project();
    add(&project, "ada", "admin", false);
    let served = Served::start(&project);
    let guesses = (0..40).map(|number| {
        let (served, guess) = (&served, form("ada", &format!("a wrong guess {number}")));
        async move { post(served, "/sign-in", "", &guess).await.text().await.expect("text") }
    });
    let answers = futures_util::future::join_all(guesses).await;
    let judged = answers.iter().filter(|answer| answer.contains("name or the password is wrong")).count();
    // Five at once, and one after each wait that is over meanwhile: of a second, of two, of four. That the
    // right password waits too is asserted on a driven clock (`people::tests` of the engine).
    assert!((1..=8).contains(&judged), "{judged} of 40 guesses were judged");
    let waits = answers.iter().filter(|answer| answer.contains("Too many attempts failed")).count();
    assert_eq!(judged + waits, answers.len());
}

/// Begins a request whose body is a gibibyte, sends until it is answered, and returns the status.
async fn gibibyte(served: &Served, head: &str) -> String {
    const BODY: usize = 1 << 30;
    let mut stream = TcpStream::connect(served.address()).await.expect("it listens");
    let host = served.address();
    let head = format!("{head}\r\nhost: {host}\r\ncontent-length: {BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let (mut read, mut write) = stream.split();
    let sent = async {
        let piece = vec![b'a'; 1 << 20];
        // An answer that comes early ends it.
        while write.write_all(&piece).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    let answered =
        async { tokio::time::timeout(Duration::from_secs(30), read.read_exact(&mut answer)).await };
    tokio::select! {
        () = sent => {}
        answered = answered => drop(answered.expect("an answer in time").expect("a status line")),
    }
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[tokio::test]
async fn a_body_of_a_gibibyte_is_refused_before_it_is_read() {
    let project = project();
    let served = Served::start(&project);
    let before = served.peak_memory();
    for path in [
        "PUT /api/v1/project",
        "POST /api/v1/syncs/orders_to_braze/pause",
        "POST /api/v1/syncs/orders_to_braze/dismiss",
        "POST /sign-in",
        "POST /people/add",
        "POST /project",
        "POST /syncs/new",
        "POST /connections/new/braze",
        "POST /healthz",
        "POST /nowhere",
    ] {
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            let status = gibibyte(&served, &format!("{path} HTTP/1.1\r\ncontent-type: {kind}")).await;
            assert!(status.starts_with('4'), "{path} {kind}: {status}");
        }
    }
    let grown = served.peak_memory().saturating_sub(before);
    assert!(grown < 64, "{grown} MiB more than before");
}

/// Names that leave their folder, their statement, their page or their line.
const NAMES: &[&str] = &[
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%5c%2e%2e%5cetc",
    "%2fetc%2fpasswd",
    "'%20OR%20'1'='1",
    "orders_to_braze'%3B%20DROP%20TABLE%20runs%3B--",
    "orders_to_braze%22%20UNION%20SELECT%20name%20FROM%20people--",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "orders_to_braze%00",
    "a%0d%0aset-cookie:%20planted=1",
    "%ff%fe",
    "%E2%80%AEevil",
    "${HOME}",
    "{{7*7}}",
];

/// Puts a name in place of each `{name}` of a path.
fn with(pattern: &str, name: &str) -> String {
    let parts = pattern.split('/').map(|part| if part.starts_with('{') { name } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn names_that_are_paths_or_statements_or_scripts_are_names_that_do_not_exist() {
    let project = project();
    project.run("orders_to_braze");
    let served = Served::start(&project);
    let client = browser();
    let described: Value = served.get("/api/openapi.json").await.json();
    let mut operations: Vec<(Method, String)> = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            operations.push((method, format!("/api/v1{path}")));
        }
    }
    for page in [
        "/syncs/{sync}",
        "/syncs/{sync}/edit/{part}",
        "/syncs/orders_to_braze/edit/{part}",
        "/runs/{run}",
        "/runs/{run}/live",
        "/failed-rows/{sync}/{row}",
        "/failed-rows/orders_to_braze/{row}",
        "/connections/new/{kind}",
        "/assets/{name}",
        "/in/{kind}/{connection}",
    ] {
        operations.push((Method::GET, page.to_owned()));
    }
    for action in ["run", "pause", "resume", "reset", "activate"] {
        operations.push((Method::POST, format!("/syncs/{{sync}}/{action}")));
    }
    let queries =
        ["/runs?sync=", "/failed-rows?sync=", "/failed-rows/group?sync=", "/users?user=", "/sign-in?next="];
    let long = "x".repeat(8_000);
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let named = operations.iter().filter(|(_, path)| path.contains('{'));
        let paths = named.map(|(method, path)| (method.clone(), with(path, name)));
        let queried = queries.iter().map(|query| (Method::GET, format!("{query}{name}")));
        for (method, path) in paths.chain(queried) {
            let request = client.request(method.clone(), format!("{}{path}", served.url));
            let (kind, body) = match path.starts_with("/api") {
                true => ("application/json", "{}"),
                false => ("application/x-www-form-urlencoded", "why=x"),
            };
            let request = match method {
                Method::POST => request.header("content-type", kind).header("origin", &served.url).body(body),
                _ => request,
            };
            let answer = request.send().await.expect("an answer");
            let (status, headers) = (answer.status(), answer.headers().clone());
            assert!(!status.is_server_error(), "{method} {path}: {status}");
            assert!(!headers.contains_key("set-cookie"), "{method} {path}");
            let text = answer.text().await.expect("text");
            for leaked in ["root:", "argon2", "sqlite"] {
                assert!(!text.contains(leaked), "{method} {path}: {leaked}: {text}");
            }
            let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            assert!(!kind.contains("html") || !text.contains("<script>alert"), "{method} {path}: {text}");
        }
    }
    let runs = served.get("/api/v1/runs").await;
    assert_eq!(runs.status, 200, "the table is there: {runs:?}");
    assert_eq!(project.document(&["audit", "verify"])["intact"], true);
}
