//! Answers in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::answers::{AnswerBook, BegunRequest, KeptAnswer};

/// Answers in plain memory, by the keys of their requests. Clones share them.
#[derive(Clone, Default)]
pub(super) struct MemoryAnswers(Arc<Mutex<BTreeMap<String, BegunRequest>>>);

impl MemoryAnswers {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, BegunRequest>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl AnswerBook for MemoryAnswers {
    async fn begin(
        &self,
        key: &str,
        request: &str,
        at: Timestamp,
        expired: Timestamp,
    ) -> Result<Option<BegunRequest>, Error> {
        Ok(self.with(|kept| {
            kept.retain(|_, begun| begun.at >= expired);
            let begun = kept.get(key).cloned();
            if begun.is_none() {
                kept.insert(key.to_owned(), BegunRequest { request: request.to_owned(), at, answer: None });
            }
            begun
        }))
    }

    async fn keep(&self, key: &str, answer: &KeptAnswer) -> Result<(), Error> {
        self.with(|kept| {
            if let Some(begun) = kept.get_mut(key) {
                begun.answer = Some(answer.clone());
            }
        });
        Ok(())
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        self.with(|kept| kept.remove(key));
        Ok(())
    }
}
