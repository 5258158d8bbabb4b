//! The files that a state database names.

use std::path::Path;

use sqlx::{Connection as _, Row as _};
use tidegate_model::Error;

use crate::folder;
use crate::store::{failure, sqlite_copy};

/// Returns the names, below the data folder, of the files without which this database is not whole.
pub(super) async fn named_by(database: &Path) -> Result<Vec<String>, Error> {
    let fail = |cause| failure::of_sqlite(cause, database);
    let mut connection = sqlite_copy::connect(database).await.map_err(fail)?;
    let history = sqlx::query("SELECT name FROM history_files ORDER BY name").fetch_all(&mut connection);
    let mut names = Vec::new();
    for row in history.await.map_err(fail)? {
        names.push(format!("history/{}", row.try_get::<String, _>(0).map_err(fail)?));
    }
    let rows = "SELECT DISTINCT sync, file FROM lookback WHERE file IS NOT NULL ORDER BY sync, file";
    for row in sqlx::query(rows).fetch_all(&mut connection).await.map_err(fail)? {
        let sync = folder::file_name(&row.try_get::<String, _>(0).map_err(fail)?);
        names.push(format!("lookback/{sync}/{}", row.try_get::<String, _>(1).map_err(fail)?));
    }
    connection.close().await.map_err(fail)?;
    Ok(names)
}
