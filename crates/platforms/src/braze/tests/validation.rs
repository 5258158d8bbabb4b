use super::*;

fn refused(kind: ObjectKind, record: &Record) -> Option<(String, String)> {
    let target = if kind == ObjectKind::CatalogItem { json!({ "catalog": "shop" }) } else { json!({}) };
    let reason = open(Arc::new(Canned::default()), kind, target).validate(record).err()?;
    Some((reason.code.into_owned(), reason.message))
}

fn code(kind: ObjectKind, record: &Record) -> Option<String> {
    refused(kind, record).map(|(code, _)| code)
}

fn event_with(properties: &str) -> Option<(String, String)> {
    refused(ObjectKind::Event, &event(external("ada"), "e", properties))
}

#[test]
fn a_text_of_255_characters_is_the_longest() {
    let with = |count: usize| event_with(&format!(r#"{{"content":"{}"}}"#, "é".repeat(count)));
    assert_eq!(with(255), None);
    assert_eq!(
        with(262).expect("refused").1,
        "property `content` has 262 characters; Braze takes texts of up to 255 characters; \
         shorten it in the query, for example left(content, 255) \
         (https://www.braze.com/docs/api/objects_filters/event_object/)"
    );
    assert_eq!(event_with(&format!(r#"{{"a":"{}"}}"#, r"\u00e9".repeat(255))), None);
    assert_eq!(
        event_with(&format!(r#"{{"a":[{{"b":"{}"}}]}}"#, "x".repeat(256))).expect("refused").0,
        "text_too_long"
    );
    assert_eq!(event_with(&format!(r#"{{"{}":1}}"#, "x".repeat(256))).expect("refused").0, "name_too_long");
}

#[test]
fn names_that_braze_keeps_for_itself_are_refused() {
    assert_eq!(event_with(r#"{"time":1}"#).expect("refused").0, "reserved_name");
    assert_eq!(event_with(r#"{"$a":1}"#).expect("refused").0, "invalid_name");
    assert_eq!(event_with(r#"{"inner":{"time":1},"value":"time"}"#), None);
}

#[test]
fn an_event_has_a_name_and_a_size() {
    let kind = ObjectKind::Event;
    assert_eq!(code(kind, &event(external("ada"), "", "{}")).as_deref(), Some("missing_field"));
    assert_eq!(code(kind, &event(external("ada"), &"é".repeat(255), "{}")), None);
    assert_eq!(code(kind, &event(external("ada"), &"é".repeat(256), "{}")).as_deref(), Some("text_too_long"));
    let large = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(50_000));
    assert_eq!(event_with(&large).expect("refused").0, "properties_too_large");
    assert_eq!(event_with("[1]").expect("refused").0, "not_an_object");
}

#[test]
fn a_purchase_has_a_product_a_currency_and_a_quantity() {
    let kind = ObjectKind::Purchase;
    assert_eq!(code(kind, &purchase("p1", "1.5", 100, "{}")), None);
    assert_eq!(code(kind, &purchase("p1", "1.5", 101, "{}")).as_deref(), Some("invalid_quantity"));
    assert_eq!(code(kind, &purchase("p1", "1.5", 0, "{}")).as_deref(), Some("invalid_quantity"));
    assert_eq!(code(kind, &purchase("", "1.5", 1, "{}")).as_deref(), Some("missing_field"));
    assert_eq!(code(kind, &purchase("p1", "1", 1, r#"{"price":1}"#)).as_deref(), Some("reserved_name"));
}

#[test]
fn attributes_may_not_name_another_user() {
    let kind = ObjectKind::User;
    let email = || Identity::Email("a@example.test".into());
    let phone = || Identity::Phone("+491".into());
    let both = r#"{"email":"b@example.test","phone":"+492"}"#;

    assert_eq!(code(kind, &user(external("ada"), both)), None);
    assert_eq!(code(kind, &user(email(), r#"{"phone":"+492"}"#)), None);
    for record in [user(email(), both), user(phone(), both), user(external("ada"), r#"{"braze_id":"b"}"#)] {
        assert_eq!(code(kind, &record).as_deref(), Some("identifier_in_attributes"));
    }
    assert_eq!(
        code(kind, &user(external("ada"), r#"{"\u0065xternal_id":"bob"}"#)).as_deref(),
        Some("identifier_in_attributes")
    );
    assert_eq!(code(kind, &user(external(""), "{}")).as_deref(), Some("no_identifier"));
}

#[test]
fn operators_and_long_push_tokens_are_fine() {
    let operators = r#"{"visits":{"inc":1},"pets":{"$add":[{"id":1}]},"_merge_objects":true,"at":{"t":{"$time":"2026-01-02"}}}"#;
    let counted = open(Arc::new(Canned::default()), ObjectKind::User, json!({ "increments": true }));
    assert_eq!(counted.validate(&user(external("ada"), operators)), Ok(()));
    let tokens = format!(r#"{{"push_tokens":[{{"app_id":"a","token":"{}"}}]}}"#, "x".repeat(400));
    let record = record(external("ada"), Body::User { attributes: Json::trusted(tokens) });
    assert_eq!(code(ObjectKind::User, &record), None);
}

#[test]
fn an_increment_is_rejected_where_it_could_be_sent_twice_after_a_lost_answer() {
    let of = |attributes: &'static str| refused(ObjectKind::User, &user(external("ada"), attributes));
    for attributes in [
        r#"{"plan":"pro","visits":{"inc":1}}"#,
        r#"{"visits":{"\u0069nc":-0.5}}"#,
        r#"{"pets":{"$remove":[],"$add":[{"id":1}]}}"#,
        r#"{"home":{"pets":{"$add":[{"id":1}]}}}"#,
    ] {
        let (code, why) = of(attributes).expect("rejected");
        assert_eq!(code, "increments_not_set", "{attributes}");
        assert!(why.contains("set `increments: true` under `destination`"), "{why}");
    }
    for attributes in [
        r#"{"company":{"inc":true}}"#,
        r#"{"company":{"inc":{"state":"DE"}}}"#,
        r#"{"company":{"inc":1,"ltd":2}}"#,
        r#"{"company":{"inc":1,"offices":{"paris":2}}}"#,
        r#"{"company":{"office":{"inc":1}}}"#,
        r#"{"inc":1,"tags":{"add":["a"]},"pets":[{"inc":1}]}"#,
    ] {
        assert_eq!(of(attributes), None, "{attributes}");
    }
}

#[test]
fn catalog_items_keep_the_rules_of_catalogs() {
    let refused = |record: &Record| code(ObjectKind::CatalogItem, record);
    assert_eq!(refused(&item("a-1_B", r#"{"title":"x"}"#)), None);
    assert_eq!(refused(&item("a b", "{}")).as_deref(), Some("invalid-ids"));
    assert_eq!(refused(&item("", "{}")).as_deref(), Some("items-missing-ids"));
    assert_eq!(refused(&removal(&"x".repeat(251))).as_deref(), Some("ids-too-large"));
    assert_eq!(refused(&item("a", r#"{"id":"b"}"#)).as_deref(), Some("id-in-body"));
    assert_eq!(refused(&item("a", r#"{"o":{"a.b":1}}"#)).as_deref(), Some("invalid-keys-in-value-object"));
    let large = format!(r#"{{"title":"{}"}}"#, "x".repeat(5_000));
    assert_eq!(refused(&item("a", &large)).as_deref(), Some("items-too-large"));
}

#[test]
fn a_record_of_another_kind_is_refused() {
    assert_eq!(code(ObjectKind::User, &event(external("ada"), "e", "{}")).as_deref(), Some("wrong_object"));
}
