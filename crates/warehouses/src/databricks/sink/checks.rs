//! What a connection is asked to prove before it is trusted with an export. Nothing is made, and
//! nothing is left behind.

use bytes::Bytes;
use tidegate_model::{Checks, Error, ErrorKind};
use tidegate_transport::sql::backtick;

use super::DatabricksSink;
use crate::databricks::grants::{self, grant};
use crate::databricks::relation::quoted;
use crate::databricks::statement::{Ended, Sql};

impl DatabricksSink {
    /// Looks at every privilege that writing needs, as far as what it is needed on is there.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let Some(principal) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        if self.prove_table(&mut checks, &principal).await {
            self.prove_volume(&mut checks, &principal).await;
        }
        Ok(checks)
    }

    /// Runs the statement of a delivery without events. Returns whether the schema is there.
    async fn prove_table(&self, checks: &mut Checks, principal: &str) -> bool {
        let name = format!("writing to {}", self.table.label());
        let probed = self.client.query(&self.table.probe().into(), &name).await.map_err(Ended::into_error);
        let tried = match probed {
            Err(error) => Err(error),
            Ok((columns, _)) => match self.table.widening(&columns) {
                Err(error) => Err(error),
                Ok(widening) => {
                    let none = Sql {
                        text: self.table.merge(&self.table.rows_of_parameter()),
                        parameters: vec!["[]".to_owned()],
                    };
                    match widening {
                        Some(_) => Ok("columns are added with the first delivery"),
                        None => self
                            .run(none)
                            .await
                            .map_err(Ended::into_error)
                            .map(|()| "works: events are merged by event_id"),
                    }
                }
            },
        };
        match tried {
            Ok(found) => {
                checks.pass(name, found);
                true
            }
            Err(error) if error.kind() == ErrorKind::Missing => {
                let [catalog, ..] = &self.table.names;
                let needed = [
                    grant("USE CATALOG, CREATE SCHEMA", "CATALOG", &backtick(catalog), Some(principal)),
                    "or, if the schema is there: ".to_owned()
                        + &grant(
                            "USE SCHEMA, CREATE TABLE, CREATE VOLUME",
                            "SCHEMA",
                            &self.table.schema(),
                            Some(principal),
                        ),
                ];
                checks.warn(
                    name,
                    "the table is made with the first delivery, which needs",
                    needed.join("\n"),
                );
                false
            }
            Err(error) => {
                match grants::refused(error.message()) {
                    Some(refused) => checks.fail(
                        refused.check(),
                        format!("{principal} does not have it"),
                        refused.remedy(Some(principal)),
                    ),
                    None => checks.fail(name, error.chain(), error.next_step()),
                }
                false
            }
        }
    }

    /// Says which way events take, and why.
    async fn prove_volume(&self, checks: &mut Checks, principal: &str) {
        let name = format!("volume {}", self.table.volume.join("."));
        let probe = format!("{}.check", self.table.file());
        let written = self.client.upload(&probe, Bytes::from_static(b"tidegate")).await;
        match written {
            Ok(()) => {
                if let Err(error) = self.client.remove(&probe).await {
                    tracing::debug!(error = %error.chain(), "the file of a check could not be removed");
                }
                checks.pass(name, "granted: events are staged there as Parquet files");
            }
            Err(error) => {
                let remedy = match error.kind() {
                    ErrorKind::Missing => {
                        grant("CREATE VOLUME", "SCHEMA", &self.table.schema(), Some(principal))
                    }
                    _ => grant(
                        "READ VOLUME, WRITE VOLUME",
                        "VOLUME",
                        &quoted(&self.table.volume),
                        Some(principal),
                    ),
                };
                let why = match error.kind() {
                    ErrorKind::Missing => "is made with the first delivery; without the right to, events are sent inside of statements, which is slower".to_owned(),
                    _ => format!("events are sent inside of statements, which is slower: {}", error.message()),
                };
                checks.warn(name, why, remedy);
            }
        }
    }
}
