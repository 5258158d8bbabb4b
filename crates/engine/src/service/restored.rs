//! What becomes of syncs whose state was put back from a backup.
//!
//! The state knows nothing of what was sent after the backup, so the next run of a sync sends it
//! again. Where that has the same effect it may; where it would count twice, a person decides.

use jiff::Timestamp;
use tidegate_model::store::PausedBy;
use tidegate_model::{Error, Idempotency, SyncId};
use tidegate_project::{ImportSpec, SyncSpec};

use super::Engine;

/// What the next run of a sync does about the time since the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinceBackup {
    /// Rows are sent again and have the same effect.
    SameEffect,
    /// Rows would be sent again and could count twice: the sync is paused.
    Paused,
    /// Events are offered again. Destinations that note what they have recognize them.
    OfferedAgain,
}

impl Engine {
    /// Pauses the syncs whose rows could count twice, since they were put back from a backup of
    /// `made_at`. Returns what happens to each sync that has run before.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn after_restore(
        &self,
        made_at: Timestamp,
        by: &str,
    ) -> Result<Vec<(SyncId, SinceBackup)>, Error> {
        let mut found = Vec::new();
        for (id, sync) in &self.config.project.syncs {
            let state = self.config.store.sync_state(id).await?;
            let has_run = state.object.is_some() || state.checkpoint.is_some();
            let since = match sync {
                SyncSpec::Export(_) => SinceBackup::OfferedAgain,
                SyncSpec::Import(import) if self.is_idempotent(import).await => SinceBackup::SameEffect,
                SyncSpec::Import(_) => SinceBackup::Paused,
            };
            // A sync may have run for the first time after the backup: that counts only if it would count twice.
            if !has_run && since != SinceBackup::Paused {
                continue;
            }
            // A pause that a person asked for stays as it is. One of Tidegate's own would end automatically.
            let by_person = state.paused.as_ref().is_some_and(|pause| pause.by != PausedBy::System);
            if since == SinceBackup::Paused && !by_person {
                let at = made_at.strftime("%Y-%m-%d %H:%M:%SZ");
                let why = format!(
                    "its state was restored from a backup of {at}: rows that were sent after that would be sent \
                     again and could count twice"
                );
                self.pause(id, by, &why).await?;
            }
            found.push((id.clone(), since));
        }
        Ok(found)
    }

    /// Whether sending a row again has the same effect; not if that cannot be told.
    async fn is_idempotent(&self, import: &ImportSpec) -> bool {
        let platform = self.platform(import, None).await;
        platform.is_ok_and(|platform| platform.object().idempotency == Idempotency::Idempotent)
    }
}
