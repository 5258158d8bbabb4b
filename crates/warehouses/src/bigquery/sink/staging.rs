//! Tables that are made and removed by the sink: that of the events, and those that they are loaded into.
//!
//! Each delivery loads into a table of its own, so two processes that deliver the same events do not disturb
//! each other, and no table gets more than one load job: BigQuery takes 1,500 for a table in a day.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_model::address::encoded;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;

use super::BigQuerySink;
use crate::bigquery::catalog::table_path;
use crate::bigquery::errors;
use crate::bigquery::job::{Job, Work};

/// How long BigQuery keeps a staging table that was not removed.
const KEPT_MILLISECONDS: i64 = 24 * 60 * 60 * 1_000;

impl BigQuerySink {
    /// Makes the table, and its dataset if that is missing.
    pub(super) async fn make_table(&self, location: Option<&str>) -> Result<(), Error> {
        let [project, dataset, _] = &self.table.names;
        match self.client.dataset_location(project, dataset).await {
            Err(error) if error.kind() == ErrorKind::Missing => {
                let mut made = json!({ "datasetReference": { "projectId": project, "datasetId": dataset } });
                if let Some(location) = location {
                    made["location"] = location.into();
                }
                self.make(&format!("/{}/datasets", encoded(project)), &made).await?;
            }
            Err(error) => return Err(error.context(self.doing())),
            Ok(_) => {}
        }
        self.make_in_dataset(&self.table.creation()).await.map(|_| ())
    }

    async fn make_in_dataset(&self, table: &Value) -> Result<Value, Error> {
        let [project, dataset, _] = &self.table.names;
        self.make(&format!("/{}/datasets/{}/tables", encoded(project), encoded(dataset)), table).await
    }

    /// Makes something, and returns what BigQuery says of it: nothing of one that another process has made
    /// meanwhile, which is as good.
    async fn make(&self, path: &str, what: &Value) -> Result<Value, Error> {
        match self.client.post(path, what).await.map_err(RequestError::into_error) {
            Ok(made) => Ok(serde_json::from_slice(made.body()).unwrap_or_default()),
            Err(error) if errors::is_duplicate(&error) => Ok(Value::Null),
            Err(error) => Err(error.context(self.doing())),
        }
    }

    /// Says when BigQuery removes a staging table that is still there, by its own clock.
    async fn expire(&self, [project, dataset, table]: &[String; 3], made: &Value) {
        let Some(at) = made["creationTime"].as_str().and_then(|at| at.parse::<i64>().ok()) else { return };
        let expiry = json!({ "expirationTime": at.saturating_add(KEPT_MILLISECONDS).to_string() });
        if let Err(error) = self.client.patch(&table_path([project, dataset, table]), &expiry).await {
            tracing::debug!(error = %error.chain(), "a staging table has no end");
        }
    }

    /// Loads a file into a new table. Returns its name.
    pub(super) async fn stage(&self, file: &Bytes, location: Option<&str>) -> Result<[String; 3], Error> {
        let names = self.table.new_staging();
        let made = self.make_in_dataset(&self.table.staging_creation(&names)).await?;
        self.expire(&names, &made).await;
        let loaded = match Job::begin(&self.client, Work::Load(&names, file), location).await {
            Ok(job) => job.end(&self.doing()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = loaded {
            self.unstage(&names).await;
            // Nothing was merged, whatever was loaded.
            return Err(error.into_error());
        }
        Ok(names)
    }

    /// Removes a staging table. One that stays is removed by the next process, or by BigQuery in a day.
    pub(super) async fn unstage(&self, [project, dataset, table]: &[String; 3]) {
        if let Err(error) = self.client.delete(&table_path([project, dataset, table])).await {
            tracing::debug!(error = %error.chain(), "a staging table could not be removed");
        }
    }

    /// Removes the staging tables that processes which died have left. A process that is alive and loses one
    /// delivers its events again.
    pub(super) async fn sweep(&self) {
        let [project, dataset, _] = &self.table.names;
        let Ok(tables) = self.client.table_names(project, dataset).await else { return };
        for table in tables.into_iter().filter(|table| self.table.is_staging(table)) {
            self.unstage(&[project.clone(), dataset.clone(), table]).await;
        }
    }
}
