//! `/project`: the project file, edited as a whole.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{ActiveProject, Expected, Finding, Proposal, Refusal, Visitor};
use tidegate_model::people::Role;

use super::shell::{self, Failure, Shell};
use super::show;
use crate::access::{NotNoted, Subject};

/// Something that is wrong with a text, or worth knowing.
pub(super) struct FindingView {
    pub(super) line: usize,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) next: String,
    /// The name and the label of the field of a form that it is about, if there is one.
    pub(super) field: Option<(String, String)>,
}

impl From<Finding> for FindingView {
    fn from(Finding { at, path, message, next }: Finding) -> FindingView {
        FindingView {
            line: at.line,
            path,
            message: show::prose(&message),
            next: show::prose(&next),
            field: None,
        }
    }
}

/// What became of a text that was sent.
#[derive(Default)]
pub(super) struct Judged {
    /// What would change, a line each; empty if nothing would.
    pub(super) changes: Vec<String>,
    pub(super) is_valid: bool,
    /// Why it was not taken.
    pub(super) refused: Option<(String, String)>,
    pub(super) findings: Vec<FindingView>,
    /// Why a sync could not run by a text that is valid, and what to do about it.
    pub(super) fails: Option<(String, String)>,
}

impl Judged {
    /// What a proposal would change.
    pub(super) fn valid(proposal: Proposal) -> Judged {
        let Proposal { changes, notes, after_restart, .. } = proposal;
        let said = changes.to_string();
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.extend(after_restart.iter().map(|key| format!("`{key}` counts from the next start")));
        Judged {
            changes: lines,
            is_valid: true,
            findings: notes.into_iter().map(FindingView::from).collect(),
            ..Judged::default()
        }
    }

    /// Why it is refused.
    pub(super) fn refused(refusal: Refusal) -> Judged {
        let why = match refusal {
            Refusal::Invalid(invalid) => {
                let findings = invalid.errors.into_iter().map(FindingView::from).collect();
                return Judged { findings, ..Judged::default() };
            }
            Refusal::Stale(_) => (
                "The project was changed meanwhile, by another person or in its file.".to_owned(),
                "Copy your text, load this page again, and make your change there.".to_owned(),
            ),
            Refusal::ReadOnly => (
                "This server was started with <code>--read-only-project</code>.".to_owned(),
                "Change the file where it comes from; SIGHUP lets the server read it again.".to_owned(),
            ),
            Refusal::Failed(error) => (show::prose(&error.chain()), show::prose(error.next_step())),
        };
        Judged { refused: Some(why), ..Judged::default() }
    }
}

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    shell: Shell,
    yaml: String,
    version: String,
    is_active: bool,
    read_only: bool,
    rows: usize,
    saved: bool,
    judged: Option<Judged>,
}

impl ProjectPage {
    async fn new(project: &ActiveProject, yaml: String, version: String) -> Result<ProjectPage, Failure> {
        let shell = Shell::new(&project.engine(), "Project file", "/connections").await?;
        let is_active = project.text()?.is_active;
        let rows = yaml.lines().count().clamp(12, 40) + 2;
        let read_only = project.is_read_only();
        Ok(ProjectPage { shell, yaml, version, is_active, read_only, rows, saved: false, judged: None })
    }
}

/// What was done right before.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

pub(super) async fn page(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    axum::extract::Query(Done { done }): axum::extract::Query<Done>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let text = match visitor.role >= Role::Admin {
        true => project.text()?,
        false => project.text_without_secrets().map_err(Failure::forbidden)?,
    };
    let mut template = ProjectPage::new(&project, text.yaml, text.version).await?;
    template.saved = done == "saved";
    shell::page(&headers, &template)
}

/// A text that is to be checked or saved.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    yaml: String,
    version: String,
    #[serde(default)]
    act: String,
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    headers: HeaderMap,
    form: Result<Form<Sent>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Sent { yaml, version, act }) = form?;
    // Forms send each end of a line as two characters.
    let yaml = yaml.replace("\r\n", "\n");
    let expected = Expected::Versions(vec![version.clone()]);
    let judged = if act == "save" {
        match project.replace(&yaml, &expected).await {
            Ok(proposal) => {
                let said = proposal.changes.to_string().replace('\n', ", ");
                let there = Redirect::to("/project?done=saved");
                return Ok((Extension(Subject(said)), there).into_response());
            }
            Err(refusal) => Judged::refused(refusal),
        }
    } else {
        match project.propose(&yaml, &expected).await {
            Ok(proposal) => Judged::valid(proposal),
            Err(refusal) => Judged::refused(refusal),
        }
    };
    let mut template = ProjectPage::new(&project, yaml, version).await?;
    template.judged = Some(judged);
    Ok((Extension(NotNoted), shell::page(&headers, &template)?).into_response())
}
