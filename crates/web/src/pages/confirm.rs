//! `/syncs/{sync}/confirm`: what a run would do that waits for a person, and the button that lets it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{ConfirmedRows, Engine, Plan, RunMode};
use tidegate_model::address::encoded;
use tidegate_model::{Progress, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actions;
use super::shell::{self, Failure, Shell, known};
use super::show::{self, count, number};
use crate::access::Subject;

/// How long a page waits for a plan: the server answers within a minute.
const PATIENCE: Duration = Duration::from_secs(50);

/// What is confirmed, as the page showed it, and the number that was typed.
#[derive(Debug, Deserialize)]
pub(super) struct Confirmation {
    added: u64,
    changed: u64,
    removed: u64,
    /// The number of rows that a person has to type.
    rows: u64,
    #[serde(default)]
    typed: String,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    shell: Shell,
    sync: String,
    label: String,
    path: String,
    /// What the run would do that is beyond a limit, as a sentence; `None` if nothing holds it.
    effect: Option<String>,
    /// Why it stops besides, and the next step, as HTML.
    reasons: Vec<String>,
    /// Numbers, with what they count.
    numbers: Vec<(&'static str, String)>,
    requests: Vec<String>,
    takes: String,
    shown: ConfirmedRows,
    rows: u64,
    shown_rows: String,
    is_held: bool,
    /// Why there is no plan, as HTML.
    failed: Option<String>,
    mistyped: bool,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = known(&engine, &sync)?;
    shell::page(&headers, &ConfirmPage::new(&engine, &id).await?)
}

/// Lets the run go up to what was shown. A run that would do more sends nothing, and says so.
pub(super) async fn send(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Confirmation>, FormRejection>,
) -> Result<Response, Failure> {
    let id = known(&engine, &sync)?;
    let Form(Confirmation { added, changed, removed, rows, typed }) = form?;
    // People type the separators that the page shows.
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    if digits.parse() != Ok(rows) {
        let page = ConfirmPage { mistyped: true, ..ConfirmPage::new(&engine, &id).await? };
        return shell::page_of_failure(&headers, &page);
    }
    let shown = ConfirmedRows { added, changed, removed };
    let there = actions::start(&engine, &id, RunMode::Shown(shown)).await?;
    let said = format!("{id}, up to {added} added, {changed} changed and {removed} removed rows");
    Ok((Extension(Subject(said)), there).into_response())
}

impl ConfirmPage {
    async fn new(engine: &Engine, id: &SyncId) -> Result<ConfirmPage, Failure> {
        let stop = CancellationToken::new();
        let _stopped = stop.clone().drop_guard();
        let plan = engine.plan(id, 0, stop, watch::Sender::new(Progress::default()));
        let plan = tokio::time::timeout(PATIENCE, plan).await.map_err(|_| {
            Failure::failed(
                format!("What the run of {id} would do was not known within {} seconds.", PATIENCE.as_secs()),
                format!(
                    "Run `tidegate plan {id}` on the server, then `tidegate run {id} --plan` with its id."
                ),
            )
        })??;
        let shell = Shell::new(engine, format!("Confirm the run of {id}"), "/syncs").await?;
        let sync = engine.sync(id)?;
        Ok(ConfirmPage::of(shell, id, sync.destination().as_str(), &plan))
    }

    fn of(shell: Shell, id: &SyncId, destination: &str, plan: &Plan) -> ConfirmPage {
        let shown = plan.confirmed();
        let counts = &plan.run.counts;
        let rows = match &plan.exceeds {
            Some(exceeds) => exceeds.rows,
            None => counts.delivered,
        };
        let mut numbers = Vec::new();
        if let Some(compared) = &plan.run.compared {
            numbers.push(("Rows that are new at the source", number(compared.added)));
            numbers.push(("Rows that have changed", number(compared.changed)));
            numbers.push(("Rows that are gone from the source", number(compared.removed)));
            numbers.push(("Rows that are as they were sent", number(compared.unchanged)));
        }
        numbers.push(("Rows that would be delivered", number(counts.delivered)));
        numbers.push(("Rows that would be rejected", number(counts.rejected)));
        let reasons = plan.caveats.iter().take(usize::from(plan.stops));
        ConfirmPage {
            sync: id.to_string(),
            label: show::name(id.as_str()),
            path: format!("/syncs/{}", encoded(id.as_str())),
            effect: plan.exceeds.as_ref().map(|exceeds| {
                show::marked(&format!(
                    "The run would {}. `limits: {{ {} }}` allows {}.",
                    exceeds.effect,
                    exceeds.limit,
                    number(exceeds.allowed)
                ))
            }),
            reasons: reasons
                .map(|caveat| show::with_next(&format!("{}. Next: {}", caveat.message, caveat.next_step)))
                .collect(),
            numbers,
            requests: plan
                .requests
                .iter()
                .map(|(kind, requests)| format!("{} of {kind}", count(requests.count, "request", "requests")))
                .map(|requests| format!("{requests} at {destination}"))
                .collect(),
            takes: plan
                .pace
                .filter(|pace| pace.takes_seconds > 0)
                .map(|pace| show::span(i64::try_from(pace.takes_seconds).unwrap_or(i64::MAX)))
                .unwrap_or_default(),
            shown,
            rows,
            shown_rows: number(rows),
            is_held: plan.exceeds.is_some() || plan.stops,
            failed: plan.run.error.as_deref().filter(|_| plan.id.is_none()).map(show::with_next),
            mistyped: false,
            shell,
        }
    }
}
