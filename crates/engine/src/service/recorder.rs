//! The HTTP of a dry run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::{Error, Http, HttpFailure, SyncId};

use super::Engine;

/// A request as it would be sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedRequest {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The exact body.
    pub body: String,
}

/// The requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedRequests {
    /// The number of requests.
    pub count: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// Answers every request as the platform does when it takes everything.
pub(crate) struct Recorder {
    answer: fn(&http::Request<Bytes>) -> http::Response<Bytes>,
    keep: usize,
    seen: Mutex<Seen>,
}

type Seen = (BTreeMap<String, PlannedRequests>, Vec<PlannedRequest>);

impl Recorder {
    /// For the platform of a sync, keeping no request.
    pub(crate) async fn for_platform(engine: &Engine, sync: &SyncId) -> Result<Arc<Recorder>, Error> {
        Recorder::keeping(engine, sync, 0).await
    }

    /// For the platform of a sync, keeping the first `keep` requests of each kind.
    pub(crate) async fn keeping(engine: &Engine, sync: &SyncId, keep: usize) -> Result<Arc<Recorder>, Error> {
        let to = &engine.import_spec(sync)?.destination.connection;
        let (connector, _) = engine.connection(to).await?;
        let role = connector
            .platform
            .ok_or_else(|| Error::settings(format!("`{to}` ({}) takes no records", connector.title)))?;
        Ok(Arc::new(Recorder { answer: role.dry_run_response, keep, seen: Mutex::default() }))
    }

    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Http for Recorder {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let answer = (self.answer)(&request);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = seen.0.entry(format!("{} {}", request.method(), shape(path))).or_default();
        kind.count += 1;
        kind.bytes += request.body().len() as u64;
        let is_kept = kind.count <= self.keep as u64;
        if is_kept {
            seen.1.push(PlannedRequest {
                method: request.method().to_string(),
                path: path.to_owned(),
                body: String::from_utf8_lossy(request.body()).into_owned(),
            });
        }
        Ok(answer)
    }
}

/// A path whose last segment is dropped where it names one of many things.
fn shape(path: &str) -> String {
    match path.split_once("/by/") {
        Some((before, rest)) => {
            let label = rest.split('/').next().unwrap_or_default();
            format!("{before}/by/{label}/…")
        }
        None => path.to_owned(),
    }
}
