//! A connection that a form adds or changes: its settings, its secrets, and how both are saved.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tidegate_model::Error;
use tidegate_project::ProjectText;

use super::active::{ActiveProject, Refusal};
use super::draft::{Draft, Section};
use super::form::{self, Takes};
use super::{Engine, set_secret};

/// A connection as the project file writes it, which may hold a secret: it is never printed.
#[derive(Clone)]
pub struct WrittenConnection {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its settings. No reference is resolved.
    pub settings: Map<String, Value>,
    /// The version of the file.
    pub version: String,
}

impl ActiveProject {
    /// Returns a connection as the project file writes it; `None` if the file has none of this name.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if the file cannot be read.
    pub fn written_connection(&self, name: &str) -> Result<Option<WrittenConnection>, Error> {
        let text = self.text()?;
        let settings = ProjectText::new(&text.yaml)?.settings(&[Section::Connections.as_str(), name]);
        Ok(settings.and_then(|settings| {
            let kind = settings.get("type")?.as_str()?.to_owned();
            Some(WrittenConnection { name: name.to_owned(), kind, settings, version: text.version })
        }))
    }

    /// Returns a version of the project in which a connection has these settings, and keeps those that are not
    /// named. `None` removes one.
    async fn draft_with(
        &self,
        before: &WrittenConnection,
        changes: &[(String, Option<Value>)],
    ) -> Result<Draft, Refusal> {
        let text = self.text()?;
        if text.version != before.version {
            return Err(Refusal::Stale(text.version));
        }
        let path = [Section::Connections.as_str(), before.name.as_str()];
        let yaml = ProjectText::new(&text.yaml)?.with_settings(&path, changes)?;
        let lines = ProjectText::new(&yaml)?.entry(&path).unwrap_or_default();
        let (engine, proposal) = self.read(&yaml).await?;
        Ok(Draft::new(text.version, yaml, lines, engine, proposal))
    }
}

/// A connection that is filled in. What is secret is sealed under a name of its own until it is saved.
pub struct ConnectionForm {
    name: String,
    change: Change,
    /// The settings whose secrets were typed, and the names under which these are sealed by now.
    unsaved: Vec<(String, String)>,
}

/// What a form does to the project file.
enum Change {
    /// Adds a connection with these settings.
    Added(Map<String, Value>),
    /// Changes settings of a connection that is there.
    Settings(WrittenConnection, Vec<(String, Option<Value>)>),
}

impl ConnectionForm {
    /// Reads the form of a new connection. `stored` is what [`ConnectionForm::stored`] returned in an earlier
    /// step.
    ///
    /// # Errors
    /// [`Refusal::ReadOnly`], and errors of the store.
    pub async fn added(
        project: &ActiveProject,
        kind: &str,
        name: &str,
        given: &BTreeMap<String, String>,
        stored: &str,
    ) -> Result<ConnectionForm, Refusal> {
        let engine = writable(project)?;
        let fields = engine.connection_fields(kind)?;
        let mut typed = Vec::new();
        let mut settings = form::filled(&fields, given, |field, text| {
            typed.push((field.name.clone(), text.to_owned()));
            Value::Null
        });
        settings.retain(|_, value| !value.is_null());
        settings.shift_insert(0, "type".to_owned(), json!(kind));
        let is_reference = |field: &str| settings.contains_key(field);
        let unsaved = engine.seal_unsaved(&secrets_of(&fields), &typed, stored, is_reference).await?;
        Ok(ConnectionForm { name: name.to_owned(), change: Change::Added(settings), unsaved })
    }

    /// Reads the form of a connection that is there. A secret that was left empty stays as it is.
    ///
    /// # Errors
    /// As [`ConnectionForm::added`].
    pub async fn changed(
        project: &ActiveProject,
        before: WrittenConnection,
        given: &BTreeMap<String, String>,
        stored: &str,
    ) -> Result<ConnectionForm, Refusal> {
        let engine = writable(project)?;
        let fields = engine.connection_fields(&before.kind)?;
        let mut typed = Vec::new();
        let mut changes = form::changed(&fields, &before.settings, given, |field, text| {
            typed.push((field.name.clone(), text.to_owned()));
            Value::Null
        });
        changes.retain(|(_, value)| !matches!(value, Some(Value::Null)));
        let is_named = |field: &str| changes.iter().any(|(name, _)| name == field);
        let unsaved = engine.seal_unsaved(&secrets_of(&fields), &typed, stored, is_named).await?;
        let name = before.name.clone();
        Ok(ConnectionForm { name, change: Change::Settings(before, changes), unsaved })
    }

    /// Returns the settings whose secrets are sealed by now.
    pub fn sealed(&self) -> impl Iterator<Item = &str> {
        self.unsaved.iter().map(|(field, _)| field.as_str())
    }

    /// Returns the names under which they are sealed, for the next step of the form.
    pub fn stored(&self) -> String {
        let pairs = self.unsaved.iter().map(|(field, secret)| format!("{field}={secret}"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// Makes a draft of the project with the connection, to check it.
    ///
    /// # Errors
    /// As [`ActiveProject::draft`], if an added connection has the name of another one, and
    /// [`Refusal::Stale`] if the file changed since a changed one was read.
    pub async fn draft(&self, project: &ActiveProject) -> Result<Draft, Refusal> {
        self.draft_by(project, &self.unsaved).await
    }

    async fn draft_by(
        &self,
        project: &ActiveProject,
        secrets: &[(String, String)],
    ) -> Result<Draft, Refusal> {
        let secrets = secrets.iter().map(|(field, secret)| (field.clone(), json!({ "secret": secret })));
        match &self.change {
            Change::Added(_) if project.engine().has_entry(Section::Connections, &self.name) => {
                let error = Error::settings(format!("there is a connection `{}` already", self.name));
                Err(error.hint("give this one another name").into())
            }
            Change::Added(settings) => {
                let mut settings = settings.clone();
                settings.extend(secrets);
                project.draft(Section::Connections, &self.name, &Value::Object(settings)).await
            }
            Change::Settings(before, changes) => {
                let mut changes = changes.clone();
                changes.extend(secrets.map(|(field, value)| (field, Some(value))));
                project.draft_with(before, &changes).await
            }
        }
    }

    /// Gives its secrets names that no other secret has, and writes the connection to the project file. Returns
    /// the names of sealed secrets that it referred to before and nothing refers to now: they stay, since
    /// runs under way and other processes may still need them.
    ///
    /// # Errors
    /// As [`ConnectionForm::draft`] and [`ActiveProject::activate_draft`]; nothing has changed then.
    pub async fn save(self, project: &ActiveProject) -> Result<Vec<String>, Refusal> {
        let engine = project.engine();
        let mut names = Vec::new();
        for (field, _) in &self.unsaved {
            let name = engine.free_secret_name(&format!("{}_{field}", self.name)).await?;
            names.push((field.clone(), name));
        }
        // It tells what is wrong before anything is stored under these names.
        let draft = self.draft_by(project, &names).await?;
        for ((_, unsaved), (_, name)) in self.unsaved.iter().zip(&names) {
            if let Some(secret) = engine.unsaved_secret(unsaved).await? {
                set_secret(engine.store().as_ref(), name, secret.expose()).await?;
            }
        }
        let saved = project.activate_draft(&draft).await;
        // Either the ones or the others are not needed.
        let rest = if saved.is_ok() { &self.unsaved } else { &names };
        engine.forget_secrets(&rest.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()).await;
        saved?;
        Ok(self.unused_in(project))
    }

    /// The sealed secrets of the connection before, without those that a setting refers to.
    fn unused_in(&self, project: &ActiveProject) -> Vec<String> {
        let Change::Settings(before, _) = &self.change else { return Vec::new() };
        let engine = project.engine();
        let secrets = before.settings.values().filter_map(|value| value["secret"].as_str());
        let unused = secrets.filter(|name| engine.project().users_of_secret(name).is_empty());
        unused.map(str::to_owned).collect()
    }
}

fn writable(project: &ActiveProject) -> Result<std::sync::Arc<Engine>, Refusal> {
    match project.is_read_only() {
        true => Err(Refusal::ReadOnly),
        false => Ok(project.engine()),
    }
}

fn secrets_of(fields: &[form::Field]) -> Vec<&str> {
    let secrets = fields.iter().filter(|field| field.takes == Takes::Secret);
    secrets.map(|field| field.name.as_str()).collect()
}
