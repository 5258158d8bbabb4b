//! Requests that a program sends again because it did not see the answer.

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};
use tidegate_model::Error;
use tidegate_model::answers::KeptAnswer;

use super::Engine;
use crate::people::hex;

/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// A request that began longer ago and has no answer was cut off: none takes longer.
const LONGEST: SignedDuration = SignedDuration::from_mins(2);

/// What is known of a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// It was never seen. Under this name [`Engine::keep_answer`] keeps its answer.
    First(String),
    /// It was answered.
    Answered(KeptAnswer),
    /// It is being answered.
    UnderWay,
    /// It was cut off by the end of the process: what became of it is not known.
    CutOff,
    /// The key came with another request.
    Another,
}

impl Engine {
    /// Notes that a request with a key begins, or returns what became of it before. `who` asks: keys of
    /// others do not count.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn begin_request(&self, who: &str, key: &str, request: &[&[u8]]) -> Result<Repetition, Error> {
        let name = digest(&[who.as_bytes(), key.as_bytes()]);
        let request = digest(request);
        let now = self.config.clock.now();
        let expired = now.saturating_sub(KEPT).unwrap_or(now);
        let begun = self.config.store.answer_book().begin(&name, &request, now, expired).await?;
        Ok(match begun {
            None => Repetition::First(name),
            Some(begun) if begun.request != request => Repetition::Another,
            Some(begun) => match begun.answer {
                Some(answer) => Repetition::Answered(answer),
                None if now.duration_since(begun.at) > LONGEST => Repetition::CutOff,
                None => Repetition::UnderWay,
            },
        })
    }

    /// Keeps the answer to a request that has begun; without one, its key can be used again.
    pub async fn keep_answer(&self, name: &str, answer: Option<&KeptAnswer>) {
        let book = self.config.store.answer_book();
        let kept = match answer {
            Some(answer) => book.keep(name, answer).await,
            None => book.forget(name).await,
        };
        if let Err(error) = kept {
            tracing::warn!(trouble = error.chain(), "an answer could not be kept for a repetition");
        }
    }
}

/// Returns the SHA-256 of parts, each with its length, in hexadecimal.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize())
}
