//! How far an export has written one partition of its log.
//!
//! Several files of one delivery do not appear at once. So the journal is
//! written before them: which files come now, and how far the export has come
//! once all of them are there. Where the same events are delivered again, that
//! delivery was interrupted, or its success was not heard of: either all its
//! files are there, or those that are there are removed and written anew.

use serde::{Deserialize, Serialize};
use tidegate_model::{Error, ErrorKind};

use crate::progress::{Entry, Mark};
use tidegate_transport::storage::Place;

/// The journal of one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The last event before the delivery that `writing` is about.
    pub(super) written: Option<Mark>,
    /// A delivery that was begun.
    pub(super) writing: Option<Begun>,
}

/// A delivery that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its files.
    pub(super) files: Vec<String>,
    /// Its last event.
    pub(super) mark: Mark,
}

impl Journal {
    /// Reads a journal; a fresh one where there is none.
    pub(super) async fn load(place: &Place, name: &str) -> Result<Journal, Error> {
        let Some(content) = place.get(name).await? else { return Ok(Journal::default()) };
        serde_json::from_slice(&content).map_err(|cause| {
            let message = format!("{}{name} cannot be read: {cause}", place.name());
            Error::new(ErrorKind::Unexpected, message)
                .hint("restore it; without it events that were written may be written again")
        })
    }

    /// Writes the journal.
    pub(super) async fn save(&self, place: &Place, name: &str) -> Result<(), Error> {
        let content = serde_json::to_vec(self)
            .map_err(|cause| Error::internal("writing a journal").caused_by(cause))?;
        place.put(name, content.into()).await
    }

    /// Finds out what became of the delivery that was begun, now that these
    /// events are delivered. Afterwards `written` is true for them.
    pub(super) async fn resolve(
        &mut self,
        place: &Place,
        mut events: impl Iterator<Item = Entry>,
    ) -> Result<(), Error> {
        let Some(begun) = &self.writing else { return Ok(()) };
        let Some(first) = events.find(|event| !self.covers(*event)) else { return Ok(()) };
        // The log is read in order: what comes first now is the oldest that is not settled.
        if begun.mark.covers(first) && !all_there(place, &begun.files).await? {
            for file in &begun.files {
                place.remove(file).await?;
            }
        } else {
            self.written = Some(begun.mark);
        }
        self.writing = None;
        Ok(())
    }

    /// Whether an event was written before.
    pub(super) fn covers(&self, event: Entry) -> bool {
        self.written.is_some_and(|mark| mark.covers(event))
    }
}

async fn all_there(place: &Place, files: &[String]) -> Result<bool, Error> {
    for file in files {
        if !place.has(file).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
