use tidegate_model::{Idempotency, Rate};

use super::*;

fn opened(connection: Value) -> Result<Arc<dyn Platform>, tidegate_model::Error> {
    let role = CONNECTOR.platform.expect("a platform");
    let target = Settings::default();
    (role.open)(&settings(connection), ObjectKind::User, &target, &context(Arc::new(Canned::default())))
}

fn message(connection: Value) -> String {
    opened(connection).err().expect("refused").message().to_owned()
}

#[test]
fn an_endpoint_is_the_rest_endpoint_of_an_instance() {
    let with = |endpoint: &str| json!({ "endpoint": endpoint, "api_key": "key-1" });
    for good in
        ["https://rest.iad-01.braze.com", "https://rest.fra-01.braze.eu/", "http://127.0.0.1:8400", "sandbox"]
    {
        assert!(opened(with(good)).is_ok(), "{good}");
    }
    for bad in [
        "rest.iad-01.braze.com",
        "http://rest.iad-01.braze.com",
        "https://dashboard-01.braze.com",
        "https://rest.iad-01.braze.com/users",
        "a b",
    ] {
        assert!(message(with(bad)).starts_with("`endpoint`: "), "{bad}");
    }
}

#[test]
fn a_setting_that_cannot_work_is_named() {
    let base = json!({ "endpoint": "sandbox", "api_key": "key-1" });
    let with = |name: &str, value: Value| {
        let mut connection = base.clone();
        connection[name] = value;
        connection
    };
    assert!(message(with("objects_per_request", json!(76))).contains("objects_per_request"));
    assert!(message(with("api_key", json!("key\n"))).contains("api_key"));
    assert!(message(with("rates", json!({ "track_per_3s": 0 }))).contains("rates"));
    assert!(message(with("apikey", json!("x"))).contains("apikey"));
}

#[test]
fn a_catalog_must_be_named() {
    let role = CONNECTOR.platform.expect("a platform");
    let connection = settings(json!({ "endpoint": "sandbox", "api_key": "key-1" }));
    let context = context(Arc::new(Canned::default()));
    for target in [json!({}), json!({ "catalog": "a/b" })] {
        let opened = (role.open)(&connection, ObjectKind::CatalogItem, &settings(target), &context);
        assert!(opened.err().expect("refused").message().contains("destination.catalog"));
    }
}

#[test]
fn limits_are_the_documented_ones_or_the_contracts() {
    let seconds = std::time::Duration::from_secs;
    let limits = open(Arc::new(Canned::default()), ObjectKind::Event, json!({})).limits();
    assert_eq!((limits.max_items, limits.bucket), (75, "users.track"));
    assert_eq!(limits.rate, Some(Rate { requests: 3_000, per: seconds(3) }));
    let limits = open(Arc::new(Canned::default()), ObjectKind::Deletion, json!({})).limits();
    assert_eq!((limits.max_items, limits.rate), (50, Some(Rate { requests: 20_000, per: seconds(60) })));

    let contract = json!({ "endpoint": "sandbox", "api_key": "k", "objects_per_request": 50, "rates": { "track_per_3s": 2500 } });
    let limits = opened(contract).expect("opened").limits();
    assert_eq!((limits.max_items, limits.rate.expect("rate").requests), (50, 2_500));
}

#[test]
fn increments_make_users_unsafe_to_repeat() {
    let idempotency = |kind, target| open(Arc::new(Canned::default()), kind, target).object().idempotency;
    assert_eq!(idempotency(ObjectKind::User, json!({})), Idempotency::Idempotent);
    assert_eq!(idempotency(ObjectKind::User, json!({ "increments": true })), Idempotency::None);
    assert_eq!(idempotency(ObjectKind::Event, json!({})), Idempotency::None);
    assert_eq!(idempotency(ObjectKind::Deletion, json!({})), Idempotency::Idempotent);
}
