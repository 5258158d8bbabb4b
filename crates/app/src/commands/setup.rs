//! `tidegate setup`

use serde_json::{Map, Value};
use tidegate_engine::project::SyncSpec;
use tidegate_model::{ConnectionId, Error, Settings};

use crate::cli::ProjectArgs;
use crate::{DONE, output};

pub(super) async fn setup(args: &ProjectArgs, name: &str, set: &[String]) -> Result<u8, Error> {
    let connection = ConnectionId::new(name);
    let (kind, mut members, selection) = match args.project() {
        Ok(project) => match project.connections.get(&connection) {
            Some(spec) => {
                // What the first sync of this connection reads or writes there. References
                // are not resolved to print statements: a name stands in their place.
                let used = project.syncs.values().find_map(|sync| match sync {
                    SyncSpec::Import(import) if import.source.connection == connection => {
                        Some(import.source.selection.shown())
                    }
                    SyncSpec::Export(export) if export.destination.connection == connection => {
                        Some(export.destination.target.shown())
                    }
                    _ => None,
                });
                (spec.kind.clone(), spec.settings.shown(), used)
            }
            None => (name.to_owned(), Map::new(), None),
        },
        Err(_) => (name.to_owned(), Map::new(), None),
    };
    let connector = crate::registry::find(&kind).ok_or_else(|| {
        Error::settings(format!("`{name}` is neither a connection of the project nor a connector"))
            .hint("`tidegate connectors` lists the connectors")
    })?;
    for pair in set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::settings(format!("`--set {pair}` is not NAME=VALUE"))
                .hint("write for example `--set user=tidegate`")
        })?;
        members.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    let text = match connector.setup {
        Some(setup) => {
            let (settings, selection) = (Settings::new(members), selection.map(Settings::new));
            // Of a connection with several roles, the text may be about another one.
            setup(&connection, &settings, selection.as_ref())
                .or_else(|_| setup(&connection, &settings, None))?
        }
        None => connector.readme.to_owned(),
    };
    output::line(text);
    Ok(DONE)
}
