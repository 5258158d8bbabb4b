//! Columns that change between the look at them and the read.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tidegate_model::source::{Column, Dataset, ReadMode, Source};
use tidegate_model::{
    Batch, Cause, Checks, Columns, Connector, ConnectorContext, DataType, Ending, Error, Feed, Progress, Row,
    Selection, Settings, SourceRole, SyncId, Value,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Shows the columns `id, secret, note` and reads `id, note`, as a table does
/// that loses a column in between.
struct Shifting;

#[async_trait]
impl Source for Shifting {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        let column = |name: &str| Column {
            name: name.to_owned(),
            data_type: DataType::Text,
            type_name: "text".to_owned(),
        };
        let columns = ["id", "secret", "note"].map(column).into();
        Ok(Dataset { name: "shifting".to_owned(), columns, key: vec!["id".to_owned()], open: false })
    }

    async fn read(&self, _: &Selection, _: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        let values = vec![Value::Text("1".into()), Value::Text("a note".into())];
        let row = Row { columns: Columns::new(["id", "note"]), values };
        Ok(stream::iter([Ok(Batch::of(vec![row]))]).boxed())
    }
}

const SHIFTING: Connector = Connector {
    kind: "shifting",
    title: "Shifting",
    readme: "",
    icon: "",
    settings: || schemars::Schema::default(),
    source: Some(SourceRole {
        selection: || schemars::Schema::default(),
        modes: &[tidegate_model::Mode::Full, tidegate_model::Mode::Incremental],
        keeps_checkpoint: false,
        open: |_: &Settings, _: &ConnectorContext| Ok(Arc::new(Shifting)),
    }),
    ..Connector::EMPTY
};

#[tokio::test]
async fn bad_input_columns_that_change_between_looking_and_reading_send_nothing() {
    let yaml = "connections:\n  db: { type: shifting }\n  braze: { type: braze, endpoint: sandbox, api_key: k }\n\
                syncs:\n  s:\n    source: { connection: db }\n    mode: full\n    destination: { connection: braze, object: event }\n    \
                mapping: { external_id: id, name: { value: x }, properties: [secret] }\n";
    let folder = tempfile::tempdir().expect("a folder");
    let engine = crate::support::engine(SHIFTING, yaml, folder.path()).await;
    let (progress, _) = watch::channel(Progress::default());
    let sync = SyncId::new("s");
    let run = engine.run(&sync, Cause::Manual, CancellationToken::new(), progress);
    let run = run.await.expect("a run");
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 0));
    let told = run.error.expect("an error");
    assert!(told.contains("the columns of the source changed while `s` began to read"), "{told}");
    assert!(told.contains("Next: run it again"), "{told}");
}
