//! The loop under chance: whatever the platform answers and wherever a run is
//! stopped or dies, the promises hold in the end.

use std::collections::HashSet;

use tidegate_testkit::Dice;

use super::*;

fn pick<T: Clone>(dice: &mut Dice, from: &[T]) -> T {
    let at = dice.roll(from.len() as u64);
    from[usize::try_from(at).expect("small")].clone()
}

/// A table that is read a few rows at a time.
struct Trickle(Table);

#[async_trait]
impl Source for Trickle {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.0.check(selection).await
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        self.0.discover().await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        self.0.describe(selection).await
    }

    async fn read(&self, selection: &Selection, mode: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        self.0.read(selection, mode, 7).await
    }
}

/// Ids in the order in which they took effect.
type Effects = Arc<Mutex<Vec<i64>>>;

fn never_acceptable(id: i64) -> bool {
    id % 13 == 5
}

/// Takes what is acceptable, in order.
fn healthy(effects: Effects) -> Answer {
    Box::new(move |ids| {
        let take = |id: &i64| {
            if never_acceptable(*id) {
                return Outcome::Rejected(Reason::new("bad", "never like this"));
            }
            effects.lock().expect("no panic").push(*id);
            Outcome::Delivered
        };
        Ok(ids.iter().map(take).collect())
    })
}

/// Everything that a platform can do to a request. What is deferred or lost is
/// the end of a request, so that the platform itself keeps the order.
fn moody(mut dice: Dice, effects: Effects, refused: Effects) -> Answer {
    let mut take = healthy(effects);
    Box::new(move |ids| {
        let fail = |kind| Err(Error::new(kind, "a mood"));
        let cut = usize::try_from(dice.roll(ids.len() as u64 + 1)).expect("small");
        let mood = dice.roll(40);
        if matches!((mood, ids), (6 | 7, [_])) {
            refused.lock().expect("no panic").extend(ids);
        }
        match mood {
            0 => fail(ErrorKind::Unexpected),
            1 => fail(ErrorKind::Denied),
            2 | 3 => fail(ErrorKind::Unavailable),
            4 | 5 => fail(ErrorKind::Throttled(None)),
            6 => fail(ErrorKind::TooLarge),
            7 => fail(ErrorKind::Rejected),
            8..=11 => {
                let mut outcomes = take(&ids[..cut])?;
                outcomes.resize(ids.len(), Outcome::Deferred(Reason::new("busy", "later")));
                Ok(outcomes)
            }
            12..=14 => {
                // Some of them took effect, and no response says which.
                take(&ids[..cut])?;
                Ok(vec![lost(); ids.len()])
            }
            15 => {
                let mut outcomes = take(&ids[..cut])?;
                outcomes.resize(ids.len(), lost());
                Ok(outcomes)
            }
            16 => Ok(take(ids)?.split_off(1)),
            _ => take(ids),
        }
    })
}

/// Adds rows after those that are there, late ones of a user of their own, and
/// some that look the same.
fn grow(table: &Table, dice: &mut Dice, next: &mut i64) {
    for _ in 0..dice.roll(30) {
        let id = *next;
        *next += 1;
        match dice.roll(12) {
            0 => table.put(id, "late", id - i64::try_from(dice.roll(8)).expect("small")),
            1 => (0..2).for_each(|_| table.put(id, "twin", id)),
            2 => table.put(id, "", id),
            _ => table.put(id, &format!("u{}", dice.roll(3)), id),
        }
    }
}

/// Changes some of the late rows, which come last then.
fn change(table: &Table, dice: &mut Dice, next: &mut i64) {
    for row in table.0.lock().expect("no panic").iter_mut().filter(|row| row.1 == "late") {
        if dice.roll(3) == 0 {
            row.2 = *next;
            *next += 1;
        }
    }
}

fn play(seed: u64, idempotency: Idempotency, resend: bool, changed: Changed) {
    let mut dice = Dice(seed);
    let (table, mut next, effects) = (Table::default(), 0, Effects::default());
    let refused = Effects::default();
    let limits = Limits {
        max_items: usize::try_from(1 + dice.roll(6)).expect("small"),
        max_in_flight: usize::try_from(1 + dice.roll(3)).expect("small"),
        linger: pick(&mut dice, &[Duration::ZERO, Duration::from_millis(20)]),
        single_user: dice.roll(4) == 0,
        min_user_interval: pick(&mut dice, &[Duration::ZERO, Duration::from_millis(50)]),
        ..Limits::GENEROUS
    };
    let mut stage = Stage::new(&table, idempotency, limits, all_delivered());
    stage.import.source = Arc::new(Trickle(table.clone()));
    stage.import.resend = resend;
    stage.import.changed = changed;
    let changes = changed == Changed::Ignore;
    stage.import.retry_for = Duration::from_secs(5);
    for _ in 0..=dice.roll(6) {
        grow(&table, &mut dice, &mut next);
        if changes {
            change(&table, &mut dice, &mut next);
        }
        *stage.platform.answer.lock().expect("no panic") =
            moody(Dice(dice.roll(u64::MAX)), effects.clone(), refused.clone());
        stage.parts.rate_limiters = Arc::default();
        let span = Duration::from_millis(1 + dice.roll(250));
        let stopped = dice.roll(2) == 0;
        // Dropping the process ends whatever still runs in it.
        runtime().block_on(async {
            let stop = CancellationToken::new();
            let mut run = Box::pin(stage.run_until(stop.clone(), Input::Changes));
            if tokio::time::timeout(span, &mut run).await.is_err() && stopped {
                stop.cancel();
                run.await;
            }
        });
    }
    grow(&table, &mut dice, &mut next);
    *stage.platform.answer.lock().expect("no panic") = healthy(effects.clone());
    stage.parts.rate_limiters = Arc::default();
    let last = runtime().block_on(stage.run());
    let again = runtime().block_on(stage.run());
    let context = format!("seed {seed}, {idempotency:?}, resend {resend}, changed {changed:?}");
    assert!(matches!(last.ending, Some(Ending::Succeeded | Ending::Partial)), "{context}: {last:?}");
    for run in [&last, &again] {
        let Counts { read, skipped, ignored, delivered, rejected, in_doubt, .. } = run.counts;
        assert_eq!(read, skipped + ignored + delivered + rejected + in_doubt, "{context}: {run:?}");
    }
    assert_eq!(again.counts.read, again.counts.skipped + again.counts.ignored, "{context}: {again:?}");
    let once = idempotency == Idempotency::None && !resend;
    let refused = refused.lock().expect("no panic");
    let is_changed = |user: &str| changes && user == "late";
    judge(&stage, &table, &effects.lock().expect("no panic"), &refused, (once, &is_changed), &context);
}

/// Holds what took effect and what the ledger says against the rows.
///
/// A row that was `refused` on its own and skipped, by a run that died before
/// it could write that down, may be taken by the next run: after later ones. A row that is rejected and
/// changes is sent once more.
fn judge(
    stage: &Stage,
    table: &Table,
    effects: &[i64],
    refused: &[i64],
    (once, is_changed): (bool, &dyn Fn(&str) -> bool),
    context: &str,
) {
    let mut rows: HashMap<i64, (u64, u64, u64, String)> = HashMap::new();
    for (id, user, _) in table.0.lock().expect("no panic").iter() {
        let row = rows.entry(*id).or_insert((0, 0, 0, user.clone()));
        row.0 += 1;
    }
    let mut open = HashSet::new();
    let mut totals = [0_u64; 3];
    for result in stage.store.results(&SyncId::new("s")) {
        let row = rows.get_mut(&result.key_text.parse().expect("an id")).expect("a row of the table");
        let is_sent_once_more =
            is_changed(&row.3) && result.status.kind() == tidegate_model::store::StatusKind::Rejected;
        row.1 += u64::from(!is_sent_once_more);
        match result.status.kind() {
            tidegate_model::store::StatusKind::Delivered => {
                row.2 += 1;
                totals[0] += 1;
            }
            tidegate_model::store::StatusKind::Rejected => totals[1] += 1,
            tidegate_model::store::StatusKind::InDoubt => totals[2] += 1,
        }
        if result.status.reason().is_some() && row.0 == 1 && !is_changed(&row.3) {
            open.insert(result.key_text.to_string());
        }
    }
    let (mut order, mut seen) = (HashMap::<&str, i64>::new(), HashMap::<i64, u64>::new());
    for id in effects {
        let times = seen.entry(*id).or_default();
        *times += 1;
        let user = &rows[id].3;
        if *times == 1 && user != "late" && !refused.contains(id) {
            let before = order.insert(user, *id);
            assert!(before.is_none_or(|before| before < *id), "{context}: {user}: {before:?} before {id}");
        }
    }
    for (id, (copies, statuses, delivered, user)) in &rows {
        let took_effect = seen.get(id).copied().unwrap_or(0);
        assert!(statuses <= copies, "{context}: row {id} of {user} has one status");
        assert!(is_changed(user) || copies == statuses, "{context}: each row {id} of {user} has a status");
        assert!(took_effect >= *delivered, "{context}: row {id} is told to be delivered");
        assert!(!once || took_effect <= *copies, "{context}: row {id} took effect {took_effect} times");
    }
    let failed_rows = runtime().block_on(stage.failed_rows());
    let is_judged = |key: &String| {
        let (copies, _, _, user) = &rows[&key.parse().expect("an id")];
        *copies == 1 && !is_changed(user)
    };
    let failed_rows: HashSet<String> = failed_rows.into_iter().filter(is_judged).collect();
    assert_eq!(failed_rows, open, "{context}: every row that was not delivered is listed");
    let mut counted = Counts::default();
    for run in runtime().block_on(stage.store.runs(None, 100)).expect("runs") {
        counted += run.counts;
    }
    assert_eq!(
        [counted.delivered, counted.rejected, counted.in_doubt],
        totals,
        "{context}: the runs count the statuses"
    );
}

#[test]
fn whatever_happens_each_row_has_one_status_and_the_ledger_is_right() {
    for seed in 0..100 {
        for (idempotency, resend) in [
            (Idempotency::None, false),
            (Idempotency::None, true),
            (Idempotency::Keyed(Duration::from_secs(3_600)), false),
            (Idempotency::Idempotent, false),
        ] {
            play(seed, idempotency, resend, Changed::Send);
            play(seed, idempotency, resend, Changed::Ignore);
        }
    }
}
