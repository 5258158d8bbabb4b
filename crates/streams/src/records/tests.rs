//! Records against the samples of the documentation: the same members, of the
//! same types.
//!
//! Source: Amazon Pinpoint developer guide, event streams: campaign, journey,
//! email and SMS events.

use std::collections::BTreeSet;

use super::super::records::record;
use super::*;
use tidegate_model::event::{MESSAGE_KINDS, OLDER_KINDS};
use tidegate_model::{Event, Json, LoggedEvent, Offset};

const CAMPAIGN: &str = r#"{"event_type":"_campaign.send","event_timestamp":1562109497426,"arrival_timestamp":1562109497494,
"event_version":"3.1","application":{"app_id":"a1b2","sdk":{}},"client":{"client_id":"d8dcf7c5"},"device":{"platform":{}},
"session":{},"attributes":{"treatment_id":"0","campaign_activity_id":"5473","delivery_type":"GCM","campaign_id":"4f8d",
"campaign_send_status":"SUCCESS"},"client_context":{"custom":{"endpoint":"{\"ChannelType\":\"GCM\",\"EndpointStatus\":\"ACTIVE\",\"OptOut\":\"NONE\",\"RequestId\":\"ec22\",\"EffectiveDate\":\"2019-07-02T23:12:54.836Z\",\"User\":{}}"}},
"awsAccountId":"123456789012"}"#;

const JOURNEY: &str = r#"{"event_type":"_journey.send","event_timestamp":1572989078843,"arrival_timestamp":1572989078843,
"event_version":"3.1","application":{"app_id":"a1b2","sdk":{}},"client":{"client_id":"d8dc"},"device":{"platform":{}},"session":{},
"attributes":{"journey_run_id":"edc9","journey_send_status":"SUCCESS","journey_id":"5464","journey_activity_id":"0yKexample",
"journey_activity_type":"EMAIL","journey_send_status_message":"200","journey_send_status_code":"200"},
"client_context":{"custom":{"endpoint":"{\"ChannelType\":\"EMAIL\",\"EndpointStatus\":\"ACTIVE\",\"OptOut\":\"NONE\"}"}},
"awsAccountId":"123456789012"}"#;

/// With the attributes and the context that the text of the guide has besides.
const EMAIL: &str = r#"{"event_type":"_email.delivered","event_timestamp":1564618621380,"arrival_timestamp":1564618622690,
"event_version":"3.1","application":{"app_id":"a1b2","sdk":{}},"client":{"client_id":"e9a3"},"device":{"platform":{}},"session":{},
"attributes":{"feedback":"delivered","treatment_id":"0","campaign_activity_id":"1","campaign_id":"2"},"awsAccountId":"123456789012",
"client_context":{"custom":{"legacy_identifier":"a1b2"}},
"facets":{"email_channel":{"mail_event":{"mail":{"message_id":"0200-000000","message_send_timestamp":1564618621380,
"from_address":"sender@example.com","destination":["recipient@example.com"],"headers_truncated":false,
"headers":[{"name":"From","value":"sender@example.com"}],"common_headers":{"from":"sender@example.com","to":["recipient@example.com"],
"subject":"Amazon Pinpoint Test"}},"delivery":{"smtp_response":"250 ok","reporting_mta":"a8-53.smtp-out.amazonses.com",
"recipients":["recipient@example.com"],"processing_time_millis":1310}}}}}"#;

const SMS: &str = r#"{"event_type":"_SMS.SUCCESS","event_timestamp":1553104954322,"arrival_timestamp":1553104954064,"event_version":"3.1",
"application":{"app_id":"a1b2","sdk":{}},"client":{"client_id":"123456789012"},"device":{"platform":{}},"session":{},
"attributes":{"sender_request_id":"565d4425","campaign_activity_id":"cbcf","origination_phone_number":"+12065550142",
"destination_phone_number":"+14255550199","record_status":"DELIVERED","iso_country_code":"US","treatment_id":"0",
"number_of_message_parts":"1","message_id":"1111-2222-3333","message_type":"Transactional","campaign_id":"52dc"},
"metrics":{"price_in_millicents_usd":645.0},"awsAccountId":"123456789012"}"#;

fn logged(kind: &str, payload: &Value) -> LoggedEvent {
    let at = "2026-03-01T12:00:00.250Z".parse().expect("a time");
    let event = Event {
        id: "e1".into(),
        kind: kind.into(),
        at,
        user: "u1".into(),
        app: "a1".into(),
        message: "m1".into(),
        template: "t1".into(),
        payload: Json::trusted(payload.to_string()),
    };
    let logged_at = "2026-03-01T12:00:01Z".parse().expect("a time");
    LoggedEvent { offset: Offset::new(0, 7), logged_at, event }
}

fn made(kind: &str, payload: &Value) -> Value {
    serde_json::from_str(record(&logged(kind, payload), "123456789012").as_str()).expect("JSON")
}

/// The path and type of each member; of lists, those of the first element.
fn members(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(parts) => {
            out.insert(format!("{path}: object"));
            parts.iter().for_each(|(name, part)| members(part, &format!("{path}.{name}"), out));
        }
        Value::Array(list) => list.iter().take(1).for_each(|first| members(first, &format!("{path}[]"), out)),
        Value::String(_) => drop(out.insert(format!("{path}: text"))),
        Value::Number(number) if number.is_f64() => drop(out.insert(format!("{path}: double"))),
        Value::Number(_) => drop(out.insert(format!("{path}: integer"))),
        other => drop(out.insert(format!("{path}: {other}"))),
    }
}

fn assert_shaped_like(sample: &str, record: &Value) {
    let sample: Value = serde_json::from_str(sample).expect("JSON");
    let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
    members(&sample, "", &mut expected);
    members(record, "", &mut found);
    assert_eq!(found, expected);
    assert_eq!(record["event_type"], sample["event_type"]);
    let Some(custom) = sample["client_context"]["custom"]["endpoint"].as_str() else { return };
    let endpoint = |text: &str| serde_json::from_str::<Value>(text).expect("JSON in a string");
    let found = endpoint(record["client_context"]["custom"]["endpoint"].as_str().expect("text"));
    for (name, value) in endpoint(custom).as_object().expect("an endpoint") {
        assert_eq!(found[name].is_string(), value.is_string(), "{name}: {found}");
    }
}

#[test]
fn message_events_have_the_shape_of_the_documented_records() {
    let push = json!({ "subscription_id": "s1", "subscription_device_type": "Android", "token": "t", "subscribed": true });
    let sent = made("message.push.sent", &push);
    assert_shaped_like(CAMPAIGN, &sent);
    assert_eq!(sent["attributes"]["delivery_type"], "GCM");
    assert_eq!(
        (&sent["client"]["client_id"], &sent["event_timestamp"]),
        (&json!("s1"), &json!(1_772_366_400_250_i64))
    );
    assert_eq!(sent["arrival_timestamp"], 1_772_366_401_000_i64);

    let mut journey = push;
    journey["journey_id"] = "j1".into();
    assert_shaped_like(JOURNEY, &made("message.push.sent", &journey));
    let email = json!({ "token": "recipient@example.com", "message_title": "Test" });
    assert_shaped_like(EMAIL, &made("message.email.received", &email));
    assert_shaped_like(SMS, &made("message.sms.delivered", &json!({ "token": "+14255550199" })));
}

#[test]
fn an_apps_record_stays_as_it_is() {
    let payload =
        json!({ "event_type": "buy", "event_version": "3.1", "awsAccountId": "000000000000", "more": [1] });
    let logged = logged("buy", &payload);
    assert_eq!(record(&logged, "123456789012"), logged.event.payload);
}

#[test]
fn every_kind_has_a_record_and_what_has_no_word_keeps_its_own() {
    for kind in MESSAGE_KINDS {
        let record = made(kind, &json!({ "page_name": "intro" }));
        let event_type = record["event_type"].as_str().expect("text");
        let own = kind.contains("live_activity")
            || kind.ends_with("page_displayed")
            || *kind == "message.push.unsubscribed";
        assert_eq!(event_type == *kind, own, "{kind}: {event_type}");
        for name in ["application", "client", "device", "session", "attributes"] {
            assert!(record[name].is_object(), "{kind}: {name}");
        }
    }
    let page = made("message.iam.page_displayed", &json!({ "page_name": "intro" }));
    assert_eq!(page["attributes"]["page_name"], "intro");
}

#[test]
fn a_kind_under_its_older_name_has_the_record_of_the_one_of_today() {
    for (older, current) in OLDER_KINDS {
        let event_type = |kind: &str| made(kind, &json!({}))["event_type"].clone();
        let expected = event_type(current);
        // What has no word keeps the name that it came with.
        let expected = if expected == **current { json!(older) } else { expected };
        assert_eq!(event_type(older), expected);
    }
}

#[test]
fn an_event_of_ones_own_becomes_attributes_and_metrics() {
    let record =
        made("order_placed", &json!({ "sku": "x", "total": 12.5, "gift": true, "lines": [1], "none": null }));
    assert_eq!(record["event_type"], "order_placed");
    assert_eq!(record["attributes"], json!({ "sku": "x", "gift": "true", "lines": "[1]" }));
    assert_eq!(record["metrics"], json!({ "total": 12.5 }));
}

#[test]
fn what_the_platform_does_not_provide_is_empty_or_0_and_never_invented() {
    let text = made("message.sms.delivered", &json!({ "token": "+14255550199" }));
    for name in ["origination_phone_number", "iso_country_code", "number_of_message_parts", "message_type"] {
        assert_eq!(text["attributes"][name], "", "{name}");
    }
    assert_eq!(text["metrics"], json!({ "price_in_millicents_usd": 0.0 }));
    let mail = made("message.email.received", &json!({ "token": "recipient@example.com" }));
    let event = &mail["facets"]["email_channel"]["mail_event"];
    assert_eq!(
        (&event["mail"]["from_address"], &event["delivery"]["smtp_response"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(event["delivery"]["processing_time_millis"], 0);
    let nameless: Value =
        serde_json::from_str(record(&logged("message.push.sent", &json!({})), "").as_str()).expect("JSON");
    assert_eq!(nameless["awsAccountId"], "");
    for record in [&text, &mail, &nameless] {
        assert!(record["application"].get("cognito_identity_pool_id").is_none());
        assert!(record["client"].get("cognito_id").is_none());
    }
}

#[test]
fn clicks_failures_and_prices_are_where_consumers_look() {
    let click = made("message.email.clicked", &json!({ "url": "https://a.example" }));
    assert_eq!(click["attributes"]["feedback"], "https://a.example");
    assert_eq!(click["facets"]["email_channel"]["mail_event"]["click"]["link"], "https://a.example");
    let failed = made("message.push.failed", &json!({}));
    assert_eq!(failed["attributes"]["campaign_send_status"], "FAILURE");
    let buffered = made("message.sms.sent", &json!({}));
    assert_eq!(
        (&buffered["attributes"]["record_status"], buffered.get("metrics")),
        (&json!("PENDING"), None)
    );
    let opened = made("message.push.clicked", &json!({ "subscription_device_type": "iOS" }));
    assert_eq!((&opened["endpoint"]["ChannelType"], opened.get("client_context")), (&json!("APNS"), None));
}
