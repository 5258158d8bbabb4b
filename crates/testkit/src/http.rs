//! The other side of HTTP requests inside this process.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tidegate_model::{ConnectorContext, Http, HttpFailure, Settings};

use crate::ManualClock;

/// What connectors parse.
pub fn raw(members: Value) -> Settings {
    let Value::Object(members) = members else { panic!("{members} is no object") };
    Settings::new(members)
}

/// Answers in turn and keeps what was asked.
#[derive(Default)]
pub struct Canned {
    answers: Mutex<VecDeque<Result<(u16, String), HttpFailure>>>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Canned {
    /// Creates one with these answers.
    pub fn new(answers: impl IntoIterator<Item = Result<(u16, String), HttpFailure>>) -> Arc<Canned> {
        Arc::new(Canned { answers: Mutex::new(answers.into_iter().collect()), requests: Mutex::default() })
    }

    /// Creates one with one answer.
    pub fn once(status: u16, body: impl Into<String>) -> Arc<Canned> {
        Canned::new([Ok((status, body.into()))])
    }

    /// What was asked until now.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Http for Canned {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let backend = request.uri().clone();
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let (status, body) = answer.unwrap_or_else(|| panic!("no answer is left for {backend}"))?;
        Ok(Response::builder().status(status).body(body.into()).expect("an answer"))
    }
}

/// Returns a context with this HTTP client.
pub fn context(http: Arc<dyn Http>, clock: &ManualClock) -> ConnectorContext {
    let clock = Arc::new(clock.clone());
    ConnectorContext { http, clock, project: PathBuf::new(), data: PathBuf::new(), dry_run: false }
}
