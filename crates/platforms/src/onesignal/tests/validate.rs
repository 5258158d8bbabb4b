use super::*;
use tidegate_model::{ErrorKind, Idempotency};

pub(super) fn rejection(record: &Record) -> String {
    rejection_with(record, json!({}))
}

pub(super) fn rejection_with(record: &Record, target: Value) -> String {
    let http = Arc::new(Script::default());
    let platform = open_with(&connection(), record.kind(), target, http).expect("settings that work");
    match platform.validate(record) {
        Ok(()) => String::new(),
        Err(reason) => format!("{}: {}", reason.code, reason.message),
    }
}

pub(super) fn by(identity: Identity, mut record: Record) -> Record {
    record.identity = identity;
    record
}

/// An event that takes exactly this many bytes in a request.
pub(super) fn event_of(bytes: usize, user: &str) -> Record {
    let empty = event_with(1, user, "order_placed", None, r#"{"p":""}"#);
    let padding = bytes - super::super::encode::event_length(&empty);
    let properties = Json::trusted(format!(r#"{{"p":"{}"}}"#, "x".repeat(padding)));
    let body = Body::Event { name: "order_placed".into(), time: None, properties, app_id: None };
    record(1, user, body)
}

#[test]
fn an_event_of_2024_bytes_is_taken_and_one_more_is_not() {
    assert_eq!(rejection(&event_of(2_024, "u")), "");
    let refused = rejection(&event_of(2_025, "u"));
    assert_eq!(
        refused,
        "event_too_large: the event takes 2025 bytes; OneSignal takes events of up to 2024 bytes; \
         map fewer or shorter properties (https://documentation.onesignal.com/reference/create-custom-events)"
    );
}

#[test]
fn escapes_count_at_their_full_length() {
    assert_eq!(rejection(&event_of(2_024, "\u{1}\u{2}\"\"\"")), "");
    assert!(rejection(&event_of(2_025, "\u{1}\u{2}\"\"\"")).starts_with("event_too_large"));
}

#[test]
fn an_event_name_has_128_characters_at_most() {
    assert_eq!(rejection(&event_with(1, "u", &"é".repeat(128), None, "{}")), "");
    assert!(rejection(&event_with(1, "u", &"e".repeat(129), None, "{}")).starts_with("event_name_too_long"));
}

#[test]
fn placeholders_are_no_external_ids() {
    for id in ["NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000"] {
        for record in [event(1, id), user(id, r#"{"a":1}"#), purchase(1, id, "1"), deletion(id)] {
            assert!(rejection(&record).starts_with("placeholder_identifier"), "{id}");
        }
    }
    assert_eq!(rejection(&event(1, "10")), "");
}

#[test]
fn identifiers_that_would_change_the_address_are_refused() {
    for id in ["", ".", ".."] {
        assert!(rejection(&deletion(id)).starts_with("identifier_unusable"), "{id}");
    }
    assert!(rejection(&deletion(&"x".repeat(9_000))).starts_with("identifier_too_long"));
}

#[test]
fn each_kind_takes_its_own_identifiers() {
    let alias = Identity::Alias { label: "crm_id".into(), name: "7".into() };
    assert!(rejection(&by(alias.clone(), event(1, "u"))).starts_with("identifier_unsupported"));
    assert_eq!(rejection(&by(alias, deletion("u"))), "");
    for identity in [Identity::Email("a@b.c".into()), Identity::Phone("+49".into()), Identity::None] {
        assert!(rejection(&by(identity, user("u", r#"{"a":1}"#))).starts_with("identifier_unsupported"));
    }
    assert!(rejection(&by(Identity::PlatformId("7".into()), event(1, "u"))).starts_with("not_a_uuid"));
    assert_eq!(rejection(&by(Identity::PlatformId(APP.into()), event(1, "u"))), "");
}

#[test]
fn the_next_step_of_a_rejected_identifier_names_fields_that_a_mapping_has() {
    let alias = Identity::Alias { label: "crm_id".into(), name: "7".into() };
    let told = rejection(&by(alias, event(1, "u")));
    assert!(told.contains("map `external_id` or `platform_id` instead"), "{told}");
    let told = rejection(&by(Identity::PlatformId("7".into()), event(1, "u")));
    assert!(told.contains("`platform_id` is not a UUID"), "{told}");
    let kinds = [event(1, "u"), user("u", r#"{"a":1}"#), purchase(1, "u", "1"), deletion("u")];
    for kind in kinds.map(|record| record.kind()) {
        let platform = open_with(&connection(), kind, json!({}), Arc::new(Script::default()));
        for name in platform.expect("settings that work").object().identifiers {
            assert!(["external_id", "alias", "platform_id"].contains(name), "{kind}: {name}");
        }
    }
}

#[test]
fn a_phone_number_or_an_address_of_another_form_is_called_not_valid() {
    let told = rejection(&user("u", r#"{"phone":"030 1234"}"#));
    assert!(told.starts_with("invalid_phone: `phone` is not valid; OneSignal takes phone numbers"), "{told}");
    let told = rejection(&user("u", r#"{"email":"ada"}"#));
    assert!(told.starts_with("invalid_email: `email` is not valid; OneSignal takes"), "{told}");
    let told = rejection(&user("u", r#"{"lat":"north"}"#));
    assert!(told.starts_with("not_degrees: `lat` is not valid; OneSignal takes latitudes"), "{told}");
}

#[test]
fn tags_are_flat() {
    assert!(rejection(&user("u", r#"{"torn":"\ud800"}"#)).starts_with("not_text: `torn`"));
    let nested = rejection(&user("u", r#"{"fine":1,"address":{"city":"x"}}"#));
    assert!(
        nested.starts_with("nested_tag: `address` is an object or an array; OneSignal takes text"),
        "{nested}"
    );
    assert!(rejection(&user("u", r#"{"list":[1]}"#)).starts_with("nested_tag: `list`"));
    assert!(rejection(&user("u", r#"{"tags":{"deep":{}}}"#)).starts_with("nested_tag: `deep`"));
}

#[test]
fn fields_of_a_user_keep_their_types() {
    for (attributes, code) in [
        (r#"{"language":7}"#, "not_text: `language`"),
        (r#"{"lat":91}"#, "not_degrees: `lat`"),
        (r#"{"long":"NaN"}"#, "not_degrees: `long`"),
        (r#"{"long":-180.5}"#, "not_degrees: `long`"),
        (r#"{"last_active":"yesterday"}"#, "not_a_time: `last_active`"),
        (r#"{"email":{"a":1}}"#, "not_text: `email`"),
        (r#"{"lat":null}"#, "nothing_to_set"),
        ("{}", "nothing_to_set"),
        ("[]", "not_an_object"),
    ] {
        assert!(
            rejection(&user("u", attributes)).starts_with(code),
            "{attributes}: {}",
            rejection(&user("u", attributes))
        );
    }
    assert_eq!(rejection(&user("u", r#"{"long":-180,"lat":"90"}"#)), "");
}

#[test]
fn a_request_sets_100_attributes_at_most() {
    let attributes = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"t{at}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(rejection(&user("u", &attributes(100))), "");
    assert!(rejection(&user("u", &attributes(101))).starts_with("too_many_attributes"));
}

#[test]
fn an_address_needs_a_sync_that_may_create_users() {
    let record = user("u", r#"{"email":"a@b.c"}"#);
    assert_eq!(rejection(&record), "");
    let refused = rejection_with(&record, json!({ "update_existing_only": true }));
    assert!(refused.starts_with("subscription_unsupported"), "{refused}");
    assert!(rejection(&by(Identity::PlatformId(APP.into()), record)).starts_with("subscription_unsupported"));
}

#[test]
fn a_purchase_is_plain() {
    assert_eq!(rejection(&purchase(1, "u", "-9.90")), "");
    assert!(rejection(&purchase(1, "u", "1e3")).starts_with("not_an_amount"));
    let mut record = purchase(1, "u", "9.90");
    let Body::Purchase(bought) = &mut record.body else { panic!("a purchase") };
    bought.properties = Json::trusted(r#"{"colour":"red"}"#);
    assert!(rejection(&record).starts_with("purchase_properties"));
}

#[test]
fn the_properties_of_an_event_are_an_object() {
    assert_eq!(rejection(&event_with(1, "u", "n", None, " {} ")), "");
    assert!(rejection(&event_with(1, "u", "n", None, "[]")).starts_with("not_an_object"));
}

#[test]
fn a_row_of_another_app_is_refused() {
    let mut record = event(1, "u");
    let Body::Event { app_id, .. } = &mut record.body else { panic!("an event") };
    *app_id = Some("another".into());
    assert!(rejection(&record).starts_with("other_app"));
}

#[test]
fn a_full_request_of_the_largest_events_stays_below_a_megabyte() {
    let limits = open(ObjectKind::Event, &Arc::new(Script::default())).limits();
    let records = vec![event_of(2_024, "u"); limits.max_items];
    assert!(super::super::encode::events(&records).len() < limits.max_bytes);
}

#[test]
fn each_kind_has_its_repeat_rule_and_its_bucket() {
    let spec = |object| {
        let platform = open(object, &Arc::new(Script::default()));
        (platform.object().idempotency, platform.limits().bucket, platform.limits().max_items)
    };
    let four_hours = std::time::Duration::from_secs(4 * 3_600);
    assert_eq!(spec(ObjectKind::Event), (Idempotency::Keyed(four_hours), "custom_events", 400));
    assert_eq!(spec(ObjectKind::Purchase), (Idempotency::None, "users", 100));
    assert_eq!(spec(ObjectKind::User), (Idempotency::Idempotent, "users", 1));
    assert_eq!(spec(ObjectKind::Deletion), (Idempotency::Idempotent, "users", 1));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let with = |name: &str, value: Value| {
        let mut members = connection().members().clone();
        members.insert(name.to_owned(), value);
        let opened =
            open_with(&Settings::new(members), ObjectKind::Event, json!({}), Arc::new(Script::default()));
        opened.err().map(|error| (error.kind(), error.message().to_owned()))
    };
    for (name, value) in [
        ("endpoint", json!("onesignal")),
        ("endpoint", json!("http://onesignal.example")),
        ("endpoint", json!("https://onesignal.example/api/v1")),
        ("app_id", json!("7")),
        ("api_key", json!("")),
        ("api_key", json!("k 1\n")),
        ("requests_per_second", json!(0)),
        ("region", json!("eu")),
    ] {
        let (kind, message) = with(name, value).expect("refused");
        assert_eq!(kind, ErrorKind::Settings);
        assert!(message.contains(name), "{message}");
        assert!(!message.contains("k 1"), "{message}");
    }
    assert_eq!(with("endpoint", json!("sandbox")), None);
    assert_eq!(with("endpoint", json!("http://127.0.0.1:8080/")), None);
    assert_eq!(with("requests_per_second", json!(50)), None);
}

#[test]
fn only_users_know_the_setting_about_creating() {
    let http = || Arc::new(Script::default());
    let target = json!({ "update_existing_only": true });
    assert!(open_with(&connection(), ObjectKind::User, target.clone(), http()).is_ok());
    let error = open_with(&connection(), ObjectKind::Event, target, http()).err().expect("refused");
    assert!(error.message().contains("update_existing_only"), "{error}");
    assert!(open_with(&connection(), ObjectKind::CatalogItem, json!({}), http()).is_err());
}
