//! Tasks that are kept running, one for each sync.

use std::collections::HashMap;

use tidegate_model::SyncId;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// Keeps a task running for each sync that is wanted, as long as it is wanted in the same way.
pub(super) struct Keeper<W> {
    running: HashMap<SyncId, Kept<W>>,
    /// Those that are no longer wanted, until they have come to their end.
    ending: HashMap<SyncId, JoinHandle<()>>,
}

struct Kept<W> {
    wanted: W,
    /// Fires when it is no longer wanted.
    gone: CancellationToken,
    task: JoinHandle<()>,
}

impl<W: PartialEq> Keeper<W> {
    /// Creates one that keeps nothing.
    pub(super) fn new() -> Keeper<W> {
        Keeper { running: HashMap::new(), ending: HashMap::new() }
    }

    /// Ends what is no longer wanted or wanted in another way, and starts what does not run yet. A task
    /// begins where the one before it ends; one that takes long to come to its end delays no other.
    pub(super) fn keep<F>(
        &mut self,
        wanted: HashMap<SyncId, W>,
        start: impl Fn(&SyncId, &W, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.ending.retain(|_, task| !task.is_finished());
        let stale = self.running.extract_if(|id, kept| wanted.get(id) != Some(&kept.wanted));
        for (id, kept) in stale {
            kept.gone.cancel();
            self.ending.insert(id, kept.task);
        }
        for (id, wanted) in wanted {
            if self.running.contains_key(&id) {
                continue;
            }
            let gone = CancellationToken::new();
            let before = self.ending.remove(&id);
            let work = start(&id, &wanted, gone.clone());
            let task = tokio::spawn(async move {
                ended(before).await;
                work.await;
            });
            self.running.insert(id, Kept { wanted, gone, task });
        }
    }

    /// Waits until all tasks have ended.
    pub(super) async fn all_ended(&mut self) {
        for task in self.tasks() {
            log_fault(task.await);
        }
    }

    /// Cuts off the tasks that have not ended.
    pub(super) fn cut_off(&mut self) {
        self.tasks().for_each(|task| task.abort());
    }

    fn tasks(&mut self) -> impl Iterator<Item = &mut JoinHandle<()>> {
        self.running.values_mut().map(|kept| &mut kept.task).chain(self.ending.values_mut())
    }
}

/// Waits for the end of a task, if there is one.
pub(super) async fn ended(task: Option<JoinHandle<()>>) {
    if let Some(task) = task {
        log_fault(task.await);
    }
}

fn log_fault(ended: Result<(), JoinError>) {
    if let Err(fault) = ended {
        tracing::error!(%fault, "a sync is no longer kept running: a fault of this program");
    }
}
