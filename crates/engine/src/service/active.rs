//! The project that a server works by: shown, replaced and read again while syncs run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tidegate_model::{ConnectionId, Error, ErrorKind, SyncId};
use tidegate_project::{Changes, Finding, Invalid, Project, SyncSpec, Variable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128;

use super::shown::written_secrets;
use super::{Engine, lock};

/// The project of a server, and the engine that works by it.
///
/// The project file is the truth: a new version is written there first, and is active then. Runs that are
/// under way finish by the version with which they began.
pub struct ActiveProject {
    engines: watch::Sender<Arc<Engine>>,
    /// The project file or its folder.
    path: PathBuf,
    read_only: bool,
    /// The version of the text that is active.
    active: Mutex<String>,
    /// Held while the file is compared and replaced.
    changing: tokio::sync::Mutex<()>,
}

/// The text of the project file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The YAML.
    pub yaml: String,
    /// Its version: another text has another one.
    pub version: String,
    /// Whether the server works by it. If not, the file was changed and not read again.
    pub is_active: bool,
}

/// Which version of the file a change is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One of these.
    Versions(Vec<String>),
    /// Whichever it is.
    Any,
}

/// What a new version of the project is and does.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its version.
    pub version: String,
    /// What it changes.
    pub changes: Changes,
    /// What works but could surprise.
    pub notes: Vec<Finding>,
    /// What counts only after the next start.
    pub after_restart: Vec<&'static str>,
}

/// Why a new version is not taken.
#[derive(Debug)]
pub enum Refusal {
    /// The file is another one than expected: its version.
    Stale(String),
    /// The text is no valid project.
    Invalid(Invalid),
    /// The server may not change its project.
    ReadOnly,
    /// It is valid and cannot work here, or it could not be written.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Failed(error)
    }
}

impl ActiveProject {
    /// Creates the project of a server from the engine that works by `yaml`, the text of the file at `path`.
    pub fn new(engine: Arc<Engine>, path: PathBuf, yaml: &str, read_only: bool) -> ActiveProject {
        ActiveProject {
            engines: watch::Sender::new(engine),
            path,
            read_only,
            active: Mutex::new(version_of(yaml)),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the engine that works by the active project.
    pub fn engine(&self) -> Arc<Engine> {
        self.engines.borrow().clone()
    }

    /// Returns whether the project can only be changed in its file.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Runs every sync that has a schedule, and what is asked for meanwhile, by the active project. Returns
    /// after `stop` fired and every run has ended.
    pub async fn run_scheduler(&self, stop: CancellationToken) {
        crate::scheduler::run(self.engines.subscribe(), stop).await;
    }

    /// Returns the text of the project file.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if it cannot be read.
    pub fn text(&self) -> Result<Text, Error> {
        let yaml = tidegate_project::read_text(&self.path)?;
        let version = version_of(&yaml);
        let is_active = *lock(&self.active) == version;
        Ok(Text { yaml, version, is_active })
    }

    /// Returns the text of the project file for a visitor who may not see secrets.
    ///
    /// # Errors
    /// As [`ActiveProject::text`], and [`Denied`](ErrorKind::Denied) if a secret is written out in the file,
    /// or the file is not valid, so that this cannot be told.
    pub fn text_without_secrets(&self) -> Result<Text, Error> {
        let (text, engine) = (self.text()?, self.engine());
        let (connectors, channels) = (engine.config.connectors, engine.config.channels);
        let denied = |why: String| {
            Error::new(ErrorKind::Denied, why).hint(
                "ask an admin to seal the secret (`tidegate secret set NAME`) and to write `{ secret: NAME }` in its \
                 place; the pages of syncs show and change their own lines",
            )
        };
        let Ok(project) = tidegate_project::parse(&text.yaml, "tidegate.yaml", connectors, channels) else {
            return Err(denied(
                "the project file has errors, so that a secret may be written out in it".into(),
            ));
        };
        match written_secrets(&project, connectors, channels).first() {
            None => Ok(text),
            Some(path) => Err(denied(format!(
                "a secret is written out in the project file (`{path}`): only admins see it"
            ))),
        }
    }

    /// Returns what a text would change, without changing anything.
    ///
    /// # Errors
    /// Why [`ActiveProject::replace`] would not take it.
    pub async fn propose(&self, yaml: &str, expected: &Expected) -> Result<Proposal, Refusal> {
        self.is_expected(expected)?;
        self.read(yaml).await.map(|(_, proposal)| proposal)
    }

    /// Replaces the project file by a text, and activates it. Either both happen or none.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed then.
    pub async fn replace(&self, yaml: &str, expected: &Expected) -> Result<Proposal, Refusal> {
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        let _changing = self.changing.lock().await;
        self.is_expected(expected)?;
        let (engine, proposal) = self.read(yaml).await?;
        engine.open_ingest_endpoints().await?;
        tidegate_project::replace_text(&self.path, yaml)?;
        self.activate(engine, &proposal);
        Ok(proposal)
    }

    /// Reads the project file again and activates it.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed then.
    pub async fn reload(&self) -> Result<Proposal, Refusal> {
        let _changing = self.changing.lock().await;
        let text = self.text()?;
        let (engine, proposal) = self.read(&text.yaml).await?;
        engine.open_ingest_endpoints().await?;
        self.activate(engine, &proposal);
        Ok(proposal)
    }

    fn activate(&self, engine: Engine, proposal: &Proposal) {
        for name in &proposal.changes.connections.changed {
            engine.rate_limiters.look_again(&ConnectionId::new(name));
        }
        lock(&self.active).clone_from(&proposal.version);
        self.engines.send_replace(Arc::new(engine));
        let (version, changes) = (&proposal.version, proposal.changes.to_string().replace('\n', ", "));
        tracing::info!(%version, changes, "the project is active");
    }

    fn is_expected(&self, expected: &Expected) -> Result<(), Refusal> {
        let Expected::Versions(versions) = expected else { return Ok(()) };
        let text = self.text()?;
        match versions.contains(&text.version) {
            true => Ok(()),
            false => Err(Refusal::Stale(text.version)),
        }
    }

    /// Makes the engine of a text.
    pub(super) async fn read(&self, yaml: &str) -> Result<(Engine, Proposal), Refusal> {
        let engine = self.engine();
        let name = tidegate_project::locate(&self.path)?;
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (connectors, channels) = (engine.config.connectors, engine.config.channels);
        let project = tidegate_project::parse(yaml, &name, connectors, channels).map_err(Refusal::Invalid)?;
        every_variable_is_set(&project)?;
        engine.keeps_objects(&project).await?;
        engine.keeps_log(&project)?;
        let before = &engine.config.project;
        let changes = before.changes_to(&project);
        let after_restart = match before.retention == project.retention {
            true => Vec::new(),
            false => vec!["retention"],
        };
        let version = version_of(yaml);
        let proposal = Proposal { version, changes, notes: project.notes.clone(), after_restart };
        Ok((engine.with_project(project), proposal))
    }
}

impl Engine {
    /// # Errors
    /// If the event log is kept in a connection that a new version of the project does not have: the next start could
    /// not open it.
    fn keeps_log(&self, project: &Project) -> Result<(), Error> {
        let Some(id) = &self.config.log_connection else { return Ok(()) };
        match (self.config.project.connections.get(id), project.connections.get(id)) {
            (Some(before), Some(after)) if before.kind == after.kind => Ok(()),
            (None, _) => Ok(()),
            (Some(_), _) => Err(Error::settings(format!(
                "the event log is kept in the connection `{id}`, and the new project has no such connection"
            ))
            .hint(format!("keep `{id}`, or start the server with another `--log`"))),
        }
    }

    /// # Errors
    /// If a sync that has run has another object in a new version of the project.
    async fn keeps_objects(&self, project: &Project) -> Result<(), Error> {
        let states = self.config.store.sync_states().await?;
        for (id, sync) in &project.syncs {
            let before = states.get(id).and_then(|state| state.object);
            let SyncSpec::Import(import) = sync else { continue };
            let object = import.destination.object;
            if let Some(before) = before.filter(|before| *before != object) {
                return Err(object_changed(id, before.as_str(), object.as_str()));
            }
        }
        Ok(())
    }
}

/// Returns the error of a sync whose object is another one than that of its first run.
pub(super) fn object_changed(id: &SyncId, before: &str, object: &str) -> Error {
    Error::settings(format!(
        "the sync `{id}` has run with the object `{before}`; it cannot become `{object}`"
    ))
    .hint("give the new sync a new name")
}

/// Checks that a server has every variable that the project refers to, so that it fails at the start and not
/// at the first run at night.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) with all that are missing.
pub fn every_variable_is_set(project: &Project) -> Result<(), Error> {
    let unset = project.unset_to_serve();
    if unset.is_empty() {
        return Ok(());
    }
    let one = |variable: &Variable| format!("{} (`{}`)", variable.name, variable.path);
    let listed: Vec<String> = unset.iter().map(one).collect();
    Err(Error::settings(format!("environment variables are not set: {}", listed.join(", ")))
        .hint("set them, or give them a default: `${NAME:-default}`"))
}

fn version_of(yaml: &str) -> String {
    format!("{:032x}", xxh3_128(yaml.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::Stage;

    #[tokio::test(start_paused = true)]
    async fn a_new_project_keeps_the_connection_that_the_event_log_is_in() {
        let stage = Stage::start(1, 8);
        let project = stage.engine.config.project.clone();
        let mut engine = stage.engine.with_project(project.clone());
        assert!(engine.keeps_log(&Project::default()).is_ok(), "the log is in files");
        engine.config.log_connection = Some(ConnectionId::new("a"));
        assert!(engine.keeps_log(&project).is_ok());
        let error = engine.keeps_log(&Project::default()).expect_err("the log would be lost");
        assert!(error.message().contains("kept in the connection `a`"), "{error:?}");
    }
}
