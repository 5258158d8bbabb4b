use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{
    Body, Clock, ConnectorContext, Http, HttpFailure, Identity, Json, ObjectKind, Outcome, Platform, Record,
    RowHash, Settings,
};

use super::{CONNECTOR, Durability, Event, Export, Key, Profiles};

const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

fn external(id: &str) -> Identity {
    Identity::ExternalId(id.into())
}

fn email(address: &str) -> Identity {
    Identity::Email(address.into())
}

fn in_memory() -> Profiles {
    Profiles::open(None, Durability::Process).expect("memory")
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON line")).collect()
}

/// Sets attributes of a user at a time.
fn set(profiles: &Profiles, now: i64, who: &Identity, attributes: Value) {
    let Value::Object(attributes) = attributes else { panic!("an object") };
    profiles
        .transact(at(now), |session| {
            let user = session.find_or_create(who)?.expect("created");
            session.merge(user, &attributes)
        })
        .expect("set");
}

fn found(profiles: &Profiles, who: &Identity) -> Option<String> {
    profiles
        .transact(at(0), |session| {
            let Some(id) = session.find(who)? else { return Ok(None) };
            Ok(session.user(id)?.map(|user| user.external_id.unwrap_or_else(|| "nobody".to_owned())))
        })
        .expect("found")
}

#[test]
fn of_several_users_with_one_address_the_last_updated_with_an_external_id_is_meant() {
    let profiles = in_memory();
    set(&profiles, 1, &external("old"), json!({ "email": "a@example.test" }));
    set(&profiles, 2, &external("new"), json!({ "email": "a@example.test" }));
    set(&profiles, 3, &Identity::Phone("+1".into()), json!({ "email": "a@example.test" }));

    assert_eq!(found(&profiles, &email("a@example.test")).as_deref(), Some("new"));

    set(&profiles, 4, &external("old"), json!({ "plan": "pro" }));
    assert_eq!(found(&profiles, &email("a@example.test")).as_deref(), Some("old"));
}

#[test]
fn a_platform_id_finds_and_never_creates() {
    let profiles = in_memory();
    set(&profiles, 1, &external("ada"), json!({}));
    profiles
        .transact(at(2), |session| {
            let ada = session.find(&external("ada"))?.expect("ada");
            let platform_id = session.user(ada)?.expect("ada").platform_id;

            assert_eq!(session.find_or_create(&Identity::PlatformId(platform_id.into()))?, Some(ada));
            assert_eq!(session.find_or_create(&Identity::PlatformId("unknown".into()))?, None);
            Ok(())
        })
        .expect("looked up");
}

#[test]
fn null_removes_an_attribute_and_others_stay() {
    let profiles = in_memory();
    set(&profiles, 1, &external("ada"), json!({ "plan": "pro", "age": 36, "phone": "+1" }));
    set(&profiles, 2, &external("ada"), json!({ "plan": null, "phone": null }));

    let users = lines(&profiles.transact(at(3), |session| session.export(Export::Users)).expect("export"));

    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["attributes"], json!({ "age": 36 }));
    assert_eq!(users[0].get("phone"), None);
    assert_eq!(users[0]["created_at"], "1970-01-01T00:00:01Z");
    assert_eq!(users[0]["updated_at"], "1970-01-01T00:00:02Z");
}

#[test]
fn a_key_drops_repetitions_until_it_is_forgotten() {
    let profiles = in_memory();
    let record = |now: i64, since: Option<i64>| {
        profiles
            .transact(at(now), |session| {
                let user = session.find_or_create(&external("ada"))?.expect("created");
                let key = Some(Key { name: "k", since: since.map(at) });
                session.record_event(
                    user,
                    &Event { name: "e", time: at(now), properties: "{}", app_id: None, key },
                )
            })
            .expect("recorded")
    };

    assert!(record(10, None));
    assert!(!record(DAY, None));
    assert!(!record(DAY, Some(5)));
    assert!(record(DAY, Some(11)));
    assert!(!record(DAY, Some(11)));
}

#[test]
fn a_failed_transaction_leaves_nothing_behind() {
    let profiles = in_memory();
    let failed = profiles.transact(at(1), |session| {
        session.find_or_create(&external("ada"))?;
        Err::<(), _>(tidegate_model::Error::internal("stop"))
    });

    assert!(failed.is_err());
    assert_eq!(found(&profiles, &external("ada")), None);
}

#[test]
fn merged_users_keep_everything_they_did() {
    let profiles = in_memory();
    set(&profiles, 1, &email("a@example.test"), json!({ "plan": "free", "seen": true }));
    set(&profiles, 2, &external("ada"), json!({ "plan": "pro" }));
    profiles
        .transact(at(3), |session| {
            let from = session.find(&email("a@example.test"))?.expect("from");
            let into = session.find(&external("ada"))?.expect("into");
            let event = Event { name: "e", time: at(3), properties: "{}", app_id: None, key: None };
            session.record_event(from, &event)?;
            session.add_alias(from, "crm", "7")?;
            session.absorb(from, into)?;

            let user = session.user(into)?.expect("into");
            assert_eq!(user.email.as_deref(), Some("a@example.test"));
            assert_eq!(Value::from(user.attributes), json!({ "plan": "pro", "seen": true }));
            assert_eq!(session.events_of(into)?.len(), 1);
            assert_eq!(session.aliases(into)?, [("crm".to_owned(), "7".to_owned())]);
            assert_eq!(session.totals()?.users, 1);
            Ok(())
        })
        .expect("merged");
}

#[test]
fn an_alias_belongs_to_one_user() {
    let profiles = in_memory();
    set(&profiles, 1, &Identity::Alias { label: "crm".into(), name: "7".into() }, json!({}));
    set(&profiles, 1, &external("ada"), json!({}));
    profiles
        .transact(at(2), |session| {
            let ada = session.find(&external("ada"))?.expect("ada");
            let owner =
                session.find(&Identity::Alias { label: "crm".into(), name: "7".into() })?.expect("owner");
            assert!(!session.add_alias(ada, "crm", "7")?);
            assert!(session.add_alias(owner, "crm", "7")?);
            assert!(session.remove_alias("crm", "7")?);
            assert!(session.add_alias(ada, "crm", "7")?);
            Ok(())
        })
        .expect("aliases");
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(100)
    }
}

struct NoHttp;

#[async_trait::async_trait]
impl Http for NoHttp {
    async fn send(
        &self,
        _: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<bytes::Bytes>, HttpFailure> {
        Err(HttpFailure::NotSent("no network here".into()))
    }
}

fn platform(folder: &std::path::Path, kind: ObjectKind, target: Value, dry_run: bool) -> Arc<dyn Platform> {
    let context = ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(Stopped),
        project: folder.into(),
        data: folder.into(),
        dry_run,
    };
    let Value::Object(target) = target else { panic!("an object") };
    let role = CONNECTOR.platform.expect("a platform");
    (role.open)(&Settings::default(), kind, &Settings::new(target), &context).expect("opened")
}

fn record(id: u128, identity: Identity, body: Body) -> Record {
    Record { id: RowHash(id), identity, body }
}

fn event(id: u128) -> Record {
    let properties = Json::trusted(r#"{"n":1}"#);
    record(id, external("ada"), Body::Event { name: "e".into(), time: None, properties, app_id: None })
}

#[tokio::test]
async fn an_event_that_is_sent_twice_is_kept_once() {
    let folder = tempfile::tempdir().expect("folder");
    let platform = platform(folder.path(), ObjectKind::Event, json!({}), false);

    platform.deliver(&[event(1), event(2), event(1)]).await.expect("delivered");
    let receipt = platform.deliver(&[event(2)]).await.expect("delivered");

    assert_eq!(receipt.outcomes, [Outcome::Delivered]);
    let file = folder.path().join("profiles.db");
    let profiles = Profiles::open(Some(&file), Durability::Process).expect("file");
    assert_eq!(profiles.transact(at(0), |session| session.totals()).expect("totals").events, 2);
}

#[tokio::test]
async fn a_row_with_an_unknown_platform_id_is_rejected_and_the_rest_delivered() {
    let folder = tempfile::tempdir().expect("folder");
    let platform = platform(folder.path(), ObjectKind::User, json!({}), false);
    let user = |identity| record(1, identity, Body::User { attributes: Json::trusted(r#"{"a":1}"#) });

    let receipt = platform
        .deliver(&[user(Identity::PlatformId("unknown".into())), user(external("ada"))])
        .await
        .expect("delivered");

    assert!(matches!(&receipt.outcomes[0], Outcome::Rejected(reason) if reason.code == "user_not_found"));
    assert_eq!(receipt.outcomes[1], Outcome::Delivered);
}

#[tokio::test]
async fn a_dry_run_leaves_no_file() {
    let folder = tempfile::tempdir().expect("folder");
    let platform = platform(folder.path(), ObjectKind::CatalogItem, json!({ "catalog": "shop" }), true);
    let item = Body::CatalogItem { id: "1".into(), fields: Json::empty_object() };

    let receipt = platform.deliver(&[record(1, Identity::None, item)]).await.expect("dry run");

    assert_eq!(receipt.outcomes, [Outcome::Delivered]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
}
