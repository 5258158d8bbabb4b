//! Delivering records to OneSignal.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tidegate_model::{
    Body, Checks, Clock, ConnectorContext, Destination, Error, ErrorKind, Idempotency, Identity, Limits,
    ObjectKind, ObjectSpec, Outcome, Platform, Rate, Reason, Receipt, Record, Settings,
};

use super::client::Client;
use super::encode;
use super::outcome::{self, Single, unknown_user};
use super::partial;
use super::profile::Profile;
use super::settings::{OneSignalSettings, Target, USER_RATE};
use super::validate::Rules;

/// Events with the same key are ignored this long.
/// Source: OneSignal docs, Create custom events, Duplicate events.
const EVENT_KEY_WINDOW: Duration = Duration::from_secs(4 * 3_600);
/// Purchases in one request: each is one property update, of which 100 are allowed.
const PURCHASES_MAX: usize = 100;
/// Custom events in one request. The documented bound is 1 MB, which this many
/// of the largest allowed events stay below.
const EVENTS_MAX: usize = 400;
/// Bytes in a request. The documented bound is 1 MB.
const REQUEST_BYTES_MAX: usize = 900_000;

/// OneSignal, opened for one kind of object.
struct OneSignal {
    client: Client,
    clock: Arc<dyn Clock>,
    rules: Rules,
    events_per_second: u32,
}

/// Opens OneSignal for one kind of object. Sends nothing.
pub(super) fn open(
    settings: &Settings,
    object: ObjectKind,
    target: &Settings,
    context: &ConnectorContext,
) -> Result<Arc<dyn Platform>, Error> {
    let settings: OneSignalSettings = settings.parse()?;
    let target: Target = target.parse()?;
    if object == ObjectKind::CatalogItem {
        return Err(Error::settings("OneSignal has no catalogs")
            .hint("choose `user`, `event`, `purchase` or `deletion` as the object of the sync"));
    }
    if target.update_existing_only && object != ObjectKind::User {
        return Err(Error::settings(format!(
            "`update_existing_only` says nothing about objects of the kind `{object}`"
        ))
        .hint("take it out: only `user` creates users"));
    }
    Ok(Arc::new(OneSignal {
        client: Client::new(&settings, context.trusting(settings.ca_file.as_deref())?.http)?,
        clock: Arc::clone(&context.clock),
        rules: Rules { object, app_id: settings.app_id, update_existing_only: target.update_existing_only },
        events_per_second: settings.requests_per_second,
    }))
}

/// What OneSignal answers when it takes everything.
pub(super) fn dry_run_response(request: &Request<Bytes>) -> Response<Bytes> {
    let status = if *request.method() == Method::GET { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = Response::new(Bytes::from_static(b"{}"));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

impl Platform for OneSignal {
    fn object(&self) -> ObjectSpec {
        let (idempotency, identifiers): (Idempotency, &[&str]) = match self.rules.object {
            ObjectKind::Event => (Idempotency::Keyed(EVENT_KEY_WINDOW), &["external_id", "platform_id"]),
            ObjectKind::Purchase => (Idempotency::None, &["external_id", "alias", "platform_id"]),
            _ => (Idempotency::Idempotent, &["external_id", "alias", "platform_id"]),
        };
        ObjectSpec { kind: self.rules.object, idempotency, identifiers }
    }

    /// Source: OneSignal docs, Create user and Create custom events.
    fn caveats(&self) -> &'static [(&'static str, &'static str)] {
        match self.rules.object {
            ObjectKind::Event | ObjectKind::Purchase => &[(
                "events and purchases never create a user: those of users that OneSignal does not know are rejected",
                "run a sync with `object: user` first, with `email` or `phone` among its attributes",
            )],
            ObjectKind::User if !self.rules.update_existing_only => &[(
                "OneSignal creates a user only with an e-mail address or a phone number",
                "give every row of an unknown user `email` or `phone` among its attributes: others are rejected",
            )],
            _ => &[],
        }
    }

    /// A user that is not there can only be created with an address, and a position has two parts.
    fn always_sent(&self) -> &'static [&'static str] {
        &["email", "phone", "lat", "long"]
    }
}

#[async_trait]
impl Destination<Record> for OneSignal {
    async fn check(&self) -> Result<Checks, Error> {
        /// A user that does not exist; the response that it does not proves the key.
        const NOBODY: &str = "tidegate-check";
        let mut checks = Checks::default();
        let name = "API key reaches the app";
        match outcome::of_user(self.client.view_user(NOBODY).await, self.now()) {
            Ok(Single::Done | Single::NoSuchUser) => {
                checks.pass(name, "OneSignal looks users up with this key");
            }
            Ok(Single::Refused(_, reason)) => checks.fail(
                name,
                format!("OneSignal refuses to look up a user: {}", reason.message),
                "compare `app_id` and `api_key` with OneSignal → Settings → Keys & IDs",
            ),
            Ok(Single::InDoubt(reason)) => return Err(Error::new(ErrorKind::Unavailable, reason.message)),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => {
                checks.fail(name, error.with_words(), error.next_step());
            }
            Err(error) => return Err(error.context("looking up a user")),
        }
        for (what, next) in self.caveats() {
            checks.warn("unknown users", *what, *next);
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        let per_second = |requests| Some(Rate { requests, per: Duration::from_secs(1) });
        let users = Limits {
            max_items: 1,
            max_bytes: REQUEST_BYTES_MAX,
            linger: Duration::ZERO,
            // At the documented rate this hides an answer time of half a second.
            max_in_flight: 512,
            rate: per_second(USER_RATE),
            bucket: "users",
            single_user: true,
            // Source: OneSignal docs, Rate limits: one request a second for each user.
            min_user_interval: Duration::from_secs(1),
        };
        match self.rules.object {
            ObjectKind::Event => Limits {
                max_items: EVENTS_MAX,
                linger: Duration::from_millis(50),
                max_in_flight: 64,
                rate: per_second(self.events_per_second),
                bucket: "custom_events",
                single_user: false,
                min_user_interval: Duration::ZERO,
                ..users
            },
            ObjectKind::Purchase => {
                Limits { max_items: PURCHASES_MAX, linger: Duration::from_millis(50), ..users }
            }
            _ => users,
        }
    }

    fn estimated_size(&self, item: &Record) -> usize {
        match item.body {
            Body::Event { .. } => encode::event_bound(item),
            _ => item.estimated_size(),
        }
    }

    fn validate(&self, item: &Record) -> Result<(), Reason> {
        self.rules.validate(item)
    }

    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        let Some(first) = items.first() else { return Ok(Receipt::delivered(0)) };
        if items.iter().any(|item| item.kind() != self.rules.object) {
            return Err(Error::internal(format!(
                "a request for objects of the kind `{}` holds others",
                self.rules.object
            )));
        }
        if self.rules.object == ObjectKind::Event {
            let answer = self.client.create_events(encode::events(items)).await;
            return partial::of_events(items, answer, self.now());
        }
        let limits = self.limits();
        if items.len() > limits.max_items || items.iter().any(|item| item.identity != first.identity) {
            return Err(Error::internal("a request about one user holds more than OneSignal takes at once"));
        }
        match &first.body {
            Body::Purchase(_) => self.deliver_purchases(&first.identity, items).await,
            Body::User { attributes } => match Profile::read(attributes) {
                Ok(profile) => self.deliver_user(&first.identity, &profile).await,
                Err(reason) => Ok(one(Outcome::Rejected(reason))),
            },
            _ => self.deliver_deletion(&first.identity).await,
        }
    }
}

impl OneSignal {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn deliver_user(&self, user: &Identity, profile: &Profile<'_>) -> Result<Receipt, Error> {
        let creates = profile.has_subscription() && !self.rules.update_existing_only;
        let answer = if creates {
            self.client.create_user(encode::creation(user, profile)).await
        } else {
            self.client.update_user(user, encode::update(profile)).await
        };
        Ok(one(match outcome::of_user(answer, self.now())? {
            Single::NoSuchUser if creates => return Err(outcome::no_such_app()),
            Single::NoSuchUser if self.rules.update_existing_only => unknown_user(
                "the user does not exist, and `update_existing_only` keeps it from being created",
            ),
            Single::NoSuchUser => unknown_user(
                "the user does not exist; map `email` or `phone` among the attributes so that it can be created",
            ),
            other => other.into(),
        }))
    }

    async fn deliver_purchases(&self, user: &Identity, items: &[Record]) -> Result<Receipt, Error> {
        let answer = self.client.update_user(user, encode::purchases(items)).await;
        let outcome = match outcome::of_user(answer, self.now())? {
            // One bad purchase refuses all of them: halved until it is alone.
            Single::Refused(status, _) if items.len() > 1 => {
                return Err(outcome::refused(items.len(), "purchases", status));
            }
            Single::NoSuchUser => {
                unknown_user("the user does not exist; purchases never create one: sync the users first")
            }
            other => other.into(),
        };
        Ok(Receipt { outcomes: vec![outcome; items.len()], rate_limit: None })
    }

    async fn deliver_deletion(&self, user: &Identity) -> Result<Receipt, Error> {
        let answer = self.client.delete_user(user).await;
        Ok(one(match outcome::of_user(answer, self.now())? {
            // What was to be gone is gone.
            Single::NoSuchUser => Outcome::Delivered,
            other => other.into(),
        }))
    }
}

fn one(outcome: Outcome) -> Receipt {
    Receipt { outcomes: vec![outcome], rate_limit: None }
}
