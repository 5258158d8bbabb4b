//! A cluster as a [`Source`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tidegate_model::{
    Batch, Checkpoint, Checks, ConnectorContext, Dataset, Error, Feed, Lag, ReadMode, Row, Selection,
    Settings, Source, Value,
};

use crate::access::Access;
use crate::baseline::Baseline;
use crate::check;
use crate::connection::Connection;
use crate::feed::{self, Plan, Reading, Session};
use crate::partition::{lock, name_of};
use crate::progress::Progress;
use crate::reread::{self, Wanted};
use crate::selection::{self, KafkaSelection, Start, Tombstones};
use crate::settings::KafkaSettings;
use crate::start_offsets::StartOffsets;

/// How long to wait for the last commit at the end of a feed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster.
pub(crate) struct KafkaSource {
    connection: Arc<Connection>,
    /// The session whose offsets are committed: that of the last feed opened.
    session: Mutex<Option<Arc<Session>>>,
}

impl KafkaSource {
    /// Opens the source. Nothing is contacted yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(crate) fn open(settings: &Settings, context: &ConnectorContext) -> Result<KafkaSource, Error> {
        let settings: KafkaSettings = settings.parse()?;
        let connection = Connection::new(settings, context)?;
        Ok(KafkaSource { connection: Arc::new(connection), session: Mutex::default() })
    }

    /// Returns how to read: the plan, the progress so far, and whether to follow.
    fn plan(&self, selection: &KafkaSelection, mode: &ReadMode) -> Result<(Plan, Progress, bool), Error> {
        let (start_offsets, known, follow, commits) = match mode {
            ReadMode::Full => {
                (StartOffsets { committed: false, start: Start::Earliest }, Progress::default(), false, false)
            }
            ReadMode::Resume { checkpoint, follow } => {
                let start_offsets = StartOffsets { committed: true, start: selection.start.clone() };
                let known = Progress::of(checkpoint.as_ref())?;
                // A dry run neither joins the group nor commits.
                let dry_run = self.connection.dry_run;
                (start_offsets, known, *follow && !dry_run, !dry_run)
            }
            ReadMode::Incremental { .. } => {
                return Err(Error::settings("topics have no cursor column")
                    .hint("leave `cursor` out: offsets say what is new"));
            }
        };
        let session_timeout = self.connection.client.millis("session.timeout.ms").unwrap_or(15_000);
        let plan = Plan {
            start_offsets,
            commits,
            revoke_timeout: Duration::from_millis(session_timeout / 2),
            access: Access::new(&self.connection.settings, Some(selection)),
            brokers: self.connection.brokers(),
            clock: Arc::clone(&self.connection.clock),
        };
        Ok((plan, known, follow))
    }

    async fn reread_all(&self, selection: &Selection, wanted: Wanted) -> Result<Batch<Row>, Error> {
        if wanted.is_empty() {
            return Ok(Batch::of(Vec::new()));
        }
        let selection = KafkaSelection::of(selection)?;
        let decoder = self.connection.decoder(&selection)?;
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            connection.with_metadata(Some(&selection), |metadata| {
                reread::read(metadata, &decoder, &selection.topics, &wanted)
            })
        })
        .await
    }

    fn current(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(session) = self.current() {
            session.abandon();
        }
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("a query of Kafka was interrupted").caused_by(cause))?
}

#[async_trait]
impl Source for KafkaSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selection = selection.map(KafkaSelection::of).transpose()?;
        let connection = Arc::clone(&self.connection);
        blocking(move || check::run(&connection, selection.as_ref())).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        self.connection.decoder(&KafkaSelection::of(selection)?).map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let connection = Arc::clone(&self.connection);
        let topics = blocking(move || connection.with_metadata(None, |metadata| metadata.topics())).await?;
        let columns = self.connection.plain_decoder()?;
        let dataset = |name| Dataset { name, columns: columns.columns(), key: key(), open: false };
        Ok(topics.into_iter().map(dataset).collect())
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selection = KafkaSelection::of(selection)?;
        let columns = self.connection.decoder(&selection)?.columns();
        let name = selection.topics.join(",");
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            connection.with_metadata(Some(&selection), |metadata| {
                metadata.all_partitions(&selection.topics).map(drop)
            })
        })
        .await?;
        Ok(Dataset { name, columns, key: key(), open: false })
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(selection::narrow(selection, columns))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let selection = KafkaSelection::of(selection)?;
        let (plan, known, follow) = self.plan(&selection, mode)?;
        let decoder = self.connection.decoder(&selection)?;
        let session = Arc::new(Session::new(plan, known));
        let tombstones: Tombstones = selection.tombstones;
        let reading = Reading { batch_rows, follow, tombstones };
        let (connection, opened) = (Arc::clone(&self.connection), Arc::clone(&session));
        let feed =
            blocking(move || feed::open(&connection.client, &selection, &opened, decoder, reading)).await?;
        if session.plan.commits
            && let Some(previous) = lock(&self.session).replace(session)
        {
            previous.abandon();
        }
        Ok(feed)
    }

    async fn lookup(
        &self,
        selection: &Selection,
        key: &[String],
        values: &[Vec<Value>],
    ) -> Result<Option<Feed<Row>>, Error> {
        let Some(wanted) = reread::of_rows(key, values) else { return Ok(None) };
        let found = self.reread_all(selection, wanted).await?;
        Ok(Some(stream::iter([Ok(found)]).boxed()))
    }

    async fn reread(&self, selection: &Selection, locations: &[String]) -> Result<Option<Batch<Row>>, Error> {
        match reread::at_locations(locations) {
            Some(wanted) => self.reread_all(selection, wanted).await.map(Some),
            None => Ok(None),
        }
    }

    fn rows_change(&self) -> bool {
        false
    }

    fn supports_checkpoints(&self) -> bool {
        true
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    async fn lag(&self, selection: &Selection, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let selection = KafkaSelection::of(selection)?;
        let known = Progress::of(after)?;
        let connection = Arc::clone(&self.connection);
        let now = self.connection.clock.now();
        blocking(move || {
            connection.with_metadata(Some(&selection), |metadata| {
                let partitions = metadata.all_partitions(&selection.topics)?;
                let watermarks = metadata.watermarks(&partitions)?;
                let start_offsets = StartOffsets { committed: true, start: selection.start.clone() };
                let baseline = Baseline::of(metadata, &partitions, &known, true)?;
                let starts = start_offsets.resolve(metadata, &partitions, &known, &baseline)?;
                let lag = starts.into_iter().map(|start| {
                    let end = watermarks
                        .get(&start.partition)
                        .map_or(0, |watermarks| watermarks.end)
                        .max(start.from);
                    let offset = known.get(&start.partition);
                    Lag {
                        partition: name_of(&start.partition),
                        position: start.from.unsigned_abs(),
                        end: end.unsigned_abs(),
                        behind: end.abs_diff(start.from),
                        last_seen: offset.and_then(|offset| offset.seen()),
                        per_minute: offset.map(|offset| offset.per_minute(now)),
                        trouble: start.trouble(),
                    }
                });
                Ok(lag.collect())
            })
        })
        .await
    }

    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(session) = self.current() else { return Ok(()) };
        session.acknowledge(Progress::of(Some(checkpoint))?);
        // While the feed is read, its thread commits in the background. At its end,
        // wait for the commit.
        if session.is_draining() {
            let _ = tokio::time::timeout(COMMIT_TIMEOUT, session.wait_for_commit()).await;
        }
        Ok(())
    }
}

/// Each message is a row of its own.
fn key() -> Vec<String> {
    ["topic", "partition", "offset"].map(str::to_owned).to_vec()
}
