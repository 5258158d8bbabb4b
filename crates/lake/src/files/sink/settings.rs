//! The settings of a sink of files.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, SinkTarget};

use crate::delta::table_of;
use crate::parquet::Codec;
use crate::settings::{CommitEvery, folder_of, part};

/// The files of an export.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FilesTarget {
    /// The folder of the files below the connection's `path`. Default: the name of the connection
    /// that the events come in through and `_events`, then `message_events`, or `events` for other events.
    pub(super) path: Option<String>,
    /// Format of the files.
    pub(super) format: Format,
    /// How Parquet files are compressed.
    pub(super) compression: Codec,
    /// Whether each day has its own folder, `event_date=2026-11-22`.
    pub(super) partition_by_date: bool,
    /// How long events are gathered for one file at most: 25,000 of them, or 6 MiB, do not wait.
    pub(super) commit_every: CommitEvery,
}

/// A format of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// One JSON object a line.
    Jsonl,
}

impl Default for FilesTarget {
    fn default() -> FilesTarget {
        FilesTarget {
            path: None,
            format: Format::default(),
            compression: Codec::default(),
            partition_by_date: true,
            commit_every: CommitEvery::default(),
        }
    }
}

impl FilesTarget {
    /// The parts of the folder's path.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a path that cannot be.
    pub(super) fn folder(&self, target: &SinkTarget) -> Result<Vec<String>, Error> {
        let Some(path) = &self.path else {
            return Ok(vec![folder_of(target.stream.as_str()), table_of(target.layout).to_owned()]);
        };
        let parts: Vec<&str> = path.trim_start_matches("./").trim_end_matches('/').split('/').collect();
        parts.iter().try_for_each(|name| part("path", name))?;
        Ok(parts.into_iter().map(str::to_owned).collect())
    }
}
