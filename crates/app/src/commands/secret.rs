//! `tidegate secret`

use std::io::{IsTerminal, Read};

use comfy_table::Table;
use tidegate_engine::service;
use tidegate_model::Error;

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
            output::line(format!("kept `{name}`, sealed; refer to it as {{ secret: {name} }}"));
        }
        SecretAction::List => output::print(out, &service::secret_names(store.as_ref()).await?, |names| {
            let mut table: Table = output::table(&["secret"]);
            for name in names {
                table.add_row([name]);
            }
            table
        }),
    }
    Ok(DONE)
}
