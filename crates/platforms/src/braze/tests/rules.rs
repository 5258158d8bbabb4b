//! Every rule rejects the rows that break it, with its limit and its page, and no others.

use super::*;
use crate::braze::rules::{self, RULES};
use crate::rule::Rule;
use crate::rule::tests::assert_documented;

fn reason(record: &Record) -> Option<tidegate_model::Reason> {
    let target = match record.kind() {
        ObjectKind::CatalogItem => json!({ "catalog": "shop" }),
        _ => json!({}),
    };
    open(Arc::new(Canned::default()), record.kind(), target).validate(record).err()
}

/// A user with these attributes.
fn ada(attributes: impl Into<String>) -> Record {
    record(external("ada"), Body::User { attributes: Json::trusted(attributes.into()) })
}

fn with_properties(properties: &str) -> Record {
    event(external("ada"), "e", properties)
}

fn bought(properties: &str) -> Record {
    purchase("p1", "1", 1, properties)
}

fn in_currency(currency: &str) -> Record {
    let Body::Purchase(bought) = purchase("p1", "1", 1, "{}").body else { panic!("a purchase") };
    record(external("ada"), Body::Purchase(Box::new(Purchase { currency: currency.into(), ..*bought })))
}

/// A row that breaks the rule.
fn example(rule: &Rule) -> Record {
    let is = |other: &Rule| std::ptr::eq(rule, other);
    let long = |count: usize| "x".repeat(count);
    let deep = |levels: usize| format!("{{\"a\":{}\"x\"{}}}", "[".repeat(levels), "]".repeat(levels));
    match rule.code {
        "no_identifier" => record(Identity::None, Body::Deletion),
        "identifier_in_attributes" => ada(r#"{"braze_id":"b"}"#),
        "external_user_id_too_large" => record(external(&long(988)), Body::Deletion),
        "email_bad_format" => ada(r#"{"email":"bad"}"#),
        "bad_email_subscription_state" => ada(r#"{"email_subscribe":"yes"}"#),
        "bad_push_subscription_state" => ada(r#"{"push_subscribe":"yes"}"#),
        "nested_null" => ada(r#"{"address":{"street":"y","city":null}}"#),
        "nested_time" => ada(r#"{"at":{"$time":"yesterday"}}"#),
        "nested_name" => ada(r#"{"nested":{"a b":1}}"#),
        "nested_too_large" => ada(format!(r#"{{"list":[{{"n":[{}1]}}]}}"#, "1,".repeat(50_000))),
        "array_too_long" => ada(format!(r#"{{"list":[{}1]}}"#, "1,".repeat(500))),
        "text_too_long" => ada(format!(r#"{{"a":"{}"}}"#, long(256))),
        "name_too_long" => ada(format!(r#"{{"{}":1}}"#, long(256))),
        "invalid_name" => ada(r#"{"$a":1}"#),
        "empty_name" => with_properties(r#"{"":1}"#),
        "too_deep" => ada(deep(50)),
        "missing_field" => event(external("ada"), "", "{}"),
        "properties_too_large" if is(&rules::EVENT_BYTES) => {
            with_properties(&format!(r#"{{"a":[{}1]}}"#, "1,".repeat(50_000)))
        }
        "properties_too_large" => bought(&format!(r#"{{"a":[{}1]}}"#, "1,".repeat(25_000))),
        "reserved_name" if is(&rules::EVENT_RESERVED) => with_properties(r#"{"event_name":1}"#),
        "reserved_name" => bought(r#"{"price":1}"#),
        "invalid_currency" => in_currency("EURO"),
        "invalid_quantity" => purchase("p1", "1", 101, "{}"),
        "items-missing-ids" => item("", "{}"),
        "ids-too-large" => item(&long(251), "{}"),
        "invalid-ids" => item("a b", "{}"),
        "items-too-large" => item("a", &format!(r#"{{"t":"{}"}}"#, long(5_000))),
        "id-in-body" => item("a", r#"{"id":"b"}"#),
        "invalid-keys-in-value-object" => item("a", r#"{"o":{"a.b":1}}"#),
        "too-deep-nesting" => item("a", &deep(50)),
        "array_unsupported" => item("a", r#"{"list":[{"a":1}]}"#),
        other => panic!("no example breaks `{other}`"),
    }
}

#[test]
fn every_rule_rejects_its_example_with_its_limit_and_its_page() {
    for rule in RULES {
        let reason = reason(&example(rule)).unwrap_or_else(|| panic!("`{}` is not kept", rule.code));
        assert_eq!(reason.code, rule.code, "{}", reason.message);
        assert!(reason.message.contains(&rule.clause()), "{}", reason.message);
        assert!(reason.message.contains(rule.page), "{}", reason.message);
    }
}

#[test]
fn every_rule_is_documented() {
    assert_documented("src/braze/README.md", "## Rows that Braze would not take", RULES);
}

#[test]
fn what_the_rules_allow_is_sent() {
    let numbers = format!(r#"{{"list":[{}1]}}"#, "1,".repeat(499));
    for attributes in [
        r#"{"email":"ada@example.org","email_subscribe":"opted_in","push_subscribe":null,"gone":null}"#,
        r#"{"address":{"street":"y","since":{"$time":"2026-01-02T03:04:05Z"},"rooms":[1,2]}}"#,
        r#"{"pets":{"$update":[{"$identifier_key":"id","$identifier_value":4,"$new_object":{"breed":"x"}}]}}"#,
        r#"{"pets":[{"id":1},{"id":2}],"colours":["red",null]}"#,
        r#"{"current_location":{"longitude":2.35,"latitude":48.85},"tags":{"add":["red"]}}"#,
        r#"{"push_tokens":[{"app_id":"a","token":"t","device_id":null}]}"#,
        numbers.as_str(),
    ] {
        assert_eq!(reason(&ada(attributes)), None, "{attributes}");
    }
    for properties in [r#"{"products":[{"id":"a b","$x":null}]}"#, r#"{"a":{"time":null}}"#] {
        assert_eq!(reason(&with_properties(properties)), None, "{properties}");
    }
    for fields in [r#"{"tags":["a","b"],"place":[2.35,48.85],"o":{"a":null}}"#, r#"{"none":[]}"#] {
        assert_eq!(reason(&item("a", fields)), None, "{fields}");
    }
    assert_eq!(reason(&record(external(&"x".repeat(987)), Body::Deletion)), None);
}

#[test]
fn a_null_a_time_and_a_name_are_found_at_every_depth() {
    let code = |attributes: &str| reason(&ada(attributes)).map(|reason| reason.code.into_owned());
    for attributes in [
        r#"{"a":{"b":{"c":[1,{"d":null}]}}}"#,
        r#"{"a":[{"b":null}]}"#,
        r#"{"a":{"b":[null]}}"#,
        r#"{"a":{"b":1},"c":{"d" : null }}"#,
    ] {
        assert_eq!(code(attributes).as_deref(), Some("nested_null"), "{attributes}");
    }
    for attributes in [r#"{"a":{"b":{"$time":5}}}"#, r#"{"a":{"$time":null}}"#, r#"{"a":{"$time":{}}}"#] {
        assert_eq!(code(attributes).as_deref(), Some("nested_time"), "{attributes}");
    }
    for attributes in [r#"{"a":{"c.d":1}}"#, r#"{"a":[{"$e":1}]}"#, r#"{"a":{"b\u0020c":1}}"#] {
        assert_eq!(code(attributes).as_deref(), Some("nested_name"), "{attributes}");
    }
}

#[test]
fn a_reason_names_the_attribute_and_never_its_value() {
    let reason = reason(&ada(r#"{"address":{"secret street":"secret"}}"#)).expect("rejected");
    assert!(
        reason.message.starts_with("attribute `address` holds such a name; Braze takes no spaces"),
        "{reason:?}"
    );
    assert!(!reason.message.contains("secret"), "{reason:?}");
}

#[tokio::test]
async fn an_event_without_a_time_happens_now_to_the_millisecond() {
    let body = crate::braze::encode::track(
        ObjectKind::Event,
        &[record(
            external("ada"),
            Body::Event { name: "e".into(), time: None, properties: Json::empty_object(), app_id: None },
        )],
        false,
        "2026-11-29T09:00:16.663055048Z".parse().expect("time"),
    );
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["events"][0]["time"], "2026-11-29T09:00:16.663Z");
}
