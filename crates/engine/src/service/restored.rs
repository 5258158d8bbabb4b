//! What becomes of syncs whose state was put back from a copy.
//!
//! The state knows nothing of what was sent after the copy, so the next run of a sync sends it
//! again. Where that has the same effect it may; where it would count twice, a person decides.

use jiff::Timestamp;
use tidegate_model::store::{Pause, PausedBy};
use tidegate_model::{Error, Idempotency, SyncId};
use tidegate_project::{ImportSpec, SyncSpec};

use super::Engine;

/// What the next run of a sync does about the time since the copy.
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
        let copy = format!("restored from a backup of {}", moment(made_at));
        self.pause_older(&copy, PausedBy::Person(by.to_owned())).await
    }

    /// Does the same if the tables of the state were put back from a copy without `tidegate restore`. Called
    /// before a sync is claimed; does nothing if the state is the newest one.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn heed_older_state(&self) -> Result<Vec<(SyncId, SinceBackup)>, Error> {
        let Some(older) = self.config.store.older_state().await? else { return Ok(Vec::new()) };
        let copy = match older.newest_run {
            Some(at) => format!("put back from an older copy, whose newest run is of {}", moment(at)),
            None => "put back from an older copy, which knows of no run".to_owned(),
        };
        tracing::warn!("the state was {copy}: syncs whose rows could count twice are paused");
        let found = self.pause_older(&copy, PausedBy::Restored).await?;
        // Only now: a process that dies before leaves it to the next one.
        self.config.store.accept_older_state().await?;
        Ok(found)
    }

    async fn pause_older(&self, copy: &str, by: PausedBy) -> Result<Vec<(SyncId, SinceBackup)>, Error> {
        let mut found = Vec::new();
        for (id, sync) in &self.config.project.syncs {
            let state = self.config.store.sync_state(id).await?;
            let has_run = state.object.is_some() || state.checkpoint.is_some();
            let since = match sync {
                SyncSpec::Export(_) => SinceBackup::OfferedAgain,
                SyncSpec::Import(import) if self.is_idempotent(import).await => SinceBackup::SameEffect,
                SyncSpec::Import(_) => SinceBackup::Paused,
            };
            // A sync may have run for the first time after the copy: that counts only if it would count twice.
            if !has_run && since != SinceBackup::Paused {
                continue;
            }
            // A pause that a person asked for stays as it is. One of Tidegate's own would end automatically.
            let stays = state.paused.as_ref().is_some_and(|pause| pause.by != PausedBy::System);
            if since == SinceBackup::Paused && !stays {
                let why = format!(
                    "its state was {copy}: rows that were sent after that would be sent again and could count twice"
                );
                let pause = Pause::new(by.clone(), why, self.config.clock.now());
                self.config.store.set_paused(id, Some(pause)).await?;
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

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::Stage;
    use tidegate_model::store::{RunLedger as _, SyncControl as _};

    /// A pause of Tidegate's own ends with the next success, and would let the rows through.
    #[tokio::test(start_paused = true)]
    async fn a_restored_sync_that_tidegate_had_paused_is_paused_for_a_person_to_decide() {
        let yaml = "connections:\n  a: { type: counter }\nsyncs:\n  orders:\n    source: { connection: a }\n    \
            mode: full\n    destination: { connection: a, object: event }\n    \
            mapping: { external_id: id, name: { value: e } }\n    enabled: false\n";
        let stage = Stage::of(yaml, &[], 8);
        let id = SyncId::new("orders");
        let by = |by| Some(Pause::new(by, "why", Timestamp::UNIX_EPOCH));
        let paused = async |pause: Option<Pause>| {
            stage.store.set_paused(&id, pause).await.expect("paused");
            let found =
                stage.engine.after_restore(Timestamp::UNIX_EPOCH, "restore").await.expect("looked at");
            assert_eq!(found, [(id.clone(), SinceBackup::Paused)]);
            stage.store.sync_state(&id).await.expect("a state").paused.expect("a pause")
        };
        for earlier in [None, by(PausedBy::System)] {
            let pause = paused(earlier).await;
            assert_eq!(pause.by, PausedBy::Person("restore".to_owned()));
            assert!(pause.why.contains("could count twice"), "{}", pause.why);
        }
        let ada = PausedBy::Person("ada".to_owned());
        let kept = paused(by(ada.clone())).await;
        assert_eq!((kept.by, kept.why.as_str()), (ada, "why"), "a person's own pause stays as it is");
    }
}
