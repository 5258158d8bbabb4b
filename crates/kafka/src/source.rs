//! A cluster as a [`Source`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Checkpoint, Checks, Clock, Dataset, Error, Feed, Http, Lag, Reach, Row, Selection, Settings, Source,
    Tools,
};

use crate::access::Access;
use crate::beginning::Beginning;
use crate::check;
use crate::client::Client;
use crate::context::lock;
use crate::decode::Decoder;
use crate::feed::{self, Plan, Reading, Session};
use crate::look::Look;
use crate::progress::{Progress, name_of};
use crate::selection::{KafkaSelection, Start, Tombstones};
use crate::settings::KafkaSettings;

/// How long settling may wait for its commit at the end of a feed.
const COMMIT: Duration = Duration::from_secs(5);

/// A cluster.
pub(crate) struct KafkaSource {
    shared: Arc<Shared>,
    /// The feed whose settling is committed: the last one that was opened.
    session: Mutex<Option<Arc<Session>>>,
}

/// What every look at the cluster needs.
pub(crate) struct Shared {
    pub(crate) settings: KafkaSettings,
    pub(crate) client: Client,
    pub(crate) http: Arc<dyn Http>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) project: PathBuf,
    rehearsal: bool,
}

impl Shared {
    /// Opens a decoder for a selection.
    pub(crate) fn decoder(&self, selection: &KafkaSelection) -> Result<Decoder, Error> {
        Decoder::new(
            &selection.format,
            self.settings.registry.as_ref(),
            Arc::clone(&self.http),
            &self.project,
        )
    }

    /// The bootstrap servers, for messages.
    pub(crate) fn brokers(&self) -> String {
        self.settings.brokers.0.join(",")
    }

    /// Looks at the cluster, as a group where there is a selection.
    pub(crate) fn look<T>(
        &self,
        selection: Option<&KafkaSelection>,
        with: impl FnOnce(&Look<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let access = Access::new(&self.settings, selection);
        let group = selection.map(|selection| ("group.id", selection.group.as_str()));
        let consumer = self.client.consumer(group.as_slice(), None)?;
        with(&Look { consumer: &consumer, access: &access, brokers: &self.brokers() })
    }
}

impl KafkaSource {
    /// Opens the source. Nothing is reached yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(crate) fn open(settings: &Settings, tools: &Tools) -> Result<KafkaSource, Error> {
        let settings: KafkaSettings = settings.parse()?;
        let shared = Shared {
            client: Client::new(&settings, tools)?,
            settings,
            http: Arc::clone(&tools.http),
            clock: Arc::clone(&tools.clock),
            project: tools.project.clone(),
            rehearsal: tools.rehearsal,
        };
        Ok(KafkaSource { shared: Arc::new(shared), session: Mutex::default() })
    }

    /// How a reach is read: what begins where, whether the group learns of it.
    fn plan(&self, selection: &KafkaSelection, reach: &Reach) -> Result<(Plan, Progress, bool), Error> {
        let (beginning, known, follow, commits) = match reach {
            Reach::Everything => {
                (Beginning { committed: false, start: Start::Earliest }, Progress::default(), false, false)
            }
            Reach::After { checkpoint, follow } => {
                let beginning = Beginning { committed: true, start: selection.start.clone() };
                let known = Progress::of(checkpoint.as_ref())?;
                // A rehearsal neither joins the group nor moves it.
                let rehearsal = self.shared.rehearsal;
                (beginning, known, *follow && !rehearsal, !rehearsal)
            }
            Reach::Cursor { .. } => {
                return Err(Error::settings("topics have no cursor column")
                    .hint("leave `cursor` out: offsets say what is new"));
            }
        };
        let session_timeout = self.shared.client.millis("session.timeout.ms").unwrap_or(15_000);
        let plan = Plan {
            beginning,
            commits,
            patience: Duration::from_millis(session_timeout / 2),
            access: Access::new(&self.shared.settings, Some(selection)),
            brokers: self.shared.brokers(),
            clock: Arc::clone(&self.shared.clock),
        };
        Ok((plan, known, follow))
    }

    fn current(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(session) = self.current() {
            session.leave();
        }
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("a look at Kafka was cut short").caused_by(cause))?
}

#[async_trait]
impl Source for KafkaSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selection = selection.map(KafkaSelection::of).transpose()?;
        let shared = Arc::clone(&self.shared);
        blocking(move || check::run(&shared, selection.as_ref())).await
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let shared = Arc::clone(&self.shared);
        let topics = blocking(move || shared.look(None, |look| look.topics())).await?;
        let columns =
            Decoder::new(&Default::default(), None, Arc::clone(&self.shared.http), &self.shared.project)?;
        let dataset = |name| Dataset { name, columns: columns.columns(), key: key() };
        Ok(topics.into_iter().map(dataset).collect())
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selection = KafkaSelection::of(selection)?;
        let columns = self.shared.decoder(&selection)?.columns();
        let name = selection.topics.join(",");
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.look(Some(&selection), |look| look.all_partitions(&selection.topics).map(drop))
        })
        .await?;
        Ok(Dataset { name, columns, key: key() })
    }

    async fn read(
        &self,
        selection: &Selection,
        reach: &Reach,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let selection = KafkaSelection::of(selection)?;
        let (plan, known, follow) = self.plan(&selection, reach)?;
        let decoder = self.shared.decoder(&selection)?;
        let session = Arc::new(Session::new(plan, known));
        let tombstones: Tombstones = selection.tombstones;
        let reading = Reading { batch_rows, follow, tombstones };
        let (shared, opened) = (Arc::clone(&self.shared), Arc::clone(&session));
        let feed =
            blocking(move || feed::open(&shared.client, &selection, &opened, decoder, reading)).await?;
        if session.plan.commits
            && let Some(before) = lock(&self.session).replace(session)
        {
            before.leave();
        }
        Ok(feed)
    }

    fn keeps_place(&self) -> bool {
        true
    }

    fn follows(&self) -> bool {
        true
    }

    async fn lag(&self, selection: &Selection, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let selection = KafkaSelection::of(selection)?;
        let known = Progress::of(after)?;
        let shared = Arc::clone(&self.shared);
        let now = self.shared.clock.now();
        blocking(move || {
            shared.look(Some(&selection), |look| {
                let parts = look.all_partitions(&selection.topics)?;
                let edges = look.edges(&parts)?;
                let beginning = Beginning { committed: true, start: selection.start.clone() };
                let openings = beginning.openings(look, &parts, &known)?;
                let lag = openings.into_iter().map(|opening| {
                    let end = edges.get(&opening.part).map_or(0, |edges| edges.end).max(opening.from);
                    let place = known.get(&opening.part);
                    Lag {
                        partition: name_of(&opening.part),
                        position: opening.from.unsigned_abs(),
                        end: end.unsigned_abs(),
                        behind: end.abs_diff(opening.from),
                        last_seen: place.and_then(|place| place.seen()),
                        per_minute: place.map(|place| place.per_minute(now)),
                    }
                });
                Ok(lag.collect())
            })
        })
        .await
    }

    async fn settled(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(session) = self.current() else { return Ok(()) };
        session.settle(Progress::of(Some(checkpoint))?);
        // While the feed goes on, its thread commits by and by. At its end
        // nothing comes by and by: the commit is waited for.
        if session.is_closing() {
            let _ = tokio::time::timeout(COMMIT, session.wait_for_commit()).await;
        }
        Ok(())
    }
}

/// Each message is a row of its own.
fn key() -> Vec<String> {
    ["topic", "partition", "offset"].map(str::to_owned).to_vec()
}
