//! `/`: is anything wrong, and what is there to do?

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tidegate_engine::service::Engine;

use super::chart::{self, HoursChart};
use super::shell::{self, Failure, Shell};
use super::text;
use super::views::SyncView;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    headline: String,
    moved: String,
    is_good: bool,
    needing: Vec<SyncView>,
    syncs: Vec<SyncView>,
    chart: HoursChart,
}

pub(super) async fn page(State(engine): State<Arc<Engine>>, headers: HeaderMap) -> Result<Response, Failure> {
    let overview = engine.overview().await?;
    let shell = Shell::new(&engine, "Overview", "/").await?;
    let views: Vec<SyncView> = overview.syncs.iter().map(|sync| SyncView::new(sync, overview.at)).collect();
    let (needing, _) = overview
        .syncs
        .iter()
        .map(|sync| SyncView::new(sync, overview.at))
        .partition::<Vec<_>, _>(|view| view.needs_a_person);
    let template = OverviewPage {
        shell,
        headline: text::headline(&overview),
        moved: text::moved(&overview),
        is_good: needing.is_empty(),
        needing,
        syncs: views,
        chart: chart::hours(&overview.hours),
    };
    shell::page(&headers, &template)
}
