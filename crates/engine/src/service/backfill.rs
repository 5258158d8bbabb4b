//! Backfill: the attributes of one column are sent for all rows.

use tidegate_model::{Cause, Claim, Error, Idempotency, Mode, ObjectKind, Progress, ReadMode, Run, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::attempt::not_paused_by_a_person;
use crate::pipeline::{self, ChangeTracking, Import, Input};

/// Rows that are read at once.
const BATCH_ROWS: usize = 10_000;

impl Engine {
    /// Sends the attributes that come from one column for all rows of a sync, once. The checkpoint stays, and
    /// so does what is known of rows.
    ///
    /// # Errors
    /// If the sync sends no users, is a mirror or follows a stream, if the mapping takes no attribute from the
    /// column, and as [`Engine::run`].
    pub async fn backfill(
        &self,
        id: &SyncId,
        column: &str,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let sync = self.import_spec(id)?;
        let spec = sync.mapping.as_ref().filter(|_| sync.destination.object == ObjectKind::User);
        let spec = spec.ok_or_else(|| {
            Error::settings(format!("`{id}` has no attributes of users that could be backfilled"))
                .hint(format!("run `tidegate run {id} --full` to send whole rows again"))
        })?;
        match sync.mode {
            Mode::Full | Mode::Mirror => {
                return Err(Error::settings(format!(
                    "`{id}` has `mode: {}`: its next run sends a column that was added to the mapping for all rows",
                    sync.mode
                ))
                .hint(format!("run `tidegate run {id}`")));
            }
            Mode::Stream => {
                return Err(Error::settings(format!(
                    "`{id}` follows a stream, which cannot be read once more"
                ))
                .hint("backfill from a table that has the same rows"));
            }
            Mode::Incremental => {}
        }
        let narrowed = spec.with_attributes_of(column).ok_or_else(|| {
            Error::settings(format!("the mapping of `{id}` takes no attribute from a column `{column}`"))
                .hint("name a column under `attributes` of the mapping")
        })?;
        let claim = self.claim(id).await?;
        let run = async {
            not_paused_by_a_person(id, &self.config.store.sync_state(id).await?)?;
            let opened = self.import_with(id, Some(&narrowed), None).await;
            let opened = self.noted(&claim, opened).await?;
            if opened.platform.object().idempotency != Idempotency::Idempotent {
                return Err(Error::settings(format!(
                    "`{id}` adds up numbers at the platform: rows that are sent again count twice"
                ))
                .hint("set the attribute by a sync of its own, without increments"));
            }
            let import = Import { tracking: ChangeTracking::Full, removal: None, limits: None, ..opened };
            let rows = import.read(&ReadMode::Full, BATCH_ROWS).await;
            let rows = self.noted(&claim, rows).await?;
            let (parts, input) = (self.parts(&claim), Input::Backfill(rows));
            pipeline::run(&import, &parts, Cause::Manual, input, stop, progress).await
        };
        let run = run.await;
        claim.release().await;
        run
    }

    /// Records a backfill that could not begin as a run that failed.
    async fn noted<T>(&self, claim: &Claim, begun: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &begun {
            self.note_failure(claim, ObjectKind::User, Cause::Manual, error).await;
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use tidegate_model::connector::{PlatformRole, SourceRole};
    use tidegate_model::source::Dataset;
    use tidegate_model::store::RunHistory as _;
    use tidegate_model::{
        Batch, Checks, Columns, Connector, DataType, Destination, Ending, ErrorKind, Http, HttpFailure,
        Limits, ObjectSpec, Platform, Reason, Receipt, Record, Row, Value,
    };
    use tidegate_testkit::source::{GivenSource, column};
    use tidegate_testkit::{ManualClock, MemoryEventLog, MemoryStore};

    use super::*;
    use crate::service::Config;

    thread_local! {
        /// Whether the files cannot be read.
        static AWAY: Cell<bool> = const { Cell::new(false) };
    }

    /// Files of JSON Lines, of which the newest ones have no city.
    fn lines() -> GivenSource {
        let columns = vec![column("id", DataType::Any, "any")];
        let dataset = Dataset { name: "lines".into(), columns, key: Vec::new(), open: true };
        GivenSource::new(dataset, |_| {
            if AWAY.get() {
                return Err(Error::new(ErrorKind::Unavailable, "the folder cannot be read"));
            }
            let row = |names: &[&str], values: &[&str]| Row {
                columns: Columns::new(names.iter().copied()),
                values: values.iter().map(|value| Value::Text((*value).into())).collect(),
            };
            Ok(vec![Batch::of(vec![row(&["id"], &["1"]), row(&["city", "id"], &["Porto", "2"])])])
        })
    }

    /// Takes every user.
    struct Users;

    #[async_trait]
    impl Destination<Record> for Users {
        async fn check(&self) -> Result<Checks, Error> {
            Ok(Checks::default())
        }

        fn limits(&self) -> Limits {
            Limits::GENEROUS
        }

        fn estimated_size(&self, _: &Record) -> usize {
            1
        }

        fn validate(&self, _: &Record) -> Result<(), Reason> {
            Ok(())
        }

        async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
            Ok(Receipt::delivered(items.len()))
        }
    }

    impl Platform for Users {
        fn object(&self) -> ObjectSpec {
            let idempotency = Idempotency::Idempotent;
            ObjectSpec { kind: ObjectKind::User, idempotency, identifiers: &["external_id"] }
        }
    }

    struct Nowhere;

    #[async_trait]
    impl Http for Nowhere {
        async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
            panic!("nothing speaks HTTP here")
        }
    }

    const LINES: Connector = Connector {
        kind: "lines",
        title: "Lines",
        settings: schemars::Schema::default,
        source: Some(SourceRole {
            selection: schemars::Schema::default,
            modes: &[Mode::Incremental],
            keeps_checkpoint: true,
            open: |_, _| Ok(Arc::new(lines())),
        }),
        platform: Some(PlatformRole {
            objects: &[ObjectKind::User],
            target: schemars::Schema::default,
            open: |_, _, _, _| Ok(Arc::new(Users)),
            dry_run_response: |_| http::Response::new(Bytes::new()),
        }),
        ..Connector::EMPTY
    };

    fn engine() -> (Engine, MemoryStore) {
        let yaml = "connections:\n  a: { type: lines }\nsyncs:\n  s:\n    source: { connection: a }\n    \
                    destination: { connection: a, object: user }\n    \
                    mapping: { external_id: id, attributes: [city] }\n";
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(clock.clone());
        let project = tidegate_project::parse(yaml, "tidegate.yaml", &[LINES], &[]);
        let engine = Engine::new(Config {
            connectors: &[LINES],
            channels: &[],
            store: Arc::new(store.clone()),
            run_store: Arc::new(store.clone()),
            log: Arc::new(MemoryEventLog::new(clock.clone())),
            http: Arc::new(Nowhere),
            clock,
            project: project.unwrap_or_else(|error| panic!("{error:?}")),
            folder: "/".into(),
            data: "/".into(),
            log_days: 90,
            log_bytes: None,
            log_connection: None,
            runs_at_once: 8,
        });
        (engine, store)
    }

    async fn backfilled(engine: &Engine) -> Result<Run, Error> {
        let progress = watch::Sender::new(Progress::default());
        engine.backfill(&SyncId::new("s"), "city", CancellationToken::new(), progress).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_column_that_only_some_lines_of_json_have_is_backfilled() {
        let (engine, _) = engine();
        let run = backfilled(&engine).await.expect("a run");
        assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 2), "{:?}", run.error);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backfill_that_cannot_read_its_source_is_a_failed_run() {
        let (engine, store) = engine();
        AWAY.set(true);
        let error = backfilled(&engine).await.expect_err("nothing to read");
        AWAY.set(false);
        assert_eq!(error.connection().map(ToString::to_string).as_deref(), Some("a"));
        let runs = store.runs(Some(&SyncId::new("s")), 10).await.expect("runs");
        assert_eq!(runs.len(), 1, "each attempt is a run");
        assert_eq!(runs[0].ending, Some(Ending::Failed));
        let why = runs[0].error.as_deref().unwrap_or_default();
        assert!(why.contains("the folder cannot be read"), "{why}");
    }
}
