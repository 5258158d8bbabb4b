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
use serde_json::{Map, Value, json};
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
    lead: &'static str,
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

    /// The page after a connection is saved: what the sync still needs, or the sync.
    fn next(&self, engine: &Engine, name: &str) -> String {
        match self.then.as_str() {
            "source" if !engine.has_destination() => {
                format!("/connections/new?then=destination&from={}", encoded(name))
            }
            "source" => format!("/syncs/new?from={}", encoded(name)),
            "destination" => format!("/syncs/new?from={}&to={}", encoded(&self.from), encoded(name)),
            "events" => format!("/exports/new?from={}", encoded(name)),
            "sink" => format!("/exports/new?from={}&to={}", encoded(&self.from), encoded(name)),
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
        "events" => info.ingest,
        "sink" => info.sink,
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
    let lead = match onward.then.as_str() {
        "source" => "Which system are the rows in?",
        "destination" => "Which platform do they go to?",
        "events" => "Where do the events come from?",
        "sink" => "Where do the events go?",
        _ => "Which system is it?",
    };
    let shell = Shell::new(&engine, "New connection", "/connections").await?;
    let mut kinds: Vec<KindView> = kinds.collect();
    kinds.sort_by(|one, other| one.title.cmp(&other.title));
    shell::page(&headers, &KindsPage { kinds, lead, query: onward.query(), shell })
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
    /// The settings whose secrets are sealed by now.
    stored: Vec<String>,
    /// The same for the next step, with the names of the secrets.
    stored_as: String,
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
    let name = engine.free_name(Section::Connections, &kind);
    let page = FormPage::new(&engine, &kind, name, &BTreeMap::new(), &onward).await?;
    shell::page(&headers, &page)
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
            stored_as: String::new(),
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
    let refused = match filled_in(&project, &engine, &kind, &name, &given, &mut page).await {
        Err(refusal) => Some(refusal),
        Ok(form) => {
            let is_checked = act == "anyway" || page.check(&project, &form).await?;
            let saves = act != "check" && is_checked;
            match saves {
                true => match form.save(&project, &engine).await {
                    Ok(()) => {
                        let subject = Extension(Subject(format!("+ connection {name}")));
                        let there = onward.next(&project.engine(), &name);
                        return Ok((subject, Redirect::to(&there)).into_response());
                    }
                    Err(refusal) => Some(refusal),
                },
                false => None,
            }
        }
    };
    page.judged = page.judged.or(refused.map(Judged::refused));
    Ok((Extension(NotNoted), shell::page(&headers, &page)?).into_response())
}

impl FormPage {
    /// Checks the connection that is filled in. Returns whether everything passed.
    async fn check(&mut self, project: &ActiveProject, form: &Filled) -> Result<bool, Failure> {
        let draft = match form.draft(project, &form.unsaved).await {
            Ok(draft) => draft,
            Err(refusal) => {
                self.judged = Some(Judged::refused(refusal));
                return Ok(false);
            }
        };
        let id = ConnectionId::new(&form.name);
        self.setup = draft.engine.setup_of(&id).ok();
        let checks = match draft.engine.check_connection(&id).await {
            Ok(report) => report.checks.0,
            Err(error) => {
                let mut checks = tidegate_model::Checks::default();
                checks.fail("connection", error.chain(), error.next_step());
                checks.0
            }
        };
        self.passed = checks.iter().all(|check| check.passed);
        self.checks = Some(checks.into_iter().map(CheckView::from).collect());
        Ok(self.passed)
    }
}

/// A connection that is filled in.
struct Filled {
    name: String,
    /// Its settings without those that are secret.
    settings: Map<String, Value>,
    /// The secrets that were sealed on the way: the setting, and the name of the secret.
    unsaved: Vec<(String, String)>,
}

/// Reads the form. What is secret is sealed under a name of its own: it is never sent back to the page, so
/// that the next step finds it there.
async fn filled_in(
    project: &ActiveProject,
    engine: &Engine,
    kind: &str,
    name: &str,
    given: &BTreeMap<String, String>,
    page: &mut FormPage,
) -> Result<Filled, Refusal> {
    if project.is_read_only() {
        return Err(Refusal::ReadOnly);
    }
    let fields = engine.connection_fields(kind)?;
    let mut typed: Vec<(String, String)> = Vec::new();
    let mut settings = service::filled(&fields, given, |field, text| {
        typed.push((field.name.clone(), text.to_owned()));
        Value::Null
    })?;
    settings.shift_insert(0, "type".to_owned(), json!(kind));
    let stored = given.get("stored").map(String::as_str).unwrap_or_default();
    let stored: Vec<(&str, &str)> = stored.split(' ').filter_map(|pair| pair.split_once('=')).collect();
    let mut unsaved = Vec::new();
    for field in fields.iter().filter(|field| field.takes == Takes::Secret) {
        let before = stored.iter().find(|(of, _)| *of == field.name).map(|(_, secret)| (*secret).to_owned());
        if let Some((_, text)) = typed.iter().find(|(of, _)| *of == field.name) {
            settings.shift_remove(&field.name);
            unsaved.push((field.name.clone(), engine.put_unsaved_secret(text).await?));
            if let Some(before) = before
                && engine.unsaved_secret(&before).await?.is_some()
            {
                engine.forget_secrets(&[before]).await;
            }
        } else if settings.contains_key(&field.name) {
            // A reference.
        } else if let Some(secret) = before
            && engine.unsaved_secret(&secret).await?.is_some()
        {
            unsaved.push((field.name.clone(), secret));
        }
    }
    page.stored = unsaved.iter().map(|(field, _)| field.replace('_', " ")).collect();
    page.stored_as =
        unsaved.iter().map(|(field, secret)| format!("{field}={secret}")).collect::<Vec<_>>().join(" ");
    if engine.has_entry(Section::Connections, name) {
        let error = tidegate_model::Error::settings(format!("there is a connection `{name}` already"));
        return Err(error.hint("give this one another name").into());
    }
    Ok(Filled { name: name.to_owned(), settings, unsaved })
}

impl Filled {
    /// Makes a draft of the project with the connection, whose secrets have these names.
    async fn draft(&self, project: &ActiveProject, secrets: &[(String, String)]) -> Result<Draft, Refusal> {
        let mut settings = self.settings.clone();
        for (field, secret) in secrets {
            settings.insert(field.clone(), json!({ "secret": secret }));
        }
        project.draft(Section::Connections, &self.name, &Value::Object(settings)).await
    }

    /// Gives its secrets the names that they keep, and writes it to the project file.
    async fn save(self, project: &ActiveProject, engine: &Engine) -> Result<(), Refusal> {
        let mut names = Vec::new();
        for (field, _) in &self.unsaved {
            let name = engine.free_secret_name(&format!("{}_{field}", self.name)).await?;
            names.push((field.clone(), name));
        }
        // It tells what is wrong with the name before anything is stored under it.
        let draft = self.draft(project, &names).await?;
        for ((_, unsaved), (_, name)) in self.unsaved.iter().zip(&names) {
            if let Some(secret) = engine.unsaved_secret(unsaved).await? {
                service::set_secret(engine.store().as_ref(), name, secret.expose()).await?;
            }
        }
        let saved = project.activate_draft(&draft).await;
        // Either the ones or the others are not needed.
        let rest = if saved.is_ok() { &self.unsaved } else { &names };
        engine.forget_secrets(&rest.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()).await;
        saved.map(drop)
    }
}
