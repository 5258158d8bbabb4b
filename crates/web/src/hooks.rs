//! Webhooks of other programs. They are signed, and so are taken from any machine, before there are people too.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tidegate_engine::service::{DbtWebhook, Engine};
use tokio_util::task::TaskTracker;

use crate::Serving;
use crate::api::Problem;
use crate::ingest::finished;

/// The routes below `/hooks`.
pub(crate) fn routes(serving: Serving) -> Router {
    Router::new().route("/hooks/dbt", post(dbt)).with_state(serving)
}

/// Takes a webhook of dbt.
async fn dbt(
    State(engine): State<Arc<Engine>>,
    State(tasks): State<TaskTracker>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let taking = async move {
        let signature = headers.get(header::AUTHORIZATION).and_then(|signature| signature.to_str().ok());
        engine.take_dbt_webhook(signature.unwrap_or_default(), &body).await
    };
    let problem = match finished(&tasks, taking).await {
        Ok(DbtWebhook::Taken(runs)) => return axum::Json(runs).into_response(),
        Ok(DbtWebhook::NotSetUp) => Problem::not_found("the project takes no webhooks of dbt")
            .remedy("add `dbt: { webhook_secret: … }` to the project"),
        Ok(DbtWebhook::WrongSignature) => {
            let why = "the webhook is not signed with `dbt.webhook_secret` of the project";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
                .remedy("copy the secret that dbt showed when the webhook was made")
        }
        Ok(DbtWebhook::Unreadable) => {
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", "this is not an event of dbt")
                .remedy("send what dbt documents under \"Webhooks for your jobs\"")
        }
        Err(error) => Problem::from(error),
    };
    tracing::warn!(
        status = problem.status().as_u16(),
        why = problem.sentences().0,
        "a webhook of dbt was refused"
    );
    problem.into_response()
}
