//! What a connection is asked to prove before it is trusted with an export. Nothing is made, and
//! nothing is left behind.

use bytes::Bytes;
use tidegate_model::{Checks, Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::relation::Naming as _;

use super::DatabricksSink;
use crate::databricks::grants::{self, Refused, grant};
use crate::databricks::privileges::{Held, Identity, Securable};
use crate::databricks::relation::Names;
use crate::databricks::statement::Sql;

/// How events are written without a right to the volume.
const SLOWER: &str = "events are sent inside of statements, which is slower";

impl DatabricksSink {
    /// Looks at every privilege that writing needs.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let Some(who) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        match self.prove_table(&mut checks, &who).await? {
            Found::Table => self.prove_volume(&mut checks, &who).await?,
            Found::Schema => {
                self.prove_making(&mut checks, &who, "CREATE TABLE", Securable::Schema).await?;
                self.prove_volume(&mut checks, &who).await?;
            }
            Found::Nothing => {
                self.prove_making(&mut checks, &who, "CREATE SCHEMA", Securable::Catalog).await?;
            }
            Found::Refusal => {}
        }
        Ok(checks)
    }

    /// Runs the statement of a delivery without events.
    async fn prove_table(&self, checks: &mut Checks, who: &Identity) -> Result<Found, Error> {
        let name = format!("writing to {}", self.table.label());
        let probed =
            self.client.query(&self.table.probe().into(), &name).await.map_err(RequestError::into_error);
        let tried = match probed {
            Err(error) => Err(error),
            Ok((columns, _)) => match self.table.widening(&columns) {
                Err(error) => Err(error),
                Ok(Some(_)) => Ok("columns are added with the first delivery"),
                Ok(None) => {
                    let none = Sql {
                        text: self.table.merge(&self.table.rows_of_parameter()),
                        parameters: vec!["[]".to_owned()],
                    };
                    let merged = self.run(none).await.map_err(RequestError::into_error);
                    merged.map(|()| "works: events are merged by event_id")
                }
            },
        };
        match tried {
            Ok(found) => {
                checks.pass(name, found);
                Ok(Found::Table)
            }
            Err(error) if error.kind() == ErrorKind::Missing => {
                checks.pass(name, "the table is made with the first delivery");
                match self.client.owner(Securable::Schema, &self.schema_name()).await {
                    Ok(None) => Ok(Found::Nothing),
                    _ => Ok(Found::Schema),
                }
            }
            Err(error) => {
                match grants::refused(error.message()) {
                    Some(refused) => refuse(checks, &refused, who),
                    None => checks.fail(name, error.chain(), error.next_step()),
                }
                Ok(Found::Refusal)
            }
        }
    }

    fn schema_name(&self) -> String {
        self.table.names[..2].join(".")
    }

    /// Looks whether something that is not there may be made.
    async fn prove_making(
        &self,
        checks: &mut Checks,
        who: &Identity,
        privilege: &str,
        on: Securable,
    ) -> Result<(), Error> {
        let name = match on {
            Securable::Catalog => self.table.names[0].clone(),
            Securable::Schema => self.schema_name(),
        };
        let needed =
            Refused { privilege: privilege.to_owned(), kind: on.keyword().to_owned(), name: name.clone() };
        match self.client.holds(who, privilege, on, &name).await? {
            Held::Yes => checks.pass(needed.check(), "granted"),
            Held::No => refuse(checks, &needed, who),
            Held::Unknown => checks.warn(
                needed.check(),
                "the first delivery needs it; the workspace does not say whether it is granted",
                needed.remedy(Some(&who.name)),
            ),
        }
        Ok(())
    }

    /// Says which way events take, and why.
    async fn prove_volume(&self, checks: &mut Checks, who: &Identity) -> Result<(), Error> {
        let name = format!("volume {}", self.table.volume.join("."));
        let probe = self.table.probe_file();
        let written = self.client.upload(&probe, Bytes::from_static(b"tidegate")).await;
        let proved = match written {
            Ok(()) => {
                let read = self.client.read_file(&probe).await;
                if let Err(error) = self.client.remove(&probe).await {
                    tracing::debug!(error = %error.chain(), "the file of a check could not be removed");
                }
                read
            }
            Err(error) => Err(error),
        };
        match proved {
            Ok(()) => checks.pass(name, "granted: events are staged there as Parquet files"),
            Err(error) if error.kind() == ErrorKind::Missing => {
                return self.prove_making_volume(checks, who, name).await;
            }
            Err(error) => match grants::refused(error.message()) {
                Some(refused) => checks.warn(refused.check(), SLOWER, refused.remedy(Some(&who.name))),
                None => {
                    let remedy = grant(
                        "READ VOLUME, WRITE VOLUME",
                        "VOLUME",
                        &Names::quoted(&self.table.volume),
                        Some(&who.name),
                    );
                    checks.warn(name, format!("{SLOWER}: {}", error.message()), remedy);
                }
            },
        }
        Ok(())
    }

    async fn prove_making_volume(
        &self,
        checks: &mut Checks,
        who: &Identity,
        name: String,
    ) -> Result<(), Error> {
        let schema = self.schema_name();
        let remedy = grant("CREATE VOLUME", "SCHEMA", &self.table.schema(), Some(&who.name));
        match self.client.holds(who, "CREATE VOLUME", Securable::Schema, &schema).await? {
            Held::Yes => checks.pass(name, "is made with the first delivery; events are staged there"),
            Held::No => {
                checks.warn(
                    format!("CREATE VOLUME on schema {schema}"),
                    format!("not granted: {SLOWER}"),
                    remedy,
                );
            }
            Held::Unknown => checks.warn(
                name,
                format!("is made with the first delivery; without the right to make it, {SLOWER}"),
                remedy,
            ),
        }
        Ok(())
    }
}

/// What of a table there is.
enum Found {
    /// The table.
    Table,
    /// Its schema.
    Schema,
    /// Not even its schema.
    Nothing,
    /// Looking was refused.
    Refusal,
}

fn refuse(checks: &mut Checks, refused: &Refused, who: &Identity) {
    checks.fail(refused.check(), format!("{} does not have it", who.name), refused.remedy(Some(&who.name)));
}
