//! The project: its text, and changes of it as a whole.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_engine::service::{self, ActiveProject, Expected, Proposal, Refusal, Visitor};
use tidegate_model::ErrorKind;
use tidegate_model::people::Role;
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::problem::Fault;
use crate::access::{NotNoted, Subject};

/// The largest project file.
const BYTES_MAX: usize = 1 << 20;

/// Whether a change is only tried.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Trial {
    /// Answer what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a new version of the project changes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProjectChange {
    /// The version that was sent; also the `ETag`.
    version: String,
    /// Whether it is active now: false after a dry run.
    applied: bool,
    /// Whether a connection, a sync or a setting changes. Comments and layout are no changes.
    changed: bool,
    connections: Names,
    /// The syncs, without those of which only a connection changes.
    syncs: Names,
    /// Other keys of the file that change: `alerts`, `retention`.
    settings: Vec<&'static str>,
    /// What works but could surprise.
    notes: Vec<Fault>,
    /// What counts only after the next start of the server.
    after_restart: Vec<&'static str>,
}

/// Names of what is added, changed and removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Names {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl From<service::NameChanges> for Names {
    fn from(names: service::NameChanges) -> Names {
        Names { added: names.added, changed: names.changed, removed: names.removed }
    }
}

impl ProjectChange {
    fn of(proposal: Proposal, applied: bool) -> ProjectChange {
        let Proposal { version, changes, notes, after_restart } = proposal;
        ProjectChange {
            version,
            applied,
            changed: !changes.is_empty(),
            connections: changes.connections.into(),
            syncs: changes.syncs.into(),
            settings: changes.settings,
            notes: notes.into_iter().map(Fault::from).collect(),
            after_restart,
        }
    }
}

/// Returns the project file as it is, with its version as `ETag`.
#[utoipa::path(get, path = "/project", operation_id = "get_project", tag = "project",
    responses((status = 200, body = Value, content_type = "application/yaml", description = "The text of the file"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "A secret is written out in it, and the visitor is no admin"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The file cannot be read")))]
pub(super) async fn get_project(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let text = project.text()?;
    let tag = format!("\"{}\"", text.version);
    if let Err(problem) = may_see(&project, &visitor) {
        // Its version is no secret: with it the project can be replaced.
        let mut answer = problem.into_response();
        add_tag(&mut answer, &tag);
        return Ok(answer);
    }
    let known = versions(&asked, &header::IF_NONE_MATCH).unwrap_or_default().contains(&text.version);
    let mut answer = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], text.yaml).into_response(),
    };
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    add_tag(&mut answer, &tag);
    Ok(answer)
}

/// Replaces the project file and activates it, at once and as a whole. Runs that are under way finish with
/// what they began with. `If-Match` says which version it is made from.
#[utoipa::path(put, path = "/project", operation_id = "put_project", tag = "project",
    params(Trial, ("If-Match" = String, Header, description = "The version that is replaced, as in the `ETag` of GET; `*` for any")),
    request_body(content = Value, content_type = "application/yaml", description = "The text of the file"),
    responses((status = 200, body = ProjectChange),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The server may not change its project"),
        (status = 412, body = Problem, content_type = "application/problem+json", description = "It is another version now: `version` says which"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "It is not valid: `errors` says where"),
        (status = 428, body = Problem, content_type = "application/problem+json", description = "`If-Match` is missing")))]
pub(super) async fn put_project(
    State(project): State<Arc<ActiveProject>>,
    trial: Result<Query<Trial>, QueryRejection>,
    asked: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Query(Trial { dry_run }) = trial?;
    let expected = expected(&asked)?;
    let yaml = text_of(&body)?;
    let done = match dry_run {
        true => project.propose(yaml, &expected).await,
        false => project.replace(yaml, &expected).await,
    };
    let proposal = done.map_err(Problem::from)?;
    let (tag, said) = (format!("\"{}\"", proposal.version), proposal.changes.to_string().replace('\n', ", "));
    let change = axum::Json(ProjectChange::of(proposal, !dry_run));
    let mut answer = match dry_run {
        true => (Extension(NotNoted), change).into_response(),
        false => (Extension(Subject(said)), change).into_response(),
    };
    if !dry_run {
        add_tag(&mut answer, &tag);
    }
    Ok(answer)
}

/// Checks that the project holds no secret that the visitor may not see.
fn may_see(project: &ActiveProject, visitor: &Visitor) -> Result<(), Problem> {
    if visitor.role >= Role::Admin {
        return Ok(());
    }
    match project.text_without_secrets() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Denied => {
            let problem = Problem::new(StatusCode::FORBIDDEN, "secret_written_out", error.message());
            Err(problem.remedy(error.next_step()))
        }
        Err(error) => Err(Problem::from(error)),
    }
}

fn text_of(body: &Bytes) -> Result<&str, Problem> {
    if body.len() > BYTES_MAX {
        let why = format!("a project file has at most {} KiB", BYTES_MAX >> 10);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why)
            .remedy("split it into projects of their own"));
    }
    std::str::from_utf8(body)
        .map_err(|_| Problem::invalid("the project is not UTF-8 text").remedy("save the file as UTF-8"))
}

fn expected(asked: &HeaderMap) -> Result<Expected, Problem> {
    let Some(versions) = versions(asked, &header::IF_MATCH) else {
        let why = "`If-Match` is missing: which version of the project this one replaces";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", why)
            .remedy("send the `ETag` of GET /api/v1/project as `If-Match`"));
    };
    Ok(if versions.iter().any(|version| version == "*") {
        Expected::Any
    } else {
        Expected::Versions(versions)
    })
}

/// Returns the versions that a header names; `None` without the header.
fn versions(asked: &HeaderMap, name: &header::HeaderName) -> Option<Vec<String>> {
    let tags = asked.get(name)?.to_str().unwrap_or_default();
    let version = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    Some(tags.split(',').map(version).collect())
}

fn add_tag(answer: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Stale(version) => {
                let why = "the project was changed meanwhile: it is another version now";
                Problem::new(StatusCode::PRECONDITION_FAILED, "stale", why)
                    .remedy("read it again, make your change there, and send that")
                    .version(version)
            }
            Refusal::Invalid(invalid) => {
                let many = match invalid.errors.len() {
                    1 => "an error".to_owned(),
                    many => format!("{many} errors"),
                };
                let why = format!("the project has {many}; nothing was changed");
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_project", why)
                    .remedy("correct what `errors` says, and send it again")
                    .errors(invalid.errors.into_iter().map(Fault::from).collect())
            }
            Refusal::ReadOnly => {
                let why = "this server was started with `--read-only-project`: its project changes in its file only";
                Problem::new(StatusCode::FORBIDDEN, "read_only_project", why)
                    .remedy("change the file where it comes from, and send SIGHUP to the server")
            }
            Refusal::Failed(error) => Problem::from(error),
        }
    }
}
