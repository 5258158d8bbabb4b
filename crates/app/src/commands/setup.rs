//! `tidegate setup`

use serde_json::{Map, Value};
use tidegate_model::{ConnectionId, Error, Settings};

use crate::cli::Place;
use crate::{DONE, output};

pub(super) async fn setup(place: &Place, name: &str, set: &[String]) -> Result<u8, Error> {
    let connection = ConnectionId::new(name);
    let (kind, mut members, selection) = match place.project() {
        Ok(project) => match project.connections.get(&connection) {
            Some(spec) => {
                let mut imports = project.syncs.values().filter_map(|sync| sync.as_import());
                let reads = imports.find(|sync| sync.from.connection == connection);
                (spec.kind.clone(), spec.settings.clone(), reads.map(|sync| sync.from.selection.clone()))
            }
            None => (name.to_owned(), Map::new(), None),
        },
        Err(_) => (name.to_owned(), Map::new(), None),
    };
    let connector = tidegate_connectors::find(&kind).ok_or_else(|| {
        Error::settings(format!("`{name}` is neither a connection of the project nor a connector"))
            .hint("`tidegate connectors` lists the connectors")
    })?;
    // References are not looked up to print statements: a name stands in their place.
    let schema = serde_json::json!((connector.settings)());
    members.retain(|name, member| !member.is_object() || schema["properties"][name]["type"] == "string");
    for (name, member) in members.iter_mut().filter(|(_, member)| member.is_object()) {
        *member = Value::String(format!("<{name}>"));
    }
    for pair in set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::settings(format!("`--set {pair}` is not NAME=VALUE"))
                .hint("write for example `--set user=tidegate`")
        })?;
        members.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    let text = match connector.setup {
        Some(setup) => setup(&connection, &Settings::new(members), selection.map(Settings::new).as_ref())?,
        None => connector.readme.to_owned(),
    };
    output::line(text);
    Ok(DONE)
}
