//! Retry and reset of a sync that another process holds: that process is asked for it.
//!
//! A request is carried out only while its asker asks for it. The asker notes in the audit log what
//! was done for it. If it is gone, the process that did it does, or the one that finds the answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_model::store::{AbandonedWork, RequestState};
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

    /// Its name in the audit log.
    fn action(&self) -> &'static str {
        match self {
            Work::Retry { .. } => "retry_rows",
            Work::Reset => "reset_sync",
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
    pub(super) async fn ask_for_reset(
        &self,
        id: &SyncId,
        held: Error,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        match self.ask(id, &Work::Reset, held, stop).await? {
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
        self.note_abandoned_work().await;
        let request = store.request_work(id, &text).await?;
        tracing::warn!("{}; waiting up to 30 seconds for it to begin with this", held.message());
        let mut waited = Duration::ZERO;
        loop {
            match store.keep_request(&request).await? {
                RequestState::Answered => {
                    if let Some(answer) = store.take_answer(&request).await? {
                        return read(&answer);
                    }
                }
                RequestState::Gone => return Err(gone(id)),
                RequestState::Begun if stop.is_cancelled() => return Err(begun(id)),
                // A run that does not follow ends when its read is done, perhaps hours later.
                RequestState::Open if waited >= PATIENCE || stop.is_cancelled() => {
                    if store.withdraw_work(&request).await? {
                        return Err(held);
                    }
                }
                RequestState::Open | RequestState::Begun => {}
            }
            // Free again: it is done here, and so is what others asked for.
            if let Claimed::Taken(claim) = store.claim(id).await? {
                tokio::select! {
                    () = self.do_requested_work(&claim, stop) => {}
                    () = self.keep_asking(&request) => {}
                }
                claim.release().await;
            }
            wait::span(LOOK).await;
            waited += LOOK;
        }
    }

    /// Keeps a request open for as long as this is awaited.
    async fn keep_asking(&self, request: &str) {
        loop {
            wait::span(LOOK).await;
            if let Err(error) = self.config.store.keep_request(request).await {
                tracing::debug!(trouble = error.chain(), "a request could not be kept open");
            }
        }
    }

    /// Whether the holder of a sync is asked for something. What cannot be read counts as no.
    pub(crate) async fn is_asked_for_work(&self, claim: &Claim) -> bool {
        self.config.store.requested_work(claim).await.is_ok_and(|requests| !requests.is_empty())
    }

    /// Does what the holder of a sync was asked for, one after the other.
    pub(crate) async fn do_requested_work(&self, claim: &Claim, stop: &CancellationToken) {
        let sync = claim.sync();
        let store = &self.config.store;
        let done = async {
            for request in store.requested_work(claim).await? {
                if stop.is_cancelled() {
                    break;
                }
                // The others took their time: this one may have been withdrawn meanwhile.
                if !store.begin_work(claim, &request.id).await? {
                    continue;
                }
                let answer = match self.work(claim, &request.work, stop).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        Answer::Failed { message: error.chain(), next: error.next_step().to_owned() }
                    }
                };
                let text = serde_json::to_string(&answer)
                    .map_err(|cause| Error::internal("an answer has no JSON form").caused_by(cause))?;
                if !store.answer_work(claim, &request.id, &text).await? {
                    self.note_work(sync, &request.work, &text).await;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(%sync, trouble = error.chain(), "requested work could not be done");
        }
        self.note_abandoned_work().await;
    }

    /// Removes requests whose askers are gone, and notes what was done for them.
    pub(crate) async fn note_abandoned_work(&self) {
        match self.config.store.forget_requests().await {
            Ok(abandoned) => {
                for AbandonedWork { sync, work, answer } in abandoned {
                    self.note_work(&sync, &work, &answer).await;
                }
            }
            Err(error) => {
                tracing::warn!(trouble = error.chain(), "abandoned requests could not be removed");
            }
        }
    }

    /// Notes in the audit log what was done for an asker that is gone, unless it failed.
    async fn note_work(&self, sync: &SyncId, work: &str, answer: &str) {
        if let Ok(Answer::Retried(_) | Answer::Reset) = serde_json::from_str(answer)
            && let Ok(work) = serde_json::from_str::<Work>(work)
        {
            self.audit("unknown", "request", work.action(), sync.as_str()).await;
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

/// Returns what came of a request.
fn read(answer: &str) -> Result<Answer, Error> {
    let answer = serde_json::from_str(answer).map_err(|cause| {
        Error::internal("the answer of the other process cannot be read").caused_by(cause)
    })?;
    match answer {
        Answer::Failed { message, next } => Err(Error::new(ErrorKind::Unexpected, message).hint(next)),
        answer => Ok(answer),
    }
}

fn begun(id: &SyncId) -> Error {
    Error::new(ErrorKind::Held, format!("the process that holds the sync `{id}` has begun with this"))
        .hint("nothing to do: that process finishes it, and the audit log has it then")
}

fn gone(id: &SyncId) -> Error {
    let message = format!(
        "the process that holds the sync `{id}` is no longer asked for this: this process did not answer for a \
         minute, or a user was erased meanwhile"
    );
    Error::new(ErrorKind::Held, message)
        .hint("look into the audit log whether it was done, and run the command again if it was not")
}

fn unexpected(answer: &Answer) -> Error {
    Error::internal(format!("another process answered something else: {answer:?}"))
}
