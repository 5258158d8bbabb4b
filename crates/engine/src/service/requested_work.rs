//! Retry and reset of a sync that another process holds: that process is asked for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_model::{Claim, Claimed, Error, ErrorKind, RowHash, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::retry::{RetryFilter, RetryResult};
use crate::pipeline::wait;

/// How often it is looked for an answer.
const LOOK: Duration = Duration::from_millis(500);
/// How long the holder may take to begin: it ends what it does first.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the holder of a sync is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    /// To send failed rows again.
    Retry {
        user: Option<String>,
        in_doubt: bool,
        reason: Option<String>,
        /// The hash of a key, as a number.
        key: Option<String>,
    },
    /// To reset the sync.
    Reset,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Retried(Box<RetryResult>),
    Reset,
    Failed { message: String, next: String },
}

impl Work {
    pub(super) fn retry(filter: &RetryFilter) -> Work {
        Work::Retry {
            user: filter.user.clone(),
            in_doubt: filter.in_doubt,
            reason: filter.reason.clone(),
            key: filter.key.map(|key| key.0.to_string()),
        }
    }
}

impl Engine {
    /// Asks the process that holds a sync to send failed rows again. `held` says why that is
    /// not done here.
    pub(super) async fn ask_for_retry(
        &self,
        id: &SyncId,
        filter: &RetryFilter,
        held: Error,
        stop: &CancellationToken,
    ) -> Result<RetryResult, Error> {
        match self.ask(id, &Work::retry(filter), held, stop).await? {
            Answer::Retried(result) => Ok(*result),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the process that holds a sync to reset it.
    pub(super) async fn ask_for_reset(&self, id: &SyncId, held: Error) -> Result<(), Error> {
        match self.ask(id, &Work::Reset, held, &CancellationToken::new()).await? {
            Answer::Reset => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(
        &self,
        id: &SyncId,
        work: &Work,
        held: Error,
        stop: &CancellationToken,
    ) -> Result<Answer, Error> {
        let store = &self.config.store;
        let text = serde_json::to_string(work)
            .map_err(|cause| Error::internal("a request has no JSON form").caused_by(cause))?;
        let request = store.request_work(id, &text).await?;
        tracing::warn!("{}; waiting up to 30 seconds for it to do this", held.message());
        let mut waited = Duration::ZERO;
        loop {
            if let Some(answer) = store.take_answer(&request).await? {
                let answer = serde_json::from_str(&answer).map_err(|cause| {
                    Error::internal("the answer of the other process cannot be read").caused_by(cause)
                })?;
                return match answer {
                    Answer::Failed { message, next } => {
                        Err(Error::new(ErrorKind::Unexpected, message).hint(next))
                    }
                    answer => Ok(answer),
                };
            }
            // Free again: it is done here, and so is what others asked for.
            if let Claimed::Taken(claim) = store.claim(id).await? {
                self.do_requested_work(&claim, stop).await;
                claim.release().await;
            }
            // A run that does not follow ends when its read is done, perhaps hours later.
            if (waited >= PATIENCE || stop.is_cancelled()) && store.withdraw_work(&request).await? {
                return Err(held);
            }
            wait::span(LOOK).await;
            waited += LOOK;
        }
    }

    /// Whether the holder of a sync is asked for something. What cannot be read counts as no.
    pub(crate) async fn is_asked_for_work(&self, id: &SyncId) -> bool {
        self.config.store.requested_work(id).await.is_ok_and(|requests| !requests.is_empty())
    }

    /// Does what the holder of a sync was asked for, one after the other.
    pub(crate) async fn do_requested_work(&self, claim: &Claim, stop: &CancellationToken) {
        let sync = claim.sync();
        let done = async {
            for request in self.config.store.requested_work(sync).await? {
                if stop.is_cancelled() {
                    break;
                }
                let answer = match self.work(claim, &request.work, stop).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        Answer::Failed { message: error.chain(), next: error.next_step().to_owned() }
                    }
                };
                let text = serde_json::to_string(&answer)
                    .map_err(|cause| Error::internal("an answer has no JSON form").caused_by(cause))?;
                self.config.store.answer_work(claim, &request.id, &text).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(%sync, trouble = error.chain(), "requested work could not be done");
        }
    }

    async fn work(&self, claim: &Claim, work: &str, stop: &CancellationToken) -> Result<Answer, Error> {
        let work = serde_json::from_str(work)
            .map_err(|cause| Error::internal("requested work cannot be read").caused_by(cause))?;
        match work {
            Work::Reset => {
                self.config.store.reset(claim).await?;
                Ok(Answer::Reset)
            }
            Work::Retry { user, in_doubt, reason, key } => {
                let key = key.and_then(|key| key.parse().ok()).map(RowHash);
                let filter = RetryFilter { user, in_doubt, reason, key };
                let open = self.open_again(claim).await?;
                let progress = watch::Sender::default();
                let stop = stop.child_token();
                let retried = self.retry_open(&open, claim, &filter, stop, progress).await?;
                Ok(Answer::Retried(Box::new(retried)))
            }
        }
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::internal(format!("another process answered something else: {answer:?}"))
}
