//! Alerts about tokens of programs that are about to expire.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::Error;
use tidegate_model::alert::{Alert, Trigger};
use tidegate_model::people::Token;

use super::conditions::State;
use crate::service::Engine;

/// How long before its end a token is reported.
const BEFORE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether a token ends soon. One that is valid for a short time is reported in the last quarter of it.
fn judge(token: &Token, now: Timestamp) -> State {
    let lasts = token.expires_at.duration_since(token.created_at);
    let before = BEFORE.min(lasts / 4);
    let at = token.expires_at.strftime("%F %R UTC");
    let word = match token.expires_at.duration_since(now) {
        left if left > before => return State::Good,
        left if left.is_positive() => "expires",
        _ => "has expired",
    };
    State::Bad(format!(
        "It {word} at {at}. Next: make another one with `tidegate tokens add`, give it to the program, and remove \
         this one with `tidegate tokens remove {}`",
        token.name
    ))
}

impl Engine {
    /// Looks at the tokens of programs, and resolves what is said of those that are gone.
    pub(super) async fn look_at_tokens(&self, known: &[Alert]) -> Result<(), Error> {
        let now = self.config.clock.now();
        let tokens = self.tokens().await?;
        let open: Vec<&Alert> = known
            .iter()
            .filter(|alert| alert.trigger == Trigger::Expires && alert.resolved_at.is_none())
            .collect();
        for token in &tokens {
            let open = open.iter().copied().find(|alert| alert.subject == token.name);
            self.change(&token.name, Trigger::Expires, &judge(token, now), open, now).await?;
        }
        for alert in open {
            if !tokens.iter().any(|token| token.name == alert.subject) {
                self.config.store.alert_book().resolve(&alert.id, now).await?;
            }
        }
        Ok(())
    }
}
