//! The changes of a table, version after version: `mode: stream`.
//!
//! The first run reads the table as it is at its newest version, later ones what the change data feed
//! says of each version behind that. A commit never changes, so a run that was interrupted
//! continues behind the row that it committed last.
//!
//! Source: Delta protocol, "Change Data Files"; Delta docs, "Change data feed".

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use delta_kernel::KernelError;
use delta_kernel::Snapshot;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::table_changes::TableChanges;
use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, ErrorKind, RowHash};
use tidegate_transport::poll;
use tidegate_transport::storage::StorageRoot;
use tokio::runtime::Handle;

use super::errors::kernel;
use super::rows::{Rows, Stop, record};
use super::table::{Engine, LOG};
use super::version::{After, Version};

/// The column of the feed that says what became of a row.
const CHANGE_TYPE: &str = "_change_type";
/// Rows that are sent: what was inserted, and what an update made of a row.
const SENT: [&str; 2] = ["insert", "update_postimage"];
/// Bytes of a commit that identify it.
const MARK_BYTES: usize = 16 * 1024;

/// How far a table was followed: the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Followed {
    /// The version whose rows are all committed; none while the table is read for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What identifies the commit of that version: a table that is created again has another one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    mark: String,
    /// What is being read behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
}

/// A version some rows of which are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    version: u64,
    /// The file of the rows, while the table is read for the first time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    file: String,
    /// Rows of the file, or of the feed of the version.
    rows: u64,
}

impl Followed {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for one that is not of this kind.
    pub(super) fn of(checkpoint: Option<&Checkpoint>) -> Result<Followed, Error> {
        let Some(Checkpoint(written)) = checkpoint else { return Ok(Followed::default()) };
        serde_json::from_value(written.clone()).map_err(|_| {
            Error::settings("the checkpoint of the sync is none of `mode: stream`")
                .hint("begin at the beginning with `tidegate reset`")
        })
    }

    /// The newest version some rows of which are committed.
    fn at(&self) -> Option<u64> {
        self.version.or(self.part.as_ref().map(|part| part.version))
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        serde_json::to_value(self).ok().map(Checkpoint)
    }

    /// Returns the checkpoint behind some rows of a version.
    fn within(&self, version: u64, file: &str, rows: u64) -> Option<Checkpoint> {
        let part = Some(Part { version, file: file.to_owned(), rows });
        Followed { part, ..self.clone() }.checkpoint()
    }
}

/// A table that is being followed. Every method blocks.
pub(super) struct Following {
    /// The library.
    pub(super) engine: Arc<Engine>,
    /// The folder of the table.
    pub(super) root: StorageRoot,
    /// The runtime that the store is asked on.
    pub(super) runtime: Handle,
    /// How often to look for new versions; not at all if absent.
    pub(super) every: Option<Duration>,
}

impl Following {
    /// Sends the rows behind a checkpoint; with `every`, until they are no longer wanted.
    ///
    /// # Errors
    /// What keeps the table from being read on.
    pub(super) fn read(
        &self,
        mut newest: SnapshotRef,
        mut followed: Followed,
        rows: &mut Rows,
    ) -> Result<(), Stop> {
        let mut is_same = self.is_same(&followed)?;
        loop {
            if is_same == Some(false) || followed.at() > Some(newest.version()) {
                tracing::warn!("{} was created again: it is read from its beginning", self.root.name());
                followed = Followed::default();
            }
            if followed.version.is_none() {
                followed = self.read_first(&newest, &followed, rows)?;
            }
            let mut is_told = true;
            while let Some(version) = followed.version.filter(|version| *version < newest.version()) {
                self.read_changes(version + 1, &mut followed, rows)?;
                is_told = !rows.is_empty();
                if is_told {
                    rows.send(followed.checkpoint())?;
                }
            }
            // Versions without rows are passed, too.
            if !is_told {
                rows.send(followed.checkpoint())?;
            }
            let Some(every) = self.every else { return Ok(()) };
            self.runtime.block_on(async {
                tokio::select! {
                    () = rows.sender().closed() => Err(Stop::Dropped),
                    () = poll::pause(every) => Ok(()),
                }
            })?;
            is_same = self.is_same(&followed)?;
            newest = self.newest(newest, is_same)?;
        }
    }

    /// Returns the newest version. What is known of the table helps to find it, if it is the same one: of a shorter
    /// log the library would say that nothing is new.
    fn newest(&self, known: SnapshotRef, is_same: Option<bool>) -> Result<SnapshotRef, Error> {
        let found = match is_same {
            Some(true) => Snapshot::builder_from(known).build(&*self.engine).ok(),
            _ => None,
        };
        found
            .map_or_else(|| Snapshot::builder_for(&self.root.url).build(&*self.engine), Ok)
            .map_err(|cause| kernel(&self.doing(), cause))
    }

    fn doing(&self) -> String {
        format!("reading the table {}", self.root.name())
    }

    /// Whether the commit at which the table was followed is still the same; `None` if that is not known, since
    /// commits of long ago may be cleaned up.
    fn is_same(&self, followed: &Followed) -> Result<Option<bool>, Error> {
        let Some(version) = followed.at().filter(|_| !followed.mark.is_empty()) else { return Ok(None) };
        Ok(self.mark(version)?.map(|mark| mark == followed.mark))
    }

    /// What identifies a commit; `None` if it is not there any more.
    fn mark(&self, version: u64) -> Result<Option<String>, Error> {
        let commit = self.runtime.block_on(self.root.get(&format!("{LOG}/{version:020}.json")))?;
        Ok(commit.map(|commit| RowHash::of_bytes(&commit[..commit.len().min(MARK_BYTES)]).to_string()))
    }

    /// Sends all rows of the newest version, or of the one at which that was interrupted.
    fn read_first(
        &self,
        newest: &SnapshotRef,
        followed: &Followed,
        rows: &mut Rows,
    ) -> Result<Followed, Stop> {
        let fault = |cause| kernel(&self.doing(), cause);
        let begun = followed.part.clone();
        let snapshot = match &begun {
            Some(part) if part.version != newest.version() => Snapshot::builder_for(&self.root.url)
                .at_version(part.version)
                .build(&*self.engine)
                .map_err(fault)?,
            _ => Arc::clone(newest),
        };
        let version = snapshot.version();
        let mark = self.mark(version)?.unwrap_or_default();
        let reading = Followed { mark: mark.clone(), ..Followed::default() };
        let after = match &begun {
            Some(part) => After { file: &part.file, rows: part.rows },
            None => After { file: "", rows: 0 },
        };
        Version::new(Arc::clone(&self.engine), &self.root, snapshot)?.read(
            after,
            rows,
            &|file, passed| reading.within(version, file, passed),
        )?;
        let done = Followed { version: Some(version), mark, part: None };
        rows.send(done.checkpoint())?;
        Ok(done)
    }

    /// Adds the changes of a version to `rows`.
    fn read_changes(&self, version: u64, followed: &mut Followed, rows: &mut Rows) -> Result<(), Stop> {
        let skipped = followed.part.take().filter(|part| part.version == version).map_or(0, |part| part.rows);
        let fault = |cause| self.without_changes(version, cause);
        let engine: Arc<dyn delta_kernel::Engine> = Arc::clone(&self.engine) as _;
        let changes = TableChanges::try_new(self.root.url.clone(), &*self.engine, version, Some(version));
        let scan = changes.map_err(fault)?.into_scan_builder().build().map_err(fault)?;
        let mut passed = 0;
        for data in scan.execute(engine).map_err(fault)? {
            let record = record(rows.label(), data.map_err(fault)?)?;
            let indexes = rows.indexes(&record);
            for at in 0..record.num_rows() {
                passed += 1;
                if passed <= skipped || !is_sent(&record, at) {
                    continue;
                }
                rows.add(&record, &indexes, at);
                if rows.is_full() {
                    rows.send(followed.within(version, "", passed))?;
                }
            }
        }
        let mark = self.mark(version)?.unwrap_or_default();
        // With this mark it is not seen any more that the versions before belong to another table.
        if self.is_same(followed)? == Some(false) {
            let again = format!("{} was created again while it was read", self.root.name());
            return Err(Error::new(ErrorKind::Unavailable, again)
                .hint("the next run reads it from its beginning")
                .into());
        }
        *followed = Followed { version: Some(version), mark, part: None };
        Ok(())
    }

    /// Explains why a version has no changes to read.
    fn without_changes(&self, version: u64, cause: KernelError) -> Error {
        match cause {
            KernelError::Backtraced { source, .. } => self.without_changes(version, *source),
            KernelError::ChangeDataFeedUnsupported(_) => Error::new(
                ErrorKind::Settings,
                format!("{} has no change data feed at version {version}", self.root.name()),
            )
            .hint(
                "ALTER TABLE … SET TBLPROPERTIES (delta.enableChangeDataFeed = true), then `tidegate reset`: the table \
                 is read once more as it is; or use `mode: mirror`",
            ),
            cause => {
                let error = kernel(&self.doing(), cause);
                match error.kind() {
                    ErrorKind::Missing | ErrorKind::Unexpected => error.context(format!(
                        "the changes of version {version} cannot be read; if its log or its files were cleaned up, \
                         `tidegate reset` begins with the table as it is"
                    )),
                    _ => error,
                }
            }
        }
    }
}

/// Whether a row of the feed is one that is sent.
fn is_sent(record: &RecordBatch, at: usize) -> bool {
    let Some(column) = record.column_by_name(CHANGE_TYPE) else { return false };
    column.as_string_opt::<i32>().is_some_and(|kinds| SENT.contains(&kinds.value(at)))
}
