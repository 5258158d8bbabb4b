//! Runs in progress.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use tidegate_model::{Run, RunId};

use super::Engine;
use crate::pipeline::wait;

/// How often a run is looked at. It may run in another process.
const LOOK: Duration = Duration::from_millis(700);

impl Engine {
    /// Returns a run each time that it changed, until it has ended. The stream also ends without an
    /// error if the run is unknown or the store fails.
    pub fn watch_run(self: &Arc<Self>, id: RunId) -> impl Stream<Item = Run> + Send + use<> {
        let begin = (self.clone(), id, None::<Run>);
        stream::unfold(begin, |(engine, id, seen)| async move {
            if seen.as_ref().is_some_and(|run| run.ending.is_some()) {
                return None;
            }
            loop {
                let now = engine.config.store.run(&id).await.ok().flatten()?;
                if seen.as_ref() != Some(&now) {
                    return Some((now.clone(), (engine, id, Some(now))));
                }
                wait::span(LOOK).await;
            }
        })
    }
}
