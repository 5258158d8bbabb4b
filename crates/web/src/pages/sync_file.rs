//! `/syncs/{sync}/edit/file` and `/syncs/{sync}/edit/mapping`: the lines of a sync in the project file, edited beside
//! what real rows become by them.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{ActiveProject, Visitor};
use tidegate_model::SyncId;
use tidegate_model::address::encoded;

use super::preview::{Records, records};
use super::project::Judged;
use super::shell::{self, Failure, Shell, known};
use crate::access::{NotNoted, Subject};

/// The lines of a sync that a page edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    File,
    Mapping,
}

impl Part {
    fn of(word: &str) -> Option<Part> {
        match word {
            "file" => Some(Part::File),
            "mapping" => Some(Part::Mapping),
            _ => None,
        }
    }

    fn path(self, sync: &str) -> Vec<&str> {
        match self {
            Part::File => vec!["syncs", sync],
            Part::Mapping => vec!["syncs", sync, "mapping"],
        }
    }
}

#[derive(Template)]
#[template(path = "sync_file.html")]
struct EditPage {
    shell: Shell,
    sync: String,
    path: String,
    part: &'static str,
    /// `None` if the lines do not stand alone.
    lines: Option<String>,
    version: String,
    height: usize,
    read_only: bool,
    sees_rows: bool,
    saved: bool,
    /// Whether it is asked to save what cannot run.
    may_be_forced: bool,
    judged: Option<Judged>,
    records: Option<Records>,
}

/// What was done right before.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    done: String,
}

pub(super) async fn page(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    Path((sync, part)): Path<(String, String)>,
    Query(Done { done }): Query<Done>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let engine = project.engine();
    let (id, part) = (known(&engine, &sync)?, part_of(&part)?);
    let lines = project.lines_of(&part.path(&sync));
    let mut page = EditPage::new(&project, &visitor, &id, part, lines).await?;
    page.saved = done == "saved";
    if engine.import_spec(&id).is_ok() && page.lines.is_some() {
        page.records = Some(records(&engine, &id, visitor.rows).await);
    }
    shell::page(&headers, &page)
}

fn part_of(word: &str) -> Result<Part, Failure> {
    Part::of(word).ok_or_else(|| {
        Failure::not_found(
            "There is nothing at this address.",
            "Next: the page of the sync leads to its parts.",
        )
    })
}

impl EditPage {
    async fn new(
        project: &ActiveProject,
        visitor: &Visitor,
        id: &SyncId,
        part: Part,
        lines: Option<String>,
    ) -> Result<EditPage, Failure> {
        let engine = project.engine();
        Ok(EditPage {
            shell: Shell::new(&engine, id.as_str(), "/syncs").await?,
            sync: id.to_string(),
            path: format!("/syncs/{}", encoded(id.as_str())),
            part: match part {
                Part::File => "file",
                Part::Mapping => "mapping",
            },
            height: lines.as_deref().map_or(0, |lines| lines.lines().count()).clamp(6, 30) + 2,
            lines,
            version: project.text()?.version,
            read_only: project.is_read_only(),
            sees_rows: visitor.rows,
            saved: false,
            may_be_forced: false,
            judged: None,
            records: None,
        })
    }
}

/// Lines that are to be looked at or saved.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    lines: String,
    version: String,
    #[serde(default)]
    act: String,
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    Path((sync, part)): Path<(String, String)>,
    headers: HeaderMap,
    form: Result<Form<Sent>, FormRejection>,
) -> Result<Response, Failure> {
    let (id, part) = (known(&project.engine(), &sync)?, part_of(&part)?);
    let Form(Sent { lines, version, act }) = form?;
    let lines = lines.replace("\r\n", "\n");
    let mut page = EditPage::new(&project, &visitor, &id, part, Some(lines.clone())).await?;
    match project.draft_of(&part.path(&sync), &lines, Some(&version)).await {
        Ok(draft) => {
            if act != "anyway" && draft.engine.import_spec(&id).is_ok() {
                page.records = Some(records(&draft.engine, &id, visitor.rows).await);
            }
            // One verdict: what cannot run is not called valid, and is saved if a person says so twice.
            let fails = page.records.as_mut().and_then(|records| records.trouble.take());
            if fails.is_some() {
                page.records = None;
            }
            page.may_be_forced = act == "save" && fails.is_some();
            let saves = act == "anyway" || (act == "save" && fails.is_none());
            match saves {
                true => match project.activate_draft(&draft).await {
                    Ok(proposal) => {
                        let said = proposal.changes.to_string().replace('\n', ", ");
                        let there = Redirect::to(&format!("{}/edit/{}?done=saved", page.path, page.part));
                        return Ok((Extension(Subject(said)), there).into_response());
                    }
                    Err(refusal) => page.judged = Some(Judged::refused(refusal)),
                },
                false => page.judged = Some(Judged { fails, ..Judged::valid(draft.proposal) }),
            }
        }
        Err(refusal) => page.judged = Some(Judged::refused(refusal)),
    }
    page.version = version;
    Ok((Extension(NotNoted), shell::page(&headers, &page)?).into_response())
}
