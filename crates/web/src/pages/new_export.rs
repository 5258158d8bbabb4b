//! `/exports/new`: an export, from a connection that events come in through to one that takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{ActiveProject, Draft, Engine, ExportForm, Refusal, Section, filled};
use tidegate_model::address::encoded;
use tidegate_model::{ConnectionId, SyncId};

use super::connection_form::{CheckView, FieldView, judged};
use super::project::Judged;
use super::shell::{self, Failure, Shell};
use super::views::with_edit_path;
use crate::access::{NotNoted, Subject};

/// Between which connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ends {
    from: String,
    to: String,
}

/// A connection to choose.
struct Choice {
    name: String,
    kind: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "new_export.html")]
struct ExportPage {
    shell: Shell,
    ends: Ends,
    /// Its connections, with the pages that change and check them.
    connections: Vec<(String, String)>,
    sources: Vec<Choice>,
    sinks: Vec<Choice>,
    form: Option<FormView>,
    yaml: Option<String>,
    checks: Option<Vec<CheckView>>,
    passed: bool,
    judged: Option<Judged>,
}

/// The settings of the export, once both connections are chosen.
struct FormView {
    name: String,
    kinds: String,
    required: Vec<FieldView>,
    optional: Vec<FieldView>,
}

impl ExportPage {
    async fn new(
        engine: &Engine,
        ends: Ends,
        given: &BTreeMap<String, String>,
    ) -> Result<ExportPage, Failure> {
        let infos = engine.connector_infos();
        let choices = |chosen: &str, fits: fn(&tidegate_engine::service::ConnectorInfo) -> bool| {
            let all = engine.connections().into_iter();
            let fitting = all.filter(|one| infos.iter().any(|info| info.name == one.kind && fits(info)));
            fitting
                .map(|one| Choice {
                    is_chosen: one.connection == chosen,
                    name: one.connection,
                    kind: one.title,
                })
                .collect::<Vec<Choice>>()
        };
        let (sources, sinks) = (choices(&ends.from, |info| info.ingest), choices(&ends.to, |info| info.sink));
        let are_chosen = [&sources, &sinks].iter().all(|choices| choices.iter().any(|one| one.is_chosen));
        let form = are_chosen.then(|| FormView::new(engine, &ends, given));
        Ok(ExportPage {
            shell: Shell::new(engine, "New export", "/syncs").await?,
            sources,
            sinks,
            form,
            yaml: None,
            checks: None,
            passed: false,
            judged: None,
            connections: [&ends.from, &ends.to].map(|name| with_edit_path(name.clone())).into(),
            ends,
        })
    }

    fn refuse(&mut self, refusal: Refusal, id: &SyncId) {
        let path = format!("syncs.{id}.destination");
        self.judged = Some(match &mut self.form {
            Some(form) => judged(refusal, &path, &mut [&mut form.required, &mut form.optional]),
            None => Judged::refused(refusal),
        });
    }
}

impl FormView {
    /// Whether something is wrong with a field that is folded away.
    fn is_unfolded(&self) -> bool {
        self.optional.iter().any(|view| !view.error.is_empty())
    }

    fn new(engine: &Engine, ends: &Ends, given: &BTreeMap<String, String>) -> FormView {
        let fields = engine.sink_fields(&ConnectionId::new(&ends.to));
        let views = fields.iter().map(|field| (field.required, FieldView::new(field, given)));
        let (required, optional): (Vec<_>, Vec<_>) = views.partition(|(required, _)| *required);
        let name = match given.get("sync_name") {
            Some(name) => name.clone(),
            None => engine.free_name(Section::Syncs, &format!("{}_to_{}", ends.from, ends.to)),
        };
        FormView {
            name,
            kinds: given.get("kinds").cloned().unwrap_or_default(),
            required: required.into_iter().map(|(_, view)| view).collect(),
            optional: optional.into_iter().map(|(_, view)| view).collect(),
        }
    }
}

pub(super) async fn page(
    State(project): State<Arc<ActiveProject>>,
    Query(ends): Query<Ends>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let page = ExportPage::new(&project.engine(), ends, &BTreeMap::new()).await?;
    shell::page(&headers, &page)
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    headers: HeaderMap,
    given: Result<Form<BTreeMap<String, String>>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(given) = given?;
    let engine = project.engine();
    let text = |name: &str| given.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let ends = Ends { from: text("from"), to: text("to") };
    let (id, act) = (SyncId::new(text("sync_name")), text("act"));
    let mut page = ExportPage::new(&engine, ends.clone(), &given).await?;
    match drafted(&project, &engine, &ends, &given, &id, act == "draft").await {
        Err(refusal) => page.refuse(refusal, &id),
        Ok(draft) if act == "look" => {
            page.yaml = Some(draft.lines.clone());
            let report = draft.engine.check_sync(&id).await?;
            page.passed = report.checks.passed();
            page.checks = Some(report.checks.0.into_iter().map(CheckView::from).collect());
        }
        Ok(draft) => match project.activate_draft(&draft).await {
            Ok(_) => {
                let done = if act == "draft" { "drafted" } else { "activated" };
                let there = Redirect::to(&format!("/syncs/{}?done={done}", encoded(id.as_str())));
                return Ok((Extension(Subject(format!("+ sync {id}"))), there).into_response());
            }
            Err(refusal) => page.refuse(refusal, &id),
        },
    }
    Ok((Extension(NotNoted), shell::page(&headers, &page)?).into_response())
}

/// Makes a draft of the project with the export that is filled in.
async fn drafted(
    project: &ActiveProject,
    engine: &Engine,
    ends: &Ends,
    given: &BTreeMap<String, String>,
    id: &SyncId,
    is_draft: bool,
) -> Result<Draft, Refusal> {
    if engine.has_entry(Section::Syncs, id.as_str()) {
        let error = tidegate_model::Error::settings(format!("there is a sync `{id}` already"));
        return Err(error.hint("give this one another name").into());
    }
    let fields = engine.sink_fields(&ConnectionId::new(&ends.to));
    let target = filled(&fields, given, |_, text| serde_json::Value::String(text.to_owned()));
    let kinds = given.get("kinds").map(String::as_str).unwrap_or_default();
    let kinds = kinds.split([',', ' ', '\n']).map(str::trim).filter(|kind| !kind.is_empty());
    let form = ExportForm {
        from: ends.from.clone(),
        kinds: kinds.map(str::to_owned).collect(),
        to: ends.to.clone(),
        target,
        is_draft,
    };
    project.draft(Section::Syncs, id.as_str(), &form.settings()).await
}
