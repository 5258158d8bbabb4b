//! Copies a SQLite database while other processes use it.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tidegate_model::Error;

use super::failure;

/// How long to wait for a process that writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes what is committed in a database into another file, which is empty or new. The copy is one
/// that no transaction is half in, without free pages and without a file beside it.
///
/// # Errors
/// If the database cannot be read, or the file not written.
pub(crate) async fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let folder = from.parent().unwrap_or(from);
    let fail = |cause| failure::of_sqlite(cause, folder).context(format!("copying {}", from.display()));
    let Some(target) = to.to_str() else {
        return Err(Error::settings(format!("{} is not UTF-8", to.display())).hint("use another folder"));
    };
    let mut connection = connect(from).await.map_err(fail)?;
    // A read transaction, beside which others write. Source: <https://www.sqlite.org/lang_vacuum.html>.
    sqlx::query("VACUUM INTO ?1").bind(target).execute(&mut connection).await.map_err(fail)?;
    connection.close().await.map_err(fail)
}

/// Opens a database that is there.
pub(crate) async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(PATIENCE)
        .disable_statement_logging()
        .connect()
        .await
}
