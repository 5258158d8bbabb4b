//! `/failed-rows`: groups, one group, one row, and what a retry would do.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidegate_engine::service::Engine;
use tidegate_model::SyncId;
use tidegate_model::address::encoded;
use tidegate_model::store::{FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, StatusKind};

use super::shell::{self, Failure, Shell};
use super::show::{self, count, number};
use super::views::{GroupView, RowView, group_query};
use crate::api::{after, after_group, group_position, position, row_key};

/// Rows of a page.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "groups.html")]
struct GroupsPage {
    shell: Shell,
    groups: Vec<GroupView>,
    /// The next page, if there is one.
    next: Option<String>,
    headline: String,
    /// Whether a row was ever sent or tried.
    has_run: bool,
}

/// Groups on a page.
const GROUPS: usize = 50;

/// Which part of the groups is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    /// After which group.
    after: Option<String>,
}

pub(super) async fn groups(
    State(engine): State<Arc<Engine>>,
    part: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Part { after }) = part?;
    let is_first = after.is_none();
    let query = FailedRowGroupQuery {
        after: after.as_deref().and_then(group_position),
        limit: GROUPS + 1,
        ..FailedRowGroupQuery::default()
    };
    let mut groups = engine.failed_row_groups(&query).await?;
    let has_more = groups.len() > GROUPS;
    groups.truncate(GROUPS);
    let shell = Shell::new(&engine, "Failed rows", "/failed-rows").await?;
    // The same reason in two syncs is two groups.
    let reasons: BTreeSet<_> =
        groups.iter().map(|group| (group.status.as_str(), &group.reason.code)).collect();
    let headline = match (shell.failed_rows, reasons.len()) {
        (0, _) => "No failed rows".to_owned(),
        (1, _) => "1 row failed".to_owned(),
        // The page has all groups.
        (rows, 1) if is_first && !has_more => format!("{} rows failed for one reason", number(rows)),
        (rows, reasons) if is_first && !has_more => {
            format!("{} rows failed for {reasons} reasons", number(rows))
        }
        (rows, _) => format!("{} rows failed", number(rows)),
    };
    let next = groups.last().filter(|_| has_more);
    let next = next.map(|group| format!("/failed-rows?after={}", after_group(group)));
    let groups = groups.iter().map(|group| GroupView::new(group, shell.now)).collect();
    let has_run = !engine.runs(None, 1).await?.is_empty();
    shell::page(&headers, &GroupsPage { shell, groups, next, headline, has_run })
}

/// Which failed rows.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Filter {
    pub(super) sync: String,
    pub(super) status: Option<StatusKind>,
    pub(super) reason: Option<String>,
    pub(super) row: Option<String>,
    pub(super) after: Option<String>,
}

#[derive(Template)]
#[template(path = "group.html")]
struct GroupPage {
    shell: Shell,
    group: Option<GroupView>,
    sync: String,
    rows: Vec<RowView>,
    older: Option<String>,
    csv: String,
    ndjson: String,
}

pub(super) async fn group(
    State(engine): State<Arc<Engine>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(filter) = filter?;
    let sync = SyncId::new(&filter.sync);
    let found = find_group(&engine, &filter).await?;
    let query = FailedRowQuery {
        sync: Some(sync),
        status: filter.status,
        reason: filter.reason.clone(),
        after: filter.after.as_deref().and_then(position),
        limit: SHOWN + 1,
        ..FailedRowQuery::default()
    };
    let mut rows = engine.find_failed_rows(&query).await?;
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    let older = rows.last().filter(|_| more).map(|row| {
        let status = filter.status.unwrap_or(row.entry.status);
        let names = group_query(&filter.sync, status, filter.reason.as_deref().unwrap_or_default());
        format!("/failed-rows/group?{names}&after={}", after(row))
    });
    let title = found.as_ref().map_or("Failed rows".to_owned(), |group| group.reason.message.clone());
    let shell = Shell::new(&engine, title, "/failed-rows").await?;
    let template = GroupPage {
        group: found.as_ref().map(|group| GroupView::new(group, shell.now)),
        rows: rows.iter().map(|row| RowView::new(row, shell.now)).collect(),
        csv: export(&filter, "csv"),
        ndjson: export(&filter, "ndjson"),
        sync: filter.sync,
        older,
        shell,
    };
    shell::page(&headers, &template)
}

/// The address of all rows of a group, in a format.
fn export(filter: &Filter, format: &str) -> String {
    let mut address = format!("/api/v1/failed-rows?format={format}&sync={}", encoded(&filter.sync));
    if let Some(status) = filter.status {
        address.push_str(&format!("&status={}", status.as_str()));
    }
    if let Some(reason) = &filter.reason {
        address.push_str(&format!("&reason={}", encoded(reason)));
    }
    address
}

async fn find_group(engine: &Engine, filter: &Filter) -> Result<Option<FailedRowGroup>, Failure> {
    let query = FailedRowGroupQuery::all_of(Some(&SyncId::new(&filter.sync)));
    let groups = engine.failed_row_groups(&query).await?;
    Ok(groups.into_iter().find(|group| {
        filter.status == Some(group.status) && filter.reason.as_deref() == Some(&*group.reason.code)
    }))
}

#[derive(Template)]
#[template(path = "row.html")]
struct RowPage {
    shell: Shell,
    row: RowView,
}

pub(super) async fn row(
    State(engine): State<Arc<Engine>>,
    Path((sync, row)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let gone = || {
        Failure::not_found(
            "This row is not open any more.",
            "It was delivered since, or its sync was changed. The list of failed rows shows what is open.",
        )
    };
    let key = row_key(&row).ok_or_else(gone)?;
    let found = engine.failed_row(&SyncId::new(&sync), key).await?.ok_or_else(gone)?;
    let title = format!("Failed row of {sync}");
    let shell = Shell::new(&engine, title, "/failed-rows").await?;
    let row = RowView::new(&found, shell.now);
    shell::page(&headers, &RowPage { shell, row })
}

#[derive(Template)]
#[template(path = "retry.html")]
struct RetryPage {
    shell: Shell,
    sync: String,
    status: &'static str,
    reason: Option<String>,
    row: Option<String>,
    message: String,
    headline: String,
    destination: String,
    is_in_doubt: bool,
    back: String,
}

/// What a retry would do, before it does it.
pub(super) async fn plan(
    State(engine): State<Arc<Engine>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(filter) = filter?;
    let sync = shell::known(&engine, &filter.sync)?;
    let group = find_group(&engine, &filter).await?;
    let rows = match (&filter.row, &group) {
        (Some(_), _) => 1,
        (None, Some(group)) => group.rows,
        (None, None) => 0,
    };
    if rows == 0 {
        return Err(Failure::not_found(
            "These rows are not open any more.",
            "They were delivered since. The list of failed rows shows what is open.",
        ));
    }
    let destination = engine.sync(&sync)?.destination().to_string();
    let status = filter.status.unwrap_or(StatusKind::Rejected);
    let names = group_query(&filter.sync, status, filter.reason.as_deref().unwrap_or_default());
    let template = RetryPage {
        shell: Shell::new(&engine, "Retry", "/failed-rows").await?,
        headline: format!("Retry {}", count(rows, "row", "rows")),
        message: group.map(|group| show::prose(&group.reason.message)).unwrap_or_default(),
        sync: filter.sync,
        status: status.as_str(),
        reason: filter.reason,
        row: filter.row,
        destination,
        is_in_doubt: status == StatusKind::InDoubt,
        back: format!("/failed-rows/group?{names}"),
    };
    shell::page(&headers, &template)
}
