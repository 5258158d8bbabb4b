//! Events by way of a stage: a file in an object store, a staging table, and a merge from there.
//!
//! Each delivery has a file and a table of its own, so two processes that deliver the same events do not
//! disturb each other.

use bytes::Bytes;
use tidegate_model::{ConnectorContext, Error, LoggedEvent, Receipt};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::events;
use tidegate_transport::sql::relation::{Naming as _, full_name};
use tidegate_transport::storage::StorageRoot;
use uuid::Uuid;

use super::SnowflakeSink;
use crate::snowflake::relation::Names;
use crate::snowflake::settings::SnowflakeSettings;

/// A folder that is written here and read by Snowflake.
pub struct Stage {
    /// Its database, schema and name in Snowflake.
    names: [String; 3],
    /// The files of this sync in it.
    files: StorageRoot,
    /// The name of their folder, below that of the stage.
    below: String,
}

impl Stage {
    /// Opens the stage of the settings, for the files of a sync; `None` if there is none.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a stage that cannot work.
    pub fn open(
        settings: &SnowflakeSettings,
        sync: &str,
        context: &ConnectorContext,
    ) -> Result<Option<Stage>, Error> {
        let Some(stage) = &settings.stage else { return Ok(None) };
        let outer = [settings.database.as_deref(), settings.schema.as_deref()];
        let names = full_name::<Names>("stage.name", "database.schema.stage", &stage.name, outer)?;
        let files = StorageRoot::open(&stage.folder, context)
            .map_err(|error| error.context("`stage.folder`"))?
            .inside(&[sync]);
        Ok(Some(Stage { names, files, below: sync.to_owned() }))
    }

    /// Returns the stage as statements name it.
    pub fn quoted(&self) -> String {
        Names::quoted(&self.names)
    }

    /// Returns the name of the stage, for people.
    pub fn label(&self) -> String {
        Names::label(&self.names)
    }

    /// Returns the folder of this sync in the stage, as statements name it.
    pub fn place(&self) -> String {
        format!("@{}/{}/", self.quoted(), self.below)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// What the object store said.
    pub async fn put(&self, file: &str, content: Bytes) -> Result<(), Error> {
        self.files.put(file, content).await
    }

    /// Returns the folder that files are written to, for messages.
    pub fn folder(&self) -> String {
        self.files.name()
    }

    /// Removes a file. One that stays is removed by the next process.
    pub async fn remove(&self, file: &str) {
        if let Err(error) = self.files.remove(file).await {
            tracing::debug!(error = %error.chain(), "a staged file could not be removed");
        }
    }

    /// Removes the files that processes which died have left.
    async fn sweep(&self) {
        for file in self.files.list().await.unwrap_or_default().iter().filter(|file| is_ours(file)) {
            self.remove(file).await;
        }
    }
}

/// Returns whether a file of the folder is one that a delivery has written.
fn is_ours(file: &str) -> bool {
    file.strip_suffix(".parquet")
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|sign| sign.is_ascii_hexdigit()))
}

impl SnowflakeSink {
    /// Delivers by way of a stage.
    ///
    /// # Errors
    /// Why nothing was merged.
    pub(super) async fn by_stage(&self, stage: &Stage, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let (layout, kept, now) = (self.table.layout, events::distinct(items), self.clock.now());
        let rows = kept.len();
        let content =
            tokio::task::spawn_blocking(move || crate::file::encode(layout, &kept, now))
                .await
                .map_err(|cause| Error::internal("encoding events ended abnormally").caused_by(cause))??;
        let id = Uuid::new_v4().simple().to_string();
        let (file, staging) = (format!("{id}.parquet"), self.table.new_staging(&id));
        stage.put(&file, content).await?;
        let merged = match self.load(stage, &file, &staging, rows).await {
            Ok(()) => self.run(self.table.merge_from(&staging).into()).await,
            // Nothing was merged, whatever was loaded.
            Err(error) => Err(RequestError::NoEffect(error)),
        };
        self.unstage(&staging).await;
        stage.remove(&file).await;
        match merged {
            Ok(()) => Ok(Receipt::delivered(items.len())),
            Err(error) => error.into_receipt(items.len()),
        }
    }

    /// Loads a file of the stage into a new table.
    async fn load(&self, stage: &Stage, file: &str, staging: &[String; 3], rows: usize) -> Result<(), Error> {
        self.make(self.table.staging_creation(staging)).await?;
        let copy = self.table.copy(staging, &stage.place(), file).into();
        let copied = self.client.query(&copy, &self.doing()).await.map_err(RequestError::into_error);
        let (columns, cells) = copied?;
        let at = columns.iter().position(|column| column.name.eq_ignore_ascii_case("rows_loaded"));
        let loaded = at.and_then(|at| cells.first()?.get(at)?.as_deref()?.parse::<usize>().ok());
        match loaded.unwrap_or(0) == rows {
            true => Ok(()),
            // A stage whose URL is another folder loads nothing, and says so without an error.
            false => Err(Error::settings(format!(
                "{}: the stage {} does not have the file that was written to {}",
                self.doing(),
                stage.label(),
                stage.folder()
            ))
            .hint("the `URL` of the stage and `stage.folder.path` have to be the same folder: DESCRIBE STAGE shows it")),
        }
    }

    async fn unstage(&self, staging: &[String; 3]) {
        if let Err(error) = self.make(format!("DROP TABLE IF EXISTS {}", Names::quoted(staging))).await {
            tracing::debug!(error = %error.chain(), "a staging table could not be removed");
        }
    }

    /// Removes what processes which died have left. A process that is alive and loses a table or a file
    /// delivers its events again.
    pub(super) async fn sweep(&self, stage: &Stage) {
        stage.sweep().await;
        let place = format!(" IN SCHEMA {}", Names::quoted(&self.table.names[..2]));
        let pattern = self.table.staging_pattern();
        let Ok(found) = self.client.show_like("TABLES", &pattern, &place).await else { return };
        for table in found.iter().map(|row| row.get("name")).filter(|name| self.table.is_staging(name)) {
            let [database, schema, _] = self.table.names.clone();
            self.unstage(&[database, schema, table.to_owned()]).await;
        }
    }
}
