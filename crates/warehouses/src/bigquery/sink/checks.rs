//! What a connection is asked to prove before it is trusted with an export. Nothing is made, and nothing is
//! billed: statements are dry runs, which need the same permissions.

use tidegate_model::{Checks, Error, ErrorKind};
use tidegate_transport::sql::relation::Naming as _;

use super::BigQuerySink;
use crate::bigquery::checks::refuse;
use crate::bigquery::grants::Refused;
use crate::bigquery::relation::{Names, quote};

impl BigQuerySink {
    /// Looks at every permission that writing needs.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let Some(member) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        let name = self.doing();
        let [project, dataset, _] = &self.table.names;
        let tried = match self.client.table_info(&self.table.names).await {
            Ok(mut info) => match self.table.widening(&info.take_fields()) {
                Ok(Some(widening)) => self
                    .would_run(&widening, info.location.as_deref())
                    .await
                    .map(|()| (info.location, "columns are added with the first delivery")),
                Ok(None) => self
                    .would_run(&self.table.merge_of_nothing(), info.location.as_deref())
                    .await
                    .map(|()| (info.location, "works: events are merged by event_id")),
                Err(error) => Err(error),
            },
            Err(error) if error.kind() == ErrorKind::Missing => {
                match self.client.dataset_location(project, dataset).await {
                    Ok(location) => Ok((location, "the table is made with the first delivery")),
                    Err(error) if error.kind() == ErrorKind::Missing => {
                        self.prove_dataset(&mut checks, &member).await;
                        return Ok(checks);
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match tried {
            Ok((location, found)) => {
                checks.pass(name, found);
                self.prove_staging(&mut checks, &member, location.as_deref()).await;
            }
            Err(error) => refuse(&mut checks, name, &error, &member),
        }
        Ok(checks)
    }

    /// Asks for a dry run. `location` is where the dataset is.
    async fn would_run(&self, text: &str, location: Option<&str>) -> Result<(), Error> {
        let location = self.client.settings.location.as_deref().or(location);
        self.client.forecast(&text.to_owned().into(), location).await.map(|_| ())
    }

    /// Looks whether tables may be made in the dataset: each delivery makes one, and removes it.
    async fn prove_staging(&self, checks: &mut Checks, member: &str, location: Option<&str>) {
        let [project, dataset, _] = &self.table.names;
        let needed = Refused {
            permission: "bigquery.tables.create".to_owned(),
            kind: "Dataset".to_owned(),
            name: format!("{project}:{dataset}"),
        };
        let creation = format!("CREATE TABLE {} (event_id STRING)", Names::quoted(&self.table.new_staging()));
        match self.would_run(&creation, location).await {
            Ok(()) => checks.pass(needed.check(), "granted: each delivery has a staging table"),
            Err(error) => refuse(checks, needed.check(), &error, member),
        }
    }

    /// Looks whether the dataset may be made.
    async fn prove_dataset(&self, checks: &mut Checks, member: &str) {
        let [project, dataset, _] = &self.table.names;
        let needed = Refused {
            permission: "bigquery.datasets.create".to_owned(),
            kind: "Project".to_owned(),
            name: project.clone(),
        };
        let creation = format!("CREATE SCHEMA {}.{}", quote(project), quote(dataset));
        match self.would_run(&creation, None).await {
            Ok(()) => checks.pass(needed.check(), "granted: the dataset is made with the first delivery"),
            Err(error) => refuse(checks, needed.check(), &error, member),
        }
    }
}
