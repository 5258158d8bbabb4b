//! A folder of files as a [`Source`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::source::Column;
use tidegate_model::{
    Checks, Clock, Columns, ConnectorContext, DataType, Dataset, Error, ErrorKind, Feed, ReadMode, Reason,
    Row, Selection, Settings, Source,
};
use tidegate_transport::storage::{LakeSettings, StorageRoot};
use tokio::runtime::Handle;

use super::bucket::Bucket;
use super::content::{Broken, Content};
use super::listing::{Found, Pattern, explain, malformed};
use super::object::failure;
use super::offsets::FileOffsets;
use super::reading::{Folder, Reading};
use super::settings::{Files, Format};
use super::shape::merge;
use super::{csv, folders, jsonl, parquet};

/// Objects of a bucket whose names are kept; of more of them none is.
const LISTED_MAX: usize = 10_000;
/// Files that the columns of a selection are taken from, newest first.
const SAMPLE_FILES: usize = 16;
/// Objects of a store whose folders are discovered, the newest.
const DISCOVERED_MAX: usize = 10_000;
/// Bytes of JSON Lines that are looked at for that.
const SAMPLE_BYTES: u64 = 16 << 20;

/// A folder of files.
#[derive(Clone)]
pub struct FilesSource {
    root: Root,
    /// Where copies of objects may be kept while they are read.
    copies: PathBuf,
    clock: Arc<dyn Clock>,
}

/// Where the folder is.
#[derive(Clone)]
enum Root {
    Disk(PathBuf),
    Store(StorageRoot),
}

/// What the newest files of a selection say.
struct Look {
    /// Files that fit.
    found: usize,
    /// Their columns.
    columns: Vec<Column>,
    /// Whether rows may have columns that are not among these.
    open: bool,
    /// Why some of them give no rows.
    broken: Vec<String>,
}

impl FilesSource {
    /// Opens the source. Nothing is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<FilesSource, Error> {
        let settings: LakeSettings = settings.parse()?;
        let root = match settings.path.contains("://") {
            true => Root::Store(StorageRoot::open_to_read(&settings, context)?),
            // `.` and `./drops` are `./drops`.
            false => Root::Disk(context.project.join(settings.path).components().collect()),
        };
        Ok(FilesSource { root, copies: context.data.clone(), clock: Arc::clone(&context.clock) })
    }

    /// Returns the folder, for threads that may block.
    fn folder(&self) -> Result<Folder, Error> {
        Ok(match &self.root {
            Root::Disk(folder) => Folder::Disk(folder.clone()),
            Root::Store(root) => Folder::Store(Bucket::new(root.clone(), Handle::current())?),
        })
    }

    /// Returns the folder's name for messages.
    fn name(&self) -> String {
        match &self.root {
            Root::Disk(folder) => folder.display().to_string(),
            Root::Store(root) => root.name(),
        }
    }

    /// Looks at the newest files of a selection.
    fn look(&self, files: &Files) -> Result<Look, Error> {
        let told = |name: &str, reason: &Reason| format!("{name}: {}", reason.message);
        let json = |file: &Found| matches!(files.format(&file.name), Ok(Format::Jsonl));
        let mut look = Look { found: 0, columns: Vec::new(), open: false, broken: Vec::new() };
        let newest = match self.folder()? {
            Folder::Disk(folder) => {
                let mut listing = files.pattern.list(&folder)?;
                look.found = listing.files.len();
                look.broken.extend(listing.odd.iter().map(|odd| told(&odd.name, &odd.reason)));
                let newest = listing.files.split_off(look.found.saturating_sub(SAMPLE_FILES));
                look.open = listing.files.iter().chain(&newest).any(json) && newest.len() < look.found;
                newest
            }
            Folder::Store(bucket) => {
                let (newest, found, all) = bucket.newest(&files.pattern, SAMPLE_FILES)?;
                look.found = found;
                look.open = newest.len() < found && newest.iter().any(json) || !all;
                newest
            }
        };
        let mut bytes = SAMPLE_BYTES;
        for file in &newest {
            let sampled = self.columns_of(file, files, &mut bytes)?;
            match sampled {
                Ok((columns, complete)) => {
                    merge(&mut look.columns, columns);
                    look.open |= !complete;
                }
                Err(reason) => look.broken.push(told(&file.name, &reason)),
            }
        }
        // Nothing says what the columns are until a file is there.
        look.open |= look.columns.is_empty();
        Ok(look)
    }

    /// The columns of a file, and whether it has no others; or why it gives no rows.
    ///
    /// # Errors
    /// A store that does not give an object.
    fn columns_of(
        &self,
        found: &Found,
        files: &Files,
        bytes: &mut u64,
    ) -> Result<Result<(Vec<Column>, bool), Reason>, Error> {
        let format = match files.format(&found.name) {
            Ok(format) => format,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut columns = || -> Result<_, Broken> {
            let file = found.open().map_err(Broken::System)?;
            if format == Format::Parquet {
                return Ok((parquet::columns(&file)?, true));
            }
            let still = file.is_still(&*self.clock, files.last_line_after);
            let content = Content::open(file, 0, files.encoding)?;
            if format == Format::Csv {
                return Ok((csv::columns(content, files, still)?, true));
            }
            let sample = jsonl::columns(content, bytes)?;
            Ok((sample.columns, sample.complete))
        };
        let (mut columns, complete) = match columns() {
            // Gone since the folder was listed.
            Err(Broken::System(cause)) if cause.kind() == std::io::ErrorKind::NotFound => (Vec::new(), true),
            Err(Broken::System(cause)) => {
                return match failure(cause) {
                    Ok(error) => Err(error),
                    Err(cause) => Ok(Err(malformed(&cause))),
                };
            }
            Err(Broken::Content(reason)) => return Ok(Err(reason)),
            Ok(columns) => columns,
        };
        for (name, _) in folders::columns(&found.name) {
            if !columns.iter().any(|column| column.name == name) {
                columns.push(Column { name, data_type: DataType::Text, type_name: "folder".to_owned() });
            }
        }
        Ok(Ok((columns, complete)))
    }

    fn missing(&self, files: &Files) -> Error {
        let folder = self.name();
        Error::new(ErrorKind::Missing, format!("no file in {folder} matches `{}`", files.pattern.text()))
            .hint("correct the pattern; `*` does not reach into folders, `**/` does")
    }

    fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let read = match self.folder()? {
            Folder::Disk(folder) => {
                std::fs::read_dir(&folder).map(drop).map_err(|cause| explain(&folder, &cause))
            }
            Folder::Store(bucket) => bucket.walk(&Pattern::parse("**")?, "")?.next().map(drop),
        };
        match read {
            Ok(()) => checks.pass("folder", format!("{} can be read", self.name())),
            Err(error) => {
                checks.fail("folder", error.with_words(), error.next_step());
                return Ok(checks);
            }
        }
        let Some(selection) = selection else { return Ok(checks) };
        let files = Files::of(selection)?;
        let name = format!("files {}", files.pattern.text());
        if let Some(detail) = self.ignored(&files)? {
            checks.warn(
                "no files",
                detail,
                "they fit the pattern and are not read: remove them, or correct `path`",
            );
        }
        match self.look(&files) {
            Ok(look) if look.found == 0 && files.pattern.is_one_file() => {
                let error = self.missing(&files);
                checks.fail(name, error.message(), error.next_step());
            }
            Ok(look) if look.found == 0 && look.broken.is_empty() => {
                checks.warn(name, "0 found", "correct the pattern, unless its files come later");
            }
            Ok(look) if look.broken.is_empty() => checks.pass(name, format!("{} found", look.found)),
            Ok(look) => {
                let broken = look.broken.join("; ");
                let detail = format!("{} found; not read: {broken}", look.found);
                checks.warn(
                    name,
                    detail,
                    "fix these files, or exclude them by `path`: a run rejects each of them",
                );
            }
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
        Ok(checks)
    }

    /// Returns what fits the pattern and is no file, in words; `None` if there is nothing of the kind.
    fn ignored(&self, files: &Files) -> Result<Option<String>, Error> {
        /// Names that are listed.
        const LISTED: usize = 5;
        let Folder::Disk(folder) = self.folder()? else { return Ok(None) };
        // A folder that is gone is reported with the files.
        let ignored = files.pattern.list(&folder).map(|listing| listing.ignored).unwrap_or_default();
        let named = ignored.iter().take(LISTED).map(|(name, what)| format!("`{name}` is {what}"));
        let mut named: Vec<String> = named.collect();
        if ignored.len() > LISTED {
            named.push(format!("{} more", ignored.len() - LISTED));
        }
        Ok(Some(named.join("; ")).filter(|named| !named.is_empty()))
    }

    fn list(&self) -> Result<Vec<Dataset>, Error> {
        let anything = Pattern::parse("**/*")?;
        let files = match self.folder()? {
            Folder::Disk(folder) => anything.list(&folder)?.files,
            Folder::Store(bucket) => bucket.newest(&anything, DISCOVERED_MAX)?.0,
        };
        let patterns: BTreeSet<String> = files
            .iter()
            .filter(|file| Format::of(&file.name).is_some())
            .filter_map(|file| {
                let (folder, name) = file.name.rsplit_once('/').unwrap_or(("", &file.name));
                let extension = name.rsplit_once('.')?.1;
                let slash = if folder.is_empty() { "" } else { "/" };
                Some(format!("{folder}{slash}*.{extension}"))
            })
            .collect();
        let dataset = |name: String| {
            let members = [("path".to_owned(), serde_json::Value::String(name.clone()))];
            let files = Files::of(&Selection::new(members.into_iter().collect()))?;
            let Look { columns, open, .. } = self.look(&files)?;
            Ok(Dataset { name, columns, key: Vec::new(), open })
        };
        patterns.into_iter().map(dataset).collect()
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("reading a folder was cut short").caused_by(cause))?
}

fn stored_offsets(folder: &str, mode: &ReadMode) -> Result<FileOffsets, Error> {
    match mode {
        ReadMode::Full => Ok(FileOffsets::default()),
        ReadMode::Resume { checkpoint, .. } => FileOffsets::of(checkpoint.as_ref()),
        ReadMode::Incremental { .. } => Err(Error::settings(format!("files in {folder} have no cursor"))
            .hint("leave `cursor` out: a run reads new files and lines without one")),
    }
}

#[async_trait]
impl Source for FilesSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let (source, selection) = (self.clone(), selection.cloned());
        blocking(move || source.prove(selection.as_ref())).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        Files::of(selection).map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let source = self.clone();
        blocking(move || source.list()).await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let (source, files) = (self.clone(), Files::of(selection)?);
        blocking(move || {
            let Look { found, columns, open, .. } = source.look(&files)?;
            if found == 0 && files.pattern.is_one_file() {
                return Err(source.missing(&files));
            }
            Ok(Dataset { name: files.pattern.text(), columns, key: files.key, open })
        })
        .await
    }

    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        self.read(selection, &ReadMode::Full, rows).await.map(Some)
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let offsets = stored_offsets(&self.name(), mode)?;
        let (source, files) = (self.clone(), Files::of(selection)?);
        let looked = files.clone();
        let columns = blocking(move || Ok(source.look(&looked)?.columns)).await?;
        let columns = Columns::new(columns.into_iter().map(|column| column.name));
        let (folder, copies, clock) = (self.folder()?, self.copies.clone(), Arc::clone(&self.clock));
        Ok(Reading { folder, copies, files, columns, offsets, batch_rows, clock }.feed())
    }

    async fn files(&self, selection: &Selection) -> Result<Option<Vec<String>>, Error> {
        let (source, files) = (self.clone(), Files::of(selection)?);
        let names = move || {
            let names: Vec<String> = match source.folder()? {
                Folder::Disk(folder) => {
                    let listing = files.pattern.list(&folder)?;
                    // One that cannot be looked into is there all the same.
                    let odd = listing.odd.into_iter().map(|odd| odd.name);
                    listing.files.into_iter().map(|file| file.name).chain(odd).collect()
                }
                Folder::Store(bucket) => {
                    let (newest, found, all) = bucket.newest(&files.pattern, LISTED_MAX)?;
                    if !all || found > newest.len() {
                        return Ok(None);
                    }
                    newest.into_iter().map(|file| file.name).collect()
                }
            };
            Ok(Some(names))
        };
        blocking(names).await
    }

    fn supports_checkpoints(&self) -> bool {
        true
    }
}
