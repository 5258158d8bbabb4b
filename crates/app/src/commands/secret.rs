//! `tidegate secret`

use std::io::{IsTerminal, Read};

use comfy_table::Table;
use tidegate_engine::service;
use tidegate_model::Error;
use tidegate_model::store::KeyRotation;

use crate::cli::{Output, ProjectArgs, SecretAction};
use crate::{DONE, output};

pub(super) async fn secret(args: &ProjectArgs, action: SecretAction, out: Output) -> Result<u8, Error> {
    let store = args.open_store().await?;
    match action {
        SecretAction::Set { name } => {
            if std::io::stdin().is_terminal() {
                eprintln!("type the secret, then Ctrl-D:");
            }
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|cause| Error::settings("the secret on stdin is no text").caused_by(cause))?;
            let text = text.trim_end_matches(['\r', '\n']);
            service::set_secret(store.as_ref(), &name, text).await?;
            output::line(format!("stored `{name}`, sealed; refer to it as {{ secret: {name} }}"));
        }
        SecretAction::List => output::print(out, &service::secret_names(store.as_ref()).await?, |names| {
            let mut table: Table = output::table(&["secret"]);
            for name in names {
                table.add_row([name]);
            }
            table
        }),
        SecretAction::Remove { name } => {
            service::remove_secret(store.as_ref(), &args.project()?, &name).await?;
            output::line(format!("removed `{name}`"));
        }
        SecretAction::Rotate { discard_unreadable } => {
            let rotation = service::rotate_master_key(store.as_ref(), discard_unreadable).await?;
            match out {
                Output::Json => output::json(&rotation),
                Output::Text => rotated(&rotation),
            }
        }
    }
    Ok(DONE)
}

fn rotated(rotation: &KeyRotation) {
    let KeyRotation { key, sealed, discarded } = rotation;
    for name in discarded {
        output::line(format!("removed `{name}`: its master key is lost"));
    }
    output::line(match sealed {
        0 => format!("the master key is now {key}; no secret was sealed"),
        1 => format!("sealed 1 secret with the new master key {key}"),
        _ => format!("sealed {sealed} secrets with the new master key {key}"),
    });
    eprintln!(
        "  → keep a copy of the new key apart, and the former key as long as copies of the state need it"
    );
}
