//! The aliases of users. Source: OneSignal docs, Aliases, Create user.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate_model::Identity;

use super::reply::{Reply, Stop};
use super::route::identity;
use tidegate_profiles::{Session, User, UserId};

/// Aliases of one user. Source: OneSignal docs, Aliases.
const ALIASES_MAX: usize = 20;

/// Labels and names, as they arrive.
pub(super) type Names = std::collections::BTreeMap<String, String>;

/// The aliases of a user.
pub(super) fn list(session: &Session<'_>, who: &Identity) -> Result<Reply, Stop> {
    let user = known(session, who)?;
    Ok(Reply::new(StatusCode::OK, &json!({ "identity": identity_of(session, &user)? })))
}

/// Gives a user aliases.
pub(super) fn add(session: &Session<'_>, who: &Identity, body: &Bytes) -> Result<Reply, Stop> {
    #[derive(Deserialize)]
    struct Addition {
        identity: Names,
    }
    let Addition { identity: names } =
        serde_json::from_slice(body).map_err(|_| Stop::bad("identity must hold labels and names"))?;
    check(&names)?;
    let mut user = known(session, who)?;
    attach(session, &mut user, &names)?;
    session.save(&user)?;
    Ok(Reply::new(StatusCode::OK, &json!({ "identity": identity_of(session, &user)? })))
}

/// Takes an alias away from a user.
pub(super) fn remove(session: &Session<'_>, who: &Identity, label: &str) -> Result<Reply, Stop> {
    let mut user = known(session, who)?;
    match label {
        "onesignal_id" => return Err(Stop::bad("onesignal_id cannot be removed")),
        "external_id" => {
            user.external_id = None;
            session.save(&user)?;
        }
        _ => {
            let aliases = session.aliases(user.id)?;
            let Some((label, name)) = aliases.iter().find(|(other, _)| other == label) else {
                return Err(Stop::no_such_user());
            };
            session.remove_alias(label, name)?;
        }
    }
    Ok(Reply::new(StatusCode::OK, &json!({ "identity": identity_of(session, &user)? })))
}

/// Rejects reserved names.
pub(super) fn check(names: &Names) -> Result<(), Stop> {
    if names.iter().any(|(label, name)| label.is_empty() || name.is_empty()) {
        return Err(Stop::bad("identity must not hold empty labels or names"));
    }
    let external_id = names.get("external_id").map(String::as_str).unwrap_or_default();
    if super::rules::PLACEHOLDER_IDS.contains(&external_id) {
        return Err(Stop::bad("external_id is a placeholder value that is not allowed"));
    }
    Ok(())
}

/// The users that have any of the names.
pub(super) fn owners(session: &Session<'_>, names: &Names) -> Result<Vec<UserId>, Stop> {
    let mut owners = Vec::new();
    for (label, name) in names {
        if let Some(owner) = session.find(&identity(label, name))?
            && !owners.contains(&owner)
        {
            owners.push(owner);
        }
    }
    Ok(owners)
}

/// Gives `user` the names, replacing those under the same labels. The caller
/// saves `user`.
pub(super) fn attach(session: &Session<'_>, user: &mut User, names: &Names) -> Result<(), Stop> {
    for (label, name) in names {
        if session.find(&identity(label, name))?.is_some_and(|owner| owner != user.id) {
            return Err(Stop::conflict(label, name));
        }
        match label.as_str() {
            "onesignal_id" if *name == user.platform_id => {}
            "onesignal_id" => return Err(Stop::bad("onesignal_id cannot be changed")),
            "external_id" => user.external_id = Some(name.clone()),
            _ => {
                for (other, old) in session.aliases(user.id)? {
                    if other == *label && old != *name {
                        session.remove_alias(&other, &old)?;
                    }
                }
                session.add_alias(user.id, label, name)?;
            }
        }
    }
    if user.external_id.is_none() && names.keys().any(|label| label != "onesignal_id") {
        return Err(Stop::bad("an alias can only be given to a user with an external_id"));
    }
    if session.aliases(user.id)?.len() > ALIASES_MAX {
        return Err(Stop::full("Alias Limit Exceeded"));
    }
    Ok(())
}

/// A user's `identity` object.
pub(super) fn identity_of(session: &Session<'_>, user: &User) -> Result<Value, Stop> {
    let mut names = Map::new();
    if let Some(external_id) = &user.external_id {
        names.insert("external_id".to_owned(), external_id.as_str().into());
    }
    names.insert("onesignal_id".to_owned(), user.platform_id.as_str().into());
    for (label, name) in session.aliases(user.id)? {
        names.insert(label, name.into());
    }
    Ok(Value::Object(names))
}

/// The user with this name.
pub(super) fn known(session: &Session<'_>, who: &Identity) -> Result<User, Stop> {
    let user = session.find(who)?.map(|id| session.user(id)).transpose()?.flatten();
    user.ok_or_else(Stop::no_such_user)
}
