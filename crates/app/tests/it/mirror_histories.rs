//! Histories of a mirror of PostgreSQL that is compared there, here, and there again.
//!
//! Whatever happens to the table, the platform and the process between any two steps, the platform ends as the table
//! is, and nothing is sent without need. The engine plays thousands of such histories in memory
//! (`pipeline/tests/mirror_chance.rs`); these are few, with the statements of a real server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tidegate_engine::pipeline::{self, Import, Input, Parts, RateLimiters, Removal};
use tidegate_model::store::RunLedger as _;
use tidegate_model::{
    Cause, Columns, Ending, Limits, ObjectKind, Outcome, Progress, RowHash, Run, Selection, Settings, Source,
    SyncId, SystemClock, Unshared,
};
use tidegate_project::{Changed, Compare};
use tidegate_testkit::directory::{Attributes, Directory, Door};
use tidegate_testkit::http::{Canned, context};
use tidegate_testkit::{Dice, ManualClock, MemoryStore, mapping};
use tidegate_warehouses::postgres::CONNECTOR;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::Database;

/// How a run compares.
#[derive(Clone, Copy, Debug)]
enum Compares {
    There,
    Here,
    ByHashes,
}

/// A table, a platform, and what is remembered of both.
struct World<'a> {
    database: &'a Database,
    /// The plan of each person, as the table has it.
    people: BTreeMap<i64, i64>,
    /// Whether plans are texts.
    as_text: bool,
    directory: Arc<Mutex<Directory>>,
    store: MemoryStore,
    limits: Limits,
    changed: Changed,
    sync: SyncId,
}

fn unacceptable(attributes: &Attributes) -> bool {
    attributes.get("plan").is_some_and(|plan| *plan == 13 || *plan == "13")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl World<'_> {
    async fn sql(&self, sql: &str) {
        self.database.run(sql).await;
    }

    /// Inserts, changes, deletes, changes back, and changes a type.
    async fn live(&mut self, dice: &mut Dice) {
        for _ in 0..dice.roll(12) {
            let (id, plan) = (dice.small(20), dice.small(15));
            match dice.roll(12) {
                0..=6 => {
                    self.people.insert(id, plan);
                    self.sql(&format!(
                        "INSERT INTO people VALUES ({id}, '{plan}') ON CONFLICT (id) DO UPDATE SET plan = '{plan}'"
                    ))
                    .await;
                }
                7..=10 => {
                    self.people.remove(&id);
                    self.sql(&format!("DELETE FROM people WHERE id = {id}")).await;
                }
                _ => {
                    self.as_text ^= true;
                    let name = if self.as_text { "text" } else { "bigint" };
                    self.sql(&format!("ALTER TABLE people ALTER plan TYPE {name} USING plan::{name}")).await;
                }
            }
        }
    }

    fn attributes(&self, plan: i64) -> Attributes {
        let plan = if self.as_text { plan.to_string().into() } else { plan.into() };
        [("plan".to_owned(), plan)].into()
    }

    /// The source. Its connections live as long as the runtime.
    fn source(&self) -> Arc<dyn Source> {
        let settings = json!({
            "host": "127.0.0.1", "port": self.database.port(), "database": self.database.name,
            "user": self.database.user(), "password": self.database.password(), "tls": "disable",
        });
        let context = context(Canned::new([]), &ManualClock::default());
        let settings = Settings::new(settings.as_object().expect("an object").clone());
        (CONNECTOR.source.expect("a source").open)(&settings, &context).expect("settings that work")
    }

    fn import(&self, compares: Compares) -> Import {
        let columns = Columns::new(["id", "plan"]);
        let target = mapping::target(&self.sync, ObjectKind::User, &["id"]);
        let spec = json!({ "external_id": "id", "attributes": ["plan"] });
        let door =
            |kind| Arc::new(Door { kind, limits: self.limits, directory: Arc::clone(&self.directory) });
        let selection = json!({ "table": "people" });
        let mapping = mapping::compiled(spec, &target, &columns);
        let platform = door(ObjectKind::User);
        Import {
            selection: Selection::new(selection.as_object().expect("an object").clone()),
            changed: self.changed,
            removal: Some(Removal { platform: door(ObjectKind::Deletion), deletes: true }),
            compares_at_source: matches!(compares, Compares::There),
            compare: Compare::Hashes,
            hashes: matches!(compares, Compares::ByHashes).then_some(RowHash(1)),
            retry_for: Duration::from_secs(5),
            ..Import::mirror(self.sync.clone(), self.source(), platform, mapping, columns)
        }
    }

    async fn run(&self, compares: Compares, stop: CancellationToken) -> Run {
        let parts = Parts {
            store: Arc::new(self.store.clone()),
            clock: Arc::new(SystemClock),
            rate_limiters: Arc::new(RateLimiters::default()),
            lease: Unshared::lease(&self.sync),
            next_run: None,
        };
        let (progress, _) = watch::channel(Progress::default());
        let import = self.import(compares);
        let run = pipeline::run(&import, &parts, Cause::Manual, Input::Changes, stop, progress).await;
        run.expect("the ledger works")
    }

    fn whole_run(&self, compares: Compares) -> Run {
        runtime().block_on(self.run(compares, CancellationToken::new()))
    }

    /// Runs for a while, and ends the process or asks it to stop.
    fn cut_run(&self, compares: Compares, span: Duration, killed: bool) {
        // Dropping the process ends whatever still runs in it.
        runtime().block_on(async {
            let stop = CancellationToken::new();
            let mut run = Box::pin(self.run(compares, stop.clone()));
            if tokio::time::timeout(span, &mut run).await.is_err() {
                if killed {
                    self.directory.lock().expect("no panic").process_ended();
                } else {
                    stop.cancel();
                    run.await;
                }
            }
        });
        // What was about to be sent when the process ended may be at the platform: only the test knows.
        let open = runtime().block_on(self.store.open_intents(&self.sync)).expect("known");
        let mut directory = self.directory.lock().expect("no panic");
        for intent in &open {
            for (at, row) in intent.rows.iter().enumerate() {
                let outcome = intent.outcomes.as_ref().and_then(|outcomes| outcomes.get(at));
                if !intent.had_no_effect(at) && !matches!(outcome, Some(Outcome::Rejected(_))) {
                    directory.uncertain.insert(row.user.to_string());
                }
            }
        }
    }
}

fn compares(dice: &mut Dice) -> Compares {
    match dice.roll(5) {
        0..=2 => Compares::There,
        3 => Compares::Here,
        _ => Compares::ByHashes,
    }
}

fn play(admin: &tokio::runtime::Runtime, database: &Database, seed: u64) {
    let mut dice = Dice(seed);
    let small = |roll: u64| usize::try_from(roll).expect("small");
    let limits = Limits {
        max_items: small(1 + dice.roll(6)),
        max_in_flight: small(1 + dice.roll(3)),
        linger: Duration::ZERO,
        ..Limits::GENEROUS
    };
    admin.block_on(
        database.run("DROP TABLE IF EXISTS people; CREATE TABLE people (id bigint PRIMARY KEY, plan bigint)"),
    );
    let mut world = World {
        database,
        people: BTreeMap::new(),
        as_text: false,
        directory: Directory::new(unacceptable),
        store: MemoryStore::new(Arc::new(ManualClock::default())),
        limits,
        changed: if dice.roll(2) == 0 { Changed::Attributes } else { Changed::Send },
        sync: SyncId::new("people"),
    };
    if dice.roll(2) == 0 {
        world.store.hold_at_most(small(dice.roll(12)));
    }
    for _ in 0..=dice.roll(5) {
        admin.block_on(world.live(&mut dice));
        {
            let mut directory = world.directory.lock().expect("no panic");
            directory.dice = (dice.roll(3) > 0).then(|| Dice(dice.roll(u64::MAX)));
            directory.touched.clear();
        }
        let (span, killed) = (Duration::from_millis(5 + dice.roll(150)), dice.roll(2) == 0);
        world.cut_run(compares(&mut dice), span, killed);
    }
    admin.block_on(world.live(&mut dice));
    world.directory.lock().expect("no panic").dice = None;
    let last = world.whole_run(compares(&mut dice));
    assert!(matches!(last.ending, Some(Ending::Succeeded | Ending::Partial)), "seed {seed}: {last:?}");
    // A rejection that a run could not write down is taken from its intent: the next run sends the row.
    world.whole_run(compares(&mut dice));
    for compares in [Compares::There, Compares::Here, Compares::There, Compares::ByHashes] {
        let again = world.whole_run(compares);
        assert_eq!(again.counts.delivered, 0, "seed {seed}, {compares:?}: {again:?}");
        assert_eq!(again.compared.expect("compared").removed, 0, "seed {seed}, {compares:?}");
    }
    let directory = world.directory.lock().expect("no panic");
    for id in 0..20 {
        let found = directory.users.get(&id.to_string());
        let wanted = world.people.get(&id).map(|plan| world.attributes(*plan));
        // What is never accepted leaves what was sent before.
        if !wanted.as_ref().is_some_and(unacceptable) {
            assert_eq!(found, wanted.as_ref(), "seed {seed}: {id}");
        }
    }
}

#[test]
fn a_mirror_of_postgres_that_is_compared_there_and_here_ends_as_the_table_is_and_sends_nothing_twice() {
    /// `TIDEGATE_TEST_ROUNDS=3000` plays more.
    const HISTORIES: u64 = 12;
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let admin = tokio::runtime::Runtime::new().expect("a runtime");
    let database = admin.block_on(async {
        let database = Database::create().await;
        database.run("CREATE SCHEMA tidegate").await;
        database
    });
    let first: u64 = number("TIDEGATE_TEST_SEED").unwrap_or(0);
    for seed in first..first + number("TIDEGATE_TEST_ROUNDS").unwrap_or(HISTORIES) {
        play(&admin, &database, seed);
    }
}
