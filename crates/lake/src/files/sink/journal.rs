//! The progress of an export in one partition of the log.
//!
//! Several files of one delivery do not appear at once. So the journal is
//! written before them: which files come now, and how far the export has come
//! once all of them are there. If the same events are delivered again, that
//! delivery was interrupted, or its success was not heard of: either all its
//! files exist, or existing ones are removed and written again. A [`FencedWriter`] keeps the journal of a
//! delivery that was given up from taking the place of a newer one.

use serde::{Deserialize, Serialize};
use tidegate_model::{Error, ErrorKind};

use crate::progress::{EventOffset, Progress};
use tidegate_transport::storage::{FencedWriter, FileVersion, StorageRoot};

/// The journal of one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The last event before the delivery that `writing` is about.
    pub(super) written: Option<Progress>,
    /// A delivery that was begun.
    pub(super) writing: Option<Begun>,
    /// Which file it was read from or written to.
    #[serde(skip)]
    pub(super) seen: FileVersion,
}

/// A delivery that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its files.
    pub(super) files: Vec<String>,
    /// Its last event.
    pub(super) progress: Progress,
}

impl Journal {
    /// Reads a journal; a new one if it does not exist.
    pub(super) async fn load(
        root: &StorageRoot,
        writer: &FencedWriter,
        name: &str,
    ) -> Result<Journal, Error> {
        let (Some(content), seen) = writer.read(name).await? else { return Ok(Journal::default()) };
        let read: Journal = serde_json::from_slice(&content).map_err(|cause| {
            let message = format!("{}{name} cannot be read: {cause}", root.name());
            Error::new(ErrorKind::Unexpected, message)
                .hint("restore it; without it events that were written may be written again")
        })?;
        Ok(Journal { seen, ..read })
    }

    /// Writes the journal.
    pub(super) async fn save(&mut self, writer: &FencedWriter, name: &str) -> Result<(), Error> {
        let content = serde_json::to_vec(self)
            .map_err(|cause| Error::internal("writing a journal").caused_by(cause))?;
        self.seen = writer.replace(name, content.into(), &self.seen).await?;
        Ok(())
    }

    /// Determines the outcome of the delivery that was begun, now that these
    /// events are delivered. Afterwards `written` is true for them.
    pub(super) async fn resolve(
        &mut self,
        root: &StorageRoot,
        writer: &FencedWriter,
        mut events: impl Iterator<Item = EventOffset>,
    ) -> Result<(), Error> {
        let Some(begun) = &self.writing else { return Ok(()) };
        let Some(first) = events.find(|event| !self.covers(*event)) else { return Ok(()) };
        // The log is read in order: the first event now is the oldest uncommitted one.
        if begun.progress.covers(first) && !all_there(root, &begun.files).await? {
            for file in &begun.files {
                writer.remove(file).await?;
            }
        } else {
            self.written = Some(begun.progress);
        }
        self.writing = None;
        Ok(())
    }

    /// Returns whether an event was written before.
    pub(super) fn covers(&self, event: EventOffset) -> bool {
        self.written.is_some_and(|progress| progress.covers(event))
    }
}

async fn all_there(root: &StorageRoot, files: &[String]) -> Result<bool, Error> {
    for file in files {
        if !root.has(file).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
