//! The bodies of channels whose receivers cannot be had here, against the shapes in their documents.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::alert::{Alert, Change, Message, Trigger};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{Canned, context, raw};

use super::CHANNELS;

fn message(change: Change) -> Message {
    let at = Timestamp::UNIX_EPOCH;
    Message {
        id: "n1".to_owned(),
        alert: Alert {
            id: "a1".to_owned(),
            subject: "orders".to_owned(),
            trigger: Trigger::Failed,
            summary: "the key <k&v> was refused".to_owned(),
            opened_at: at,
            resolved_at: (change == Change::Resolved).then_some(at),
        },
        change,
        contact: None,
        at,
        link: Some("https://tidegate.example.com/syncs/orders".to_owned()),
    }
}

/// Sends a message, and returns the address and the body.
async fn posted(kind: &str, settings: Value, change: Change) -> (String, Value) {
    let http = Canned::once(202, "");
    let channel = CHANNELS.iter().find(|channel| channel.kind == kind).expect("a type");
    let opened = (channel.open)(&raw(settings), &context(http.clone(), &ManualClock::default()));
    opened.expect("opened").send(&message(change)).await.expect("accepted");
    let request = http.requests().pop().expect("a request");
    assert_eq!(request.headers()["content-type"], "application/json");
    (request.uri().to_string(), serde_json::from_slice(request.body()).expect("JSON"))
}

#[tokio::test]
async fn slack_gets_text_and_a_block_with_its_three_characters_escaped() {
    let settings = json!({ "url": "https://hooks.slack.com/services/T/B/x" });
    let (address, body) = posted("slack", settings, Change::Opened).await;
    assert_eq!(address, "https://hooks.slack.com/services/T/B/x");
    assert_eq!(body["text"], "orders fails");
    let block = &body["blocks"][0];
    assert_eq!((&block["type"], &block["text"]["type"]), (&json!("section"), &json!("mrkdwn")));
    let text = block["text"]["text"].as_str().expect("text");
    assert!(text.contains("the key &lt;k&amp;v&gt; was refused"), "{text}");
    assert!(text.contains("<https://tidegate.example.com/syncs/orders|Open the dashboard>"), "{text}");
}

#[test]
fn an_address_of_slack_without_https_is_told_before_a_message_is_lost() {
    let slack = CHANNELS.iter().find(|channel| channel.kind == "slack").expect("a type");
    let opened = (slack.open)(
        &raw(json!({ "url": "hooks.slack.com/services/T/B/canary" })),
        &context(Canned::once(202, ""), &ManualClock::default()),
    );
    let error = opened.err().expect("no address");
    assert_eq!(error.message(), "`url`: this is not an address");
    assert!(!error.next_step().contains("canary"));
}

#[tokio::test]
async fn pagerduty_gets_a_trigger_and_a_resolve_with_one_key() {
    let settings = || json!({ "routing_key": "0123456789abcdef0123456789abcdef" });
    let (address, trigger) = posted("pagerduty", settings(), Change::Opened).await;
    assert_eq!(address, "https://events.pagerduty.com/v2/enqueue");
    assert_eq!(trigger["event_action"], "trigger");
    assert_eq!(trigger["payload"]["severity"], "critical");
    assert_eq!(trigger["payload"]["source"], "tidegate");
    assert_eq!(trigger["payload"]["summary"], "orders fails: the key <k&v> was refused");
    let (_, resolve) = posted("pagerduty", settings(), Change::Resolved).await;
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);
    assert_eq!(resolve["routing_key"], "0123456789abcdef0123456789abcdef");
}

#[tokio::test]
async fn alertmanager_gets_one_set_of_labels_that_ends_when_the_alert_does() {
    let settings = || json!({ "url": "http://127.0.0.1:9093/", "labels": { "team": "growth" } });
    let (address, opened) = posted("alertmanager", settings(), Change::Opened).await;
    assert_eq!(address, "http://127.0.0.1:9093/api/v2/alerts");
    let labels = json!({
        "alertname": "TidegateSyncFailed", "sync": "orders", "severity": "critical", "team": "growth",
    });
    assert_eq!(opened[0]["labels"], labels);
    assert_eq!(opened[0]["startsAt"], "1970-01-01T00:00:00Z");
    assert_eq!(opened[0]["endsAt"], "1970-01-01T00:05:00Z", "it is sent again before");
    let (_, resolved) = posted("alertmanager", settings(), Change::Resolved).await;
    assert_eq!(resolved[0]["labels"], labels);
    assert_eq!(resolved[0]["endsAt"], "1970-01-01T00:00:00Z");
}

#[tokio::test]
async fn an_address_that_is_a_secret_is_in_no_error() {
    let channel = CHANNELS.iter().find(|channel| channel.kind == "slack").expect("a type");
    for http in [
        Canned::once(403, "invalid_token"),
        Canned::new([Err(tidegate_model::HttpFailure::NotSent("refused".to_owned()))]),
    ] {
        let settings = raw(json!({ "url": "https://hooks.slack.com/services/canary" }));
        let opened = (channel.open)(&settings, &context(Arc::clone(&http) as _, &ManualClock::default()));
        let error = opened.expect("opened").send(&message(Change::Opened)).await.expect_err("refused");
        assert!(error.chain().starts_with("Slack "), "{}", error.chain());
        assert!(!error.chain().contains("canary"), "{}", error.chain());
    }
}
