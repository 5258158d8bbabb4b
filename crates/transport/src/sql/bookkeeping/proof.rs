//! Whether the bookkeeping can be kept.

use tidegate_model::{Checks, Error, ErrorKind};

use super::keeper::{CHECK, Keeper};

/// Proves that the bookkeeping can be kept: by a statement that removes no rows, if the tables are there.
///
/// # Errors
/// Only what prevents looking.
pub async fn prove<K: Keeper>(keeper: &K) -> Result<Checks, Error> {
    let mut checks = Checks::default();
    let (rows, name) = (keeper.table("mirror_rows"), keeper.column("name"));
    let written = match keeper.ask(&format!("SELECT {name} FROM {rows} WHERE 1 = 0")).await {
        Ok(_) => keeper.run(&format!("DELETE FROM {rows} WHERE {name} = ''")).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(()) => checks.pass(CHECK, format!("{rows} can be written")),
        Err(error) if error.kind() == ErrorKind::Missing => keeper.prove_making(&mut checks).await?,
        Err(error) if error.kind() == ErrorKind::Denied => {
            // The schema comes first.
            let mut making = Checks::default();
            keeper.prove_making(&mut making).await?;
            match making.passed() {
                true => checks.fail(CHECK, format!("{rows} cannot be written"), keeper.grant()),
                false => checks.0.extend(making.0),
            }
        }
        Err(error) => return Err(error),
    }
    Ok(checks)
}
