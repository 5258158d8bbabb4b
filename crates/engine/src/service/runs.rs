//! Running syncs, and what is known of their runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::store::{FailedRow, Pause, PausedBy, RowEntry, RowQuery, StatusKind, SyncState};
use tidegate_model::{
    Batch, Cause, Checkpoint, Claim, Error, ErrorKind, Lag, Origin, Progress, Row, RowHash, Run, SyncId,
    Value, Wait,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::pipeline::{self, Export, Import, Input};
use crate::scheduler::due;
use tidegate_project::SyncSpec;

/// A sync, its last run and its failed rows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SyncStatus {
    /// Its name.
    pub sync: SyncId,
    /// What its rows become.
    pub object: &'static str,
    /// Source → platform.
    pub route: String,
    /// Set while the sync is paused; a pause by `System` is still retried.
    pub paused: Option<Pause>,
    /// Set while its run sends nothing because the destination asked for it.
    pub wait: Option<Wait>,
    /// Its last run.
    pub last_run: Option<Run>,
    /// Rows that were rejected or are in doubt and still open.
    pub failed_rows: u64,
    /// How many items it has not committed, by partition; empty if it reads no stream, or the stream
    /// cannot be asked.
    pub lag: Vec<Lag>,
    /// Whether it runs on its schedule; otherwise it is a draft.
    pub enabled: bool,
    /// Next scheduled run; `None` if continuous, unscheduled or a draft.
    pub next_run_at: Option<Timestamp>,
    /// Whether its run is due and has not begun: others take their turn, or `tidegate serve` does
    /// not run.
    pub waiting: bool,
    /// The people to ask about it.
    pub contacts: Vec<String>,
    /// Labels from the project file.
    pub labels: BTreeMap<String, String>,
}

/// A sync with both of its ends opened.
pub(crate) enum OpenSync {
    /// Rows to a platform.
    Import(Box<Import>),
    /// Events to a sink.
    Export(Box<Export>),
}

/// How a run goes about its sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunMode {
    /// What is there now.
    Once,
    /// What is there and what comes, until it is stopped.
    Follow,
}

/// Which failed rows to send again.
#[derive(Clone, Debug, Default)]
pub struct RetryFilter {
    /// Of one user only.
    pub user: Option<String>,
    /// Rows in doubt instead of rejected ones.
    pub in_doubt: bool,
    /// With this reason code only.
    pub reason: Option<String>,
    /// The row with this key only.
    pub key: Option<RowHash>,
}

impl RetryFilter {
    fn selects(&self, row: &FailedRow) -> bool {
        let code = row.entry.reason.as_ref().map(|reason| &*reason.code);
        self.user.as_ref().is_none_or(|user| *user == row.entry.user)
            && self.reason.as_deref().is_none_or(|wanted| code == Some(wanted))
            && self.key.is_none_or(|key| key == row.key)
    }
}

/// The result of a retry.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RetryResult {
    /// The run, if there was anything to send.
    pub run: Option<Run>,
    /// Rows that the source no longer has.
    pub gone: u64,
    /// Inputs that could not be parsed: fix the source and read it again.
    pub malformed: u64,
}

impl Engine {
    /// Runs a sync once.
    ///
    /// A sync that Tidegate paused is tried again; one that a person
    /// paused is not.
    ///
    /// # Errors
    /// If the run could not begin. A run that failed later says so itself.
    pub async fn run(
        &self,
        id: &SyncId,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        self.run_in_mode(id, RunMode::Once, cause, stop, progress).await
    }

    /// Runs a sync in one of the two ways.
    pub(crate) async fn run_in_mode(
        &self,
        id: &SyncId,
        mode: RunMode,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let (open, claim) = self.ready(id, cause).await?;
        let run = self.run_open(&open, &claim, mode, cause, stop, progress).await;
        claim.release().await;
        run
    }

    /// Runs what is opened.
    pub(crate) async fn run_open(
        &self,
        open: &OpenSync,
        claim: &Claim,
        mode: RunMode,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        match open {
            OpenSync::Import(import) => {
                let input = match mode {
                    RunMode::Follow if import.source.supports_streaming() => Input::Following,
                    _ => Input::Changes,
                };
                pipeline::run(import, &self.parts(claim), cause, input, stop, progress).await
            }
            OpenSync::Export(export) => {
                let follow = mode == RunMode::Follow;
                pipeline::run_export(export, &self.parts(claim), cause, follow, stop, progress).await
            }
        }
    }

    /// Sends rejected rows, or rows in doubt, again: as the source has them now if it can look them
    /// up, else as they were. If another process holds the sync, asks it and waits at least 30 s
    /// before giving up.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn retry(
        &self,
        id: &SyncId,
        filter: &RetryFilter,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<RetryResult, Error> {
        self.import_spec(id)?;
        let (open, claim) = match self.ready(id, Cause::Retry).await {
            Ok(ready) => ready,
            // The process that holds it does it.
            Err(error) if error.kind() == ErrorKind::Held => {
                return self.ask_for_retry(id, filter, error, &stop).await;
            }
            Err(error) => return Err(error),
        };
        let retried = self.retry_open(&open, &claim, filter, stop, progress).await;
        claim.release().await;
        retried
    }

    /// Sends failed rows of what is opened again.
    pub(super) async fn retry_open(
        &self,
        open: &OpenSync,
        claim: &Claim,
        filter: &RetryFilter,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<RetryResult, Error> {
        let id = claim.sync();
        let OpenSync::Import(import) = open else {
            return Err(Error::internal(format!("the import `{id}` was opened as an export")));
        };
        let wanted = if filter.in_doubt { StatusKind::InDoubt } else { StatusKind::Rejected };
        let failed_rows: Vec<FailedRow> = (self.config.store.failed_rows(id).await?.into_iter())
            .filter(|failed_row| failed_row.entry.status == wanted)
            .filter(|failed_row| filter.selects(failed_row))
            .collect();
        let rows = self.rows_to_retry(import, failed_rows).await;
        if let Err(error) = &rows {
            self.note_failure(claim, import.platform.object().kind, Cause::Retry, error).await;
        }
        let RowsToRetry { batch, gone, malformed } = rows?;
        if batch.items.is_empty() && batch.malformed.is_empty() {
            return Ok(RetryResult { run: None, gone, malformed });
        }
        let run = pipeline::run(import, &self.parts(claim), Cause::Retry, Input::Rows(batch), stop, progress)
            .await?;
        Ok(RetryResult { run: Some(run), gone, malformed })
    }

    /// Returns the rows to retry, as they are now.
    async fn rows_to_retry(
        &self,
        import: &Import,
        failed_rows: Vec<FailedRow>,
    ) -> Result<RowsToRetry, Error> {
        let sync = self.import_spec(&import.sync)?;
        let dataset = import.source.describe(&import.selection).await?;
        let key = sync.primary_key.clone().unwrap_or(dataset.key);
        let mut retry = RowsToRetry { batch: Batch::of(Vec::new()), gone: 0, malformed: 0 };
        let (mut kept, mut locations) = (Vec::new(), Vec::new());
        for failed_row in failed_rows {
            let FailedRow { key: hash, entry, .. } = failed_row;
            let RowEntry { key: location, payload, .. } = entry;
            match payload {
                Some(row) if has_columns_of(import, &row) && !import.source.rows_change() => {
                    retry.batch.items.push(row);
                    retry.batch.origins.push(Origin::Known(hash));
                }
                Some(row) if has_columns_of(import, &row) => kept.push((hash, row)),
                Some(row) => match pipeline::location_of(&row) {
                    Some(location) => locations.push(location.to_owned()),
                    None if has_key(&key, &row) => kept.push((hash, row)),
                    None if pipeline::is_input(&row) => locations.push(location),
                    None => retry.malformed += 1,
                },
                None => retry.gone += 1,
            }
        }
        retry.look_up(import, &key, kept).await?;
        retry.reread(import, locations).await?;
        Ok(retry)
    }

    /// Returns every sync of the project with its state.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn status(&self) -> Result<Vec<SyncStatus>, Error> {
        let mut statuses = Vec::new();
        for (id, sync) in &self.config.project.syncs {
            let last_run = self.config.store.runs(Some(id), 1).await?.pop();
            let state = self.config.store.sync_state(id).await?;
            let failed_rows = self.config.store.failed_row_keys(id).await?.len() as u64;
            let lag = self.lag(sync, state.checkpoint.as_ref()).await;
            statuses.push(self.status_of(id, sync, state, last_run, failed_rows, lag));
        }
        Ok(statuses)
    }

    /// Puts together what is known of one sync.
    pub(super) fn status_of(
        &self,
        id: &SyncId,
        sync: &SyncSpec,
        state: SyncState,
        last_run: Option<Run>,
        failed_rows: u64,
        lag: Vec<Lag>,
    ) -> SyncStatus {
        let options = sync.options();
        let now = self.config.clock.now();
        let next = options.schedule.as_ref().and_then(|schedule| due::next(schedule, &state, now));
        let runs = last_run.as_ref().is_some_and(|run| run.ending.is_none());
        SyncStatus {
            enabled: options.enabled,
            waiting: options.enabled
                && state.paused.is_none()
                && !runs
                && state.next_run.is_some()
                && next.is_some_and(|next| next <= now),
            // What is overdue is due now.
            next_run_at: next.filter(|_| options.enabled).map(|next| next.max(now)),
            contacts: options.contacts.clone(),
            labels: options.labels.clone(),
            sync: id.clone(),
            object: match sync {
                SyncSpec::Import(import) => import.destination.object.as_str(),
                SyncSpec::Export(_) => "events",
            },
            route: format!("{} → {}", sync.source(), sync.destination()),
            lag,
            wait: state.wait.filter(|wait| runs && wait.until > now),
            paused: state.paused,
            last_run,
            failed_rows,
        }
    }

    /// How far behind its stream a sync is. Nothing if the stream cannot be
    /// asked: `status` shows what is known, `check` what is wrong.
    pub(crate) async fn lag(&self, sync: &SyncSpec, after: Option<&Checkpoint>) -> Vec<Lag> {
        let asked = match sync {
            SyncSpec::Import(import) => {
                let selection = self.selection(import).await;
                let source = self.source(&import.source.connection, true).await;
                match source.and_then(|source| Ok((source, selection?.0))) {
                    Ok((source, selection)) => source.lag(&selection, after).await,
                    Err(error) => Err(error),
                }
            }
            SyncSpec::Export(export) => {
                self.config.log.lag(&super::export::stream_of(&export.source.connection), after).await
            }
        };
        asked.unwrap_or_else(|error| {
            // The sync itself says what is wrong; this is asked again and again.
            tracing::debug!(error = error.chain(), "how far a stream is could not be found out");
            Vec::new()
        })
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn runs(&self, id: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        self.config.store.runs(id, limit).await
    }

    /// Returns row statuses, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        self.config.store.rows(query).await
    }

    /// Keeps a sync from running until it is resumed.
    ///
    /// # Errors
    /// If there is no such sync, or the store cannot be written.
    pub async fn pause(&self, id: &SyncId, by: &str, why: &str) -> Result<(), Error> {
        self.sync(id)?;
        let pause =
            Pause { by: PausedBy::Person(by.to_owned()), why: why.to_owned(), at: self.config.clock.now() };
        self.config.store.set_paused(id, Some(pause)).await
    }

    /// Lets a sync run again.
    ///
    /// # Errors
    /// As [`Engine::pause`].
    pub async fn resume(&self, id: &SyncId) -> Result<(), Error> {
        self.sync(id)?;
        self.config.store.set_paused(id, None).await
    }

    /// Resets a sync, so that its next run reads from the beginning.
    ///
    /// # Errors
    /// If there is no such sync, the process that runs it does not do it in time, or the store
    /// cannot be written.
    pub async fn reset(&self, id: &SyncId) -> Result<(), Error> {
        self.sync(id)?;
        let claim = match self.claim(id).await {
            Ok(claim) => claim,
            Err(error) if error.kind() == ErrorKind::Held => return self.ask_for_reset(id, error).await,
            Err(error) => return Err(error),
        };
        let done = self.config.store.reset(&claim).await;
        claim.release().await;
        done
    }
}

/// Whether a kept row has the columns of today: what was no row at all has none of them.
fn has_columns_of(import: &Import, row: &Row) -> bool {
    match import.open {
        true => row.columns.names().starts_with(import.columns.names()),
        false => row.columns.names() == import.columns.names(),
    }
}

fn has_key(key: &[String], row: &Row) -> bool {
    !key.is_empty() && key.iter().all(|name| row.get(name).is_some())
}

/// Rows to send again, and how many of those that failed are not among them.
struct RowsToRetry {
    batch: Batch<Row>,
    gone: u64,
    malformed: u64,
}

impl RowsToRetry {
    /// Adds kept rows as the source has them now; as they were if it cannot look them up.
    async fn look_up(
        &mut self,
        import: &Import,
        key: &[String],
        kept: Vec<(RowHash, Row)>,
    ) -> Result<(), Error> {
        let values: Option<Vec<Vec<Value>>> =
            kept.iter().map(|(_, row)| key.iter().map(|name| row.get(name).cloned()).collect()).collect();
        let found = match values {
            Some(values) if !key.is_empty() && !values.is_empty() => {
                import.source.lookup(&import.selection, key, &values).await?
            }
            _ => None,
        };
        let Some(found) = found else {
            for (hash, row) in kept {
                if has_columns_of(import, &row) {
                    self.batch.items.push(row);
                    self.batch.origins.push(Origin::Known(hash));
                } else {
                    self.malformed += 1;
                }
            }
            return Ok(());
        };
        self.gone += kept.len().saturating_sub(found.items.len() + found.malformed.len()) as u64;
        self.batch.items.extend(found.items);
        self.batch.origins.extend(found.origins);
        self.batch.malformed.extend(found.malformed);
        Ok(())
    }

    /// Adds the rows at these locations as they are now, if the source can read them again.
    async fn reread(&mut self, import: &Import, locations: Vec<String>) -> Result<(), Error> {
        if locations.is_empty() {
            return Ok(());
        }
        let Some(found) = import.source.reread(&import.selection, &locations).await? else {
            self.malformed += locations.len() as u64;
            return Ok(());
        };
        self.gone += locations.len().saturating_sub(found.items.len() + found.malformed.len()) as u64;
        // A row with a key of its own closes the piece that stood in its place.
        self.batch.fixed.extend(found.origins.iter().map(Origin::to_string));
        self.batch.items.extend(found.items);
        self.batch.origins.extend(found.origins);
        self.batch.malformed.extend(found.malformed);
        Ok(())
    }
}
