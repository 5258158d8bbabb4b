//! `tidegate secret`

use std::io::{IsTerminal, Read};

use tidegate_engine::service;
use tidegate_model::Error;
use tidegate_model::store::{KeyRotation, SecretStore};
use tidegate_project::Retention;
use tidegate_transport::rsa;

use super::documents::{GeneratedKey, RemovedSecret, Secrets, StoredSecret};
use crate::cli::{Output, ProjectArgs, SecretAction};
use crate::output::counted;
use crate::{DONE, output};

pub(super) async fn secret(args: &ProjectArgs, action: SecretAction, out: Output) -> Result<u8, Error> {
    // Without a project nothing says how long history is kept, so none is removed.
    let keep_all = Retention { history_days: Some(0), ..Retention::default() };
    let retention = args.project().map_or(keep_all, |project| project.retention);
    let store = args.open_store(retention).await?;
    match action {
        SecretAction::Set { name } => set(store.as_ref(), name, out).await?,
        SecretAction::GenerateKey { name, ssh } => generate_key(store.as_ref(), name, ssh, out).await?,
        SecretAction::List => {
            let secrets = Secrets { secrets: service::secret_names(store.as_ref()).await? };
            match out {
                Output::Text if secrets.secrets.is_empty() => {
                    output::note("no secrets yet: `tidegate secret set NAME` stores one");
                }
                Output::Text => secrets.secrets.iter().for_each(output::line),
                _ => output::listing(out, &secrets, &secrets.secrets),
            }
        }
        SecretAction::Remove { name } => {
            service::remove_secret(store.as_ref(), &args.project()?, &name).await?;
            match out {
                Output::Text => output::line(format!("removed `{name}`")),
                _ => output::document(out, &RemovedSecret { removed: name }),
            }
        }
        SecretAction::Rotate { discard_unreadable } => {
            let rotation = service::rotate_master_key(store.as_ref(), discard_unreadable).await?;
            match out {
                Output::Text => rotated(&rotation),
                _ => output::document(out, &rotation),
            }
        }
    }
    Ok(DONE)
}

/// Reads a secret from stdin and stores it.
async fn set(store: &dyn SecretStore, name: String, out: Output) -> Result<(), Error> {
    if std::io::stdin().is_terminal() {
        output::note("type the secret, then Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|cause| {
        Error::settings("the secret on stdin is not UTF-8 text")
            .hint("encode it, for example with `base64`")
            .caused_by(cause)
    })?;
    service::set_secret(store, &name, text.trim_end_matches(['\r', '\n'])).await?;
    match out {
        Output::Text => {
            output::line(format!("stored `{name}`, sealed; refer to it as {{ secret: {name} }}"));
        }
        _ => output::document(out, &StoredSecret { secret: name }),
    }
    Ok(())
}

/// Makes a key pair and stores its private half under a name that is free.
async fn generate_key(store: &dyn SecretStore, name: String, ssh: bool, out: Output) -> Result<(), Error> {
    if service::secret_names(store).await?.contains(&name) {
        return Err(Error::settings(format!("there is a secret `{name}` already"))
            .hint("take another name: while keys are changed, both are needed"));
    }
    let (private, public_key) = match ssh {
        true => {
            let pair = tidegate_tunnel::generate()?;
            (pair.private, pair.public)
        }
        false => {
            let private = rsa::generate()?;
            let public = rsa::public(&rsa::open("the key", &private, None)?);
            (private, public)
        }
    };
    service::set_secret(store, &name, private.expose()).await?;
    match out {
        Output::Text => {
            output::note(format!("stored `{name}`, sealed; refer to it as {{ secret: {name} }}"));
            output::note("the public half, for the other side:");
            output::line(public_key);
        }
        _ => output::document(out, &GeneratedKey { secret: name, public_key }),
    }
    Ok(())
}

fn rotated(rotation: &KeyRotation) {
    let KeyRotation { key, sealed, discarded } = rotation;
    for name in discarded {
        output::line(format!("removed `{name}`: its master key is lost"));
    }
    output::line(match sealed {
        0 => format!("the master key is now {key}; no secret was sealed"),
        _ => format!("sealed {} with the new master key {key}", counted(*sealed, "secret")),
    });
    output::note(
        "  → keep a copy of the new key apart, and the former key as long as copies of the state need it",
    );
}
