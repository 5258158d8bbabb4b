//! Which syncs are paused, asked once for all that want to know it.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_model::SyncId;
use tidegate_model::store::{PausedBy, SyncControl};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Engine;

/// How long an answer counts: every sync looks once a second, and two that look at different
/// moments share it.
const FRESH: Duration = Duration::from_millis(500);

/// The pauses as they were read last.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<Option<(Instant, HashMap<SyncId, PausedBy>)>>);

impl Pauses {
    /// Returns what paused a sync, if anything did; `None` as well if the store cannot be read.
    ///
    /// The answer is at most half a second old, so a thousand syncs that look once a second
    /// cost two questions a second.
    async fn of(&self, sync: &SyncId, store: &dyn SyncControl) -> Option<PausedBy> {
        let mut known = self.0.lock().await;
        let fresh = known.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        if !fresh {
            let states = store.sync_states().await.ok()?;
            let paused = states.into_iter().filter_map(|(id, state)| Some((id, state.paused?.by)));
            *known = Some((Instant::now(), paused.collect()));
        }
        known.as_ref()?.1.get(sync).cloned()
    }
}

impl Engine {
    /// Returns what paused a sync, if anything did. What cannot be read counts as not paused:
    /// the run itself will say what is wrong.
    pub(crate) async fn paused(&self, id: &SyncId) -> Option<PausedBy> {
        let state = self.config.store.sync_state(id).await.ok()?;
        state.paused.map(|pause| pause.by)
    }

    /// The same for those who look again and again: the answer is up to half a second old.
    pub(crate) async fn seen_paused(&self, id: &SyncId) -> Option<PausedBy> {
        self.pauses.of(id, &*self.config.store).await
    }
}
