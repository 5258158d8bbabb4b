//! Proving that connections work and that syncs could run.

use std::sync::Arc;

use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::source::{Column, Hashed};
use tidegate_model::{
    Body, Checks, ConnectionId, Error, ErrorKind, Platform, Reason, Selection, Sink, Source, SyncId,
};

use super::active::object_changed;
use super::{Engine, cursor};
use crate::pipeline::{ChangeTracking, Import};
use tidegate_project::{Compare, SyncSpec};

/// What was checked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A connection alone.
    Connection(ConnectionId),
    /// A sync: its source with its selection, its mapping, its platform.
    Sync(SyncId),
}

/// What a check found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// What was checked.
    pub subject: Subject,
    /// What was looked at, in order.
    pub checks: Checks,
}

impl Engine {
    /// Proves each privilege of a connection.
    ///
    /// # Errors
    /// If there is no such connection.
    pub async fn check_connection(&self, id: &ConnectionId) -> Result<Report, Error> {
        let mut checks = Checks::default();
        let (connector, _) = self.connection(id).await?;
        if connector.source.is_some() {
            match self.source(id, true).await {
                Ok(source) => note(&mut checks, "reading", source.check(None).await),
                Err(error) => note(&mut checks, "reading", Err(error)),
            }
        }
        // What a platform has to prove depends on the object: every sync of the connection is asked.
        for (sync_id, sync) in self.config.project.syncs.iter().filter(|(_, sync)| sync.destination() == id) {
            let (what, found) = match sync {
                SyncSpec::Import(import) => {
                    (import.destination.object.as_str(), check_of(self.platform(import, None).await).await)
                }
                SyncSpec::Export(export) => ("events", check_of_sink(self.sink(sync_id, export).await).await),
            };
            note(&mut checks, &format!("delivering {what} ({sync_id})"), found);
        }
        if checks.0.is_empty() && connector.ingest.is_some() {
            let mut received = Checks::default();
            received.pass("events", "the settings are complete; `tidegate serve` receives events");
            note(&mut checks, "events", self.ingest(id).await.map(|_| received));
        }
        if checks.0.is_empty() {
            checks.warn(
                "connection",
                "nothing was tested: no sync uses it",
                "add a sync that delivers to it, then run `tidegate check` again",
            );
        }
        Ok(Report { subject: Subject::Connection(id.clone()), checks })
    }

    /// Proves that a sync could run: privileges at both ends, columns, mapping.
    ///
    /// # Errors
    /// If there is no such sync.
    pub async fn check_sync(&self, id: &SyncId) -> Result<Report, Error> {
        let mut checks = Checks::default();
        let sync = match self.sync(id)? {
            SyncSpec::Import(import) => import,
            SyncSpec::Export(export) => {
                note(
                    &mut checks,
                    "events",
                    self.ingest(&export.source.connection).await.map(|_| Checks::default()),
                );
                note(&mut checks, "sink", check_of_sink(self.sink(id, export).await).await);
                return Ok(Report { subject: Subject::Sync(id.clone()), checks });
            }
        };
        let selection = self.selection(sync).await;
        let source = self.source(&sync.source.connection, true).await;
        match source.and_then(|source| Ok((source, selection?.0))) {
            Ok((source, selection)) => {
                note(&mut checks, "source", source.check(Some(&selection)).await);
                if checks.passed() {
                    note(&mut checks, "columns", columns_of(source.as_ref(), &selection).await);
                }
            }
            Err(error) => note(&mut checks, "source", Err(error)),
        }
        note(&mut checks, "platform", check_of(self.platform(sync, None).await).await);
        let state = self.config.store.sync_state(id).await?;
        let object = sync.destination.object;
        if let Some(before) = state.object.filter(|before| *before != object) {
            note(&mut checks, "object", Err(object_changed(id, before.as_str(), object.as_str())));
        }
        self.advise(id, sync, &mut checks);
        if checks.passed() {
            match self.import(id, None).await {
                Ok(import) => {
                    checks.pass("mapping", format!("fits; it needs {}", needed(&import)));
                    note(&mut checks, "mapping", first_rows(&import).await);
                    let continues = import.continues(&state);
                    note(&mut checks, "checkpoint", continues.map(|()| Checks::default()));
                    if !import.mapping.has_key() && !matches!(import.tracking, ChangeTracking::Checkpoint) {
                        checks.warn(
                            "key",
                            "none: rows are told apart by all of their columns, and a changed row is a new one",
                            "if some columns identify a row, name them, for example `primary_key: id`",
                        );
                    }
                    let cursor = match &import.tracking {
                        ChangeTracking::Cursor { column, .. } => Some(column.name.as_str()),
                        ChangeTracking::Full | ChangeTracking::Checkpoint | ChangeTracking::Mirror => None,
                    };
                    if import.follows() {
                        let proved = import.source.check_changes(&import.selection).await;
                        note(&mut checks, "changes", proved);
                    }
                    if import.mapping.has_key() {
                        let names = import.columns.names();
                        let key =
                            import.mapping.key_columns().iter().filter_map(|at| names.get(*at).cloned());
                        let key: Vec<String> = key.collect();
                        note(&mut checks, "key", import.source.check_key(&import.selection, &key).await);
                        if import.compare == Compare::Hashes {
                            let hashes = hashes(&import, &key).await;
                            note(&mut checks, "hashes", hashes);
                        }
                        if import.compares_at_source {
                            let proved = import.source.check_bookkeeping(&import.selection, &key).await;
                            note(&mut checks, "bookkeeping", proved);
                        }
                    }
                    note(&mut checks, "reading", import.source.advise(&import.selection, cursor).await);
                    note(&mut checks, "lookback", cursor::lookback(&import).await);
                }
                Err(error) => note(&mut checks, "mapping", Err(error)),
            }
        }
        Ok(Report { subject: Subject::Sync(id.clone()), checks })
    }
}

/// Maps a few rows: a mapping whose columns are all there may still make no record of any row.
async fn first_rows(import: &Import) -> Result<Checks, Error> {
    /// Rows that are tried.
    const TRIED: usize = 20;
    let mut checks = Checks::default();
    let Some(mut feed) = import.sample(TRIED).await? else { return Ok(checks) };
    let Some(batch) = feed.try_next().await? else { return Ok(checks) };
    let mut reasons: Vec<Reason> = batch.malformed.into_iter().map(|broken| broken.reason).collect();
    let mut scratch = Vec::new();
    let mut early = 0;
    for row in batch.items.iter().take(TRIED) {
        match import.record_of(row, &mut scratch) {
            Ok(record) if is_early(&record.body) => early += 1,
            Ok(_) => return Ok(checks),
            Err(reason) => reasons.push(reason),
        }
    }
    if early > 0 {
        checks.warn(
            "timestamp",
            format!("{} has a time in the year 1970", all_of(early)),
            "map `timestamp` to a column that holds a time; a number counts seconds or milliseconds since 1970",
        );
        return Ok(checks);
    }
    // A sentence may repeat a value of a row; the code does not.
    if let Some(Reason { code, .. }) = reasons.first() {
        checks.warn(
            "mapping",
            format!("{} is rejected: `{code}`", all_of(reasons.len())),
            format!("run `tidegate preview {}` to see why", import.sync),
        );
    }
    Ok(checks)
}

/// Whether an event or a purchase has a time that is probably another number, such as an amount.
fn is_early(body: &Body) -> bool {
    /// The end of the year 1970, in seconds since it began.
    const YEAR_SECONDS: i64 = 365 * 24 * 3_600;
    let time = match body {
        Body::Event { time, .. } => *time,
        Body::Purchase(purchase) => purchase.time,
        _ => None,
    };
    time.is_some_and(|time| (0..YEAR_SECONDS).contains(&time.as_second()))
}

fn all_of(rows: usize) -> String {
    match rows {
        1 => "the first row".to_owned(),
        many => format!("each of the first {many} rows"),
    }
}

/// The columns that tell rows apart and make records, in words.
fn needed(import: &Import) -> String {
    let names = import.columns.names();
    match (import.mapping.needed(), names) {
        (Some([only]), names) => format!("the column {}", names.get(*only).map_or("", |name| &**name)),
        (Some(needed), _) => format!("{} columns", needed.len()),
        (None, [only]) => format!("the column {only}"),
        (None, names) => format!("all {} columns, since rows have no key", names.len()),
    }
}

/// The columns with their types, as many as a person reads.
async fn columns_of(source: &dyn Source, selection: &Selection) -> Result<Checks, Error> {
    const SHOWN: usize = 30;
    let columns = source.describe(selection).await?.columns;
    let mut list: Vec<String> = columns.iter().take(SHOWN).map(Column::to_string).collect();
    if columns.len() > SHOWN {
        list.push(format!("{} more", columns.len() - SHOWN));
    }
    let mut checks = Checks::default();
    if !list.is_empty() {
        checks.pass("columns", list.join(", "));
    }
    Ok(checks)
}

async fn check_of(platform: Result<Arc<dyn Platform>, Error>) -> Result<Checks, Error> {
    platform?.check().await
}

async fn check_of_sink(sink: Result<Arc<Sink>, Error>) -> Result<Checks, Error> {
    sink?.check().await
}

/// Returns a next step without the advice to check, for people who just did.
fn inside_check(step: &str) -> &str {
    let step = step.strip_suffix("; `tidegate check` shows whether it is back").unwrap_or(step);
    step.strip_suffix(", then run `tidegate check`").unwrap_or(step)
}

/// Checks that rows can be found by hashes, without reading any.
async fn hashes(import: &Import, key: &[String]) -> Result<Checks, Error> {
    import.source.hashed(&import.selection, key, Hashed::Keys, 1).await?;
    let mut checks = Checks::default();
    checks.pass("hashes", format!("rows are found by ({})", key.join(", ")));
    Ok(checks)
}

/// Adds what was found; what prevented looking is a failed check of its own. It is said once, and what is denied
/// is called so, whatever was looked at.
fn note(checks: &mut Checks, name: &str, found: Result<Checks, Error>) {
    let error = match found {
        Ok(found) => return checks.0.extend(found.0),
        Err(error) => error,
    };
    let (name, said) = match error.kind() {
        ErrorKind::Denied => ("access", error.chain()),
        _ => (name, error.chain()),
    };
    if !checks.0.iter().any(|check| !check.passed && check.detail == said) {
        checks.fail(name, said, inside_check(error.next_step()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_is_missing_is_said_once_and_not_called_the_key() {
        let mut checks = Checks::default();
        let denied =
            || Error::new(ErrorKind::Denied, "permission denied for table orders").hint("GRANT SELECT");
        note(&mut checks, "key", Err(denied()));
        note(&mut checks, "reading", Err(denied()));
        note(&mut checks, "lookback", Err(Error::new(ErrorKind::Unavailable, "it does not answer")));
        let said: Vec<(&str, &str)> =
            checks.0.iter().map(|check| (check.name.as_str(), check.detail.as_str())).collect();
        assert_eq!(
            said,
            [("access", "permission denied for table orders"), ("lookback", "it does not answer")]
        );
    }
}
