//! `/`: is anything wrong, and what is there to do?

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tidegate_engine::service::Engine;

use super::chart::{self, HoursChart};
use super::shell::{self, Failure, Shell};
use super::show::number;
use super::text;
use super::views::SyncView;

/// Syncs that need a person and have a card.
const CARDS_MAX: usize = 12;
/// Syncs in the table.
const SYNCS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    headline: String,
    moved: String,
    is_good: bool,
    needing: Vec<SyncView>,
    /// How many more need a person.
    more_needing: usize,
    /// Where all syncs are listed, if they are not here.
    all: Option<String>,
    syncs: Vec<SyncView>,
    chart: HoursChart,
}

pub(super) async fn page(State(engine): State<Arc<Engine>>, headers: HeaderMap) -> Result<Response, Failure> {
    let mut overview = engine.overview().await?;
    let shell = Shell::new(&engine, "Overview", "/").await?;
    let (headline, moved, count) = (text::headline(&overview), text::moved(&overview), overview.syncs.len());
    let needing = overview.syncs.iter().filter(|sync| sync.health.needs_a_person()).count();
    // Those that need a person come first.
    overview.syncs.truncate(SYNCS_MAX);
    engine.read_recent_runs(&mut overview.syncs).await?;
    engine.read_reasons(&mut overview.syncs).await?;
    let view = |sync| SyncView::new(sync, overview.at);
    let template = OverviewPage {
        shell,
        headline,
        moved,
        is_good: needing == 0,
        needing: overview.syncs.iter().take(needing.min(CARDS_MAX)).map(view).collect(),
        more_needing: needing.saturating_sub(CARDS_MAX),
        all: (count > SYNCS_MAX).then(|| format!("All {} syncs", number(count as u64))),
        syncs: overview.syncs.iter().map(view).collect(),
        chart: chart::hours(&overview.hours),
    };
    shell::page(&headers, &template)
}
