//! What connectors are opened with.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tidegate_model::{ConnectorContext, Http, HttpFailure, Settings};

use crate::ManualClock;

/// HTTP for those who must not use it.
pub struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        panic!("nothing was to be sent, but {} was", request.uri().path())
    }
}

/// HTTP that reaches no server, and that is not asked again: no certificate is accepted.
pub struct Unreachable;

#[async_trait]
impl Http for Unreachable {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        Err(HttpFailure::Untrusted { why: "no server is trusted".to_owned(), remedy: String::new() })
    }
}

/// Settings from a JSON object.
pub fn settings_of(members: &Value) -> Settings {
    let Value::Object(members) = members else { panic!("settings are an object: {members}") };
    Settings::new(members.clone())
}

/// What a connector is handed: no HTTP, and the same folder for everything.
pub fn context(folder: &Path) -> ConnectorContext {
    ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(ManualClock::default()),
        project: folder.to_owned(),
        data: folder.to_owned(),
        dry_run: false,
    }
}
