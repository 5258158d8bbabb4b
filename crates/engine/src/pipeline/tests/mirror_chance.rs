//! A mirror under chance: whatever happens to the table, the platform and the process, the platform
//! ends as the table is, and nothing is sent without need.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::Compared;
use tidegate_testkit::Dice;
use tidegate_testkit::directory::{Attributes, Directory, Door};

use super::people::{People, Person, people_columns, tier};
use super::*;
use crate::pipeline::{Removal, removal};

fn unacceptable(attributes: &Attributes) -> bool {
    attributes.get("plan").is_some_and(|plan| *plan == 13 || *plan == "13")
}

fn attributes(person: &Person) -> Attributes {
    let plan = if person.2 { person.1.to_string().into() } else { person.1.into() };
    [("plan".to_owned(), plan), ("tier".to_owned(), tier(person.1).into())].into()
}

/// Inserts, changes, deletes, changes back, and breaks keys.
fn live(people: &People, dice: &mut Dice, is_unique: bool) {
    let mut people = people.0.lock().expect("no panic");
    people.1 = dice.roll(u64::MAX);
    for _ in 0..dice.roll(25) {
        let id = i64::try_from(dice.roll(30)).expect("small");
        let plan = i64::try_from(dice.roll(15)).expect("small");
        match dice.roll(12) {
            0..=4 => {
                people.0.retain(|person| person.0 != Some(id));
                people.0.push((Some(id), plan, false));
            }
            5..=7 => people.0.retain(|person| person.0 != Some(id)),
            8 => {
                people.0.iter_mut().filter(|person| person.0 == Some(id)).for_each(|person| person.2 ^= true);
            }
            9 => people.0.push((Some(id), plan, false)),
            10 => people.0.push((None, plan, false)),
            _ => people.0.retain(|person| person.0.is_some()),
        }
    }
    if is_unique {
        let mut seen = BTreeSet::new();
        people.0.retain(|person| person.0.is_some_and(|id| seen.insert(id)));
    }
}

/// A mirror of people into a directory, `delete` included.
fn mirror(people: &People, directory: &Arc<Mutex<Directory>>, limits: Limits) -> Stage {
    let door = |kind| Arc::new(Door { kind, limits, directory: directory.clone() });
    let mut stage = Stage::new(&Table::default(), Idempotency::Idempotent, limits, all_delivered());
    let import = &mut stage.import;
    let target = mapping::target(&import.sync, ObjectKind::User, &["id"]);
    let spec = serde_json::json!({ "external_id": "id", "attributes": ["plan", "tier"] });
    import.source = Arc::new(people.clone());
    import.columns = people_columns();
    import.mapping = Arc::new(mapping::compiled(spec, &target, &import.columns));
    import.tracking = ChangeTracking::Mirror;
    import.platform = door(ObjectKind::User);
    import.removal = Some(Removal { platform: door(ObjectKind::Deletion), deletes: true });
    import.retry_for = Duration::from_secs(5);
    stage
}

fn play(seed: u64) {
    let mut dice = Dice(seed);
    let people = People::default();
    let directory = Directory::new(unacceptable);
    let limits = Limits {
        max_items: usize::try_from(1 + dice.roll(6)).expect("small"),
        max_in_flight: usize::try_from(1 + dice.roll(3)).expect("small"),
        linger: Duration::ZERO,
        ..Limits::GENEROUS
    };
    let mut stage = mirror(&people, &directory, limits);
    if dice.roll(2) == 0 {
        stage.import.changed = Changed::Attributes;
    }
    let by_hash = dice.roll(3) == 0;
    if by_hash {
        stage.import.hashes = Some(RowHash(1));
    }
    let by_source = !by_hash && dice.roll(2) == 0;
    if dice.roll(2) == 0 {
        stage.store.hold_at_most(usize::try_from(dice.roll(20)).expect("small"));
    }
    for _ in 0..=dice.roll(6) {
        stage.import.compares_at_source = by_source && dice.roll(3) > 0;
        live(&people, &mut dice, by_hash);
        {
            let mut directory = directory.lock().expect("no panic");
            directory.dice = (dice.roll(3) > 0).then(|| Dice(dice.roll(u64::MAX)));
            directory.touched.clear();
        }
        stage.parts.rate_limiters = Arc::default();
        let span = Duration::from_millis(1 + dice.roll(120));
        let killed = dice.roll(3) == 0;
        // Dropping the process ends whatever still runs in it.
        runtime().block_on(async {
            let stop = CancellationToken::new();
            let mut run = Box::pin(stage.run_until(stop.clone(), Input::Changes));
            if tokio::time::timeout(span, &mut run).await.is_err() {
                if killed {
                    directory.lock().expect("no panic").process_ended();
                } else {
                    stop.cancel();
                    run.await;
                }
            }
        });
        // What was about to be sent when the process ended may be at the platform: only the test knows.
        let open = runtime().block_on(stage.store.open_intents(&SyncId::new("s"))).expect("known");
        let users = removal::about_to_be_sent(open).into_values().map(|user| user.to_string());
        directory.lock().expect("no panic").uncertain.extend(users);
    }
    live(&people, &mut dice, by_hash);
    directory.lock().expect("no panic").dice = None;
    stage.parts.rate_limiters = Arc::default();
    let last = runtime().block_on(stage.run());
    assert!(matches!(last.ending, Some(Ending::Succeeded | Ending::Partial)), "seed {seed}: {last:?}");
    // A rejection that a run could not write down is taken from its intent: the next run sends the row.
    runtime().block_on(stage.run());
    let again = runtime().block_on(stage.run());
    assert_eq!(again.counts.delivered, 0, "seed {seed}: {again:?}");
    let Counts { read, skipped, rejected, .. } = again.counts;
    assert_eq!(read, skipped + rejected, "seed {seed}: {again:?}");
    let compared = again.compared.expect("compared");
    assert_eq!(compared.removed, 0, "seed {seed}");
    assert!(compared.known <= kept(&stage), "seed {seed}: who is known can be deleted");

    let people = people.0.lock().expect("no panic").0.clone();
    let directory = directory.lock().expect("no panic");
    let mut by_key: BTreeMap<i64, Vec<&Person>> = BTreeMap::new();
    people.iter().filter_map(|person| Some((person.0?, person))).for_each(|(id, person)| {
        by_key.entry(id).or_default().push(person);
    });
    for id in 0..30 {
        let found = directory.users.get(&id.to_string());
        match by_key.get(&id).map(Vec::as_slice) {
            None => assert_eq!(found, None, "seed {seed}: {id} is gone"),
            Some([one]) if !unacceptable(&attributes(one)) => {
                assert_eq!(found, Some(&attributes(one)), "seed {seed}: {id}");
            }
            // A row that is never accepted, or several: what was sent before stays.
            Some(_) => {}
        }
    }
}

fn kept(stage: &Stage) -> u64 {
    let kept = runtime().block_on(stage.store.kept_users(&SyncId::new("s"), 0)).expect("kept");
    kept.map_or(0, |(_, users)| users.len() as u64)
}

/// Runs until requests are under way, and ends the process.
fn run_and_kill(stage: &Stage) {
    let run = stage.run_until(CancellationToken::new(), Input::Changes);
    runtime()
        .block_on(async { tokio::time::timeout(Duration::from_millis(3), run).await.expect_err("killed") });
}

#[test]
fn a_user_that_a_killed_run_was_sending_is_deleted_though_its_row_was_rejected_before_it_went() {
    let people = People::default();
    let set = |rows: &[Person]| people.0.lock().expect("no panic").0 = rows.to_vec();
    let directory = Directory::new(unacceptable);
    let stage = mirror(&people, &directory, Limits { linger: Duration::ZERO, ..Limits::GENEROUS });
    let run = || runtime().block_on(stage.run());
    set(&[(Some(1), 1, false), (Some(2), 1, false), (Some(3), 1, false)]);
    run_and_kill(&stage);
    // All of them took effect, and no response said so.
    let users = || ["1", "2", "3"].map(|user| (user.to_owned(), attributes(&(None, 1, false))));
    directory.lock().expect("no panic").users.extend(users());
    directory.lock().expect("no panic").uncertain.extend(users().map(|(user, _)| user));
    // One row is rejected, one stands twice, one is as it was.
    set(&[(Some(1), 13, false), (Some(2), 2, false), (Some(2), 3, false), (Some(3), 1, false)]);
    let rejecting = run();
    assert_eq!((rejecting.counts.rejected, rejecting.counts.delivered), (3, 1), "{rejecting:?}");
    set(&[(Some(3), 1, false)]);
    let run = run();
    assert_eq!(run.compared.expect("compared").removed, 2, "{run:?}");
    assert_eq!(directory.lock().expect("no panic").users.keys().collect::<Vec<_>>(), ["3"]);
}

#[test]
fn a_user_whose_deletion_was_interrupted_is_sent_again_when_the_row_is_back() {
    let people = People::default();
    let set = |rows: &[Person]| people.0.lock().expect("no panic").0 = rows.to_vec();
    let directory = Directory::new(unacceptable);
    let stage = mirror(&people, &directory, Limits { linger: Duration::ZERO, ..Limits::GENEROUS });
    let (first, second) = ((Some(1), 1, false), (Some(2), 1, false));
    set(&[first, second]);
    runtime().block_on(stage.run());
    set(&[first]);
    run_and_kill(&stage);
    directory.lock().expect("no panic").users.remove("2");
    set(&[first, second]);
    assert_eq!(runtime().block_on(stage.run()).counts.delivered, 1);
    assert_eq!(directory.lock().expect("no panic").users.len(), 2);
}

#[test]
fn only_attributes_that_changed_are_sent_if_a_setting_says_so_and_whole_rows_when_in_doubt() {
    let people = People::default();
    let directory = Directory::new(unacceptable);
    let limits = Limits { linger: Duration::ZERO, ..Limits::GENEROUS };
    let mut stage = mirror(&people, &directory, limits);
    stage.import.changed = Changed::Attributes;
    let run = |plan: i64, kill: bool| {
        people.0.lock().expect("no panic").0 = vec![(Some(1), plan, false)];
        if kill {
            run_and_kill(&stage);
            directory.lock().expect("no panic").uncertain.insert("1".to_owned());
        } else {
            runtime().block_on(stage.run());
        }
        std::mem::take(&mut directory.lock().expect("no panic").sent).concat()
    };
    let whole = ["plan", "tier"];
    assert_eq!(run(1, false), whole, "a user is new");
    assert_eq!(run(2, false), ["plan"]);
    assert_eq!(run(7, false), whole, "both have changed");
    assert_eq!(run(13, false), [""; 0], "a rejected row has no effect");
    assert_eq!(run(8, false), ["plan"]);
    run(9, true);
    assert_eq!(run(8, false), whole, "a killed run may have sent another value");
    let full = stage.run_until(CancellationToken::new(), Input::Everything);
    directory.lock().expect("no panic").uncertain.insert("1".to_owned());
    runtime().block_on(full);
    assert_eq!(std::mem::take(&mut directory.lock().expect("no panic").sent).concat(), whole);
    runtime().block_on(stage.store.erase_user("1")).expect("erased");
    assert_eq!(run(9, false), whole, "what was erased is not known");
    assert_eq!(run(8, false), ["plan"]);
}

#[test]
fn rows_whose_hashes_are_known_are_not_read_and_a_lost_memo_costs_one_read() {
    let people = People::default();
    let directory = Directory::new(unacceptable);
    let limits = Limits { linger: Duration::ZERO, ..Limits::GENEROUS };
    let mut stage = mirror(&people, &directory, limits);
    stage.import.hashes = Some(RowHash(1));
    let read = people.1.clone();
    let run = |plans: &[i64]| {
        let rows = (0..).zip(plans).map(|(id, plan)| (Some(id), *plan, false));
        people.0.lock().expect("no panic").0 = rows.collect();
        let run = runtime().block_on(stage.run());
        let Compared { added, changed, removed, unchanged, .. } = run.compared.expect("compared");
        (std::mem::take(&mut *read.lock().expect("no panic")), [added, changed, removed, unchanged])
    };
    assert_eq!(run(&[1, 2, 3]), (3, [3, 0, 0, 0]));
    assert_eq!(run(&[1, 2, 3]), (0, [0, 0, 0, 3]), "the memo was made of the rows that were sent");
    assert_eq!(run(&[1, 4, 3, 5]), (2, [1, 1, 0, 2]));
    assert_eq!(run(&[1, 13, 3, 5]), (1, [0, 1, 0, 3]), "a rejected row");
    assert_eq!(run(&[1, 13, 3, 5]), (1, [0, 1, 0, 3]), "is read until it is accepted");
    assert_eq!(run(&[1, 4]), (1, [0, 0, 2, 2]));
    stage.import.hashes = Some(RowHash(2));
    let rows = (Some(0), 1, false);
    people.0.lock().expect("no panic").0 = vec![rows, (Some(1), 4, false)];
    let again = runtime().block_on(stage.run());
    assert_eq!((again.counts.delivered, again.counts.skipped), (0, 2));
}

#[test]
fn a_new_row_is_sent_by_a_mirror_that_compares_hashes_though_two_rows_beside_it_have_one_key() {
    // The rows are read in many orders, and their hashes stay the same.
    for seed in (0..40).step_by(2) {
        let people = People::default();
        let directory = Directory::new(unacceptable);
        let limits = Limits { linger: Duration::ZERO, ..Limits::GENEROUS };
        let mut stage = mirror(&people, &directory, limits);
        (stage.import.hashes, stage.import.removal) = (Some(RowHash(1)), None);
        stage.import.changed = Changed::Ignore;
        let run = |rows: &[Person]| {
            *people.0.lock().expect("no panic") = (rows.to_vec(), seed);
            runtime().block_on(stage.run())
        };
        let person = |id, plan| (Some(id), plan, false);
        run(&[person(1, 1), person(3, 1)]);
        run(&[person(1, 1), person(1, 2), person(3, 1)]);
        let run = run(&[person(1, 1), person(1, 2), person(3, 2), person(9, 1)]);
        assert_eq!(run.counts.delivered, 1, "seed {seed}: {run:?}");
        let users = &directory.lock().expect("no panic").users;
        assert_eq!(users.keys().collect::<Vec<_>>(), ["1", "3", "9"], "seed {seed}");
    }
}

#[test]
fn whatever_happens_the_platform_ends_as_the_table_is_and_nothing_is_sent_without_need() {
    /// `TIDEGATE_TEST_ROUNDS=5000` plays more.
    const HISTORIES: u64 = 400;
    let more = std::env::var("TIDEGATE_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    (0..more.unwrap_or(HISTORIES)).for_each(play);
}
