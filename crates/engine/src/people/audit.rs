//! The audit log: each entry holds the hash of the one before it, so that none can be changed or
//! removed without a trace.

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tidegate_model::Error;
use tidegate_model::people::{AuditEntry, Deed};

use super::secrets::hex;
use crate::service::Engine;

/// Entries that are read at a time.
const PAGE: usize = 1_000;

/// What a verification of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditVerdict {
    /// Whether every entry is as it was written, and none is missing between them.
    pub intact: bool,
    /// How many entries were read.
    pub entries: u64,
    /// The first entry that is not as it was written, or whose predecessor is missing.
    pub broken_at: Option<u64>,
    /// The hash of the last entry. Kept elsewhere, it shows later that none was cut off at the end.
    pub last_hash: Option<String>,
}

/// Returns the hash of an entry. Lengths stand before texts, so that no two entries give one input.
fn hash(before: &str, seq: u64, deed: &Deed) -> String {
    let mut hasher = Sha256::new();
    let at = deed.at.as_microsecond().to_string();
    let seq = seq.to_string();
    for text in [before, &seq, &at, &deed.actor, &deed.via, &deed.action, &deed.subject] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hex(&hasher.finalize())
}

impl Engine {
    /// Notes what was done. `subject` is no value of a row.
    ///
    /// What was done stands if it cannot be noted: an error would make people do it again. The log of
    /// the process has it then.
    pub async fn audit(&self, actor: &str, via: &str, action: &str, subject: &str) {
        let deed = Deed {
            at: self.config.clock.now(),
            actor: actor.to_owned(),
            via: via.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
        };
        if let Err(error) = self.config.store.people_book().append_deed(&deed, hash).await {
            let error = error.chain();
            tracing::error!(
                actor,
                via,
                action,
                subject,
                error,
                "this was done, and the audit log could not be written"
            );
        }
    }

    /// Returns the last entries of the audit log, newest first; those before the number `before`, if one is given.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn audit_log(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.config.store.people_book().audit_last(before, limit).await
    }

    /// Reads the whole audit log and compares every hash.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, Error> {
        let mut verdict = AuditVerdict { intact: true, entries: 0, broken_at: None, last_hash: None };
        let mut before = String::new();
        loop {
            let page = self.config.store.people_book().audit_from(verdict.entries, PAGE).await?;
            for entry in &page {
                let expected = verdict.entries + 1;
                if entry.seq != expected || entry.hash != hash(&before, entry.seq, &entry.deed) {
                    verdict.intact = false;
                    verdict.broken_at = Some(expected);
                    return Ok(verdict);
                }
                verdict.entries = expected;
                before.clone_from(&entry.hash);
            }
            if page.len() < PAGE {
                verdict.last_hash = Some(before).filter(|hash| !hash.is_empty());
                return Ok(verdict);
            }
        }
    }
}
