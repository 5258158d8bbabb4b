//! Exports that callers of a connection's API asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{ConnectionId, Error, ExportRequest, SyncId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ScheduledSync, rest};
use crate::service::Engine;
use crate::service::export::requested_id;
use crate::service::receive::IngestEndpoint;

/// How soon it is looked again if it could not be told what is asked for.
const AGAIN: Duration = Duration::from_secs(5);

/// An export that is kept running because a caller asked for it.
struct Requested {
    request: ExportRequest,
    /// Fires when it is no longer wanted.
    gone: CancellationToken,
    task: JoinHandle<()>,
}

impl Engine {
    /// Starts and ends the exports that callers of an API asked for. One that
    /// takes long to come to its end delays no other.
    pub(crate) async fn run_requested(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.requested.subscribe();
        let mut running: HashMap<SyncId, Requested> = HashMap::new();
        let mut ending: HashMap<SyncId, JoinHandle<()>> = HashMap::new();
        loop {
            let wanted = match self.requested_now().await {
                Ok(wanted) => wanted,
                Err(error) => {
                    // No request was withdrawn: running exports continue.
                    tracing::warn!(error = error.chain(), "what was asked to be exported cannot be told");
                    rest(AGAIN, &stop, &stop).await;
                    match stop.is_cancelled() {
                        true => break,
                        false => continue,
                    }
                }
            };
            ending.retain(|_, task| !task.is_finished());
            let stale = running
                .extract_if(|id, known| wanted.get(id).is_none_or(|(_, request)| *request != known.request));
            for (id, known) in stale {
                known.gone.cancel();
                ending.insert(id, known.task);
            }
            for (id, (connection, request)) in wanted {
                if let Entry::Vacant(entry) = running.entry(id) {
                    let gone = CancellationToken::new();
                    let before = ending.remove(entry.key());
                    let scheduled = ScheduledSync::Requested(connection, Box::new(request.clone()));
                    let keep = self.clone().run_scheduled(scheduled, stop.clone(), gone.clone());
                    let task = tokio::spawn(async move {
                        // It begins where the one before it ends.
                        ended(before).await;
                        keep.await;
                    });
                    entry.insert(Requested { request, gone, task });
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        for task in running.into_values().map(|known| known.task).chain(ending.into_values()) {
            ended(Some(task)).await;
        }
    }

    /// What callers of APIs ask for now.
    pub(super) async fn requested_now(
        &self,
    ) -> Result<HashMap<SyncId, (ConnectionId, ExportRequest)>, Error> {
        let mut wanted = HashMap::new();
        for IngestEndpoint { connection, .. } in self.ingest_endpoints() {
            for request in self.ingest(&connection).await?.exports()? {
                wanted.insert(requested_id(&connection, &request.name), (connection.clone(), request));
            }
        }
        Ok(wanted)
    }
}

/// Waits for the end of an export.
async fn ended(task: Option<JoinHandle<()>>) {
    if let Some(task) = task
        && let Err(fault) = task.await
    {
        tracing::error!(%fault, "an export ended by a fault of this program");
    }
}
