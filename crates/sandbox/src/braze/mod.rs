//! Braze's REST API, served locally on the built-in platform: wire format,
//! validation, partial errors, rate limits and headers.
//!
//! Every key is accepted but the word `revoked`. What it keeps is seen under
//! `/_sandbox/`: `stats`, `users`, `events`, `purchases`, `catalogs/{name}`.

mod attributes;
mod catalogs;
mod export;
mod fault;
mod identities;
mod inspect;
mod items;
mod limits;
mod objects;
mod reply;
mod rules;
mod time;
mod track;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tidegate_model::{Clock, Http, HttpFailure, Result, SandboxContext, SandboxRole};

use self::limits::RateLimits;
use self::reply::{message, reply};
use crate::faults::{FaultPlan, RequestOutcome, Turn};
use tidegate_profiles::{Durability, Profiles};

/// Braze's REST API.
pub const SANDBOX: SandboxRole = SandboxRole { paths: &["users", "catalogs", "_sandbox"], open, erase };

/// Its file in the data folder.
const FILE: &str = "braze-sandbox.db";

/// Erases a user from the file in this folder.
fn erase(folder: &Path, user: &str) -> Result<u64> {
    tidegate_profiles::erase(&folder.join(FILE), user)
}

/// Opens the sandbox; its file is `braze-sandbox.db` in the data folder.
fn open(context: &SandboxContext) -> Result<Arc<dyn Http>> {
    let file = context.data.as_ref().map(|folder| folder.join(FILE));
    Ok(Arc::new(Sandbox {
        desk: Arc::new(Desk {
            profiles: Profiles::open(file.as_deref(), Durability::Process)?,
            packing_total: AtomicBool::new(true),
        }),
        clock: Arc::clone(&context.clock),
        faults: FaultPlan::new(Arc::clone(&context.faults)),
        limits: RateLimits::new(context.limits),
    }))
}

/// The API with its moods: faults, keys, limits.
struct Sandbox {
    desk: Arc<Desk>,
    clock: Arc<dyn Clock>,
    faults: FaultPlan,
    limits: RateLimits,
}

/// What serves a request that got through. Blocks while SQLite works.
struct Desk {
    profiles: Profiles,
    /// 75 objects in total, as contracts are today, instead of 75 in each array.
    packing_total: AtomicBool,
}

/// The response to a request that cannot be served.
type ErrorResponse = Box<Response<Bytes>>;

/// A request that got through.
struct Call<'a> {
    body: &'a [u8],
    query: &'a str,
    turn: Turn,
    now: Timestamp,
}

#[async_trait]
impl Http for Sandbox {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let now = self.clock.now();
        if request.uri().path().starts_with("/_sandbox/") {
            if request.method() == http::Method::PUT && request.uri().path() == "/_sandbox/limits" {
                return Ok(match self.limits.set_contract(request.body()) {
                    true => message(200, "success"),
                    false => message(400, "the body is `{ \"hourly\": 1000, \"burst\": 50 }` or `{}`"),
                });
            }
            let (desk, requests) = (Arc::clone(&self.desk), self.faults.requests());
            let beyond = self.limits.refused();
            return Ok(blocking(move || desk.inspect(&request, requests, beyond, now)).await);
        }

        let mut turn = self.faults.turn(&request).await;
        if request.uri().path() != "/users/track" {
            turn = turn.without_unnamed();
        }
        let outcome = turn.outcome;
        let mut standing = self.limits.take(request.uri().path(), now);
        let mut response = if outcome == RequestOutcome::Revoked || !has_key(&request) {
            message(401, "Invalid API Key")
        } else if outcome == RequestOutcome::Throttled {
            standing = standing.exhausted(now);
            message(429, "Rate Limited")
        } else if !standing.allowed() {
            message(429, "Rate Limited")
        } else if outcome == RequestOutcome::Unavailable {
            message(503, "Service Unavailable")
        } else {
            let desk = Arc::clone(&self.desk);
            blocking(move || desk.serve(&request, turn, now)).await
        };
        match outcome {
            RequestOutcome::Dropped => return Err(FaultPlan::dropped()),
            RequestOutcome::Failed => response = message(500, "Internal Server Error"),
            _ => {}
        }
        standing.write(response.headers_mut(), now);
        Ok(response)
    }
}

/// Runs `work` on a thread that may block; what fails there is a 500.
async fn blocking(work: impl FnOnce() -> Result<Response<Bytes>> + Send + 'static) -> Response<Bytes> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(error = %error.chain(), "the Braze sandbox failed");
            message(500, "Internal Server Error")
        }
        Err(_) => message(500, "Internal Server Error"),
    }
}

/// Whether the request has a key that is not revoked.
fn has_key(request: &Request<Bytes>) -> bool {
    let header = request.headers().get(http::header::AUTHORIZATION);
    let key = header.and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    key.is_some_and(|key| !key.trim().is_empty() && key.trim() != "revoked")
}

impl Desk {
    fn serve(&self, request: &Request<Bytes>, turn: Turn, now: Timestamp) -> Result<Response<Bytes>> {
        let uri = request.uri();
        let call = Call { body: request.body(), query: uri.query().unwrap_or_default(), turn, now };
        if call.body.len() > rules::BODY_BYTES {
            return Ok(message(413, "Request Entity Too Large"));
        }
        let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        match (request.method().as_str(), path.as_slice()) {
            ("POST", ["users", "track"]) => self.track(&call),
            ("POST", ["users", "delete"]) => self.delete_users(&call),
            ("POST", ["users", "export", "ids"]) => self.export_ids(&call),
            ("POST", ["users", "alias", "new"]) => self.new_aliases(&call),
            ("POST", ["users", "alias", "update"]) => self.update_aliases(&call),
            ("POST", ["users", "identify"]) => self.identify(&call),
            ("POST", ["users", "merge"]) => self.merge(&call),
            ("GET", ["catalogs"]) => self.list_catalogs(&call),
            ("POST", ["catalogs"]) => self.create_catalog(&call),
            ("DELETE", ["catalogs", name]) => self.delete_catalog(&call, name),
            ("GET", ["catalogs", name, "items"]) => self.list_items(&call, name),
            ("GET", ["catalogs", name, "items", id]) => self.get_item(&call, name, id),
            (method, ["catalogs", name, "items"]) => match items::Change::of(method) {
                Some(change) => self.change_items(&call, name, change),
                None => Ok(message(404, "Invalid URL")),
            },
            (method, ["catalogs", name, "items", id]) => match items::Change::of(method) {
                Some(change) => self.change_item(&call, name, id, change),
                None => Ok(message(404, "Invalid URL")),
            },
            _ => Ok(message(404, "Invalid URL")),
        }
    }

    /// How many objects a `/users/track` request may hold, and whether in total.
    fn packing_total(&self) -> bool {
        self.packing_total.load(Ordering::Relaxed)
    }
}

impl Call<'_> {
    /// Returns the body as a JSON object, or the error response.
    fn object(&self) -> Result<Map<String, Value>, ErrorResponse> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(message(400, "The request body is not a JSON object").into()),
        }
    }

    /// Returns the up to 50 objects under `name`, or the error response.
    fn list(&self, name: &str) -> Result<Vec<Value>, ErrorResponse> {
        let list = match self.object()?.remove(name) {
            Some(Value::Array(list)) if !list.is_empty() => list,
            _ => return Err(message(400, &format!("'{name}' is required")).into()),
        };
        if list.len() > rules::ENTRIES {
            return Err(message(400, &format!("'{name}' has more than 50 entries")).into());
        }
        Ok(list)
    }
}
