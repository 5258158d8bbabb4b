//! OneSignal's REST API served locally, on the built-in platform.
//!
//! The same paths, bodies, statuses and limits as the vendor's, under the bare
//! host as its SDKs expect it. All apps share one set of users. What the
//! documentation leaves open is decided the strict way, so that a sync that
//! works here works there.
//!
//! Source: OneSignal REST API reference, OpenAPI document 11.6, SDKs 5.18.0.

mod aliases;
mod events;
mod journey;
mod limits;
mod message_event;
mod reply;
mod route;
mod rules;
mod settings;
mod subscriptions;
mod users;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, StatusCode};
use jiff::Timestamp;
use tidegate_model::{Clock, Error, ErrorKind, Http, HttpFailure, SandboxContext, SandboxRole};

use crate::faults::{FaultPlan, RequestOutcome, Turn};
use journey::Journeys;
use limits::RateLimits;
use reply::{Reply, Stop};
use route::Route;
use tidegate_profiles::{Durability, Export, Profiles, Session};

/// OneSignal's REST API.
pub const SANDBOX: SandboxRole =
    SandboxRole { paths: &["apps", "api", "notifications", "_sandbox"], open, erase };

/// The sandbox.
struct Sandbox {
    profiles: Arc<Profiles>,
    clock: Arc<dyn Clock>,
    faults: FaultPlan,
    limits: RateLimits,
    journeys: Option<Journeys>,
}

/// Its file in the data folder.
const FILE: &str = "onesignal-sandbox.db";

/// Erases a user from the file in this folder.
fn erase(folder: &Path, user: &str) -> Result<u64, Error> {
    tidegate_profiles::erase(&folder.join(FILE), user)
}

/// Opens the sandbox; its file is `onesignal-sandbox.db` in the data folder.
fn open(context: &SandboxContext) -> Result<Arc<dyn Http>, Error> {
    let file = context.data.as_ref().map(|folder| folder.join(FILE));
    Ok(Arc::new(Sandbox {
        profiles: Arc::new(Profiles::open(file.as_deref(), Durability::Process)?),
        clock: Arc::clone(&context.clock),
        faults: FaultPlan::new(Arc::clone(&context.faults)),
        limits: RateLimits::new(context.limits),
        journeys: Journeys::open(context)?,
    }))
}

#[async_trait]
impl Http for Sandbox {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let route = Route::of(&request);
        if let Route::Inspect(what) = &route {
            return Ok(self.inspect(what).await.into_response());
        }
        let mut turn = self.faults.turn(&request).await;
        if !matches!(route, Route::CreateEvents) {
            turn = turn.without_unnamed();
        }
        let outcome = turn.outcome;
        let reply = match outcome {
            RequestOutcome::Revoked => Reply::access_denied(&route),
            RequestOutcome::Throttled => Reply::slow_down(),
            RequestOutcome::Unavailable => Reply::unavailable(),
            RequestOutcome::Served | RequestOutcome::Dropped | RequestOutcome::Failed => {
                self.serve(route, request, turn).await
            }
        };
        match outcome {
            RequestOutcome::Dropped => Err(FaultPlan::dropped()),
            RequestOutcome::Failed => Ok(Reply::failed().into_response()),
            _ => Ok(reply.into_response()),
        }
    }
}

impl Sandbox {
    async fn serve(&self, route: Route, request: Request<Bytes>, turn: Turn) -> Reply {
        if !authorized(request.headers()) {
            return Reply::access_denied(&route);
        }
        let now = self.clock.now();
        if !self.limits.allow(&route, request.body(), now) {
            return Reply::slow_down();
        }
        // Only listeners learn what happened, and only they pay for it.
        let listening = self.journeys.is_some();
        let mut segments = request.uri().path().split('/').skip_while(|segment| *segment != "apps");
        let app_id = segments.nth(1).unwrap_or_default().to_owned();
        let work = move |session: &Session<'_>| answer(session, route, request.body(), &turn, listening);
        let mut reply = self.transact(now, work).await;
        if let Some(journeys) = &self.journeys {
            journeys.start(&app_id, reply.take_happened());
        }
        reply
    }

    /// Runs `work` in one transaction; a rejected request has no effect.
    async fn transact<W>(&self, now: Timestamp, work: W) -> Reply
    where
        W: FnOnce(&Session<'_>) -> Result<Reply, Stop> + Send + 'static,
    {
        let profiles = Arc::clone(&self.profiles);
        let worked = tokio::task::spawn_blocking(move || {
            let mut rejection = None;
            let done = profiles.transact(now, |session| {
                work(session).map_err(|stop| match stop {
                    Stop::Refused(reply) => {
                        rejection = Some(reply);
                        Error::new(ErrorKind::Rejected, "the sandbox rejects the request")
                    }
                    Stop::Failed(error) => error,
                })
            });
            done.or_else(|error| rejection.ok_or(error))
        });
        match worked.await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                tracing::error!(error = %error.chain(), "the sandbox cannot keep its state");
                Reply::failed()
            }
            Err(_) => Reply::failed(),
        }
    }

    /// What is in the sandbox, for tests and people; no fault reaches it.
    async fn inspect(&self, what: &str) -> Reply {
        let export = match what {
            "stats" => None,
            "users" => Some(Export::Users),
            "events" => Some(Export::Events),
            "purchases" => Some(Export::Purchases),
            _ => return Reply::no_such_path(),
        };
        let requests = self.faults.requests();
        let journeys = self.journeys.as_ref().map(Journeys::stats);
        let work = move |session: &Session<'_>| match export {
            Some(export) => Ok(Reply::lines(session.export(export)?)),
            None => {
                let mut stats = serde_json::to_value(session.totals()?).unwrap_or_default();
                stats["requests"] = requests.into();
                if let Some(journeys) = journeys {
                    stats["message_events"] = journeys;
                }
                Ok(Reply::new(StatusCode::OK, &stats))
            }
        };
        self.transact(self.clock.now(), work).await
    }
}

/// `Authorization: Key …`, or `Basic …` as older clients send it; any key but the word `revoked`.
///
/// Source: OneSignal docs, Keys & IDs; onesignal-node 3.4.0.
fn authorized(headers: &HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("key") || scheme.eq_ignore_ascii_case("basic"));
    key.is_some_and(|(_, key)| !key.trim().is_empty() && key.trim() != "revoked")
}

fn answer(
    session: &Session<'_>,
    route: Route,
    body: &Bytes,
    turn: &Turn,
    listening: bool,
) -> Result<Reply, Stop> {
    let single_user =
        matches!(route, Route::CreateUser | Route::UpdateUser(_) | Route::DeleteUser(_) | Route::EditTags(_));
    if single_user && turn.refuses(0) {
        return Err(Stop::bad("the sandbox refuses this user, as its faults ask for"));
    }
    match route {
        Route::CreateEvents => events::create(session, body, turn, listening),
        Route::CreateUser => users::create(session, body),
        Route::ViewUser(who) => users::view(session, &who),
        Route::UpdateUser(who) => users::update(session, &who, body),
        Route::DeleteUser(who) => users::delete(session, &who),
        Route::EditTags(who) => users::edit_tags(session, &who, body),
        Route::ListAliases(who) => aliases::list(session, &who),
        Route::AddAliases(who) => aliases::add(session, &who, body),
        Route::RemoveAlias(who, label) => aliases::remove(session, &who, &label),
        Route::CreateSubscription(who) => subscriptions::create(session, &who, body),
        Route::Notify => Ok(Reply::notified()),
        Route::BadApp => Err(Stop::bad("app_id is not a valid UUID")),
        Route::Unknown | Route::Inspect(_) => Ok(Reply::no_such_path()),
    }
}
