//! Tables that another program made.

use std::path::Path;
use std::sync::Arc;

use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::schema::{DataType, StructField, StructType};
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel_default_engine::DefaultEngineBuilder;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::ErrorKind;

use crate::support::{counts, data_files, delta, events, log_of, once, open, parquet_rows, target};

/// Makes a table the way that another program would.
fn make(project: &Path, columns: Vec<StructField>, partitions: &[&str], properties: &[(&str, &str)]) {
    let folder = project.join("lake/onesignal_events/message_events");
    std::fs::create_dir_all(&folder).expect("folder");
    let engine = DefaultEngineBuilder::new(Arc::new(LocalFileSystem::new())).build();
    let schema = Arc::new(StructType::try_new(columns).expect("schema"));
    let mut builder = create_table(format!("file://{}/", folder.display()), schema, "somebody else", false)
        .with_table_properties(properties.iter().copied());
    if !partitions.is_empty() {
        builder = builder.with_data_layout(DataLayout::partitioned(partitions.iter().copied()));
    }
    let transaction = builder.build(&engine, Box::new(FileSystemCommitter::new())).expect("table");
    assert!(transaction.commit(&engine).expect("commit").is_committed());
}

fn column(name: &str, kind: DataType) -> StructField {
    StructField::nullable(name, kind)
}

/// The columns of the newest metadata.
fn schema_of(table: &Path) -> Value {
    let text = log_of(table)
        .iter()
        .rev()
        .find_map(|action| action["metaData"]["schemaString"].as_str().map(str::to_owned))
        .expect("metadata");
    serde_json::from_str(&text).expect("schema")
}

#[tokio::test]
async fn a_table_gets_the_columns_that_it_lacks_and_keeps_its_own() {
    let project = tempdir().expect("folder");
    make(
        project.path(),
        vec![column("EVENT_ID", DataType::STRING), column("note", DataType::INTEGER)],
        &[],
        &[],
    );
    let sink = open(delta(), project.path(), &target("export", json!({})));

    sink.deliver(&events(1..=3)).await.expect("a receipt");
    sink.deliver(&events(4..=5)).await.expect("a receipt");

    let table = project.path().join("lake/onesignal_events/message_events");
    let schema = schema_of(&table);
    let names: Vec<&str> = schema["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|field| field["name"].as_str())
        .collect();
    assert_eq!(names[..3], ["EVENT_ID", "note", "event_timestamp"]);
    assert_eq!(names.len(), 28);
    let changes = log_of(&table).iter().filter(|action| action["metaData"].is_object()).count();
    assert_eq!(changes, 2, "made once, evolved once");
    let rows = &parquet_rows(&data_files(&table)[0])[0];
    assert_eq!(rows.column_by_name("note").expect("column").null_count(), 3);
    assert!(rows.column_by_name("event_date").is_some(), "no folder says it");
}

#[tokio::test]
async fn check_warns_of_a_table_that_forgets_what_was_exported() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    sink.deliver(&events(1..=1)).await.expect("a receipt");
    assert!(!format!("{:?}", sink.check().await.expect("checks")).contains("setTransactionRetention"));
    // As `ALTER TABLE … SET TBLPROPERTIES` does it: the metadata again, with the property.
    let table = project.path().join("lake/onesignal_events/message_events");
    let mut metadata =
        log_of(&table).into_iter().rfind(|action| !action["metaData"].is_null()).expect("metadata");
    metadata["metaData"]["configuration"]["delta.setTransactionRetentionDuration"] =
        "interval 2 hours".into();
    std::fs::write(table.join("_delta_log/00000000000000000002.json"), format!("{metadata}\n"))
        .expect("a commit");

    let checks = sink.check().await.expect("checks");

    let warning = checks.0.last().expect("a check");
    assert!(checks.passed() && warning.detail.contains("is 2h:"), "{checks:?}");
}

#[test]
fn a_folder_whose_name_is_read_in_two_ways_is_refused() {
    let open = |path: &str| {
        let context = crate::support::context(Path::new("/nonexistent"));
        (delta().open)(
            &crate::support::settings(json!({ "path": path })),
            &target("export", json!({})),
            &context,
        )
    };
    for path in ["my%20lake", "a%2Fb", "a%25b"] {
        let error = open(path).map(drop).expect_err(path);
        assert!(error.message().contains(path), "{error}");
        assert_eq!(error.kind(), ErrorKind::Settings);
    }
    for path in ["my lake", "100%", "50% off", "é"] {
        assert!(open(path).is_ok(), "{path}");
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_named() {
    let project = tempdir().expect("folder");
    make(project.path(), vec![column("event_id", DataType::LONG)], &[], &[]);
    let sink = open(delta(), project.path(), &target("export", json!({})));

    let error = sink.deliver(&events(1..=1)).await.expect_err("another type");
    let checks = sink.check().await.expect("checks");

    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.message().contains("`event_id`") && error.message().contains("long"), "{error}");
    assert!(!checks.passed());
}

#[tokio::test]
async fn a_table_with_column_mapping_is_written_under_its_own_names() {
    let project = tempdir().expect("folder");
    let columns = vec![column("event_id", DataType::STRING), column("event_date", DataType::DATE)];
    make(project.path(), columns, &["event_date"], &[("delta.columnMapping.mode", "name")]);
    let sink = open(delta(), project.path(), &target("export", json!({})));

    sink.deliver(&events(1..=3)).await.expect("a receipt");

    let table = project.path().join("lake/onesignal_events/message_events");
    let rows = &parquet_rows(&data_files(&table)[0])[0];
    assert_eq!(rows.num_rows(), 3);
    assert!(rows.column_by_name("event_id").is_none(), "the file has the physical name");
}

#[tokio::test]
async fn a_table_partitioned_by_something_else_is_refused() {
    let project = tempdir().expect("folder");
    let columns = vec![column("event_id", DataType::STRING), column("country", DataType::STRING)];
    make(project.path(), columns, &["country"], &[]);
    let sink = open(delta(), project.path(), &target("export", json!({})));

    let error = sink.deliver(&events(1..=1)).await.expect_err("another partition");

    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.message().contains("partitioned by country"), "{error}");
}

#[tokio::test]
async fn a_new_table_without_partitions_holds_the_day_in_its_rows() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({ "partition_by_date": false })));

    sink.deliver(&events(1..=3)).await.expect("a receipt");

    let files = data_files(&project.path().join("lake/onesignal_events/message_events"));
    assert_eq!(counts(&files), once(&events(1..=3)));
    assert!(parquet_rows(&files[0])[0].column_by_name("event_date").is_some());
}
