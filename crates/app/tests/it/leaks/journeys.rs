//! Every log line, as loud as a person can make it, is searched for canaries: a secret of
//! each kind, and a value of a row of each source.

use std::path::Path;

use serde_json::json;

use crate::export_faults::aws;
use crate::served::{Served, until};
use crate::support::{Database, Ended, Project, Sandbox, variable};
use crate::topics::Topic;

/// A value of a row that is neither its key nor its user: the ledger must not hold it either.
const VALUE: &str = "canary-value-4d1c9e";
/// A part of keys and users, by which the ledger finds rows.
const KEY: &str = "canary-key-77ab03";

const BRAZE_KEY: &str = "canary-secret-braze-1f2e3d4c";
const ONESIGNAL_KEY: &str = "canary-secret-onesignal-5b6a7988";
const TOKEN: &str = "canary-secret-token-0a1b2c3d4e5f";

const AWS_SECRET: &str = "canary-secret-aws-9d8c7b6a5f4e";
const PINPOINT_SECRET: &str = "canary-secret-pinpoint-3c2d1e0f";

const SECRETS: [&str; 5] = [BRAZE_KEY, ONESIGNAL_KEY, TOKEN, AWS_SECRET, PINPOINT_SECRET];

/// What was said so far, by whom.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, who: impl Into<String>, text: impl Into<String>) {
        self.0.push((who.into(), text.into()));
    }

    /// Adds the log of a command, which may end with any code.
    fn log(&mut self, who: &str, ended: &Ended) {
        assert!(ended.code >= 0, "{who}: {ended:?}");
        // The report of a run names rows by their keys, as the ledger does.
        let report = |line: &&str| !line.starts_with("    for example ");
        self.add(who, ended.stderr.lines().filter(report).collect::<Vec<_>>().join("\n"));
    }

    fn assert_silent(&self, more: &[&str]) {
        for (who, text) in &self.0 {
            for canary in SECRETS.iter().chain(&[VALUE, KEY]).chain(more) {
                let at = text.find(canary).map(|at| &text[text[..at].rfind('\n').map_or(0, |at| at + 1)..at]);
                assert!(at.is_none(), "`{canary}` is said by `{who}` behind: {at:?}");
            }
        }
    }
}

fn connections(database: &Database, sandbox: &Sandbox, topic: &Topic) -> String {
    let moto = variable("TIDEGATE_TEST_MOTO");
    let aws = format!(
        "region: us-east-1, endpoint: \"{moto}\", access_key_id: AKIDEXAMPLE, secret_access_key: {AWS_SECRET}"
    );
    format!(
        "connections:
  db: {}
  braze: {{ type: braze, endpoint: \"{}\", api_key: {BRAZE_KEY} }}
  push:
    type: onesignal
    endpoint: \"{}\"
    api_key: {ONESIGNAL_KEY}
    app_id: 7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17
    event_stream: {{ token: {TOKEN} }}
  app: {{ type: events, token: {TOKEN} }}
  apps: {{ type: pinpoint, anonymous: true, access_keys: [{{ id: AKIDCANARY, secret: {PINPOINT_SECRET} }}] }}
  kinesis: {{ type: kinesis, {aws} }}
  firehose: {{ type: firehose, {aws} }}
  inbox: {{ type: files, path: inbox }}
  lake: {{ type: delta, path: lake }}
  out: {{ type: files, path: out }}
{}",
        database.connection(),
        sandbox.url,
        sandbox.url,
        topic.connection(std::time::Duration::from_secs(6)),
    )
}

const SYNCS: &str = "syncs:
  orders:
    source: { connection: db, table: orders }
    cursor: at
    destination: { connection: braze, object: event }
    mapping: { external_id: customer, name: { value: ordered }, properties: [id, note] }
  people:
    source: { connection: db, table: people }
    mode: full
    destination: { connection: push, object: user }
    mapping: { external_id: id, attributes: [note] }
  loud: { source: { connection: db, query: \"SELECT id, shout(note) AS note FROM people\" }, mode: full, destination: { connection: push, object: user }, mapping: { external_id: id, attributes: [note] } }
  broken: { source: { connection: db, query: \"SELECT id, note::int AS note FROM people\" }, mode: full, destination: { connection: push, object: user }, mapping: { external_id: id, attributes: [note] } }
  csv: { source: { connection: inbox, path: people.csv }, destination: { connection: push, object: user }, mapping: { external_id: id, attributes: [note] } }
  lines: { source: { connection: inbox, path: people.jsonl }, destination: { connection: push, object: user }, mapping: { external_id: id, attributes: [note] } }
  delta: { source: { connection: app }, destination: { connection: lake, commit_every: 0 } }
  files: { source: { connection: app }, destination: { connection: out, format: jsonl, commit_every: 0 } }
  table: { source: { connection: app }, destination: { connection: db, table: app_events.events } }
  lost: { source: { connection: app }, destination: { connection: firehose, delivery_stream: nowhere } }
";

fn scene(database: &Database, sandbox: &Sandbox, topic: &Topic, stream: &str) -> Project {
    let messages = format!(
        "  messages:
    source: {{ connection: stream, topics: {}, group: {}, format: json, fields: {{ id: id, note: note }} }}
    destination: {{ connection: push, object: user }}
    mapping: {{ external_id: id, attributes: [note] }}
",
        topic.name,
        topic.group("messages")
    );
    let streams = format!(
        "  stream: {{ source: {{ connection: app }}, destination: {{ connection: kinesis, stream: {stream} }} }}
  phones: {{ source: {{ connection: apps }}, destination: {{ connection: kinesis, stream: {stream}, shape: pinpoint }} }}
"
    );
    let all = [connections(database, sandbox, topic), SYNCS.to_owned(), messages, streams];
    let mut project = Project::new(&all.concat());
    project.set("RUST_LOG", "trace");
    project
        .write("inbox/people.csv", &format!("id,note\n{KEY}-1,{VALUE}\n\"{KEY}-2,{VALUE}\" x,\n{KEY}-3\n"));
    project.write(
        "inbox/people.jsonl",
        &format!("{{\"id\":\"{KEY}-4\",\"note\":\"{VALUE}\"}}\n{{\"id\":\"{KEY}-5\",\"note\":{VALUE}}}\n"),
    );
    project
}

async fn tables(database: &Database) {
    database
        .run(&format!(
            "CREATE TABLE orders (id text PRIMARY KEY, customer text, note text, at timestamptz NOT NULL);
             INSERT INTO orders SELECT '{KEY}-' || n, CASE WHEN n % 3 > 0 THEN '{KEY}-c' || n END, '{VALUE}', now() - n * interval '1 second'
             FROM generate_series(1, 30) n;
             CREATE TABLE people (id text PRIMARY KEY, note text);
             INSERT INTO people VALUES ('{KEY}-1', '{VALUE}'), ('{KEY}-2', '{VALUE}' || repeat('x', 5000));
             CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN RAISE NOTICE 'saw %', $1; RAISE WARNING 'saw %', $1; RETURN $1; END $$;
             CREATE SCHEMA app_events;"
        ))
        .await;
}

#[tokio::test]
async fn leaks_no_log_holds_a_secret_or_a_value_of_a_row_however_loud_it_is() {
    let (database, topic) = (Database::create().await, Topic::new(1));
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    tables(&database).await;
    let stream = aws::stream(&variable("TIDEGATE_TEST_MOTO"), 1).await;
    let project = scene(&database, &sandbox, &topic, &stream);
    topic.write([
        json!({ "key": KEY, "value": format!(r#"{{"id":"{KEY}-7","note":"{VALUE}"}}"#) }),
        json!({ "key": KEY, "value": format!(r#"{{"id":"{KEY}-8","note":{VALUE}}}"#) }),
    ]);
    let mut said = Said::default();

    for sync in ["orders", "people", "loud", "broken", "csv", "lines", "messages"] {
        said.log(&format!("run {sync}"), &project.done(&["-vv", "run", sync]));
    }
    database.run("UPDATE orders SET customer = id WHERE customer IS NULL AND id LIKE '%-3'").await;
    for arguments in [&["-vv", "retry", "orders"][..], &["-vv", "check"], &["-vv", "plan", "orders"]] {
        said.log(&arguments.join(" "), &project.done(arguments));
    }
    // Libraries would say it: without the cap these searches would find what they look for.
    database.run("UPDATE orders SET customer = id WHERE customer IS NULL AND id LIKE '%-6'").await;
    let mut open = project.tidegate(&["-vv", "retry", "orders"]);
    let log = Ended::of(&open.env("TIDEGATE_UNSAFE_LOG", "1").output().expect("tidegate starts")).stderr;
    assert!(log.contains(KEY) && log.contains("TIDEGATE_UNSAFE_LOG is set"), "{log}");
    // What the other side says may repeat anything.
    for faults in [r#"{"revoked": true}"#, r#"{"dropped": 1.0}"#, r#"{"rejected": 1.0}"#] {
        sandbox.put_faults(faults).await;
        database
            .run(&format!("INSERT INTO orders VALUES ('{KEY}-' || random(), '{KEY}', '{VALUE}', now())"))
            .await;
        said.log(faults, &project.done(&["-vv", "run", "orders"]));
    }
    sandbox.put_faults("{}").await;

    said.0.extend(events(&project, &stream).await.0);
    for list in ["status", "runs"] {
        let ended = project.done(&[list, "--output", "json"]);
        said.add(list, ended.stdout);
        said.add(list, ended.stderr);
    }
    said.assert_silent(&[&database.password()]);
    let ledger = project.path().join(".tidegate");
    assert!(holds(&ledger, KEY), "the ledger finds rows by their keys");
    for place in ["tidegate.db", "tidegate.db-wal", "history", "master.key", "locks"] {
        for canary in SECRETS.iter().chain(&[VALUE]) {
            assert!(!holds(&ledger.join(place), canary), "`{canary}` stands in {place}");
        }
    }
}

/// Events come in, good ones and others, and go to every sink.
async fn events(project: &Project, stream: &str) -> Said {
    let mut said = Said::default();
    let served = Served::start(project);
    let bearer = format!("Bearer {TOKEN}");
    let authorized = ("authorization", bearer.as_str());
    let event = |id: u32| format!(r#"{{"id":"e{id}","kind":"seen","user_id":"{KEY}","note":"{VALUE}"}}"#);
    for body in [event(1), format!("{}\n{VALUE}", event(2)), format!("{{\"id\": {VALUE}"), event(3)] {
        served.post("/in/events/app", &[authorized], body).await;
    }
    served.post("/in/events/app", &[("authorization", "Bearer wrong")], event(4)).await;
    let message =
        json!({ "event_id": "m1", "event_kind": "message.push.sent", "external_id": KEY, "note": VALUE });
    for body in [message.to_string(), format!("{{{VALUE}"), format!("[{VALUE}]")] {
        served.post("/in/onesignal/push", &[authorized], body).await;
    }
    phones(&served).await;
    until("events in the stream, of both kinds", async || {
        let records: Vec<_> =
            aws::records(&variable("TIDEGATE_TEST_MOTO"), stream).await.into_iter().flatten().collect();
        let own = records.iter().any(|event| event["id"] == "e3");
        (own && records.iter().any(|event| event["event_type"] == "seen")).then_some(())
    })
    .await;
    until("events in both files", async || {
        (holds(&project.path().join("out"), "e3") && holds(&project.path().join("lake"), "_delta_log"))
            .then_some(())
    })
    .await;
    said.add("metrics", served.get("/metrics").await.body);
    said.add("healthz", served.get("/healthz").await.body);
    let (code, log) = served.stop().await;
    assert_eq!(code, 0, "{log}");
    said.add("serve", log);
    said
}

/// What phones send to the Pinpoint API: good, broken, and signed with another secret.
async fn phones(served: &Served) {
    let path = "/in/pinpoint/apps/v1/apps/a/events";
    let endpoint = json!({ "Address": VALUE, "ChannelType": "EMAIL", "User": { "UserId": KEY } });
    let event =
        json!({ "EventType": "seen", "Timestamp": "2026-03-01T12:00:00Z", "Attributes": { "note": VALUE } });
    let put = json!({ "BatchItem": { KEY: { "Endpoint": endpoint, "Events": { "e": event } } } }).to_string();
    let answer = served.post(path, &[], put.clone()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    for broken in [format!("{{{VALUE}"), format!(r#"{{"BatchItem":{{"{KEY}":{{"Events":"{VALUE}"}}}}}}"#)] {
        served.post(path, &[], broken).await;
    }
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDCANARY/20260301/us-east-1/mobiletargeting/aws4_request, \
                  SignedHeaders=host;x-amz-date, Signature=00";
    served.post(path, &[("authorization", signed), ("x-amz-date", "20260301T120000Z")], put).await;
}

/// Whether a file, or one in a folder, holds a text or is called by it.
pub(crate) fn holds(place: &Path, text: &str) -> bool {
    if place.file_name().is_some_and(|name| name.to_string_lossy().contains(text)) {
        return true;
    }
    if place.is_dir() {
        let entries = std::fs::read_dir(place).expect("a folder");
        return entries.flatten().any(|entry| holds(&entry.path(), text));
    }
    let bytes = std::fs::read(place).unwrap_or_default();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
