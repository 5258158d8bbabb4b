//! Exports that callers of a connection's API asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{ConnectionId, Error, ExportRequest, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::rest;
use super::rounds::Rounds;
use super::scheduled::ScheduledSync;
use crate::service::Engine;
use crate::service::export::requested_id;
use crate::service::receive::IngestEndpoint;

/// How soon it is looked again if it could not be told what is asked for.
const AGAIN: Duration = Duration::from_secs(5);

/// Starts and ends the exports that callers of an API asked for, until `stop` fires and all have ended.
pub(super) async fn run(mut engines: watch::Receiver<Arc<Engine>>, stop: CancellationToken) {
    let mut keeper = Keeper::new();
    let mut changes = engines.borrow().requested.subscribe();
    loop {
        let engine = engines.borrow_and_update().clone();
        match engine.requested_now().await {
            Ok(wanted) => {
                let wanted = wanted.into_iter().map(|(id, (connection, request))| {
                    let spec = engine.config.project.connections.get(&connection).cloned();
                    (id, (connection, request, spec))
                });
                keeper.keep(wanted.collect(), |_, (connection, request, _), gone| {
                    let scheduled = ScheduledSync::Requested(connection.clone(), Box::new(request.clone()));
                    Rounds::new(engine.clone(), scheduled, stop.clone(), gone).run()
                });
            }
            Err(error) => {
                // No request was withdrawn: running exports continue.
                tracing::warn!(error = error.chain(), "what was asked to be exported cannot be told");
                rest(AGAIN, &stop, &stop).await;
                match stop.is_cancelled() {
                    true => break,
                    false => continue,
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
            Ok(()) = engines.changed() => {}
        }
    }
    keeper.all_ended().await;
}

impl Engine {
    /// What callers of APIs ask for now.
    ///
    /// # Errors
    /// If an API cannot tell.
    pub(crate) async fn requested_now(
        &self,
    ) -> Result<HashMap<SyncId, (ConnectionId, ExportRequest)>, Error> {
        let mut wanted = HashMap::new();
        for IngestEndpoint { connection, .. } in self.ingest_endpoints() {
            for request in self.ingest(connection).await?.exports()? {
                wanted.insert(requested_id(connection, &request.name), (connection.clone(), request));
            }
        }
        Ok(wanted)
    }

    /// The same for those who only look: an API that cannot tell has none.
    pub(crate) async fn requested_known(&self) -> HashMap<SyncId, (ConnectionId, ExportRequest)> {
        self.requested_now().await.unwrap_or_else(|error| {
            tracing::debug!(error = error.chain(), "what was asked to be exported cannot be told");
            HashMap::new()
        })
    }
}
