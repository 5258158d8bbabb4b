//! Rights that are missing, and logins that fail.

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode};

use crate::cluster::{Reader, Topic, settings_of, source, tansu, try_source, unique};

#[tokio::test]
async fn a_check_proves_topics_and_group() {
    let topic = Topic::new(3).await;
    topic.write_numbers(0..3).await;
    let group = unique("group");

    let checks = source(&topic.settings())
        .check(Some(&settings_of(&topic.selection(&group, &json!({})))))
        .await
        .expect("checked");

    assert!(checks.passed(), "{checks:?}");
    let names: Vec<&str> = checks.0.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            format!("DESCRIBE on topic {}", topic.name),
            format!("READ on topic {}", topic.name),
            format!("READ on group {group}"),
        ]
    );
    assert_eq!(topic.committed(&group).await, [None; 3]);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_missing() {
    let source = source(&json!({ "brokers": tansu() }));
    let selection = settings_of(&json!({ "topics": unique("none"), "group": "g" }));
    let mode = ReadMode::Resume { checkpoint: None, follow: true };

    let error = source.read(&selection, &mode, 10).await.err().expect("nothing is there");

    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert!(!source.check(Some(&selection)).await.expect("checked").passed());
}

#[tokio::test]
async fn topics_are_discovered_with_their_columns() {
    let topic = Topic::new(1).await;
    let found = source(&topic.settings()).discover().await.expect("topics");
    let found = found.iter().find(|found| found.name == topic.name).expect("the topic");
    assert_eq!(found.key, ["topic", "partition", "offset"]);
    assert!(found.columns.iter().any(|column| column.name == "value"));
}

#[tokio::test]
async fn a_missing_right_comes_with_the_command_that_gives_it() {
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("events", 1, 1).expect("a topic");
    let topic = Topic::at(&cluster.bootstrap_servers(), "events", 1);
    topic.write_numbers(0..3).await;
    let source = source(&topic.settings());
    let selection = topic.selection("tidegate-events", &json!({}));

    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[denied; 8]);
    let checks = source.check(Some(&settings_of(&selection))).await.expect("checked");
    let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
    assert_eq!(failed.len(), 1, "{checks:?}");
    let remedy = failed[0].remedy.as_deref().expect("a remedy");
    assert!(remedy.contains("--operation READ --group tidegate-events"), "{remedy}");
    cluster.clear_request_errors(RDKafkaApiKey::OffsetFetch);

    cluster.request_errors(RDKafkaApiKey::JoinGroup, &[denied; 8]);
    let mut reader = Reader::open(&source, &selection, true).await;
    let error = reader.next().await.expect("an end").expect_err("no right");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.next_step().contains("--group tidegate-events"), "{}", error.next_step());
    cluster.clear_request_errors(RDKafkaApiKey::JoinGroup);

    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("events", denied).expect("set");
    let error = source.describe(&settings_of(&selection)).await.expect_err("no right");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.next_step().contains("--operation READ --operation DESCRIBE --topic events"));
}

#[tokio::test]
async fn brokers_that_know_no_login_are_told_apart_from_brokers_that_are_gone() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    let source = source(&json!({
        "brokers": cluster.bootstrap_servers(),
        "security": "sasl_plaintext",
        "sasl": { "mechanism": "scram_sha_512", "username": "tidegate", "password": "hush-hush" },
    }));
    let selection = settings_of(&json!({ "topics": "events", "group": "g" }));

    let error = source.describe(&selection).await.expect_err("no login there");

    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{error:?}");
    assert!(!error.chain().contains("hush-hush"), "{error:?}");
}

#[test]
fn settings_that_do_not_fit_together_are_named() {
    let cases = [
        (json!({ "brokers": "b:1", "api_key": "k" }), "`api_secret`"),
        (json!({ "brokers": "b:1", "security": "sasl_ssl" }), "`sasl`"),
        (json!({ "brokers": "b:1", "sasl": { "mechanism": "plain", "username": "u" } }), "needs `password`"),
        (json!({ "brokers": "b:1", "sasl": { "mechanism": "oauthbearer" } }), "needs `token` or `oidc`"),
        (
            json!({ "brokers": "b:1", "security": "ssl", "sasl": { "mechanism": "plain", "username": "u", "password": "p" } }),
            "`security`",
        ),
        (
            json!({ "brokers": "b.example.com:1", "security": "sasl_plaintext", "sasl": { "mechanism": "plain", "username": "u", "password": "p" } }),
            "unencrypted",
        ),
        (
            json!({ "brokers": "b:1", "sasl": { "mechanism": "oauthbearer", "oidc": { "url": "http://login.example.com/token", "client_id": "c", "client_secret": "s" } } }),
            "`sasl.oidc.url`",
        ),
        (json!({ "brokers": "b:1", "properties": { "group.id": "g" } }), "`group.id`"),
        (json!({ "brokers": "b:1", "properties": { "plugin.library.paths": "x" } }), "plugin.library.paths"),
        (json!({ "brokers": "b:1", "properties": { "session.timeout.ms": "soon" } }), "session.timeout.ms"),
        (json!({ "brokers": " , " }), "`brokers`"),
    ];
    for (settings, told) in cases {
        let error = try_source(&settings, false).err().expect("cannot work");
        assert_eq!(error.kind(), ErrorKind::Settings, "{settings}");
        assert!(error.message().contains(told), "{error}");
    }
}
