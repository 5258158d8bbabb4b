//! The parts of other vendors' APIs that operators of orchestrators call, so that a provider for Airflow
//! that was written for them runs a sync and waits for it without a change. The id of anything is the
//! name of a sync.

mod braze;
mod census;
mod hightouch;
mod runs;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_engine::service::Engine;
use tidegate_model::Error;

use crate::Serving;
use crate::api::{Problem, known};

/// The engine, shared by all handlers.
type Shared = axum::extract::State<Arc<Engine>>;

/// The routes of all vendors.
pub(super) fn routes(serving: Serving) -> Router {
    Router::new()
        .nest("/cdi", braze::routes())
        .nest("/compat/braze/cdi", braze::routes())
        .nest("/compat/census", census::routes())
        .nest("/compat/hightouch/api/v1", hightouch::routes())
        .with_state(serving)
}

/// Why a request is not answered. All three vendors have the reason in `message`.
struct Failed {
    status: StatusCode,
    message: String,
}

impl Failed {
    fn new(status: StatusCode, message: impl Into<String>) -> Failed {
        Failed { status, message: message.into() }
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Failed {
        let (why, next) = problem.sentences();
        Failed::new(problem.status(), format!("{why}. Next: {next}"))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::from(Problem::from(error))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.status, json_answer(&json!({ "status": "error", "message": self.message }))).into_response()
    }
}

/// Answers with JSON that is never cached: it is asked for again and again.
fn json_answer(body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, body.to_string()).into_response()
}
