//! Erased users, in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::ErasureStore;
use tidegate_model::{Erasure, ErasureCounts, Error};

use super::MemoryStore;

#[async_trait]
impl ErasureStore for MemoryStore {
    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        let mut memory = self.memory();
        let mut counts = ErasureCounts::default();
        let before = memory.failed_rows.len();
        memory.failed_rows.retain(|(_, row)| row.entry.user != user);
        counts.failed_rows = (before - memory.failed_rows.len()) as u64;
        let before = memory.kept_users.len();
        memory.kept_users.retain(|_, kept| **kept != *user);
        counts.kept_users = (before - memory.kept_users.len()) as u64;
        let before = memory.sent_users.len();
        memory.sent_users.retain(|_, sent| *sent.user != *user);
        counts.sent_users = (before - memory.sent_users.len()) as u64;
        let before = memory.ledger.len();
        memory.ledger.retain(|(entry, _)| entry.user != user);
        counts.history_rows = (before - memory.ledger.len()) as u64;
        for (_, _, intent) in memory.intents.values_mut() {
            let theirs: Vec<bool> = intent.rows.iter().map(|row| *row.user == *user).collect();
            counts.intents += theirs.iter().filter(|theirs| **theirs).count() as u64;
            let mut left = theirs.iter();
            intent.rows.retain(|_| left.next() != Some(&true));
            if let Some(outcomes) = &mut intent.outcomes {
                let mut left = theirs.iter();
                outcomes.retain(|_| left.next() != Some(&true));
            }
        }
        memory.intents.retain(|_, (_, _, intent)| !intent.rows.is_empty());
        memory.requests.clear();
        Ok(counts)
    }

    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error> {
        let erasure = Erasure { at, user: user.to_owned(), removed: removed.clone() };
        self.memory().erasures.insert(0, erasure);
        Ok(())
    }

    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        let memory = self.memory();
        let wanted = memory.erasures.iter().filter(|erasure| user.is_none_or(|user| user == erasure.user));
        Ok(wanted.cloned().collect())
    }
}
