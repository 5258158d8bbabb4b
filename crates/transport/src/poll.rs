//! Asking again and again for the end of remote work.
//!
//! Some services take a statement, do it on their own, and say how far it is whenever they are
//! asked. Asking does no work and has no effect, so a question whose answer is lost is asked again
//! here; everything else is for the engine to repeat.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind};

/// The first pause. Short statements end within it.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause: results come at most this late.
const LONGEST: Duration = Duration::from_secs(5);
/// Questions in a row that may go unanswered. With the pauses between them this is about a minute.
const UNANSWERED_MAX: u32 = 15;

/// The pauses between questions for the same piece of work.
#[derive(Debug)]
pub struct Poll {
    next: Duration,
    waited: Duration,
    unanswered: u32,
}

impl Default for Poll {
    fn default() -> Poll {
        Poll { next: FIRST, waited: Duration::ZERO, unanswered: 0 }
    }
}

impl Poll {
    /// Returns how long was waited until now.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits before the next question; longer each time, up to five seconds.
    pub async fn pause(&mut self) {
        let pause = self.next;
        self.next = (pause * 3 / 2).min(LONGEST);
        self.sleep(pause).await;
    }

    /// Notes that a question was answered.
    pub fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// Waits after a question that got no answer or was asked too early; at least until the
    /// service takes questions again, if it said when.
    ///
    /// # Errors
    /// Returns `error` if another question cannot help, or too many went unanswered.
    pub async fn unanswered(&mut self, error: Error, now: Timestamp) -> Result<(), Error> {
        let transient = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled(_));
        self.unanswered += 1;
        if !transient || self.unanswered > UNANSWERED_MAX {
            return Err(error);
        }
        let asked = error.acceptable_at().and_then(|at| Duration::try_from(at.duration_since(now)).ok());
        tracing::debug!(error = %error.chain(), "an unanswered question is asked again");
        self.sleep(asked.unwrap_or_default().max(self.next.max(Duration::from_secs(1)))).await;
        self.next = (self.next * 2).min(LONGEST);
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the pause between two questions about remote work")]
    async fn sleep(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.waited += pause;
    }
}

/// Waits between two questions whether a service has something new.
#[expect(clippy::disallowed_methods, reason = "the pause between two questions about remote data")]
pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_five_seconds() {
        let mut poll = Poll::default();
        for _ in 0..40 {
            poll.pause().await;
        }
        let before = poll.waited();
        poll.pause().await;
        assert_eq!(poll.waited() - before, LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn unanswered_questions_are_asked_again_but_not_for_ever() {
        let mut poll = Poll::default();
        let now = Timestamp::UNIX_EPOCH;
        let later = Some(now + jiff::SignedDuration::from_secs(40));
        poll.unanswered(Error::new(ErrorKind::Throttled(later), "slow down"), now).await.unwrap();
        assert_eq!(poll.waited(), Duration::from_secs(40));
        let mut asked = 1;
        while poll.unanswered(Error::new(ErrorKind::Unavailable, "reset"), now).await.is_ok() {
            asked += 1;
        }
        assert_eq!(asked, UNANSWERED_MAX);
        let denied = Error::new(ErrorKind::Denied, "no");
        assert!(Poll::default().unanswered(denied, now).await.is_err());
    }
}
