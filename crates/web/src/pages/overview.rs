//! `/`: is anything wrong, and what is there to do?

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tidegate_engine::service::{Engine, Overview};
use tidegate_model::Error;

use super::chart::{self, HoursChart};
use super::live::{self, LiveParts};
use super::shell::{self, Failure, Shell};
use super::show::number;
use super::text;
use super::views::SyncView;
use crate::Serving;

/// Syncs that need a person and have a card.
const CARDS_MAX: usize = 12;
/// Syncs in the table.
const SYNCS_MAX: usize = 50;
/// How often it is looked whether anything changed, while someone looks at the page.
const LOOK: Duration = Duration::from_secs(1);
/// Looking takes at most one thirtieth of the time.
const SHARE: u32 = 30;
/// How often the part is made again if nothing changed: it says how long ago things were.
const AGING: Duration = Duration::from_secs(15);

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    live: String,
}

/// The part of the page that changes while it is looked at.
#[derive(Template)]
#[template(path = "overview_live.html")]
struct Live<'a> {
    shell: &'a Shell,
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
    let overview = engine.overview().await?;
    let shell = Shell::new(&engine, "Overview", "/").await?;
    let live = live_part(&engine, &shell, overview).await?;
    shell::page(&headers, &OverviewPage { shell, live })
}

async fn live_part(engine: &Engine, shell: &Shell, mut overview: Overview) -> Result<String, Failure> {
    let (headline, moved, count) = (text::headline(&overview), text::moved(&overview), overview.syncs.len());
    let needing = overview.syncs.iter().filter(|sync| sync.health.needs_a_person()).count();
    // Those that need a person come first.
    overview.syncs.truncate(SYNCS_MAX);
    engine.read_recent_runs(&mut overview.syncs).await?;
    engine.read_reasons(&mut overview.syncs).await?;
    let view = |sync| SyncView::new(sync, overview.at);
    let live = Live {
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
    live.render()
        .map_err(|cause| Failure::from(Error::internal("the overview could not be shown").caused_by(cause)))
}

/// The changes of the overview, as parts of its page.
pub(super) async fn live(State(serving): State<Serving>, State(parts): State<LiveParts>) -> Response {
    parts.follow("/".to_owned(), || versions(serving))
}

/// Returns the part each time that anything in it has changed.
fn versions(serving: Serving) -> BoxStream<'static, String> {
    let begin = (serving, None, LOOK);
    let versions = stream::unfold(begin, |(serving, mut seen, mut rest)| async move {
        loop {
            live::pause(rest).await;
            let began = Instant::now();
            let newer = newer(&serving, seen).await;
            rest = LOOK.max(SHARE * began.elapsed());
            match newer {
                Ok(Some((part, digest))) => {
                    return Some((part, (serving, Some((digest, Instant::now())), rest)));
                }
                Ok(None) => {}
                // The page keeps what it shows; the next look may succeed.
                Err(_) => seen = None,
            }
        }
    });
    versions.boxed()
}

/// Returns the part and a hash of what it shows, unless that is the version that was seen, and not long ago.
async fn newer(serving: &Serving, seen: Option<(u64, Instant)>) -> Result<Option<(String, u64)>, Failure> {
    let engine: Arc<Engine> = serving.engine();
    let overview = engine.overview().await?;
    let digest = digest(&overview)?;
    if seen.is_some_and(|(before, at)| before == digest && at.elapsed() < AGING) {
        return Ok(None);
    }
    let shell = Shell::new(&engine, "Overview", "/").await?;
    let part = live_part(&engine, &shell, overview).await?;
    let part = format!("<hx-partial hx-target=\"#overview\" hx-swap=\"outerMorph\">{part}</hx-partial>");
    Ok(Some((part, digest)))
}

/// Returns a hash of everything but the time.
fn digest(overview: &Overview) -> Result<u64, Failure> {
    let Overview { at: _, syncs, failed_rows, hours } = overview;
    let bytes = serde_json::to_vec(&(syncs, failed_rows, hours))
        .map_err(|cause| Failure::from(Error::internal("the overview has no JSON form").caused_by(cause)))?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(hasher.finish())
}
