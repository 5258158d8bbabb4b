//! `tidegate backup`

use std::path::Path;

use tidegate_model::Error;
use tidegate_project::Retention;
use tidegate_state::backup::{BackupOptions, back_up};

use super::documents::BackedUp;
use crate::cli::{Output, ProjectArgs};
use crate::{DONE, output};

/// Copies all state, and says what is not in the copy.
pub(super) async fn backup(
    args: &ProjectArgs,
    folder: &Path,
    master_key: bool,
    out: Output,
) -> Result<u8, Error> {
    let options = BackupOptions { version: env!("CARGO_PKG_VERSION"), master_key };
    let made = back_up(args.state_config(Retention::default())?, folder, options).await?;
    let backup = folder.display().to_string();
    match out {
        Output::Text => {
            let files = output::counted(made.files, "file");
            output::line(format!("backed up to {backup}: {files}, {}", output::size(made.bytes)));
            if !made.tables {
                output::note("the tables of the state are on a PostgreSQL server and not in it");
                output::note("→ `pg_dump` copies them: run it before the backup");
            }
            if let Some(bucket) = &args.bucket {
                output::note(format!(
                    "the history and the hashes of delivered rows are in {bucket} and not in it"
                ));
            }
            if args.log.is_some() {
                output::note("events are in Kafka and not in it");
            }
            match made.master_key {
                true => output::note("the master key is in it: whoever has the backup can open its secrets"),
                false => output::note("the master key is not in it: keep it apart, `restore` needs it"),
            }
        }
        _ => output::document(
            out,
            &BackedUp {
                backup,
                made_at: made.made_at,
                files: made.files,
                bytes: made.bytes,
                tables: made.tables,
                master_key: made.master_key,
            },
        ),
    }
    Ok(DONE)
}
