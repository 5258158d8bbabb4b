//! `/connections/new`: a connection is filled in, proved and saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::service::{self, ActiveProject, Draft, Engine, Field, Refusal, Section, Takes};
use tidegate_model::ConnectionId;
use tidegate_model::address::encoded;

use super::project::Judged;
use super::shell::{self, Failure, Shell};
use super::show;
use crate::access::{NotNoted, Subject};

/// A type of connection.
struct KindView {
    kind: String,
    title: String,
    roles: String,
}

#[derive(Template)]
#[template(path = "new_connection_kinds.html")]
struct KindsPage {
    shell: Shell,
    kinds: Vec<KindView>,
    query: String,
}

/// Where the wizard continues.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Onward {
    /// The source of the sync that is set up.
    from: String,
    /// Whether the connection becomes its destination.
    then: String,
}

impl Onward {
    fn query(&self) -> String {
        match (self.then.as_str(), self.from.as_str()) {
            ("", _) => String::new(),
            (then, from) => format!("?then={}&from={}", encoded(then), encoded(from)),
        }
    }

    /// The page after a connection is saved.
    fn next(&self, name: &str) -> String {
        match self.then.as_str() {
            "source" => format!("/syncs/new?from={}", encoded(name)),
            "destination" => format!("/syncs/new?from={}&to={}", encoded(&self.from), encoded(name)),
            _ => format!("/connections?saved={0}#{0}", encoded(name)),
        }
    }
}

pub(super) async fn kinds(
    State(engine): State<Arc<Engine>>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let fits = |info: &service::ConnectorInfo| match onward.then.as_str() {
        "source" => info.source,
        "destination" => !info.objects.is_empty(),
        _ => true,
    };
    let kinds = engine.connector_infos().into_iter().filter(fits).map(|info| {
        let roles = [
            (info.source, "source of rows"),
            (!info.objects.is_empty(), "takes users and events"),
            (info.ingest, "source of events"),
            (info.sink, "takes events"),
        ];
        let roles: Vec<&str> = roles.iter().filter(|(has, _)| *has).map(|(_, role)| *role).collect();
        KindView { kind: info.name.to_owned(), title: info.title.to_owned(), roles: roles.join(", ") }
    });
    let shell = Shell::new(&engine, "New connection", "/connections").await?;
    let mut kinds: Vec<KindView> = kinds.collect();
    kinds.sort_by(|one, other| one.title.cmp(&other.title));
    shell::page(&headers, &KindsPage { kinds, query: onward.query(), shell })
}

/// A field of the form, with what was filled in.
pub(super) struct FieldView {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) about: String,
    pub(super) required: bool,
    pub(super) placeholder: String,
    pub(super) value: String,
    /// `text`, `number`, `password`, `choice` or `switch`.
    pub(super) kind: &'static str,
    pub(super) choices: Vec<(String, bool)>,
}

impl FieldView {
    pub(super) fn new(field: &Field, given: &BTreeMap<String, String>) -> FieldView {
        let value = given.get(&field.name).cloned().unwrap_or_default();
        let chosen = if value.is_empty() { field.default.clone().unwrap_or_default() } else { value.clone() };
        let (kind, choices) = match &field.takes {
            Takes::Text => ("text", Vec::new()),
            Takes::Number => ("number", Vec::new()),
            Takes::Secret => ("password", Vec::new()),
            Takes::Switch => ("switch", Vec::new()),
            Takes::Choice(words) => {
                ("choice", words.iter().map(|word| (word.clone(), *word == chosen)).collect())
            }
        };
        let example = field.example.as_ref().map(|example| format!("for example {example}"));
        FieldView {
            label: field.name.replace('_', " "),
            name: field.name.clone(),
            about: show::prose(&field.about),
            required: field.required,
            placeholder: field.default.clone().or(example).unwrap_or_default(),
            // What is secret is never sent back.
            value: if kind == "password" { String::new() } else { value },
            kind,
            choices,
        }
    }
}

/// What a check found.
pub(super) struct CheckView {
    pub(super) name: String,
    pub(super) passed: bool,
    pub(super) detail: String,
    /// Statements to run.
    pub(super) remedy: Option<String>,
    /// A sentence that says what to do.
    pub(super) advice: Option<String>,
}

impl From<tidegate_model::Check> for CheckView {
    fn from(check: tidegate_model::Check) -> CheckView {
        let (remedy, advice): (Vec<_>, Vec<_>) =
            check.remedy.into_iter().partition(|remedy| remedy.contains([';', '\n']));
        CheckView {
            name: check.name,
            passed: check.passed,
            detail: show::marked(&check.detail),
            remedy: remedy.into_iter().next(),
            advice: advice.first().map(|advice| show::prose(advice)),
        }
    }
}

#[derive(Template)]
#[template(path = "new_connection.html")]
struct FormPage {
    shell: Shell,
    kind: String,
    title: String,
    name: String,
    query: String,
    required: Vec<FieldView>,
    optional: Vec<FieldView>,
    /// Secrets that are stored by now.
    stored: Vec<String>,
    setup: Option<String>,
    checks: Option<Vec<CheckView>>,
    passed: bool,
    judged: Option<Judged>,
}

pub(super) async fn form(
    State(engine): State<Arc<Engine>>,
    Path(kind): Path<String>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let name = free_name(&engine, &kind);
    let page = FormPage::new(&engine, &kind, name, &BTreeMap::new(), &onward).await?;
    shell::page(&headers, &page)
}

/// A name that no connection has.
fn free_name(engine: &Engine, kind: &str) -> String {
    let numbered = (2..).map(|number| format!("{kind}_{number}"));
    let mut names = std::iter::once(kind.to_owned()).chain(numbered);
    names.find(|name| !engine.has_entry(Section::Connections, name)).unwrap_or_default()
}

impl FormPage {
    async fn new(
        engine: &Engine,
        kind: &str,
        name: String,
        given: &BTreeMap<String, String>,
        onward: &Onward,
    ) -> Result<FormPage, Failure> {
        let fields = engine.connection_fields(kind)?;
        let info = engine.connector_infos().into_iter().find(|info| info.name == kind);
        let views = fields.iter().map(|field| (is_asked(field), FieldView::new(field, given)));
        let (required, optional): (Vec<_>, Vec<_>) = views.partition(|(asked, _)| *asked);
        let title = info.map(|info| info.title.to_owned()).unwrap_or_default();
        Ok(FormPage {
            shell: Shell::new(engine, format!("New connection: {title}"), "/connections").await?,
            kind: kind.to_owned(),
            title,
            name,
            query: onward.query(),
            required: required.into_iter().map(|(_, view)| view).collect(),
            optional: optional.into_iter().map(|(_, view)| view).collect(),
            stored: Vec::new(),
            setup: None,
            checks: None,
            passed: false,
            judged: None,
        })
    }
}

/// Whether a form asks for a setting at once: what is required, and secrets, which most systems want.
fn is_asked(field: &Field) -> bool {
    field.required || field.takes == Takes::Secret || field.name == "tls"
}

/// A form with whatever fields the type has.
type Given = Result<Form<BTreeMap<String, String>>, FormRejection>;

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    Path(kind): Path<String>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, Failure> {
    let Form(given) = given?;
    let engine = project.engine();
    let name = given.get("connection").map(|name| name.trim().to_owned()).unwrap_or_default();
    let act = given.get("act").cloned().unwrap_or_default();
    let mut page = FormPage::new(&engine, &kind, name.clone(), &given, &onward).await?;
    let drafted = drafted(&project, &engine, &kind, &name, &given).await;
    let (draft, stored) = match drafted {
        Ok(drafted) => drafted,
        Err(refusal) => {
            page.judged = Some(Judged::refused(refusal));
            return Ok((Extension(NotNoted), shell::page(&headers, &page)?).into_response());
        }
    };
    page.stored = stored;
    if act == "save" {
        match project.activate_draft(&draft).await {
            Ok(_) => {
                let subject = Extension(Subject(format!("+ connection {name}")));
                return Ok((subject, Redirect::to(&onward.next(&name))).into_response());
            }
            Err(refusal) => page.judged = Some(Judged::refused(refusal)),
        }
    } else {
        let id = ConnectionId::new(&name);
        page.setup = draft.engine.setup_of(&id).ok();
        let checks = match draft.engine.check_connection(&id).await {
            Ok(report) => report.checks.0,
            Err(error) => {
                let mut checks = tidegate_model::Checks::default();
                checks.fail("connection", error.chain(), error.next_step());
                checks.0
            }
        };
        page.passed = checks.iter().all(|check| check.passed);
        page.checks = Some(checks.into_iter().map(CheckView::from).collect());
    }
    Ok((Extension(NotNoted), shell::page(&headers, &page)?).into_response())
}

/// Makes a draft of the project with the connection. What is secret is sealed and stored first: it is never
/// sent back to the page, so that the next step finds it there.
async fn drafted(
    project: &ActiveProject,
    engine: &Engine,
    kind: &str,
    name: &str,
    given: &BTreeMap<String, String>,
) -> Result<(Draft, Vec<String>), Refusal> {
    if project.is_read_only() {
        return Err(Refusal::ReadOnly);
    }
    if engine.has_entry(Section::Connections, name) {
        let error = tidegate_model::Error::settings(format!("there is a connection `{name}` already"));
        return Err(error.hint("give this one another name").into());
    }
    let fields = engine.connection_fields(kind)?;
    let known: Vec<&str> = given.get("stored").map(|names| names.split(' ').collect()).unwrap_or_default();
    let mut secrets: Vec<(String, String, String)> = Vec::new();
    let mut settings = service::filled(&fields, given, |field, text| {
        let secret = format!("{name}_{}", field.name);
        secrets.push((field.name.clone(), secret.clone(), text.to_owned()));
        json!({ "secret": secret })
    })?;
    let mut stored: Vec<String> = secrets.iter().map(|(field, ..)| field.clone()).collect();
    for field in
        fields.iter().filter(|field| field.takes == Takes::Secret && known.contains(&field.name.as_str()))
    {
        if !settings.contains_key(&field.name) {
            settings.insert(field.name.clone(), json!({ "secret": format!("{name}_{}", field.name) }));
            stored.push(field.name.clone());
        }
    }
    settings.shift_insert(0, "type".to_owned(), json!(kind));
    // The draft tells what is wrong with the name before anything is stored under it.
    let draft = project.draft(Section::Connections, name, &Value::Object(settings)).await?;
    for (_, secret, text) in secrets {
        engine.put_new_secret(&secret, &text).await?;
    }
    Ok((draft, stored))
}
