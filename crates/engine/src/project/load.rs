//! Reading and checking a project.

use std::path::Path;

use serde::de::DeserializeOwned;
use tidegate_model::{ConnectionId, Connector, Error, Settings};

use super::spec::{Contract, Detect, ExportSpec, ImportSpec, Project, SyncSpec, Written};
use super::yaml::Document;

/// The file that makes a folder a project.
pub const FILE_NAME: &str = "tidegate.yaml";

/// Reads the project in a folder.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) where there is no `tidegate.yaml`, and with file, line
/// and column where it is not right.
pub fn load(folder: &Path, connectors: &'static [Connector]) -> Result<Project, Error> {
    let path = folder.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        Error::settings(format!("cannot read {}: {cause}", path.display()))
            .hint("`tidegate init` makes a project here; `--project DIR` names another folder")
    })?;
    parse(&text, &path.display().to_string(), connectors)
}

/// Reads the text of a project file; `name` is what messages call it.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) with the name, the line and the column.
pub fn parse(text: &str, name: &str, connectors: &'static [Connector]) -> Result<Project, Error> {
    let document = Document::parse(text).map_err(|((line, column), cause)| {
        Error::settings(format!("{name}:{line}:{column}: {cause}"))
            .hint("correct the YAML, then run `tidegate validate`")
    })?;
    let reader = Reader { document, name };
    let Written { connections, syncs } = reader.read("", reader.document.root.clone())?;
    let mut project = Project { connections, ..Project::default() };
    for (id, connection) in &project.connections {
        reader.connection(id.as_str(), connection, connectors)?;
    }
    for (id, sync) in syncs {
        let path = format!("syncs.{id}");
        let sync = match sync.get("from").and_then(|from| from.get("events")) {
            Some(_) => {
                let export: ExportSpec = reader.read(&path, sync)?;
                reader.export(&path, &export, &project, connectors)?;
                SyncSpec::Export(Box::new(export))
            }
            None => {
                let import: ImportSpec = reader.read(&path, sync)?;
                reader.import(&path, &import, &project, connectors)?;
                SyncSpec::Import(Box::new(import))
            }
        };
        project.syncs.insert(id, sync);
    }
    Ok(project)
}

struct Reader<'a> {
    document: Document,
    name: &'a str,
}

impl Reader<'_> {
    /// Reads a member as `T`; a misfit is told with its place.
    fn read<T: DeserializeOwned>(&self, path: &str, member: serde_json::Value) -> Result<T, Error> {
        serde_path_to_error::deserialize(member).map_err(|cause| {
            let inner = cause.path().to_string();
            let at = match (path, inner.as_str()) {
                (path, ".") => path.to_owned(),
                ("", inner) => inner.to_owned(),
                (path, inner) => format!("{path}.{inner}"),
            };
            self.misfit(&at, &cause.into_inner().to_string())
        })
    }

    /// An error at a path of the file. For an unknown key, that key's own place
    /// and the nearest known one.
    fn misfit(&self, path: &str, message: &str) -> Error {
        let unknown = quoted(message, "unknown field `").or_else(|| quoted(message, "unknown variant `"));
        // The path of an unknown key may or may not hold the key itself: the message names it already.
        let path = match unknown {
            Some(key) if message.starts_with("unknown field") && path == key => "",
            Some(key) if message.starts_with("unknown field") => {
                path.strip_suffix(key).and_then(|path| path.strip_suffix('.')).unwrap_or(path)
            }
            _ => path,
        };
        let place = match unknown {
            Some(key) if message.starts_with("unknown field") => self.document.place(&join(path, key)),
            _ => self.document.place(path),
        };
        let (line, column) = place.unwrap_or((1, 1));
        let subject = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let message = message.split(" at line ").next().unwrap_or(message);
        let error = Error::settings(format!("{}:{line}:{column}: {subject}{message}", self.name));
        match unknown.and_then(|key| nearest(key, &expected(message))) {
            Some(known) => error.hint(format!("did you mean `{known}`?")),
            None => error,
        }
    }

    fn connection(
        &self,
        id: &str,
        connection: &super::ConnectionSpec,
        connectors: &'static [Connector],
    ) -> Result<(), Error> {
        let path = format!("connections.{id}");
        let Some(connector) = connectors.iter().find(|connector| connector.kind == connection.kind) else {
            let kinds: Vec<&str> = connectors.iter().map(|connector| connector.kind).collect();
            let error =
                self.misfit(&format!("{path}.kind"), &format!("there is no connector `{}`", connection.kind));
            let hint = match nearest(&connection.kind, &kinds) {
                Some(kind) => format!("did you mean `{kind}`?"),
                None => format!("the connectors are: {}", kinds.join(", ")),
            };
            return Err(error.hint(hint));
        };
        let allowed = property_names(&(connector.settings)());
        self.known_keys(&path, connection.settings.keys(), &allowed, &["kind"])
    }

    /// The connector of a connection that `at` names.
    fn end(
        &self,
        at: &str,
        connection: &ConnectionId,
        project: &Project,
        connectors: &'static [Connector],
    ) -> Result<Option<&'static Connector>, Error> {
        let Some(spec) = project.connections.get(connection) else {
            let names: Vec<&str> = project.connections.keys().map(|id| id.as_str()).collect();
            let error = self.misfit(at, &format!("there is no connection `{connection}`"));
            return Err(match nearest(connection.as_str(), &names) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error.hint("add it under `connections`"),
            });
        };
        Ok(connectors.iter().find(|connector| connector.kind == spec.kind))
    }

    fn export(
        &self,
        path: &str,
        export: &ExportSpec,
        project: &Project,
        connectors: &'static [Connector],
    ) -> Result<(), Error> {
        let at = format!("{path}.from.events");
        let ingest = self.end(&at, &export.from.events, project, connectors)?;
        if ingest.is_none_or(|connector| connector.ingest.is_none()) {
            return Err(self.misfit(&at, &format!("no events come in through `{}`", export.from.events)));
        }
        let at = format!("{path}.to.connection");
        let sink = self.end(&at, &export.to.connection, project, connectors)?;
        let Some(sink) = sink.and_then(|connector| connector.sink) else {
            return Err(self.misfit(&at, &format!("`{}` takes no events", export.to.connection)));
        };
        let allowed = property_names(&(sink.target)());
        self.known_keys(&format!("{path}.to"), export.to.target.keys(), &allowed, &["connection", "layout"])
    }

    fn import(
        &self,
        path: &str,
        sync: &ImportSpec,
        project: &Project,
        connectors: &'static [Connector],
    ) -> Result<(), Error> {
        let find = |end: &str, connection: &ConnectionId| {
            let at = format!("{path}.{end}.connection");
            let found = self.end(&at, connection, project, connectors)?;
            Ok((at, found))
        };
        let (at, source) = find("from", &sync.from.connection)?;
        let Some(source) = source.and_then(|connector| connector.source) else {
            return Err(self.misfit(&at, &format!("rows cannot be read from `{}`", sync.from.connection)));
        };
        let allowed = property_names(&(source.selection)());
        self.known_keys(&format!("{path}.from"), sync.from.selection.keys(), &allowed, &["connection"])?;
        let (at, platform) = find("to", &sync.to.connection)?;
        let Some(platform) = platform.and_then(|connector| connector.platform) else {
            return Err(self.misfit(&at, &format!("`{}` takes no records", sync.to.connection)));
        };
        if !platform.objects.contains(&sync.to.object) {
            let objects: Vec<&str> = platform.objects.iter().map(|object| object.as_str()).collect();
            let at = format!("{path}.to.object");
            let message = format!("`{}` does not take the object `{}`", sync.to.connection, sync.to.object);
            return Err(self.misfit(&at, &message).hint(format!("it takes: {}", objects.join(", "))));
        }
        let allowed = property_names(&(platform.target)());
        self.known_keys(&format!("{path}.to"), sync.to.target.keys(), &allowed, &["connection", "object"])?;
        if jiff::tz::TimeZone::get(&sync.time_zone).is_err() {
            let at = format!("{path}.time_zone");
            return Err(self
                .misfit(&at, &format!("there is no time zone `{}`", sync.time_zone))
                .hint("write an IANA name such as `Europe/Paris`"));
        }
        match (&sync.map, sync.contract, &sync.detect) {
            (None, None, _) => Err(self
                .misfit(path, "neither `map` nor `contract` is given")
                .hint("add `map:` with at least `external_id`, or `contract: braze_cdi`")),
            (Some(_), Some(_), _) => {
                Err(self.misfit(&format!("{path}.map"), "`map` and `contract` exclude each other"))
            }
            (None, Some(Contract::BrazeCdi), Some(Detect::Full)) => Err(self
                .misfit(&format!("{path}.detect"), "the contract `braze_cdi` detects changes by UPDATED_AT")
                .hint("remove `detect`")),
            _ => Ok(()),
        }
    }

    fn known_keys<'k>(
        &self,
        path: &str,
        keys: impl Iterator<Item = &'k String>,
        allowed: &[String],
        also: &[&str],
    ) -> Result<(), Error> {
        let known: Vec<&str> = allowed.iter().map(String::as_str).chain(also.iter().copied()).collect();
        for key in keys {
            if !known.contains(&key.as_str()) {
                let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("unknown field `{key}`, expected one of {}", list.join(", "));
                return Err(self.misfit(path, &message));
            }
        }
        Ok(())
    }
}

/// The top-level members that a schema knows.
fn property_names(schema: &schemars::Schema) -> Vec<String> {
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What stands between `before` and the next backtick.
fn quoted<'m>(message: &'m str, before: &str) -> Option<&'m str> {
    let (_, rest) = message.split_once(before)?;
    rest.split_once('`').map(|(key, _)| key)
}

/// The names that serde lists as possible.
fn expected(message: &str) -> Vec<&str> {
    let Some((_, list)) = message.split_once("expected") else { return Vec::new() };
    list.split('`').skip(1).step_by(2).collect()
}

/// The known name that was probably meant.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, name), *candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3)
        .map(|(_, candidate)| candidate)
}

/// The settings of a connection, still without its secrets.
impl From<&super::ConnectionSpec> for Settings {
    fn from(spec: &super::ConnectionSpec) -> Settings {
        Settings::new(spec.settings.clone())
    }
}
