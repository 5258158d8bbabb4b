//! Exports that the callers of a connection's API ask for.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Method;
use serde_json::{Value, json};

use crate::outside::Stream;
use crate::served::{Served, until};
use crate::support::{Project, pause};

/// A Pinpoint data plane whose streams of Firehose lead nowhere.
fn project(stream: &Stream) -> Project {
    Project::new(&format!(
        "connections:
  apps:
    type: pinpoint
    anonymous: true
    access_keys: [{{ id: AKIDSENDER, secret: s3cret }}]
    streams:
      assume_role: false
      access_key_id: AKIDEXAMPLE
      secret_access_key: example
      kinesis_endpoint: \"{}\"
      firehose_endpoint: http://127.0.0.1:9
",
        stream.endpoint
    ))
}

async fn lead(served: &Served, app: &str, arn: &str) {
    let body = json!({ "DestinationStreamArn": arn, "RoleArn": "arn:aws:iam::123456789012:role/streams" });
    let path = format!("/v1/apps/{app}/eventstream");
    assert_eq!(served.post(&path, &[], body.to_string()).await.status, 403, "without a signature");
    assert_eq!(signed(served, Method::POST, &path, body.to_string()).await, 200);
}

/// The status of a request that is signed as AWS clients do.
#[expect(clippy::disallowed_methods, reason = "a signature is checked against the system's clock")]
async fn signed(served: &Served, method: Method, path: &str, body: String) -> u16 {
    let identity = Credentials::new("AKIDSENDER", "s3cret", None, None, "test").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("mobiletargeting")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("all parts")
        .into();
    let url = format!("{}{path}", served.url);
    let signable =
        SignableRequest::new(method.as_str(), &url, std::iter::empty(), SignableBody::Bytes(body.as_bytes()));
    let instructions = sign(signable.expect("a request"), &parameters).expect("signed").into_parts().0;
    let mut request = reqwest::Client::new().request(method, &url);
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    request.body(body).send().await.expect("an answer").status().as_u16()
}

async fn put(served: &Served, app: &str, event: &str) {
    let events = json!({ event: { "EventType": event, "Timestamp": "2026-01-02T03:04:05.678Z" } });
    let body = json!({ "BatchItem": { "phone": { "Endpoint": {}, "Events": events } } });
    let answer = served.post(&format!("/v1/apps/{app}/events"), &[], body.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Waits until a stream holds events of exactly these types.
async fn holds(stream: &Stream, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|kind| (*kind).to_owned()).collect();
    until(&format!("{expected:?}"), async || {
        let kinds: BTreeSet<String> = stream
            .read()
            .iter()
            .filter_map(|record| {
                let data: Value = serde_json::from_str(record["data"].as_str()?).ok()?;
                Some(data["event_type"].as_str()?.to_owned())
            })
            .collect();
        assert!(kinds.is_subset(&expected), "{kinds:?}");
        (kinds == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn journey_an_event_stream_that_leads_nowhere_delays_no_other_even_when_it_is_deleted() {
    let stream = Stream::kinesis();
    let project = project(&stream);
    let served = Served::start(&project);
    lead(&served, "dead", "arn:aws:firehose:us-east-1:123456789012:deliverystream/nowhere").await;
    put(&served, "dead", "lost").await;
    lead(&served, "live", &stream.arn()).await;
    put(&served, "live", "first").await;
    holds(&stream, &["first"]).await;

    assert_eq!(signed(&served, Method::DELETE, "/v1/apps/dead/eventstream", String::new()).await, 200);
    lead(&served, "late", &stream.arn()).await;
    put(&served, "late", "second").await;

    holds(&stream, &["first", "second"]).await;
}

#[tokio::test]
async fn journey_an_event_stream_goes_on_after_a_new_start_and_ends_with_what_came_before_its_deletion() {
    let stream = Stream::kinesis();
    let project = project(&stream);
    let served = Served::start(&project);
    put(&served, "shop", "before").await;
    lead(&served, "shop", &stream.arn()).await;
    put(&served, "shop", "first").await;
    holds(&stream, &["first"]).await;
    drop(served);

    let served = Served::start(&project);
    put(&served, "shop", "second").await;
    assert_eq!(signed(&served, Method::DELETE, "/v1/apps/shop/eventstream", String::new()).await, 200);

    holds(&stream, &["first", "second"]).await;
    put(&served, "shop", "after").await;
    pause(Duration::from_secs(1)).await;
    holds(&stream, &["first", "second"]).await;
}

#[tokio::test]
async fn journey_an_event_stream_that_fails_stands_in_the_status_and_opens_an_alert() {
    let stream = Stream::kinesis();
    let project = project(&stream);
    let yaml = std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("a file");
    let hook = "alerts:\n  channels:\n    hook: { type: webhook, url: \"http://127.0.0.1:9/\", secret: 0123456789abcdef }\n";
    project.write("tidegate.yaml", &format!("{hook}{yaml}"));
    let served = Served::start(&project);
    lead(&served, "dead", "arn:aws:kinesis:us-east-1:123456789012:stream/nowhere").await;
    put(&served, "dead", "lost").await;
    until("a line in the status", async || {
        let statuses = project.json(&["status"]);
        let status = statuses.as_array()?.iter().find(|status| status["sync"] == "apps.eventstream-dead")?;
        (status["last_run"]["ending"] == "failed").then_some(())
    })
    .await;
    until("an alert", async || {
        let alerts = project.document(&["alerts", "list"]);
        alerts["alerts"]
            .as_array()?
            .iter()
            .find(|alert| alert["subject"] == "apps.eventstream-dead")
            .map(drop)
    })
    .await;
}
