//! Backfill: the attributes of one column are sent for all rows.

use tidegate_model::{Cause, Error, Idempotency, Mode, ObjectKind, Progress, ReadMode, Run, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::attempt::not_paused_by_a_person;
use crate::pipeline::{self, ChangeTracking, Import, Input};

/// Rows that are read at once.
const BATCH_ROWS: usize = 10_000;

impl Engine {
    /// Sends the attributes that come from one column for all rows of a sync, once. The checkpoint stays, and
    /// so does what is known of rows.
    ///
    /// # Errors
    /// If the sync sends no users, is a mirror or follows a stream, if the mapping takes no attribute from the
    /// column, and as [`Engine::run`].
    pub async fn backfill(
        &self,
        id: &SyncId,
        column: &str,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let sync = self.import_spec(id)?;
        let spec = sync.mapping.as_ref().filter(|_| sync.destination.object == ObjectKind::User);
        let spec = spec.ok_or_else(|| {
            Error::settings(format!("`{id}` has no attributes of users that could be backfilled"))
                .hint(format!("run `tidegate run {id} --full` to send whole rows again"))
        })?;
        match sync.mode {
            Mode::Full | Mode::Mirror => {
                return Err(Error::settings(format!(
                    "`{id}` has `mode: {}`: its next run sends a column that was added to the mapping for all rows",
                    sync.mode
                ))
                .hint(format!("run `tidegate run {id}`")));
            }
            Mode::Stream => {
                return Err(Error::settings(format!(
                    "`{id}` follows a stream, which cannot be read once more"
                ))
                .hint("backfill from a table that has the same rows"));
            }
            Mode::Incremental => {}
        }
        let narrowed = spec.with_attributes_of(column).ok_or_else(|| {
            Error::settings(format!("the mapping of `{id}` takes no attribute from a column `{column}`"))
                .hint("name a column under `attributes` of the mapping")
        })?;
        let claim = self.claim(id).await?;
        let run = async {
            not_paused_by_a_person(id, &self.config.store.sync_state(id).await?)?;
            let opened = self.import_with(id, Some(&narrowed), None).await?;
            if opened.platform.object().idempotency != Idempotency::Idempotent {
                return Err(Error::settings(format!(
                    "`{id}` adds up numbers at the platform: rows that are sent again count twice"
                ))
                .hint("set the attribute by a sync of its own, without increments"));
            }
            let import = Import { tracking: ChangeTracking::Full, removal: None, limits: None, ..opened };
            let rows = import.source.read(&import.selection, &ReadMode::Full, BATCH_ROWS).await?;
            let (parts, input) = (self.parts(&claim), Input::Backfill(rows));
            pipeline::run(&import, &parts, Cause::Manual, input, stop, progress).await
        };
        let run = run.await;
        claim.release().await;
        run
    }
}
