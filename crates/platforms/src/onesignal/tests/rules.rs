//! Every rule rejects the rows that break it, with its limit and its page, and no others.

use super::validate::{by, event_of, rejection, rejection_with};
use super::*;
use crate::onesignal::rules::{self, RULES};
use crate::rule::Rule;
use crate::rule::tests::assert_documented;

/// How a row that breaks the rule is refused.
fn refused(rule: &Rule) -> String {
    let ada = |attributes: &str| rejection(&user("u", attributes));
    match rule.code {
        "placeholder_identifier" => rejection(&deletion("NULL")),
        "identifier_unsupported" => rejection(&by(Identity::Email("a@b.example".into()), deletion("u"))),
        "not_a_uuid" => rejection(&by(Identity::PlatformId("7".into()), deletion("u"))),
        "identifier_too_long" => rejection(&deletion(&"x".repeat(8_193))),
        "invalid_email" => ada(r#"{"email":"not an email"}"#),
        "invalid_phone" => ada(r#"{"phone":"0151"}"#),
        "invalid_language" => ada(r#"{"language":"EN"}"#),
        "invalid_country" => ada(r#"{"country":"de"}"#),
        "not_degrees" if std::ptr::eq(rule, &rules::LATITUDE) => ada(r#"{"lat":91}"#),
        "not_degrees" => ada(r#"{"long":181}"#),
        "not_a_time" => ada(r#"{"last_active":"yesterday"}"#),
        "restricted_tag" => ada(r#"{"tags":{"journey":"x"}}"#),
        "time_in_tag" => ada(r#"{"since":"2026-01-02T03:04:05Z"}"#),
        "nested_tag" => ada(r#"{"address":{}}"#),
        "too_many_attributes" => {
            let members: Vec<String> = (0..101).map(|at| format!("\"t{at}\":1")).collect();
            ada(&format!("{{{}}}", members.join(",")))
        }
        "subscription_unsupported" => {
            rejection_with(&user("u", r#"{"email":"a@b.example"}"#), json!({ "update_existing_only": true }))
        }
        "event_name_too_long" => rejection(&event_with(1, "u", &"e".repeat(129), None, "{}")),
        "event_too_large" => rejection(&event_of(2_025, "u")),
        "not_an_amount" => rejection(&purchase(1, "u", "free")),
        "purchase_properties" => {
            let mut record = purchase(1, "u", "1");
            let Body::Purchase(bought) = &mut record.body else { panic!("a purchase") };
            bought.properties = Json::trusted(r#"{"colour":"red"}"#);
            rejection(&record)
        }
        other => panic!("no example breaks `{other}`"),
    }
}

#[test]
fn every_rule_rejects_its_example_with_its_limit_and_its_page() {
    for rule in RULES {
        let refused = refused(rule);
        assert!(refused.starts_with(&format!("{}: ", rule.code)), "{}: {refused:?}", rule.code);
        assert!(refused.contains(&rule.clause()) && refused.contains(rule.page), "{refused}");
    }
}

#[test]
fn every_rule_is_documented() {
    assert_documented("src/onesignal/README.md", "## Rows that OneSignal would not take", RULES);
}

#[test]
fn what_the_rules_allow_is_sent() {
    for attributes in [
        r#"{"email":"ada@example.org","phone":"+15551234567","language":"en","country":"DE"}"#,
        r#"{"language":"zh-Hans","country":null,"phone":null,"email":""}"#,
        r#"{"since":"1685400000","born":"1990-02-01","note":"at 2026-01-02T03:04:05Z","users":"x"}"#,
        r#"{"lat":-90,"long":180,"first_active":"2026-01-02T03:04:05Z"}"#,
    ] {
        assert_eq!(rejection(&user("u", attributes)), "", "{attributes}");
    }
}

#[test]
fn a_time_in_a_tag_is_known_with_and_without_an_offset() {
    for time in ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05.5+01:00", "2026-01-02T03:04:05"] {
        let refused = rejection(&user("u", &format!(r#"{{"since":"{time}"}}"#)));
        assert!(refused.starts_with("time_in_tag: `since` is a time; "), "{refused}");
        assert!(refused.contains("extract(epoch from since)::bigint"), "{refused}");
    }
}
