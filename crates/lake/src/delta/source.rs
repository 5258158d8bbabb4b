//! Tables in a folder or a bucket as a [`Source`].

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::Schema;
use async_trait::async_trait;
use delta_kernel::Snapshot;
use delta_kernel::engine::arrow_conversion::TryIntoArrow as _;
use delta_kernel::snapshot::SnapshotRef;
use tidegate_model::source::Column;
use tidegate_model::{
    Checks, Columns, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings,
    Source,
};
use tidegate_transport::arrow;
use tidegate_transport::storage::{LakeSettings, StorageRoot, explain};
use tokio::runtime::Handle;

use super::changes::{Followed, Following};
use super::errors::kernel;
use super::rows::{Rows, Stop};
use super::settings::DeltaSelection;
use super::table::{Engine, LOG, check_name, engine, is_there};
use super::version::{After, Version};
use crate::blocking;
use crate::feed::on_a_thread;

/// Folders below folders that are looked into for tables.
const DEPTH_MAX: usize = 3;
/// Folders that are looked into, and so the tables that are listed.
const FOLDERS_MAX: usize = 1_000;
/// The shortest time between two looks for new versions.
const POLL_MIN: Duration = Duration::from_secs(1);

/// Tables of a folder.
#[derive(Clone)]
pub(super) struct DeltaSource {
    root: StorageRoot,
}

/// A table that is open, for calls that may block.
struct Opened {
    engine: Arc<Engine>,
    root: StorageRoot,
    snapshot: SnapshotRef,
    columns: Vec<Column>,
}

/// The next step for a table without a change data feed.
const SWITCH_ON: &str = "ALTER TABLE … SET TBLPROPERTIES (delta.enableChangeDataFeed = true); or write `mode: mirror` or `mode: full`";

impl Opened {
    /// Whether the table has a change data feed.
    fn has_feed(&self) -> bool {
        self.snapshot.table_properties().enable_change_data_feed == Some(true)
    }
}

impl DeltaSource {
    /// Opens the source. Nothing is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub(super) fn open(settings: &Settings, context: &ConnectorContext) -> Result<DeltaSource, Error> {
        let root = StorageRoot::open_to_read(&settings.parse::<LakeSettings>()?, context)?;
        Ok(DeltaSource { root })
    }

    fn opened(&self, selection: &DeltaSelection, runtime: &Handle) -> Result<Opened, Error> {
        let root = self.root.inside(&selection.folders()?);
        check_name(&root)?;
        let doing = format!("opening the table {}", root.name());
        if !is_there(&root, runtime)? {
            let message = format!("{} is no Delta table: it has no log", root.name());
            return Err(Error::new(ErrorKind::Missing, message)
                .hint("name the folder that holds `_delta_log`, below the connection's `path`"));
        }
        let engine = Arc::new(engine(&root, runtime));
        let mut builder = Snapshot::builder_for(&root.url);
        if let Some(version) = selection.version {
            builder = builder.at_version(version);
        }
        let snapshot =
            builder.build(&*engine).map_err(|cause| match (selection.version, kernel(&doing, cause)) {
                (Some(version), error) if error.kind() == ErrorKind::Unexpected => {
                    error.context(format!("version {version} is not there any more, or not yet"))
                }
                (_, error) => error,
            })?;
        let schema: Schema = snapshot.schema().as_ref().try_into_arrow().map_err(|cause| {
            Error::new(ErrorKind::Settings, format!("{doing}: its columns cannot be read: {cause}"))
        })?;
        let written = snapshot.schema();
        let columns = schema.fields().iter().zip(written.fields()).map(|(field, written)| Column {
            name: field.name().clone(),
            data_type: arrow::data_type(field.data_type()),
            type_name: written.data_type().to_string(),
        });
        let columns = columns.collect();
        Ok(Opened { engine, root, snapshot, columns })
    }

    /// Opens a table where that may block.
    async fn table(&self, selection: &DeltaSelection) -> Result<Opened, Error> {
        let (source, selection, runtime) = (self.clone(), selection.clone(), Handle::current());
        blocking(move || source.opened(&selection, &runtime)).await
    }

    /// The folders below this one that are tables.
    async fn tables(&self) -> Result<Vec<String>, Error> {
        let mut tables = Vec::new();
        let mut level = vec![self.root.folder()?];
        let top = level[0].as_ref().to_owned();
        let mut looked_into = 0;
        for _ in 0..=DEPTH_MAX {
            let mut deeper = Vec::new();
            for folder in level {
                let listed = self.root.store.list_with_delimiter(Some(&folder)).await;
                let found = listed
                    .map_err(|cause| explain(&format!("listing {}", self.root.name()), &cause))?
                    .common_prefixes;
                if found.iter().any(|below| below.filename() == Some(LOG)) {
                    let name = folder.as_ref().strip_prefix(&top).unwrap_or_default().trim_start_matches('/');
                    tables.push(if name.is_empty() { ".".to_owned() } else { name.to_owned() });
                } else {
                    deeper.extend(found);
                }
                looked_into += 1;
                if looked_into >= FOLDERS_MAX {
                    return Ok(tables);
                }
            }
            level = deeper;
        }
        Ok(tables)
    }
}

fn selection_of(path: &str) -> DeltaSelection {
    DeltaSelection { path: path.to_owned(), version: None, poll_every: Default::default(), key: None }
}

#[async_trait]
impl Source for DeltaSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let Some(selection) = selection else {
            let tables = self.tables().await?;
            checks.pass("folder", format!("{}: {} tables", self.root.name(), tables.len()));
            return Ok(checks);
        };
        let selection: DeltaSelection = selection.parse()?;
        match self.table(&selection).await {
            Ok(opened) => {
                let detail = format!("version {}", opened.snapshot.version());
                checks.pass(format!("table {}", opened.root.name()), detail);
            }
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal) => {
                return Err(error);
            }
            Err(error) => {
                checks.fail(format!("table {}", selection.path), error.with_words(), error.next_step());
            }
        }
        Ok(checks)
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<DeltaSelection>()?.folders().map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let mut datasets = Vec::new();
        for name in self.tables().await? {
            let opened = self.table(&selection_of(&name)).await?;
            datasets.push(Dataset { name, columns: opened.columns, key: Vec::new(), open: false });
        }
        Ok(datasets)
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selection: DeltaSelection = selection.parse()?;
        let opened = self.table(&selection).await?;
        let key = selection.key.unwrap_or_default();
        Ok(Dataset { name: selection.path, columns: opened.columns, key, open: false })
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let selection: DeltaSelection = selection.parse()?;
        let followed = match mode {
            ReadMode::Full => None,
            ReadMode::Resume { checkpoint, follow } => Some((Followed::of(checkpoint.as_ref())?, *follow)),
            ReadMode::Incremental { .. } => {
                return Err(Error::settings("a Delta table is not read by a `cursor`").hint(
                    "write `mode: stream` for a table with a change data feed, else `mode: mirror` or `mode: full`",
                ));
            }
        };
        if followed.is_some() && selection.version.is_some() {
            return Err(Error::settings("`version` has no meaning with `mode: stream`")
                .hint("remove it: every version is read"));
        }
        let opened = self.table(&selection).await?;
        if followed.is_some() && !opened.has_feed() {
            let message =
                format!("{} has no change data feed, which `mode: stream` follows", opened.root.name());
            return Err(Error::new(ErrorKind::Settings, message).hint(SWITCH_ON));
        }
        let (every, runtime) = (selection.poll_every.0.max(POLL_MIN), Handle::current());
        Ok(on_a_thread("reading the table", move |sender| {
            let columns = Columns::new(opened.columns.into_iter().map(|column| column.name));
            let mut rows = Rows::new(opened.root.name(), columns, batch_rows, sender);
            let (engine, root, snapshot) = (opened.engine, opened.root, opened.snapshot);
            let read = match followed {
                None => everything(engine, &root, snapshot, &mut rows),
                Some((followed, follow)) => {
                    let following = Following { engine, root, runtime, every: follow.then_some(every) };
                    following.read(snapshot, followed, &mut rows)
                }
            };
            if let Err(stop) = read {
                rows.end(stop);
            }
        }))
    }

    async fn check_changes(&self, selection: &Selection) -> Result<Checks, Error> {
        const NAME: &str = "change data feed";
        let mut checks = Checks::default();
        match self.table(&selection.parse()?).await {
            Ok(opened) if opened.has_feed() => {
                checks.pass(NAME, format!("on; the newest version is {}", opened.snapshot.version()));
            }
            Ok(_) => checks.fail(NAME, "it is off", SWITCH_ON),
            Err(error) => checks.fail(NAME, error.message(), error.next_step()),
        }
        Ok(checks)
    }

    fn supports_streaming(&self) -> bool {
        true
    }
}

/// Sends all rows of a version.
fn everything(
    engine: Arc<Engine>,
    root: &StorageRoot,
    snapshot: SnapshotRef,
    rows: &mut Rows,
) -> Result<(), Stop> {
    let version = Version::new(engine, root, snapshot)?;
    version.read(After { file: "", rows: 0 }, rows, &|_, _| None)?;
    if rows.is_empty() { Ok(()) } else { rows.send(None) }
}
