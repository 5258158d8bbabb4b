//! Secrets and other values that stand outside the project file.

use std::path::Path;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Member};
use tidegate_model::{Error, ErrorKind, Settings, Store};

/// Replaces every `{ env: NAME }`, `{ file: path }` and `{ secret: name }` in
/// the settings of a connection, however deep, by what it names.
///
/// # Errors
/// [`ErrorKind::Settings`] naming the setting and the variable, file or secret
/// that is not there.
pub async fn resolve(settings: &Settings, project: &Path, store: &dyn Store) -> Result<Settings, Error> {
    let mut resolved = Map::new();
    for (name, member) in settings.members() {
        resolved.insert(name.clone(), resolve_member(name.clone(), member, project, store).await?);
    }
    Ok(Settings::new(resolved))
}

/// One member at `path`, and everything below it.
fn resolve_member<'a>(
    path: String,
    member: &'a Member,
    project: &'a Path,
    store: &'a dyn Store,
) -> BoxFuture<'a, Result<Member, Error>> {
    Box::pin(async move {
        if let Some((how, what)) = reference(member) {
            return Ok(Member::String(look_up(&path, how, what, project, store).await?));
        }
        Ok(match member {
            Member::Object(members) => {
                let mut resolved = Map::new();
                for (name, member) in members {
                    let below = format!("{path}.{name}");
                    resolved.insert(name.clone(), resolve_member(below, member, project, store).await?);
                }
                Member::Object(resolved)
            }
            Member::Array(members) => {
                let mut resolved = Vec::with_capacity(members.len());
                for (at, member) in members.iter().enumerate() {
                    resolved.push(resolve_member(format!("{path}[{at}]"), member, project, store).await?);
                }
                Member::Array(resolved)
            }
            plain => plain.clone(),
        })
    })
}

/// `{ env: X }` → `("env", "X")`.
fn reference(member: &Member) -> Option<(&str, &str)> {
    let object = member.as_object().filter(|object| object.len() == 1)?;
    let (how, what) = object.iter().next()?;
    matches!(how.as_str(), "env" | "file" | "secret").then_some((how.as_str(), what.as_str()?))
}

async fn look_up(
    setting: &str,
    how: &str,
    what: &str,
    project: &Path,
    store: &dyn Store,
) -> Result<String, Error> {
    let missing = |thing: &str, hint: String| {
        Error::new(ErrorKind::Settings, format!("`{setting}` refers to {thing} `{what}`, which is not there"))
            .hint(hint)
    };
    match how {
        "env" => std::env::var(what)
            .map_err(|_| missing("the environment variable", format!("export {what}=…, then run again"))),
        "file" => std::fs::read_to_string(project.join(what))
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|cause| missing("the file", format!("create it ({cause})"))),
        _ => match store.secret(what).await? {
            Some(secret) => Ok(secret.expose().to_owned()),
            None => Err(missing("the secret", format!("run `tidegate secret set {what}`"))),
        },
    }
}
