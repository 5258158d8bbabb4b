//! An agent looks and acts by the Model Context Protocol, over HTTP and on standard input. (The protocol's
//! Python client does the same in `clients/python/mcp_client.py`.)

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::api::project;
use crate::served::Served;
use crate::support::Project;

const VERSION: &str = "2025-11-25";
const SYNC: &str = "orders_to_braze";

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn beginning() -> Value {
    let client = json!({ "name": "test", "version": "1" });
    request(1, "initialize", &json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client }))
}

fn tool(name: &str, arguments: &Value) -> Value {
    request(7, "tools/call", &json!({ "name": name, "arguments": arguments }))
}

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

/// An agent that a program on this machine is: it speaks on pipes.
struct Agent {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Agent {
    fn start(project: &Project, options: &[&str]) -> Agent {
        let words: Vec<&str> = ["mcp"].iter().chain(options).copied().collect();
        let mut command = project.tidegate(&words);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tidegate starts");
        let (input, output) = (process.stdin.take(), process.stdout.take().expect("piped"));
        let mut agent = Agent { process, input, output: BufReader::new(output) };
        let begun = agent.ask(&beginning());
        assert_eq!(begun["result"]["serverInfo"]["name"], "tidegate", "{begun}");
        agent.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        agent
    }

    fn tell(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("open");
        writeln!(input, "{message}").expect("written");
    }

    fn ask(&mut self, message: &Value) -> Value {
        self.tell(message);
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{cause}: {line}"))
    }

    /// Closes standard input, and returns the exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.process.wait().expect("it ends").code()
    }
}

async fn ask(served: &Served, token: Option<&str>, message: &Value) -> (u16, Value) {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", VERSION),
    ];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let answer = served.post("/mcp", &headers, message.to_string()).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
}

#[test]
fn agents_on_standard_input_look_and_change_nothing_unless_they_are_allowed_to() {
    let project = project();
    let mut agent = Agent::start(&project, &[]);
    let tools = agent.ask(&request(2, "tools/list", &json!({})));
    assert_eq!(names(&tools).len(), 6, "{tools}");
    let syncs = agent.ask(&tool("list_syncs", &json!({})));
    let syncs = syncs["result"]["structuredContent"]["data"].as_array().map(Vec::len);
    assert_eq!(syncs, Some(2));
    let plan = agent.ask(&tool("plan_sync", &json!({ "sync": SYNC })));
    let plan = &plan["result"]["structuredContent"];
    assert_eq!(plan["run"]["counts"]["rejected"], 2, "{plan}");
    assert_eq!(plan["rejections"][0]["examples"], json!([]), "no value of a row: {plan}");
    for (name, arguments) in [("run_sync", json!({ "sync": SYNC })), ("list_failed_rows", json!({}))] {
        let refused = agent.ask(&tool(name, &arguments));
        assert_eq!(refused["result"]["isError"], true, "{refused}");
    }
    assert_eq!(agent.end(), Some(0));

    let mut agent = Agent::start(&project, &["--write", "--rows"]);
    let run = agent.ask(&tool("run_sync", &json!({ "sync": SYNC })));
    assert_eq!(run["result"]["structuredContent"]["ending"], "partial", "{run}");
    let rows = agent.ask(&tool("list_failed_rows", &json!({ "sync": SYNC, "limit": 1 })));
    let rows = &rows["result"]["structuredContent"];
    assert!(rows["data"][0]["row"]["id"].is_string() && rows["next"].is_string(), "{rows}");
    assert_eq!(agent.end(), Some(0));
    let audit = project.document(&["audit", "list"]);
    let deeds: Vec<(&Value, &Value)> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| (&entry["via"], &entry["action"]))
        .collect();
    assert_eq!(deeds, [(&json!("mcp"), &json!("see_rows")), (&json!("mcp"), &json!("run_sync"))], "{audit}");
}

#[tokio::test]
async fn agents_over_http_may_do_what_their_token_allows() {
    let project = project();
    let token = |name: &str, role: &str| {
        let made = project.document(&["tokens", "add", name, "--role", role]);
        made["token"].as_str().expect("a token").to_owned()
    };
    let served = Served::start(&project);
    let (status, begun) = ask(&served, None, &beginning()).await;
    assert_eq!(
        (status, &begun["result"]["protocolVersion"]),
        (200, &json!(VERSION)),
        "this machine: {begun}"
    );
    drop(served);

    crate::people::add(&project, "ada", "admin", false);
    let (viewer, editor) = (token("looks", "viewer"), token("acts", "editor"));
    let served = Served::start(&project);
    assert_eq!(ask(&served, None, &beginning()).await.0, 403, "neither a token nor a page of the dashboard");
    assert_eq!(ask(&served, Some("tidegate_unknown"), &beginning()).await.0, 401);
    for (token, count) in [(&viewer, 6), (&editor, 10)] {
        let (_, tools) = ask(&served, Some(token), &request(2, "tools/list", &json!({}))).await;
        assert_eq!(names(&tools).len(), count, "{tools}");
    }
    let run = tool("run_sync", &json!({ "sync": SYNC, "wait_seconds": 30 }));
    let (_, refused) = ask(&served, Some(&viewer), &run).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    let (_, done) = ask(&served, Some(&editor), &run).await;
    assert_eq!(done["result"]["structuredContent"]["ending"], "partial", "{done}");
    let (_, groups) = ask(&served, Some(&editor), &tool("list_failed_row_groups", &json!({}))).await;
    let reason = &groups["result"]["structuredContent"]["data"][0]["reason"];
    let code = reason["code"].as_str().expect("a code");
    assert_eq!(reason["message"], format!("the reason is `{code}`"), "no sentence that may repeat a value");
    let (_, wrong) = ask(&served, Some(&editor), &tool("get_run", &json!({ "run": 7 }))).await;
    let text = wrong["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("the arguments cannot be read") && !text.contains("serde"), "{wrong}");
    let (_, unknown) = ask(&served, Some(&editor), &tool("drop_everything", &json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}
