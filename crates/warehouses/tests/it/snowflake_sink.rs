//! Events in a table of Snowflake: each once, whatever happens on the way.

use std::sync::Arc;

use serde_json::json;
use tidegate_model::Sink;
use tidegate_warehouses::snowflake::CONNECTOR;

use crate::event_sinks::{cells_of_seven, deliver_at_last, events, open, refused, thirty_come_again};
use crate::snowflake_server::{Account, ROLE};

pub(crate) fn sink(account: &Account, target: serde_json::Value) -> Arc<Sink> {
    open(&CONNECTOR, &account.settings(json!({})), target, &account.context())
}

async fn counted(account: &Account, table: &str) -> (usize, usize) {
    let rows = account.run(&format!("SELECT COUNT(*), COUNT(DISTINCT EVENT_ID) FROM {table}")).await;
    let number = |at: usize| rows[0][at].as_deref().expect("a count").parse().expect("a number");
    (number(0), number(1))
}

/// Another process had the same events, or a statement ran twice.
#[tokio::test]
async fn events_that_come_again_are_in_snowflake_once_with_every_sign() {
    let account = Account::new().await;
    let sink = sink(&account, json!({ "schema": account.schema() }));
    thirty_come_again(sink.as_ref(), "the table").await;
    let table = account.table("MESSAGE_EVENTS");
    assert_eq!(counted(&account, &table).await, (30, 30));
    let sql = format!(
        "SELECT EVENT_ID, DATE_PART(EPOCH_MICROSECOND, EVENT_TIMESTAMP), LANGUAGE, DEVICE_TYPE, SUBSCRIBED, \
         EVENT_DATE::VARCHAR, MESSAGE_ID FROM {table} WHERE _INDEX = 7"
    );
    let expected = cells_of_seven("1772366400123456", "2026-03-01");
    assert_eq!(account.run(&sql).await, [expected]);
}

#[tokio::test]
async fn the_schema_is_made_and_an_older_table_gets_the_columns_that_it_lacks() {
    let account = Account::new().await;
    let new = format!("{}_NEW", account.schema());
    sink(&account, json!({ "schema": new })).deliver(&events(0..2)).await.unwrap();
    assert_eq!(counted(&account, &format!("SHOP.{new}.MESSAGE_EVENTS")).await, (2, 2));

    let table = account.table("MESSAGE_EVENTS");
    account
        .run(&format!("CREATE TABLE {table} (EVENT_ID VARCHAR, EVENT_KIND VARCHAR, OWN NUMBER(38,0))"))
        .await;
    sink(&account, json!({ "schema": account.schema() })).deliver(&events(0..3)).await.unwrap();
    let rows = account.run(&format!("SELECT COUNT(LANGUAGE), COUNT(OWN) FROM {table}")).await;
    assert_eq!(rows, [[Some("3".to_owned()), Some("0".to_owned())]]);
}

#[tokio::test]
async fn a_column_of_snowflake_that_would_not_keep_a_value_whole_is_named() {
    let account = Account::new().await;
    let table = account.table("MESSAGE_EVENTS");
    account.run(&format!("CREATE TABLE {table} (EVENT_ID VARCHAR, DEVICE_TYPE NUMBER(9,2))")).await;
    let error = refused(sink(&account, json!({ "schema": account.schema() })).as_ref()).await;
    let expected =
        format!("the column `DEVICE_TYPE` of {table} is NUMBER(9,2), and events have NUMBER(38,0) for it");
    assert_eq!(error.message(), expected);
}

/// What is not known is offered again, as the engine does.
#[tokio::test]
async fn a_delivery_to_snowflake_that_fails_in_any_phase_has_every_event_once_in_the_end() {
    let account = Account::new().await;
    let table = account.table("MESSAGE_EVENTS");
    let mut delivered = 0;
    for phase in ["submit", "poll"] {
        for fault in ["429", "503", "drop", "expired"] {
            let what = format!("{fault} in {phase}");
            account.set(json!({ "faults": { phase: ["", fault] } })).await;
            let sink = sink(&account, json!({ "schema": account.schema() }));
            let items = events(delivered..delivered + 3);
            deliver_at_last(sink.as_ref(), &items, &what).await;
            assert_eq!(account.faults_left().await, 0, "{what} did not happen");
            delivered += 3;
            let expected = usize::try_from(delivered).unwrap();
            assert_eq!(counted(&account, &table).await, (expected, expected), "{what}");
        }
    }
    account.set(json!({ "lost": "MERGE" })).await;
    sink(&account, json!({ "schema": account.schema() })).deliver(&events(0..30)).await.unwrap();
    assert_eq!(counted(&account, &table).await, (30, 30), "an answer that was lost");
}

/// Without each single grant in turn, `check` names exactly that one, and makes nothing.
#[tokio::test]
async fn a_grant_that_is_missing_to_write_to_snowflake_is_named_alone() {
    let account = Account::new().await;
    let (schema, table) = (format!("SHOP.{}", account.schema()), account.table("MESSAGE_EVENTS"));
    let new = format!("{}_NEW", account.schema());
    let own = account.schema().to_owned();
    let mut is_made = false;
    for (into, lacking, check, fails) in [
        (&own, format!("CREATE TABLE on SCHEMA {schema}"), format!("CREATE TABLE on schema {schema}"), false),
        (
            &new,
            "CREATE SCHEMA on DATABASE SHOP".to_owned(),
            "CREATE SCHEMA on database SHOP".to_owned(),
            false,
        ),
        (&own, "USAGE on DATABASE SHOP".to_owned(), "USAGE on database SHOP".to_owned(), true),
        (&own, format!("INSERT on TABLE {table}"), format!("INSERT on table {table}"), true),
        (&own, format!("SELECT on TABLE {table}"), format!("CREATE TABLE on schema {schema}"), false),
    ] {
        if lacking.contains(" on TABLE ") && !is_made {
            is_made = true;
            account.set(json!({})).await;
            sink(&account, json!({ "schema": own })).deliver(&events(0..1)).await.unwrap();
        }
        let mut without = vec![lacking.clone()];
        if lacking.starts_with("SELECT") {
            without.push(format!("CREATE TABLE on SCHEMA {schema}"));
        }
        account.set(json!({ "without": without })).await;
        let checks = sink(&account, json!({ "schema": into })).check().await.unwrap();
        let told: Vec<_> = checks.0.iter().filter(|check| !check.passed || check.remedy.is_some()).collect();
        assert_eq!(told.len(), 1, "{lacking}: {checks:#?}");
        assert_eq!((told[0].name.as_str(), told[0].passed), (check.as_str(), !fails), "{checks:#?}");
        let remedy = told[0].remedy.as_ref().expect("a remedy");
        assert!(remedy.starts_with("GRANT ") && remedy.contains(&format!("TO ROLE \"{ROLE}\";")), "{remedy}");
    }
    account.set(json!({})).await;
    for into in [&own, &new] {
        let checks = sink(&account, json!({ "schema": into })).check().await.unwrap();
        assert!(checks.passed() && checks.0.iter().all(|check| check.remedy.is_none()), "{checks:#?}");
    }
    assert_eq!(counted(&account, &table).await, (1, 1), "a check writes nothing");
}
