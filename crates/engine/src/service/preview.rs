//! Real rows and what they would become, without sending anything.

use futures_util::StreamExt;
use tidegate_model::{Batch, Error, MalformedRecord, ReadMode, Reason, Record, Row, SyncId};

use super::Engine;
use super::recorder::Recorder;
use crate::pipeline::ChangeTracking;

/// A piece of input: a row, or what cannot be read as one.
#[derive(Clone, Debug)]
pub enum PreviewInput {
    /// A row as read.
    Row(Row),
    /// Where the input is that is no row, for people: a line of a file, an offset of a topic.
    Unreadable(String),
}

/// A piece of input and its record.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What was read.
    pub input: PreviewInput,
    /// What would be sent, or why nothing would.
    pub record: Result<Record, Reason>,
}

impl Preview {
    fn unreadable(broken: MalformedRecord) -> Preview {
        Preview { input: PreviewInput::Unreadable(broken.location), record: Err(broken.reason) }
    }
}

impl Engine {
    /// Reads up to `rows` rows and maps them. Input that cannot be read as rows counts as well. The
    /// checkpoint of the sync stays.
    ///
    /// # Errors
    /// What prevents reading or mapping at all.
    pub async fn preview(&self, id: &SyncId, rows: usize) -> Result<Vec<Preview>, Error> {
        let recorder = Recorder::for_platform(self, id).await?;
        let import = self.import(id, Some(recorder)).await?;
        let mode = if matches!(import.tracking, ChangeTracking::Checkpoint) {
            ReadMode::Resume { checkpoint: None, follow: false }
        } else {
            ReadMode::Full
        };
        let mut feed = import.source.read(&import.selection, &mode, rows.clamp(1, 1_000)).await?;
        let mut previews = Vec::new();
        let mut scratch = Vec::new();
        while let Some(batch) = feed.next().await {
            let Batch { items, malformed, .. } = batch?;
            let mut malformed = malformed.into_iter().peekable();
            for (at, row) in items.into_iter().enumerate() {
                while let Some(broken) = malformed.next_if(|broken| broken.items_before <= at) {
                    previews.push(Preview::unreadable(broken));
                }
                let record = import.record_of(&row, &mut scratch);
                previews.push(Preview { input: PreviewInput::Row(row), record });
            }
            previews.extend(malformed.map(Preview::unreadable));
            if previews.len() >= rows {
                previews.truncate(rows);
                break;
            }
        }
        Ok(previews)
    }
}
