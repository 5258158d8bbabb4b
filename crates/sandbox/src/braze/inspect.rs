//! What the sandbox keeps, for tests and people; not part of Braze's API.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use jiff::Timestamp;
use serde_json::json;
use tidegate_model::Result;

use super::{Desk, message, reply};
use tidegate_profiles::Export;

impl Desk {
    /// `/_sandbox/…`: counts, and everything as lines of JSON. `PUT /_sandbox/packing`
    /// with `total` or `each` sets whether 75 objects are meant in total or in each array.
    pub(super) fn inspect(
        &self,
        request: &Request<Bytes>,
        requests: u64,
        beyond_limits: u64,
        now: Timestamp,
    ) -> Result<Response<Bytes>> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').skip(1).collect();
        let what = match (request.method().as_str(), path.as_slice()) {
            ("GET", ["stats"]) => {
                let totals = self.profiles.transact(now, |session| session.totals())?;
                let mut stats = json!(totals);
                stats["requests"] = json!(requests);
                stats["beyond_limits"] = json!(beyond_limits);
                return Ok(reply(200, &stats));
            }
            ("PUT", ["packing"]) => {
                return Ok(match request.body().trim_ascii() {
                    word @ (b"total" | b"each") => {
                        self.packing_total.store(word == b"total", Ordering::Relaxed);
                        message(200, "success")
                    }
                    _ => message(400, "the body is `total` or `each`"),
                });
            }
            ("GET", ["users"]) => Export::Users,
            ("GET", ["events"]) => Export::Events,
            ("GET", ["purchases"]) => Export::Purchases,
            ("GET", ["catalogs", name]) => Export::Items(name),
            _ => {
                return Ok(message(
                    404,
                    "the sandbox shows stats, users, events, purchases and catalogs/{name}",
                ));
            }
        };
        let lines = self.profiles.transact(now, |session| session.export(what))?;
        let mut response = Response::new(Bytes::from(lines));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        Ok(response)
    }
}
