//! Webhooks of dbt: a job that has succeeded runs the syncs that name it.
//!
//! Source: dbt, "Webhooks for your jobs": `Authorization` is the HMAC-SHA256 of the body in hexadecimal, the
//! event `job.run.completed` has `data.jobId` and `data.runStatus`, and an event that was not answered with
//! 2xx within ten seconds is sent again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use tidegate_model::answers::KeptAnswer;
use tidegate_model::{Cause, Error, ErrorKind, Progress, Secret, SyncId};
use tokio::sync::watch;

use super::repeated::Repetition;
use super::runs::RunMode;
use super::{Engine, lock};
use crate::pipeline::wait;

/// How often it is looked whether a sync that was running has ended.
const LOOK: Duration = Duration::from_secs(2);
/// Who did what a webhook led to, in the audit log.
const ACTOR: &str = "dbt";

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DbtWebhook {
    /// The project says nothing about webhooks of dbt.
    NotSetUp,
    /// It is not signed with the secret of the project.
    WrongSignature,
    /// It is signed, and is no event of dbt.
    Unreadable,
    /// It was taken.
    Taken(DbtRuns),
}

/// What a webhook led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DbtRuns {
    /// The syncs that run now, or as soon as their present run has ended.
    pub syncs: Vec<SyncId>,
    /// Why there are none.
    pub why: Option<&'static str>,
}

#[derive(Deserialize)]
struct Settings {
    webhook_secret: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_id: Option<String>,
    event_type: String,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// A text in dbt's documentation; a number is taken as well.
    job_id: Value,
    run_status: Option<String>,
}

/// Syncs that wait for the end of their run, to run again.
pub(super) type Waiting = Mutex<HashSet<SyncId>>;

impl Engine {
    /// Takes a webhook of dbt. The syncs that it leads to run in the background: dbt waits for ten seconds only.
    ///
    /// # Errors
    /// If the secret or the store cannot be read.
    pub async fn take_dbt_webhook(
        self: &Arc<Self>,
        signature: &str,
        body: &[u8],
    ) -> Result<DbtWebhook, Error> {
        let Some(dbt) = &self.config.project.dbt else { return Ok(DbtWebhook::NotSetUp) };
        let settings: Settings = self.resolved(&dbt.settings).await?.parse()?;
        if !is_signed(settings.webhook_secret.expose(), signature, body) {
            return Ok(DbtWebhook::WrongSignature);
        }
        let Ok(event) = serde_json::from_slice::<Event>(body) else { return Ok(DbtWebhook::Unreadable) };
        let name = match &event.event_id {
            None => None,
            Some(id) => match self.begin_request(ACTOR, id, &[]).await? {
                Repetition::First(name) => Some(name),
                _ => return Ok(nothing("this event has been handled before")),
            },
        };
        let taken = self.run_after(&event).await;
        if let Some(name) = name {
            let kept = KeptAnswer { status: 200, headers: Vec::new(), body: String::new() };
            self.keep_answer(&name, Some(&kept)).await;
        }
        Ok(taken)
    }

    async fn run_after(self: &Arc<Self>, event: &Event) -> DbtWebhook {
        if event.event_type != "job.run.completed" {
            return nothing("only `job.run.completed` runs syncs");
        }
        if event.data.run_status.as_deref() != Some("Success") {
            return nothing("the job did not succeed");
        }
        let job = match &event.data.job_id {
            Value::String(id) => id.trim().parse().ok(),
            id => id.as_u64(),
        };
        let uses = |sync: &tidegate_project::SyncOptions| job.is_some_and(|job| sync.dbt.jobs.contains(&job));
        let syncs = self.config.project.syncs.iter().filter(|(_, sync)| uses(sync.options()));
        let syncs: Vec<SyncId> =
            syncs.filter(|(_, sync)| sync.options().enabled).map(|(id, _)| id.clone()).collect();
        if syncs.is_empty() {
            return nothing("no active sync names this job under `dbt: { jobs }`");
        }
        for id in &syncs {
            self.run_when_free(id);
            self.audit(ACTOR, "webhook", "run_sync", id.as_str()).await;
        }
        DbtWebhook::Taken(DbtRuns { syncs, why: None })
    }

    /// Runs a sync now, or once more when its present run has ended: that one may have read before the job
    /// was done. A sync that waits already waits once.
    fn run_when_free(self: &Arc<Self>, id: &SyncId) {
        if !lock(&self.background.waiting).insert(id.clone()) {
            return;
        }
        let (engine, id, stop) = (self.clone(), id.clone(), self.background.stop.child_token());
        self.background.tasks.spawn(async move {
            let ready = loop {
                match engine.ready(&id, Cause::Manual).await {
                    Err(error) if error.kind() == ErrorKind::Held => {}
                    ready => break ready,
                }
                tokio::select! {
                    () = wait::span(LOOK) => {}
                    () = stop.cancelled() => return,
                }
            };
            // What comes from here on needs another run.
            lock(&engine.background.waiting).remove(&id);
            let ended = match ready {
                Ok((open, claim)) => {
                    let progress = watch::Sender::new(Progress::default());
                    let run =
                        engine.run_open(&open, &claim, RunMode::Once, Cause::Manual, stop, progress).await;
                    claim.release().await;
                    run.map(drop)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(sync = %id, error = error.chain(), "a sync did not run after its job of dbt");
            }
        });
    }
}

fn nothing(why: &'static str) -> DbtWebhook {
    DbtWebhook::Taken(DbtRuns { syncs: Vec::new(), why: Some(why) })
}

/// Returns whether a signature is that of the body. It is compared in constant time.
fn is_signed(secret: &str, signature: &str, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.trim().as_bytes()) else { return false };
    mac.update(body);
    let digits = signature.trim();
    let bytes = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    let bytes: Option<Vec<u8>> = bytes.collect();
    !secret.trim().is_empty() && bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_of_dbt_is_signed_over_its_body() {
        // Python: hmac.new(b"sesame", b"{}", "sha256").hexdigest()
        let signature = SIGNATURE;
        assert!(is_signed("sesame", signature, b"{}"));
        assert!(
            is_signed("sesame\n", &signature.to_uppercase(), b"{}"),
            "a secret from a file ends its line"
        );
        for (secret, signature, body) in [
            ("sesame", signature, &b"{ }"[..]),
            ("open", signature, b"{}"),
            ("sesame", &signature[..62], b"{}"),
            ("sesame", "", b"{}"),
            ("", "", b"{}"),
            ("sesame", "é", b"{}"),
        ] {
            assert!(!is_signed(secret, signature, body), "{secret} {signature}");
        }
    }

    const SIGNATURE: &str = "9288af31519fb10ea518c62c303396c38b77e7d2a1db3cc31e7bc2894e0bd786";
}
