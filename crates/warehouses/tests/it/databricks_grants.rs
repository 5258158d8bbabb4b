//! Without each single grant in turn, `check` names exactly that one.

use serde_json::json;
use tidegate_model::{Check, Checks, ErrorKind, ReadMode};

use crate::databricks_server::{Workspace, read, selection};
use crate::databricks_sink::{counted, sink};
use crate::event_sinks::events;

/// Returns the checks that have something to do, and not only advice about tokens.
fn told(checks: &Checks) -> Vec<&Check> {
    checks.0.iter().filter(|check| !check.passed || check.remedy.is_some()).collect()
}

/// A grant that is missing: as the workspace words it, the name of the check, its remedy, and
/// whether nothing works without it.
struct Missing {
    lacking: String,
    check: String,
    remedy: String,
    fails: bool,
}

fn missing(privilege: &str, kind: &str, name: &str, principal: &str, fails: bool) -> Missing {
    let mut word = kind.to_lowercase();
    word[..1].make_ascii_uppercase();
    let quoted: Vec<String> = name.split('.').map(|part| format!("`{part}`")).collect();
    Missing {
        lacking: format!("{privilege} on {word} '{name}'"),
        check: format!("{privilege} on {} {name}", kind.to_lowercase()),
        remedy: format!("GRANT {privilege} ON {kind} {} TO `{principal}`;", quoted.join(".")),
        fails,
    }
}

fn named_alone(checks: &Checks, missing: &Missing) {
    let told = told(checks);
    assert_eq!(told.len(), 1, "{}: {checks:#?}", missing.lacking);
    assert_eq!(told[0].name, missing.check, "{checks:#?}");
    assert_eq!(told[0].remedy.as_ref(), Some(&missing.remedy), "{checks:#?}");
    assert_eq!(told[0].passed, !missing.fails, "{checks:#?}");
}

#[tokio::test]
async fn a_grant_that_is_missing_to_read_is_named_alone() {
    let workspace = Workspace::new().await;
    let (schema, who) = (format!("main.{}", workspace.schema()), workspace.principal());
    let table = workspace.table("numbers");
    workspace.run(&format!("CREATE TABLE {table} AS SELECT id FROM range(3)")).await;
    let selected = selection(json!({ "table": table }));
    for missing in [
        missing("USE CATALOG", "CATALOG", "main", who, true),
        missing("USE SCHEMA", "SCHEMA", &schema, who, true),
        missing("SELECT", "TABLE", &table, who, true),
    ] {
        workspace.set(json!({ "without": [missing.lacking] })).await;
        named_alone(&workspace.source().check(Some(&selected)).await.unwrap(), &missing);
        let error = read(&*workspace.source(), &selected, &ReadMode::Full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
    workspace.set(json!({})).await;
    let checks = workspace.source().check(Some(&selected)).await.unwrap();
    assert!(checks.passed() && told(&checks).is_empty(), "{checks:#?}");
}

#[tokio::test]
async fn a_grant_that_is_missing_to_write_is_named_alone() {
    let workspace = Workspace::new().await;
    let (schema, who) = (format!("main.{}", workspace.schema()), workspace.principal());
    let sink = sink(&workspace, json!({ "schema": workspace.schema() }));
    sink.deliver(&events(0..1)).await.unwrap();
    let (table, volume) = (format!("{schema}.message_events"), format!("{schema}.tidegate_staging"));
    for missing in [
        missing("USE CATALOG", "CATALOG", "main", who, true),
        missing("USE SCHEMA", "SCHEMA", &schema, who, true),
        missing("SELECT", "TABLE", &table, who, true),
        missing("MODIFY", "TABLE", &table, who, true),
        missing("WRITE VOLUME", "VOLUME", &volume, who, false),
        missing("READ VOLUME", "VOLUME", &volume, who, false),
    ] {
        workspace.set(json!({ "without": [missing.lacking] })).await;
        named_alone(&sink.check().await.unwrap(), &missing);
    }
    workspace.set(json!({})).await;
    let checks = sink.check().await.unwrap();
    assert!(checks.passed() && told(&checks).is_empty(), "{checks:#?}");
    assert_eq!(counted(&workspace, &table).await, (1, 1), "a check writes nothing");
    assert_eq!(workspace.files().await, Vec::<String>::new(), "and leaves nothing behind");
}

#[tokio::test]
async fn a_grant_that_is_missing_to_make_the_table_is_named_alone_before_there_is_one() {
    let workspace = Workspace::new().await;
    let (schema, who) = (format!("main.{}", workspace.schema()), workspace.principal());
    let new = format!("{}_new", workspace.schema());
    for (into, missing) in [
        (workspace.schema(), missing("USE CATALOG", "CATALOG", "main", who, true)),
        (workspace.schema(), missing("USE SCHEMA", "SCHEMA", &schema, who, true)),
        (workspace.schema(), missing("CREATE TABLE", "SCHEMA", &schema, who, true)),
        (workspace.schema(), missing("CREATE VOLUME", "SCHEMA", &schema, who, false)),
        (&new, missing("CREATE SCHEMA", "CATALOG", "main", who, true)),
    ] {
        workspace.set(json!({ "without": [missing.lacking] })).await;
        named_alone(&sink(&workspace, json!({ "schema": into })).check().await.unwrap(), &missing);
    }
    workspace.set(json!({})).await;
    for into in [workspace.schema(), &new] {
        let checks = sink(&workspace, json!({ "schema": into })).check().await.unwrap();
        assert!(checks.passed() && told(&checks).is_empty(), "{into}: {checks:#?}");
    }
    let tables = workspace.run(&format!("SHOW TABLES IN `main.{}`", workspace.schema())).await;
    assert!(tables.is_empty(), "a check makes nothing: {tables:?}");
}

#[tokio::test]
async fn a_warehouse_that_may_not_be_used_is_named_alone_both_ways() {
    let workspace = Workspace::new().await;
    workspace.set(json!({ "without": ["CAN USE"] })).await;
    let reading = workspace.source().check(None).await.unwrap();
    let writing = sink(&workspace, json!({ "schema": workspace.schema() })).check().await.unwrap();
    for checks in [reading, writing] {
        let told = told(&checks);
        assert_eq!(told.len(), 1, "{checks:#?}");
        assert!(told[0].name.starts_with("CAN USE on warehouse"), "{checks:#?}");
        assert!(told[0].remedy.as_ref().unwrap().contains(workspace.principal()), "{checks:#?}");
    }
}
