//! A table, a platform that records, and a sync between them.

use super::*;

/// Rows of `(id, user, at)` that a test changes between runs.
#[derive(Clone, Default)]
pub(super) struct Table(pub(super) Arc<Mutex<Vec<(i64, String, i64)>>>);

impl Table {
    pub(super) fn put(&self, id: i64, user: &str, at: i64) {
        self.0.lock().expect("no panic").push((id, user.to_owned(), at));
    }

    pub(super) fn of(rows: impl IntoIterator<Item = i64>) -> Table {
        let table = Table::default();
        rows.into_iter().for_each(|id| table.put(id, &format!("u{}", id % 5), id));
        table
    }
}

/// What a [`Table`] is described as.
pub(super) fn dataset() -> Dataset {
    let columns = vec![
        column("id", DataType::Integer, "bigint"),
        column("user", DataType::Text, "text"),
        column("at", DataType::Integer, "bigint"),
    ];
    Dataset { name: "t".into(), columns, key: vec![], open: false }
}

pub(super) fn columns() -> Arc<Columns> {
    Columns::new(["id", "user", "at"])
}

#[async_trait]
impl Source for Table {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        Ok(dataset())
    }

    async fn highest(&self, _: &Selection, _: &str, _: &str) -> Result<Option<Value>, Error> {
        Ok(self.0.lock().expect("no panic").iter().map(|row| row.2).max().map(Value::Int))
    }

    async fn read(&self, _: &Selection, mode: &ReadMode, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let mut rows = self.0.lock().expect("no panic").clone();
        if let ReadMode::Incremental { from, .. } = mode {
            rows.sort_by_key(|row| row.2);
            if let Some(Value::Int(from)) = from {
                rows.retain(|row| row.2 >= *from);
            }
        }
        let columns = columns();
        let rows: Vec<Row> = (rows.into_iter())
            .map(|(id, user, at)| Row {
                columns: columns.clone(),
                values: vec![Value::Int(id), Value::Text(user.into()), Value::Int(at)],
            })
            .collect();
        let batches: Vec<_> = rows.chunks(batch_rows).map(|rows| Ok(Batch::of(rows.to_vec()))).collect();
        Ok(futures_util::stream::iter(batches).boxed())
    }
}

/// What the platform does with a request.
pub(super) type Answer = Box<dyn FnMut(&[i64]) -> Result<Vec<Outcome>, Error> + Send>;

/// When a request came, and the user and id of each of its rows.
pub(super) type Request = (Instant, Vec<(String, i64)>);

/// Remembers what took effect, and answers as it is told.
pub(super) struct Recording {
    pub(super) spec: ObjectSpec,
    pub(super) limits: Limits,
    pub(super) answer: Mutex<Answer>,
    pub(super) requests: Mutex<Vec<Request>>,
    /// The names under which records were sent.
    pub(super) names: Mutex<Vec<RowHash>>,
    pub(super) latency: Mutex<Duration>,
}

pub(super) fn id_of(record: &Record) -> i64 {
    let Body::Event { name, .. } = &record.body else { panic!("an event") };
    name.parse().expect("a number")
}

#[async_trait]
impl Destination<Record> for Recording {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn estimated_size(&self, _: &Record) -> usize {
        100
    }

    fn validate(&self, _: &Record) -> Result<(), Reason> {
        Ok(())
    }

    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        let ids: Vec<i64> = items.iter().map(id_of).collect();
        let seen = items.iter().map(|item| (item.label().into_owned(), id_of(item))).collect();
        self.requests.lock().expect("no panic").push((Instant::now(), seen));
        self.names.lock().expect("no panic").extend(items.iter().map(|item| item.id));
        let latency = *self.latency.lock().expect("no panic");
        crate::pipeline::wait::span(latency).await;
        let answer = (self.answer.lock().expect("no panic"))(&ids);
        answer.map(|outcomes| Receipt { outcomes, rate_limit: None })
    }
}

impl Platform for Recording {
    fn object(&self) -> ObjectSpec {
        self.spec
    }
}

pub(super) fn limits() -> Limits {
    Limits { max_items: 10, max_in_flight: 3, ..Limits::GENEROUS }
}

/// The mapping of rows that a cursor finds.
pub(super) fn by_cursor(key: &[&str]) -> Mapping {
    let target = mapping::target(&SyncId::new("s"), ObjectKind::Event, key);
    let target = Target { cursor_column: Some("at".into()), ..target };
    mapping::compiled(serde_json::json!({ "external_id": "user", "name": "id" }), &target, &columns())
}

/// A sync between a table and a recording platform.
pub(super) struct Stage {
    pub(super) import: Import,
    pub(super) platform: Arc<Recording>,
    pub(super) store: MemoryStore,
    pub(super) clock: Arc<ManualClock>,
    pub(super) parts: Parts,
}

impl Stage {
    pub(super) fn new(table: &Table, idempotency: Idempotency, limits: Limits, answer: Answer) -> Stage {
        let spec = ObjectSpec { kind: ObjectKind::Event, idempotency, identifiers: &["external_id"] };
        let platform = Arc::new(Recording {
            spec,
            limits,
            answer: Mutex::new(answer),
            requests: Mutex::default(),
            names: Mutex::default(),
            latency: Mutex::new(Duration::from_millis(10)),
        });
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(clock.clone());
        Stage {
            import: Import {
                source_connection: ConnectionId::new("t"),
                connection: ConnectionId::new("p"),
                tracking: ChangeTracking::Cursor {
                    column: Column {
                        name: "at".into(),
                        data_type: DataType::Integer,
                        type_name: "bigint".into(),
                    },
                    at: 2,
                    lookback: LookbackRule::Units(10),
                    origin: CursorOrigin::default(),
                },
                compare: tidegate_project::Compare::Hashes,
                ..Import::mirror(
                    SyncId::new("s"),
                    Arc::new(table.clone()),
                    platform.clone(),
                    by_cursor(&["id"]),
                    columns(),
                )
            },
            platform,
            store: store.clone(),
            clock: clock.clone(),
            parts: Parts {
                store: Arc::new(store),
                clock,
                rate_limiters: Arc::new(RateLimiters::default()),
                lease: Unshared::lease(&SyncId::new("s")),
                next_run: None,
            },
        }
    }

    pub(super) async fn run(&self) -> Run {
        self.run_until(CancellationToken::new(), Input::Changes).await
    }

    pub(super) async fn run_until(&self, stop: CancellationToken, input: Input) -> Run {
        let (progress, _) = watch::channel(Progress::default());
        let cause = if matches!(input, Input::Changes) { Cause::Manual } else { Cause::Retry };
        run(&self.import, &self.parts, cause, input, stop, progress).await.expect("the ledger works")
    }

    /// How often each id was sent.
    pub(super) fn sent(&self) -> HashMap<i64, u32> {
        let mut sent = HashMap::new();
        for (_, request) in self.platform.requests.lock().expect("no panic").iter() {
            for (_, id) in request {
                *sent.entry(*id).or_default() += 1;
            }
        }
        sent
    }

    pub(super) async fn failed_rows(&self) -> Vec<String> {
        let mut failed_rows: Vec<_> =
            (self.store.failed_rows(&SyncId::new("s")).await.expect("failed rows").into_iter())
                .map(|failed_row| failed_row.entry.key)
                .collect();
        failed_rows.sort();
        failed_rows
    }
}

pub(super) fn all_delivered() -> Answer {
    Box::new(|ids| Ok(vec![Outcome::Delivered; ids.len()]))
}

/// Fires after this long.
pub(super) fn stop_after(span: Duration) -> CancellationToken {
    let stop = CancellationToken::new();
    let fuse = stop.clone();
    tokio::spawn(async move {
        crate::pipeline::wait::span(span).await;
        fuse.cancel();
    });
    stop
}

pub(super) fn one_worker() -> Limits {
    Limits { max_in_flight: 1, linger: Duration::ZERO, ..limits() }
}

pub(super) fn once(ids: impl IntoIterator<Item = i64>) -> HashMap<i64, u32> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

pub(super) fn lost() -> Outcome {
    Outcome::Unknown(Reason::new("response_lost", "no answer"))
}
