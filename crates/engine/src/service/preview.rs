//! Real rows and what they would become, without sending anything.

use futures_util::StreamExt;
use tidegate_model::{Error, ReadMode, Reason, Record, Row, SyncId};

use super::Engine;
use super::dry_run::Recorder;
use crate::pipeline::ChangeTracking;

/// One row and its record.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The row as read.
    pub row: Row,
    /// What would be sent, or why nothing would.
    pub record: Result<Record, Reason>,
}

impl Engine {
    /// Reads up to `rows` rows and maps them. The checkpoint of the sync stays.
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
            for row in batch?.items {
                let whole = import.mapping.version_of(&row, &mut scratch);
                let key = import.mapping.key_of(&row, whole, &mut scratch);
                let record = import.mapping.apply(&row, key, whole);
                let record = record.and_then(|record| import.platform.validate(&record).map(|()| record));
                previews.push(Preview { row, record });
                if previews.len() >= rows {
                    return Ok(previews);
                }
            }
        }
        Ok(previews)
    }
}
