//! The documented rate limits. Source: OneSignal docs, Rate limits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tidegate_model::{Identity, Rate};

use super::route::{Route, identity};
use crate::window::Window;

/// Writes of users and subscriptions of one app, and, as the stated limit of
/// custom events is none, requests with custom events.
const PER_APP: Rate = Rate { requests: 1_000, per: Duration::from_secs(1) };
/// The least time between two writes of one user, told apart by the name that was used.
const PER_USER: SignedDuration = SignedDuration::from_secs(1);
/// This many users are remembered before those whose second is over are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// What was asked for lately.
pub(super) struct RateLimits {
    enforced: bool,
    users: Window,
    events: Window,
    last_write: Mutex<HashMap<Identity, Timestamp>>,
}

impl RateLimits {
    /// Limits that start unused.
    pub(super) fn new(enforced: bool) -> RateLimits {
        RateLimits {
            enforced,
            users: Window::new(PER_APP, enforced),
            events: Window::new(PER_APP, enforced),
            last_write: Mutex::default(),
        }
    }

    /// Counts a request; whether it is inside the limits.
    pub(super) fn allow(&self, route: &Route, body: &Bytes, now: Timestamp) -> bool {
        if !self.enforced {
            return true;
        }
        let user = match route {
            Route::CreateEvents => return self.events.take(now).allowed,
            Route::CreateUser => created(body),
            Route::UpdateUser(who)
            | Route::DeleteUser(who)
            | Route::EditTags(who)
            | Route::AddAliases(who)
            | Route::RemoveAlias(who, _)
            | Route::CreateSubscription(who) => Some(who.clone()),
            _ => return true,
        };
        self.users.take(now).allowed && user.is_none_or(|user| self.allow_user(user, now))
    }

    fn allow_user(&self, user: Identity, now: Timestamp) -> bool {
        let mut last_write = self.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        if last_write.len() >= REMEMBERED_MAX {
            last_write.retain(|_, last| now.duration_since(*last) < PER_USER);
        }
        if last_write.get(&user).is_some_and(|last| now.duration_since(*last) < PER_USER) {
            return false;
        }
        last_write.insert(user, now);
        true
    }
}

/// The user that a creation is about.
fn created(body: &Bytes) -> Option<Identity> {
    #[derive(Deserialize)]
    struct Creation {
        identity: HashMap<String, String>,
    }
    let Creation { identity: names } = serde_json::from_slice(body).ok()?;
    let label = if names.contains_key("external_id") { "external_id" } else { names.keys().min()? };
    Some(identity(label, &names[label]))
}
