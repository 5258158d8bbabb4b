//! A folder of files as a [`Source`].

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tidegate_model::source::Column;
use tidegate_model::{
    Checks, Columns, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings,
    Source,
};
use tidegate_transport::storage::LakeSettings;

use super::listing::{Found, Pattern, explain};
use super::offsets::FileOffsets;
use super::reading::Reading;
use super::settings::{Files, Format};
use super::shape::merge;
use super::{csv, jsonl, parquet};

/// Files that the columns of a selection are taken from, newest first.
const SAMPLE_FILES: usize = 16;

/// A folder of files.
#[derive(Clone, Debug)]
pub struct FilesSource {
    folder: PathBuf,
}

impl FilesSource {
    /// Opens the source. Nothing is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<FilesSource, Error> {
        let settings: LakeSettings = settings.parse()?;
        if settings.path.contains("://") {
            return Err(Error::settings("`path`: rows are read from folders on this machine only")
                .hint("copy the files here, or read them through a warehouse"));
        }
        Ok(FilesSource { folder: context.project.join(settings.path) })
    }

    /// The files of a selection and their columns.
    fn look(&self, files: &Files) -> Result<(Vec<Found>, Vec<Column>), Error> {
        let found = files.pattern.list(&self.folder)?;
        let mut columns = Vec::new();
        for file in &found[found.len().saturating_sub(SAMPLE_FILES)..] {
            merge(&mut columns, columns_of(file, files)?);
        }
        Ok((found, columns))
    }

    fn missing(&self, files: &Files) -> Error {
        let folder = self.folder.display();
        Error::new(ErrorKind::Missing, format!("no file in {folder} matches `{}`", files.pattern.text()))
            .hint("correct the pattern; `*` does not reach into folders, `**/` does")
    }

    fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let folder = self.folder.display().to_string();
        match std::fs::read_dir(&self.folder) {
            Ok(_) => checks.pass("folder", format!("{folder} can be read")),
            Err(cause) => {
                let error = explain(&self.folder, &cause);
                checks.fail("folder", error.message(), error.next_step());
                return Ok(checks);
            }
        }
        let Some(selection) = selection else { return Ok(checks) };
        let files = Files::of(selection)?;
        let name = format!("files {}", files.pattern.text());
        match self.look(&files) {
            Ok((found, _)) if found.is_empty() => {
                let error = self.missing(&files);
                checks.fail(name, error.message(), error.next_step());
            }
            Ok((found, _)) => checks.pass(name, format!("{} found", found.len())),
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
        Ok(checks)
    }

    fn list(&self) -> Result<Vec<Dataset>, Error> {
        let found = Pattern::parse("**/*")?.list(&self.folder)?;
        let patterns: BTreeSet<String> = found
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
            Ok(Dataset { name, columns: self.look(&files)?.1, key: Vec::new() })
        };
        patterns.into_iter().map(dataset).collect()
    }
}

fn columns_of(found: &Found, files: &Files) -> Result<Vec<Column>, Error> {
    let mut file = match File::open(&found.path) {
        // Gone since the folder was listed.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(|cause| explain(&found.path, &cause))?,
    };
    match files.format(&found.name)? {
        Format::Csv => csv::columns(&mut file, &found.path, &files.csv),
        Format::Jsonl => jsonl::columns(&mut file).map_err(|cause| explain(&found.path, &cause)),
        Format::Parquet => parquet::columns(file, &found.path),
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

fn stored_offsets(folder: &Path, mode: &ReadMode) -> Result<FileOffsets, Error> {
    match mode {
        ReadMode::Full => Ok(FileOffsets::default()),
        ReadMode::Resume { checkpoint, .. } => FileOffsets::of(checkpoint.as_ref()),
        ReadMode::Incremental { .. } => {
            Err(Error::settings(format!("files in {} have no cursor", folder.display()))
                .hint("leave `cursor` out: a run reads what is new by itself"))
        }
    }
}

#[async_trait]
impl Source for FilesSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let (source, selection) = (self.clone(), selection.cloned());
        blocking(move || source.prove(selection.as_ref())).await
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let source = self.clone();
        blocking(move || source.list()).await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let (source, files) = (self.clone(), Files::of(selection)?);
        blocking(move || {
            let (found, columns) = source.look(&files)?;
            if found.is_empty() {
                return Err(source.missing(&files));
            }
            Ok(Dataset { name: files.pattern.text(), columns, key: files.key })
        })
        .await
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let offsets = stored_offsets(&self.folder, mode)?;
        let (source, files) = (self.clone(), Files::of(selection)?);
        let looked = files.clone();
        let columns = blocking(move || Ok(source.look(&looked)?.1)).await?;
        let columns = Columns::new(columns.into_iter().map(|column| column.name));
        Ok(Reading { folder: self.folder.clone(), files, columns, offsets, batch_rows }.feed())
    }

    fn supports_checkpoints(&self) -> bool {
        true
    }
}
