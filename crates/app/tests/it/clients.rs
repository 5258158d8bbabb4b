//! Third-party clients work against the sandbox and the server, unchanged but for the
//! base URL.

use std::path::Path;
use std::process::Command;

use crate::outside::{Stream, program};
use crate::served::Served;
use crate::support::{Project, Sandbox, repository, variable};

/// Runs a program against a sandbox of its own.
fn prove(interpreter: &Path, program: &Path) {
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    let ended = Command::new(interpreter).arg(program).arg(&sandbox.url).output();
    let ended = ended.unwrap_or_else(|cause| panic!("{}: {cause}", interpreter.display()));
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{} found a difference\n{told}\n{complaint}", program.display());
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 15, "only {proofs} things were proved:\n{told}");
}

fn python(program: &str) {
    prove(Path::new(&variable("TIDEGATE_TEST_PYTHON")), &repository().join("clients/python").join(program));
}

fn node(program: &str) {
    prove(Path::new("node"), &Path::new(&variable("TIDEGATE_TEST_NODE_CLIENTS")).join(program));
}

#[test]
fn clients_the_official_python_client_of_onesignal_works() {
    python("onesignal_client.py");
}

#[test]
fn clients_the_python_client_of_braze_works() {
    python("braze_client.py");
}

#[test]
fn clients_older_and_unofficial_clients_of_both_work() {
    python("older_clients.py");
}

#[test]
fn clients_the_official_node_client_of_onesignal_works() {
    node("onesignal.mjs");
}

#[test]
fn clients_the_node_client_of_braze_works() {
    node("braze.mjs");
}

/// Has a Pinpoint client configure an event stream and put events, then looks at the stream with
/// another program.
fn event_stream(sender: &str, stream: &Stream) {
    let project = Project::new(&format!(
        "connections:
  apps:
    type: pinpoint
    access_keys: [{{ id: AKIDSENDER, secret: s3cret }}]
    streams:
      assume_role: false
      access_key_id: AKIDEXAMPLE
      secret_access_key: example
      {}_endpoint: \"{}\"
",
        stream.kind, stream.endpoint
    ));
    let served = Served::start(&project);
    let url = format!("{}/in/pinpoint/apps", served.url);
    let arn = stream.arn();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIDSENDER"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ("STREAM_ARN", &*arn),
        ("SIGNED", "yes"),
    ];
    let python = variable("TIDEGATE_TEST_PYTHON");
    let told = match sender {
        "boto3" => program(&python, "python/pinpoint_client.py", &[&url], &environment),
        _ => {
            let script = Path::new(&variable("TIDEGATE_TEST_NODE_CLIENTS")).join("pinpoint.mjs");
            program("node", script.to_str().expect("a path of text"), &[&url], &environment)
        }
    };
    let app = told.lines().last().and_then(|line| line.strip_prefix("app ")).expect("the app's name");
    let arguments = [stream.kind, &stream.endpoint, &stream.name, app, sender];
    let proved = program(&python, "python/aws/app_records.py", &arguments, &[]);
    let proofs = |told: &str| told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs(&told) >= 12 && proofs(&proved) >= 15, "{told}\n{proved}");
}

#[test]
fn clients_amazons_python_client_streams_events_to_kinesis() {
    event_stream("boto3", &Stream::kinesis());
}

#[test]
fn clients_amazons_python_client_streams_events_to_firehose() {
    event_stream("boto3", &Stream::firehose());
}

#[test]
fn clients_amazons_node_client_streams_events_to_kinesis() {
    event_stream("node", &Stream::kinesis());
}

#[test]
fn clients_amazons_node_client_streams_events_to_firehose() {
    event_stream("node", &Stream::firehose());
}

#[tokio::test]
async fn clients_amplify_in_a_browser_sends_its_events_after_the_change_that_the_guide_shows() {
    let project = Project::new("connections:\n  apps: { type: pinpoint, anonymous: true }\n");
    let served = Served::start(&project);
    let guide = repository().join("docs/guides/moving-off-pinpoint.md");
    let guide = guide.to_str().expect("a path of text");

    let told = program("node", "node/amplify.mjs", &[&served.url, guide], &[]);

    assert_eq!(told.lines().filter(|line| line.starts_with("ok  ")).count(), 4, "{told}");
    let kinds = project.json(&["events"]);
    for kind in ["_session.start", "bought", "left"] {
        assert!(
            kinds.as_array().into_iter().flatten().any(|found| found["kind"] == kind && found["events"] == 1),
            "{kind}: {kinds:#}"
        );
    }
}
