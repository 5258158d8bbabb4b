//! `/api/v1`: what the command line does, over HTTP. The description at `/api/openapi.json` is
//! made from the handlers.

#![expect(clippy::result_large_err, reason = "a problem is made once for a request, where it ends")]

#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod alerts;
mod connections;
mod cursor;
mod description;
mod exports;
#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod failed_rows;
mod object;
mod people;
mod problem;
#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod project;
mod repeated;
mod reply;
#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod runs;
mod status;
#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod syncs;
pub(crate) mod types;
#[expect(unused_qualifications, reason = "made by a macro of utoipa")]
mod users;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidegate_engine::service::Engine;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Serving;

pub(crate) use cursor::{
    after, after_alert, after_group, alert_position, group_position, position, row_id, row_key,
};
pub(crate) use problem::Problem;
pub(crate) use reply::{Page, read_position};
pub(crate) use syncs::{known, may_confirm, page_of_syncs};
pub(crate) use words::plain;

/// The engine, shared by all handlers.
pub(crate) type Shared = axum::extract::State<Arc<Engine>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "Syncs, runs and failed rows of one Tidegate server. Until there are people, it answers programs of its own machine only; then each request needs a token.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/api/v1")),
)]
struct Description;

/// The routes below `/api`.
pub(super) fn routes(serving: Serving) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(project::get_project, project::put_project))
        .routes(routes!(status::get_status))
        .routes(routes!(syncs::list_syncs))
        .routes(routes!(syncs::get_sync))
        .routes(routes!(syncs::run_sync))
        .routes(routes!(syncs::retry_sync))
        .routes(routes!(syncs::pause_sync))
        .routes(routes!(syncs::resume_sync))
        .routes(routes!(syncs::reset_sync))
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::get_run))
        .routes(routes!(runs::watch_run))
        .routes(routes!(failed_rows::list_failed_rows))
        .routes(routes!(failed_rows::list_groups))
        .routes(routes!(failed_rows::get_failed_row))
        .routes(routes!(users::get_timeline))
        .routes(routes!(connections::list_connections))
        .routes(routes!(syncs::dismiss_rows))
        .routes(routes!(people::list_people))
        .routes(routes!(people::list_tokens))
        .routes(routes!(people::list_audit))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::list_channels))
        .routes(routes!(alerts::test_channel))
        .split_for_parts();
    let description = description::completed(&description);
    let once = axum::middleware::from_fn_with_state(serving.clone(), repeated::answer_once);
    Router::new()
        .nest("/v1", router.layer(once).with_state(serving))
        .route("/openapi.json", get(|| async move { reply::json_text(description) }))
        .fallback(|| async {
            Problem::not_found("there is nothing at this path").remedy("/api/openapi.json lists the paths")
        })
        .method_not_allowed_fallback(not_allowed)
}

async fn not_allowed() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        .remedy("/api/openapi.json lists the methods of each path")
        .into_response()
}
