//! `/events`: do events arrive, and are they exported?

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidegate_engine::service::Engine;

use super::shell::{self, Failure, Shell};
use super::show::{ago, number};
use super::views::SyncView;

/// Whether to count the kinds, which reads the whole log.
#[derive(Debug, Deserialize)]
pub(super) struct Count {
    count: Option<String>,
}

/// A stream of events.
struct StreamView {
    name: String,
    kind: String,
    path: String,
    events: String,
    is_empty: bool,
}

/// An export that reads a stream.
struct ExportView {
    sync: SyncView,
    behind: String,
    is_behind: bool,
}

/// Events of one kind.
struct KindView {
    stream: String,
    kind: String,
    events: String,
    last: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    streams: Vec<StreamView>,
    exports: Vec<ExportView>,
    kinds: Vec<KindView>,
    is_counted: bool,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    count: Result<Query<Count>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Count { count }) = count?;
    let shell = Shell::new(&engine, "Events", "/events").await?;
    let now = shell.now;
    let mut exports = engine.overview().await?.syncs;
    exports.retain(|sync| sync.status.object == "events");
    engine.read_reasons(&mut exports).await?;
    let exports = exports.iter().map(|sync| {
        let behind = sync.status.lag.iter().map(|lag| lag.behind).sum();
        ExportView { sync: SyncView::new(sync, now), behind: number(behind), is_behind: behind > 0 }
    });
    let streams = engine.streams().await?.into_iter().map(|stream| StreamView {
        name: stream.connection,
        kind: stream.kind,
        path: stream.path,
        events: number(stream.events),
        is_empty: stream.events == 0,
    });
    let kinds = match count.is_some() {
        true => engine.event_counts(None).await?,
        false => Vec::new(),
    };
    let template = EventsPage {
        streams: streams.collect(),
        exports: exports.collect(),
        kinds: (kinds.into_iter())
            .map(|kind| KindView {
                stream: kind.stream.to_string(),
                kind: kind.kind,
                events: number(kind.events),
                last: ago(kind.last, now),
            })
            .collect(),
        is_counted: count.is_some(),
        shell,
    };
    shell::page(&headers, &template)
}
