//! Which project a state database belongs to.
//!
//! Syncs are known by their names. Two projects with a sync of the same name in one database would each take the
//! other's rows for committed. Several machines may run one project, from folders of any names.

use std::collections::BTreeMap;

use tidegate_model::{Error, SyncId};

use super::dialect::Database;
use super::statement::sql;

/// What each sync of a project moves, in words.
pub(super) type Syncs = BTreeMap<SyncId, String>;

/// Takes the database for the project in a folder.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if it belongs to another project.
pub(super) async fn claim(database: &Database, folder: &str, syncs: &Syncs) -> Result<(), Error> {
    if !database.is_server() {
        // A data folder says which project it belongs to.
        return Ok(());
    }
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    tx.script("CREATE TABLE IF NOT EXISTS projects (folder TEXT PRIMARY KEY, syncs TEXT NOT NULL)").await?;
    let mut known = BTreeMap::new();
    for record in tx.all(sql("SELECT folder, syncs FROM projects")).await? {
        let text: String = record.get("syncs")?;
        known.insert(
            record.get::<String>("folder")?,
            serde_json::from_str::<Syncs>(&text).unwrap_or_default(),
        );
    }
    if let Some(error) = refusal(&known, folder, syncs) {
        return Err(error);
    }
    if known.get(folder) != Some(syncs) {
        let text = serde_json::to_string(syncs)
            .map_err(|cause| Error::internal("the syncs of a project have no JSON form").caused_by(cause))?;
        let statement = sql("INSERT INTO projects (folder, syncs) VALUES ($1, $2)
            ON CONFLICT (folder) DO UPDATE SET syncs = excluded.syncs");
        tx.execute(statement.bind(folder).bind(text.as_str())).await?;
    }
    tx.commit().await
}

/// Returns the error of a project that is another one than those that are known: it has names of theirs, and none
/// of its syncs moves what theirs do. In a folder that is known a project may change as it likes.
fn refusal(known: &BTreeMap<String, Syncs>, folder: &str, syncs: &Syncs) -> Option<Error> {
    if known.contains_key(folder) {
        return None;
    }
    let same = |(id, moves): (&SyncId, &String)| known.values().any(|of| of.get(id) == Some(moves));
    if syncs.iter().any(same) {
        return None;
    }
    let (other, id) = known.iter().find_map(|(other, of)| {
        let id = syncs.keys().find(|id| of.contains_key(*id))?;
        Some((other, id))
    })?;
    let error = Error::settings(format!(
        "the state database belongs to another project, the one in {other}: its sync `{id}` reads something else"
    ));
    Some(error.hint(format!(
        "give this project a database of its own; if it is the same project, run it once from {other} after the change"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syncs(of: &[(&str, &str)]) -> Syncs {
        of.iter().map(|(id, moves)| (SyncId::new(id), (*moves).to_owned())).collect()
    }

    #[test]
    fn a_project_with_the_names_of_another_one_is_refused() {
        let known = [("/a".to_owned(), syncs(&[("users", "files a.csv"), ("orders", "table orders")]))];
        let known = BTreeMap::from(known);
        let error = refusal(&known, "/b", &syncs(&[("users", "files b.csv")])).expect("another project");
        assert!(
            error.message().contains("the one in /a: its sync `users` reads something else"),
            "{error:?}"
        );
        for (folder, of) in [
            ("/b", syncs(&[("users", "files a.csv")])),
            ("/b", syncs(&[("users", "files b.csv"), ("orders", "table orders")])),
            ("/b", syncs(&[("tweets", "topic tweets")])),
            ("/a", syncs(&[("users", "files b.csv")])),
        ] {
            assert!(refusal(&known, folder, &of).is_none(), "{folder}: {of:?}");
        }
        assert!(refusal(&BTreeMap::new(), "/b", &syncs(&[("users", "files b.csv")])).is_none());
    }
}
