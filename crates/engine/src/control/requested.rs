//! Exports that callers of a connection's API asked for, started and ended as
//! they say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tidegate_model::{ExportRequest, SyncId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::keep::Kept;

/// An export that is kept running.
struct Asked {
    request: ExportRequest,
    gone: CancellationToken,
    task: JoinHandle<()>,
}

impl Engine {
    /// Keeps what is asked for running, until `stop` fires and all of it has ended.
    pub(super) async fn keep_requested(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.requested.subscribe();
        let mut running: HashMap<SyncId, Asked> = HashMap::new();
        // Those that are no longer wanted and may be at their last run: nobody waits
        // for them but their successors, for their sinks may be down.
        let mut ending: HashMap<SyncId, JoinHandle<()>> = HashMap::new();
        loop {
            let mut wanted = self.wanted().await;
            let stale = running.extract_if(|id, asked| {
                !matches!(wanted.get(id), Some(Kept::Requested(_, request)) if **request == asked.request)
            });
            for (id, asked) in stale {
                asked.gone.cancel();
                ending.insert(id, asked.task);
            }
            for (id, kept) in wanted.drain() {
                let Kept::Requested(_, request) = &kept else { continue };
                let request = request.as_ref().clone();
                if let Entry::Vacant(place) = running.entry(id) {
                    let gone = CancellationToken::new();
                    let before = ending.remove(place.key());
                    let kept = self.clone().keep_one(kept, stop.clone(), gone.clone());
                    let task = tokio::spawn(async move {
                        // It begins where that one ends.
                        if let Some(before) = before {
                            ended(before).await;
                        }
                        kept.await;
                    });
                    place.insert(Asked { request, gone, task });
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        for task in running.into_values().map(|asked| asked.task).chain(ending.into_values()) {
            ended(task).await;
        }
    }

    /// What callers ask for now.
    async fn wanted(&self) -> HashMap<SyncId, Kept> {
        let mut wanted = HashMap::new();
        for inlet in self.inlets() {
            let Ok(ingest) = self.ingest(&inlet.connection).await else { continue };
            for request in ingest.exports() {
                let kept = Kept::Requested(inlet.connection.clone(), Box::new(request));
                wanted.insert(kept.id(), kept);
            }
        }
        wanted
    }
}

async fn ended(export: JoinHandle<()>) {
    if let Err(fault) = export.await {
        tracing::error!(%fault, "an export ended by a fault of this program");
    }
}
