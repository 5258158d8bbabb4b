//! The form of a connection: filled in, checked and saved. New ones and those that are there share it.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use serde_json::Value;
use tidegate_engine::service::{
    ActiveProject, ConnectionForm, Engine, Field, Refusal, Takes, WrittenConnection, form_text,
};
use tidegate_model::address::encoded;
use tidegate_model::{Checks, ConnectionId};

use super::project::Judged;
use super::shell::{Failure, Shell};
use super::show;

/// A form with whatever fields the type has.
pub(super) type Given = Result<Form<BTreeMap<String, String>>, FormRejection>;

/// Returns what was filled in, empty if the form has no such field.
pub(super) fn of<'g>(given: &'g BTreeMap<String, String>, field: &str) -> &'g str {
    given.get(field).map(String::as_str).unwrap_or_default()
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
    /// The words of a choice or switch; the empty one stands for nothing.
    pub(super) choices: Vec<(String, bool)>,
    /// How a secret is kept by now, as HTML; empty if there is none.
    pub(super) kept: String,
    /// Whether the secret is to be removed.
    pub(super) is_removed: bool,
    /// What is wrong with it and what to do, as HTML; empty if nothing is.
    pub(super) error: String,
    /// What the file says by now, if another person wrote it while this was typed.
    pub(super) by_now: Option<String>,
}

impl FieldView {
    pub(super) fn new(field: &Field, given: &BTreeMap<String, String>) -> FieldView {
        let value = given.get(&field.name).cloned().unwrap_or_default();
        let chosen = if value.is_empty() { field.default.clone().unwrap_or_default() } else { value.clone() };
        let (kind, words) = match &field.takes {
            Takes::Text => ("text", Vec::new()),
            Takes::Number => ("number", Vec::new()),
            Takes::Secret => ("password", Vec::new()),
            Takes::Switch => ("switch", vec!["true".to_owned(), "false".to_owned()]),
            Takes::Choice(words) => ("choice", words.clone()),
        };
        let choices =
            choices(words, &chosen, kind == "switch" || (!field.required && field.default.is_none()));
        let example = field.example.as_ref().map(|example| format!("for example {example}"));
        FieldView {
            label: label(&field.name),
            name: field.name.clone(),
            about: show::prose(&field.about),
            required: field.required,
            placeholder: field.default.clone().or(example).unwrap_or_default(),
            // What is secret is never sent back.
            value: if kind == "password" { String::new() } else { value },
            kind,
            choices,
            kept: String::new(),
            is_removed: given.contains_key(&format!("remove.{}", field.name)),
            error: String::new(),
            by_now: None,
        }
    }
}

impl FieldView {
    /// The elements that describe it, what is wrong first.
    pub(super) fn described_by(&self) -> String {
        let error = (!self.error.is_empty()).then_some("e");
        let by_now = self.by_now.is_some().then_some("n");
        let elements = error.into_iter().chain(by_now).chain(["d"]);
        elements.map(|element| format!("{element}-{}", self.name)).collect::<Vec<_>>().join(" ")
    }
}

/// Shows what is wrong with a form: at the top, and beside the fields that it is about. `path` is that of the
/// settings in the project file.
pub(super) fn judged(refusal: Refusal, path: &str, fields: &mut [&mut Vec<FieldView>]) -> Judged {
    let mut judged = Judged::refused(refusal);
    for finding in &mut judged.findings {
        let Some(key) = finding.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let mut views = fields.iter_mut().flat_map(|views| views.iter_mut());
        if let Some(view) = views.find(|view| view.name == key) {
            view.error = format!("{} {}", sentence(&finding.message), sentence(&finding.next));
            finding.field = Some((view.name.clone(), view.label.clone()));
        }
    }
    judged
}

/// Returns a message with a full stop.
fn sentence(message: &str) -> String {
    format!("{}.", message.trim_end_matches('.'))
}

/// Abbreviations in the names of settings.
const ABBREVIATIONS: &[&str] =
    &["api", "arn", "aws", "ca", "id", "ip", "sasl", "sql", "ssh", "tls", "uri", "url"];

/// Returns the name of a setting as people write it: "API key" for `api_key`.
fn label(name: &str) -> String {
    let word = |(at, word): (usize, &str)| match word {
        _ if ABBREVIATIONS.contains(&word) => word.to_uppercase(),
        _ if at == 0 => word[..1].to_uppercase() + &word[1..],
        _ => word.to_owned(),
    };
    name.split('_').enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// The words to choose from. One that is written and none of these, such as a reference, stays a choice.
fn choices(mut words: Vec<String>, chosen: &str, may_be_empty: bool) -> Vec<(String, bool)> {
    if words.is_empty() {
        return Vec::new();
    }
    if !chosen.is_empty() && !words.iter().any(|word| word == chosen) {
        words.push(chosen.to_owned());
    }
    if may_be_empty {
        words.insert(0, String::new());
    }
    let view = |word: String| {
        let is_chosen = word == chosen;
        (word, is_chosen)
    };
    words.into_iter().map(view).collect()
}

/// What a check found.
pub(super) struct CheckView {
    pub(super) name: String,
    /// `good`, `look` for what holds and could be better, or `broken`.
    pub(super) class: &'static str,
    pub(super) detail: String,
    /// Statements to run.
    pub(super) remedy: Option<String>,
    /// A sentence that says what to do.
    pub(super) advice: Option<String>,
}

impl From<tidegate_model::Check> for CheckView {
    fn from(check: tidegate_model::Check) -> CheckView {
        let class = match (check.passed, &check.remedy) {
            (true, None) => "good",
            (true, Some(_)) => "look",
            (false, _) => "broken",
        };
        let (remedy, advice): (Vec<_>, Vec<_>) =
            check.remedy.into_iter().partition(|remedy| remedy.contains([';', '\n']));
        CheckView {
            name: check.name,
            class,
            detail: show::marked(&check.detail),
            remedy: remedy.into_iter().next(),
            advice: advice.first().map(|advice| show::prose(advice)),
        }
    }
}

/// What the form of a connection that is there says besides.
pub(super) struct ChangedView {
    /// The version of the file that it was made from.
    version: String,
    /// The settings that the form does not take.
    others: Vec<String>,
    read_only: bool,
}

#[derive(Template)]
#[template(path = "connection_form.html")]
pub(super) struct FormPage {
    shell: Shell,
    title: String,
    /// Where the form is sent to.
    action: String,
    name: String,
    query: String,
    required: Vec<FieldView>,
    optional: Vec<FieldView>,
    /// `None` for a connection that is new.
    changed: Option<ChangedView>,
    /// The settings whose secrets are sealed by now.
    stored: Vec<String>,
    /// The same for the next step, with the names of the secrets.
    stored_as: String,
    setup: Option<String>,
    checks: Option<Vec<CheckView>>,
    passed: bool,
    judged: Option<Judged>,
    /// Whether the file was changed since the form was made.
    is_stale: bool,
}

/// What became of a form that was sent.
pub(super) enum Sent {
    /// It is saved. Sealed secrets that nothing refers to any more.
    Saved(Vec<String>),
    /// The form again, with what was found.
    Again(Box<FormPage>),
}

impl FormPage {
    /// The form of a new connection.
    pub(super) async fn added(
        project: &ActiveProject,
        kind: &str,
        name: String,
        given: &BTreeMap<String, String>,
        query: &str,
    ) -> Result<FormPage, Failure> {
        let action = format!("/connections/new/{}{query}", encoded(kind));
        let mut page = FormPage::new(&project.engine(), kind, name, given, action).await?;
        query.clone_into(&mut page.query);
        page.shell.title = format!("New connection: {}", page.title);
        Ok(page)
    }

    /// The form of a connection that is there, with what is written or was typed.
    pub(super) async fn changed(
        project: &ActiveProject,
        before: &WrittenConnection,
        typed: Option<&BTreeMap<String, String>>,
    ) -> Result<FormPage, Failure> {
        let engine = project.engine();
        let written = before.settings.iter();
        let written =
            written.filter_map(|(key, value)| Some((key.clone(), form_text(Some(value))?))).collect();
        let (name, action) = (before.name.clone(), format!("/connections/{}/edit", encoded(&before.name)));
        let mut page = FormPage::new(&engine, &before.kind, name, typed.unwrap_or(&written), action).await?;
        page.shell.title.clone_from(&before.name);
        let fields = engine.connection_fields(&before.kind)?;
        let is_taken =
            |field: &Field, value: &Value| field.takes == Takes::Secret || form_text(Some(value)).is_some();
        let is_other = |key: &str, value: &Value| {
            key != "type" && !fields.iter().any(|field| field.name == key && is_taken(field, value))
        };
        let others = before.settings.iter().filter(|(key, value)| is_other(key, value));
        let others: Vec<String> = others.map(|(key, _)| key.clone()).collect();
        let is_shown = |view: &FieldView| !others.contains(&view.name);
        page.required.retain(is_shown);
        page.optional.retain(is_shown);
        for view in page.required.iter_mut().chain(&mut page.optional) {
            if view.kind == "password" {
                view.kept = before.settings.get(&view.name).map(kept).unwrap_or_default();
            }
        }
        // What is written comes first; what could be written besides is folded away.
        let all = std::mem::take(&mut page.required).into_iter().chain(std::mem::take(&mut page.optional));
        let is_asked = |view: &FieldView| view.required || before.settings.contains_key(&view.name);
        (page.required, page.optional) = all.partition(is_asked);
        page.changed =
            Some(ChangedView { version: before.version.clone(), others, read_only: project.is_read_only() });
        page.is_stale = typed.is_some_and(|typed| of(typed, "version") != before.version);
        if page.is_stale {
            page.show_what_is_written_by_now(before);
        }
        Ok(page)
    }

    async fn new(
        engine: &Engine,
        kind: &str,
        name: String,
        given: &BTreeMap<String, String>,
        action: String,
    ) -> Result<FormPage, Failure> {
        let fields = engine.connection_fields(kind)?;
        let info = engine.connector_infos().into_iter().find(|info| info.name == kind);
        let views = fields.iter().map(|field| (is_asked(field, &fields), FieldView::new(field, given)));
        let (required, optional): (Vec<_>, Vec<_>) = views.partition(|(asked, _)| *asked);
        Ok(FormPage {
            shell: Shell::new(engine, "", "/connections").await?,
            title: info.map(|info| info.title.to_owned()).unwrap_or_default(),
            action,
            name,
            query: String::new(),
            required: required.into_iter().map(|(_, view)| view).collect(),
            optional: optional.into_iter().map(|(_, view)| view).collect(),
            changed: None,
            stored: Vec::new(),
            stored_as: String::new(),
            setup: None,
            checks: None,
            passed: false,
            judged: None,
            is_stale: false,
        })
    }

    /// Shows beside each field what the file says, where it is not what was typed.
    fn show_what_is_written_by_now(&mut self, written: &WrittenConnection) {
        for view in self.required.iter_mut().chain(&mut self.optional).filter(|view| view.kind != "password")
        {
            let by_now = form_text(written.settings.get(&view.name)).unwrap_or_default();
            let is_default = by_now.is_empty() && (view.value.is_empty() || view.value == view.placeholder);
            view.by_now = (by_now != view.value.trim() && !is_default).then_some(by_now);
        }
    }

    fn asks_for_a_secret(&self) -> bool {
        self.required.iter().chain(&self.optional).any(|view| view.kind == "password")
    }

    /// Whether something is to be said about a field that is folded away.
    fn is_unfolded(&self) -> bool {
        self.optional.iter().any(|view| !view.error.is_empty() || view.by_now.is_some())
    }

    fn may_save(&self) -> bool {
        self.changed.as_ref().is_none_or(|changed| !changed.read_only)
    }

    /// Checks or saves what was filled in, as the button says.
    pub(super) async fn take(
        mut self,
        project: &ActiveProject,
        form: Result<ConnectionForm, Refusal>,
        act: &str,
    ) -> Result<Sent, Failure> {
        let refused = match form {
            Err(refusal) => Some(refusal),
            Ok(form) => {
                self.stored = form.sealed().map(label).collect();
                self.stored_as = form.stored();
                if self.is_stale {
                    return Ok(Sent::Again(Box::new(self)));
                }
                let is_checked = act == "anyway" || self.check(project, &form).await?;
                match act != "check" && is_checked {
                    true => match form.save(project).await {
                        Ok(unused) => return Ok(Sent::Saved(unused)),
                        Err(refusal) => Some(refusal),
                    },
                    false => None,
                }
            }
        };
        if let Some(refusal) = refused {
            self.refuse(refusal);
        }
        Ok(Sent::Again(Box::new(self)))
    }

    fn refuse(&mut self, refusal: Refusal) {
        let path = format!("connections.{}", self.name);
        self.judged = Some(judged(refusal, &path, &mut [&mut self.required, &mut self.optional]));
    }

    /// Checks the connection that is filled in. Returns whether everything passed.
    async fn check(&mut self, project: &ActiveProject, form: &ConnectionForm) -> Result<bool, Failure> {
        let draft = match form.draft(project).await {
            Ok(draft) => draft,
            Err(refusal) => {
                self.refuse(refusal);
                return Ok(false);
            }
        };
        let id = ConnectionId::new(&self.name);
        self.setup = draft.engine.setup_of(&id).ok();
        let checks = match draft.engine.check_connection(&id).await {
            Ok(report) => report.checks.0,
            Err(error) => {
                let mut checks = Checks::default();
                checks.fail("connection", error.chain(), error.next_step());
                checks.0
            }
        };
        self.passed = checks.iter().all(|check| check.passed);
        self.checks = Some(checks.into_iter().map(CheckView::from).collect());
        Ok(self.passed)
    }
}

/// Secrets up to which a form asks for all of them at once. With more, only some apply: those of one cloud.
const SECRETS_ASKED_MAX: usize = 3;

/// Whether a form asks for one of these settings at once: what is required, or the first setting if nothing
/// is, and secrets, which most systems want.
fn is_asked(field: &Field, fields: &[Field]) -> bool {
    let is_secret = |field: &Field| field.takes == Takes::Secret;
    let is_first = fields.first().is_some_and(|first| first.name == field.name);
    let few_secrets = || fields.iter().filter(|field| is_secret(field)).count() <= SECRETS_ASKED_MAX;
    field.required || field.name == "tls" || is_first || is_secret(field) && few_secrets()
}

/// How a secret is kept, as HTML and without the secret.
fn kept(value: &Value) -> String {
    let named = |key: &str| value[key].as_str();
    match (value.as_str(), named("secret"), named("file")) {
        (Some(text), ..) if text.starts_with("${") && text.ends_with('}') && !text.contains(":-") => {
            show::marked(&format!("It comes from the environment: `{text}`."))
        }
        (Some(_), ..) => "It is written out in the project file.".to_owned(),
        (_, Some(name), _) => show::marked(&format!("It is sealed as `{name}`.")),
        (.., Some(file)) => show::marked(&format!("It comes from the file `{file}`.")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_that_is_kept_is_named_and_never_shown() {
        assert_eq!(kept(&json!("${KEY}")), "It comes from the environment: <code>${KEY}</code>.");
        assert_eq!(kept(&json!({ "secret": "shop_key" })), "It is sealed as <code>shop_key</code>.");
        assert_eq!(kept(&json!({ "file": "<key>" })), "It comes from the file <code>&lt;key&gt;</code>.");
        for text in ["canary", "${KEY:-canary}", "a${KEY}canary"] {
            assert_eq!(kept(&json!(text)), "It is written out in the project file.");
        }
    }

    #[test]
    fn a_lake_is_asked_for_its_folder_and_not_for_the_keys_of_every_cloud() {
        let field = |name: &str, required: bool, takes: Takes| Field {
            name: name.to_owned(),
            about: String::new(),
            required,
            takes,
            default: None,
            example: None,
            objects: Vec::new(),
        };
        let asked = |fields: &[Field]| -> Vec<String> {
            fields.iter().filter(|field| is_asked(field, fields)).map(|field| field.name.clone()).collect()
        };
        let keys = ["access_key_id", "secret_access_key", "account_key", "service_account_key"];
        let keys = keys.map(|name| field(name, false, Takes::Secret));
        let lake = [field("path", false, Takes::Text), field("region", false, Takes::Text)];
        assert_eq!(asked(&[&lake[..], &keys].concat()), ["path"]);

        let database = [
            field("host", true, Takes::Text),
            field("password", false, Takes::Secret),
            field("port", false, Takes::Number),
        ];
        assert_eq!(asked(&database), ["host", "password"]);
    }

    #[test]
    fn a_word_that_is_written_stays_a_choice() {
        let words = || vec!["full".to_owned(), "off".to_owned()];
        let chosen = |text: &str| choices(words(), text, true);
        assert_eq!(chosen("off")[2], ("off".to_owned(), true));
        assert_eq!(chosen("${TLS}").last(), Some(&("${TLS}".to_owned(), true)));
        assert_eq!(chosen("")[0], (String::new(), true));
    }
}
