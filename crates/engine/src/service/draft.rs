//! A new version of the project that is looked at before it is active: what pages that set things up work on.

use std::sync::Arc;

use serde_json::Value;
use tidegate_model::source::Dataset;
use tidegate_model::{ConnectionId, Error, ErrorKind, Mode, ObjectKind, ReadMode, Row, Settings, SyncId};
use tidegate_project::{Project, ProjectText, yaml_entry};

use super::active::{ActiveProject, Expected, Proposal, Refusal};
use super::form::{self, Field};
use super::{ConnectorInfo, Engine, connectors, setup};

/// The part of a project file in which an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `connections`
    Connections,
    /// `syncs`
    Syncs,
}

impl Section {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Section::Connections => "connections",
            Section::Syncs => "syncs",
        }
    }
}

/// A new version of the project with one entry added or changed, and an engine that works by it. Nothing is
/// written, and no scheduler runs it.
pub struct Draft {
    /// The version that it is made from.
    base: String,
    /// The whole file.
    yaml: String,
    /// The lines of the entry, as they are written.
    pub lines: String,
    /// The engine that works by it.
    pub engine: Arc<Engine>,
    /// What it changes.
    pub proposal: Proposal,
}

impl Draft {
    pub(super) fn new(
        base: String,
        yaml: String,
        lines: String,
        engine: Engine,
        proposal: Proposal,
    ) -> Draft {
        Draft { base, yaml, lines, engine: Arc::new(engine), proposal }
    }
}

impl ActiveProject {
    /// Returns a version of the project in which an entry has these settings.
    ///
    /// # Errors
    /// [`Refusal::Failed`] for a name that cannot be used, and [`Refusal::Invalid`] with what is wrong.
    pub async fn draft(&self, section: Section, name: &str, settings: &Value) -> Result<Draft, Refusal> {
        is_name(name)?;
        self.draft_of(&[section.as_str(), name], &yaml_entry(name, settings), None).await
    }

    /// Returns a version of the project in which the entry at `path` has these lines, made from the version
    /// `seen` or whichever there is.
    ///
    /// # Errors
    /// As [`ActiveProject::draft`], and [`Refusal::Stale`] if the file is not the one that was seen.
    pub async fn draft_of(&self, path: &[&str], lines: &str, seen: Option<&str>) -> Result<Draft, Refusal> {
        let text = self.text()?;
        if seen.is_some_and(|seen| *seen != text.version) {
            return Err(Refusal::Stale(text.version));
        }
        let yaml = ProjectText::new(&text.yaml)?.put(path, lines)?;
        let (engine, proposal) = self.read(&yaml).await?;
        Ok(Draft::new(text.version, yaml, lines.to_owned(), engine, proposal))
    }

    /// Returns a version of the project in which the sync is no draft.
    ///
    /// # Errors
    /// As [`ActiveProject::draft_of`], and if the sync is written on one line.
    pub async fn draft_enabled(&self, sync: &SyncId) -> Result<Draft, Refusal> {
        let text = self.text()?;
        let yaml = ProjectText::new(&text.yaml)?.without(&["syncs", sync.as_str(), "enabled"])?;
        let (engine, proposal) = self.read(&yaml).await?;
        Ok(Draft::new(text.version, yaml, String::new(), engine, proposal))
    }

    /// Writes a draft to the project file, and activates it.
    ///
    /// # Errors
    /// As [`ActiveProject::replace`]: if the project was changed since the draft was made, nothing is done.
    pub async fn activate_draft(&self, draft: &Draft) -> Result<Proposal, Refusal> {
        self.replace(&draft.yaml, &Expected::Versions(vec![draft.base.clone()])).await
    }

    /// Returns the lines of an entry of the file, such as `["syncs", "orders"]`; `None` if they are not there,
    /// or do not stand alone.
    pub fn lines_of(&self, path: &[&str]) -> Option<String> {
        let text = self.text().ok()?;
        ProjectText::new(&text.yaml).ok()?.entry(path)
    }
}

fn is_name(name: &str) -> Result<(), Error> {
    const CHARS_MAX: usize = 60;
    let fits = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
    let begins = name.starts_with(|letter: char| letter.is_alphabetic());
    match begins && name.chars().count() <= CHARS_MAX && name.chars().all(fits) {
        true => Ok(()),
        false => Err(Error::settings(format!(
            "a name begins with a letter, and has at most {CHARS_MAX} letters, digits, `_` and `-`"
        ))
        .hint("choose a name such as `orders_to_braze`")),
    }
}

impl Engine {
    /// Returns everything that can be connected.
    pub fn connector_infos(&self) -> Vec<ConnectorInfo> {
        connectors(self.config.connectors)
    }

    /// Returns the settings of a type of connection that a form can take.
    ///
    /// # Errors
    /// [`Settings`](ErrorKind::Settings) if there is no such connector.
    pub fn connection_fields(&self, kind: &str) -> Result<Vec<Field>, Error> {
        let found = self.config.connectors.iter().find(|connector| connector.kind == kind);
        let unknown = || Error::settings(format!("there is no connector `{kind}`"));
        found.map(|connector| form::fields(&(connector.settings)())).ok_or_else(unknown)
    }

    /// Returns the settings of a destination that a sync of this object has of its own.
    pub fn target_fields(&self, destination: &ConnectionId, object: &str) -> Vec<Field> {
        let target = self.connector_of(destination).and_then(|connector| connector.platform);
        let mut fields = target.map(|role| form::fields(&(role.target)())).unwrap_or_default();
        fields.retain(|field| field.objects.is_empty() || field.objects.iter().any(|one| one == object));
        fields
    }

    /// Returns the settings that an export has of its own at a connection that takes events.
    pub fn sink_fields(&self, sink: &ConnectionId) -> Vec<Field> {
        let role = self.connector_of(sink).and_then(|connector| connector.sink);
        role.map(|role| form::fields(&(role.target)())).unwrap_or_default()
    }

    /// Returns whether a connection of the project takes objects.
    pub fn has_destination(&self) -> bool {
        self.config.project.connections.keys().any(|id| !self.objects_of(id).is_empty())
    }

    /// Returns whether a connection of the project can be read from.
    pub fn has_source(&self) -> bool {
        self.config.project.connections.keys().any(|id| !self.modes_of(id).is_empty())
    }

    /// Returns the objects that a connection takes.
    pub fn objects_of(&self, destination: &ConnectionId) -> &'static [ObjectKind] {
        let role = self.connector_of(destination).and_then(|connector| connector.platform);
        role.map_or(&[], |role| role.objects)
    }

    /// Returns how changes can be found in a connection.
    pub fn modes_of(&self, source: &ConnectionId) -> &'static [Mode] {
        let role = self.connector_of(source).and_then(|connector| connector.source);
        role.map_or(&[], |role| role.modes)
    }

    /// Returns whether a connection keeps the position of a sync, so that a sync names no cursor.
    pub fn keeps_checkpoint(&self, source: &ConnectionId) -> bool {
        let role = self.connector_of(source).and_then(|connector| connector.source);
        role.is_some_and(|role| role.keeps_checkpoint)
    }

    fn connector_of(&self, id: &ConnectionId) -> Option<&'static tidegate_model::Connector> {
        let kind = &self.config.project.connections.get(id)?.kind;
        self.config.connectors.iter().find(|connector| connector.kind == kind)
    }

    /// Returns the key under which a sync names what it reads of a connection: `table`, `path` or `topic`.
    pub fn selection_key(&self, source: &ConnectionId) -> Option<&'static str> {
        let role = self.connector_of(source)?.source?;
        let schema = serde_json::json!((role.selection)());
        ["table", "path", "topic"].into_iter().find(|key| schema["properties"].get(key).is_some())
    }

    /// Returns the steps that connect a connection of the project.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn setup_of(&self, id: &ConnectionId) -> Result<String, Error> {
        setup(self.config.connectors, Some(&self.config.project), id.as_str(), &[])
    }

    /// Lists what can be read of a connection.
    ///
    /// # Errors
    /// If it cannot be opened or asked.
    pub async fn datasets(&self, source: &ConnectionId) -> Result<Vec<Dataset>, Error> {
        self.source(source, true).await?.discover().await
    }

    /// Returns the columns of one of these, and its first rows.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn first_rows(
        &self,
        source: &ConnectionId,
        dataset: &str,
        rows: usize,
    ) -> Result<(Dataset, Vec<Row>), Error> {
        use futures_util::StreamExt as _;
        let key = self
            .selection_key(source)
            .ok_or_else(|| Error::new(ErrorKind::Settings, format!("rows cannot be read from `{source}`")))?;
        let members = serde_json::Map::from_iter([(key.to_owned(), Value::String(dataset.to_owned()))]);
        let (selection, opened) = (Settings::new(members), self.source(source, true).await?);
        let dataset = opened.describe(&selection).await?;
        let mut found = Vec::new();
        if rows == 0 {
            return Ok((dataset, found));
        }
        let mode = match opened.supports_checkpoints() {
            true => ReadMode::Resume { checkpoint: None, follow: false },
            false => ReadMode::Full,
        };
        let mut feed = opened.read(&selection, &mode, rows).await?;
        while let Some(batch) = feed.next().await {
            found.extend(batch?.items);
            if found.len() >= rows {
                break;
            }
        }
        found.truncate(rows);
        Ok((dataset, found))
    }

    /// Returns `wanted`, or a name made from it, that no entry has.
    pub fn free_name(&self, section: Section, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names.find(|name| !self.has_entry(section, name)).unwrap_or_default()
    }

    /// Returns whether the project has such an entry.
    pub fn has_entry(&self, section: Section, name: &str) -> bool {
        let Project { connections, syncs, .. } = &self.config.project;
        match section {
            Section::Connections => connections.contains_key(&ConnectionId::new(name)),
            Section::Syncs => syncs.contains_key(&SyncId::new(name)),
        }
    }
}
