//! Tables and columns that go away or change their type.

use std::collections::BTreeMap;

use serde_json::json;

use super::{EVENTS, PEOPLE, Scene, ended, from_people, once, says};

#[tokio::test]
async fn bad_input_a_table_dropped_during_a_run_is_read_to_its_end_and_missed_by_the_next() {
    let many = PEOPLE.replace("200", "30000");
    let scene = Scene::new(&many, &from_people()).await;
    scene.sandbox.put_faults(r#"{"latency_ms": 20}"#).await;
    let running = scene.start(&["run", "s"]);
    scene.until_events_arrive().await;
    // The run holds a snapshot: PostgreSQL lets the statement wait for its end.
    scene.database.run("ALTER TABLE people RENAME TO peoples").await;
    says(&ended(running), 0, &[]);
    assert_eq!(scene.seen().await, once(1..=30_000));
    let missing = r#"reading people: relation "people" does not exist"#;
    says(&scene.run(), 1, &[missing, "→ did you mean `public.peoples`?"]);
    let status = scene.project.json(&["status"]);
    assert!(status[0]["paused"]["why"].as_str().expect("paused").contains(missing), "{status}");
    scene
        .database
        .run("ALTER TABLE peoples RENAME TO people; INSERT INTO people VALUES (30001, 'new', now())")
        .await;
    scene.arrives_once(1..=30_001).await;
}

#[tokio::test]
async fn bad_input_a_column_that_is_gone_between_runs_is_told_with_the_nearest_name() {
    let scene = Scene::of_people().await;
    scene.arrives_once(1..=200).await;
    scene
        .database
        .run("ALTER TABLE people RENAME COLUMN note TO notes; INSERT INTO people VALUES (201, 'new', now())")
        .await;
    says(&scene.run(), 1, &["sync `s`: the source has no column `note`", "→ did you mean `notes`?"]);
    let plan = scene.project.done(&["plan", "s"]);
    says(&plan, 1, &["sync `s`: the source has no column `note`", "→ did you mean `notes`?"]);
    scene.database.run("ALTER TABLE people RENAME COLUMN notes TO note").await;
    scene.arrives_once(1..=201).await;
}

#[tokio::test]
async fn bad_input_a_cursor_column_that_is_gone_is_told_with_the_nearest_name() {
    let scene = Scene::of_people().await;
    scene.arrives_once(1..=200).await;
    scene.database.run("ALTER TABLE people RENAME COLUMN at TO att").await;
    says(&scene.run(), 1, &["sync `s`: `detect`: the source has no column `at`", "→ did you mean `att`?"]);
    scene.database.run("ALTER TABLE people RENAME COLUMN att TO at").await;
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_column_that_goes_away_during_the_plan_is_told_by_it() {
    let scene = Scene::of_people().await;
    let mut other = scene.database.another().await;
    let change = other.transaction().await.expect("a transaction");
    change.batch_execute("ALTER TABLE people DROP COLUMN note").await.expect("changed");
    let planning = scene.start(&["plan", "s"]);
    let waits = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'tidegate' AND NOT granted AND datname = current_database()";
    while scene.database.count(waits).await == 0 {
        crate::support::pause(std::time::Duration::from_millis(10)).await;
    }
    change.commit().await.expect("committed");
    says(&ended(planning), 1, &["sync `s`: the source has no column `note`", "→ the columns are: id, at"]);
    scene.database.run("ALTER TABLE people ADD COLUMN note text").await;
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_mapped_column_that_becomes_text_is_sent_as_text() {
    let users = "    source: { connection: db, table: people }\n    cursor: at\n    \
                 destination: { connection: braze, object: user }\n    mapping: { external_id: id, attributes: [age] }\n";
    let people = "CREATE TABLE people (id bigint PRIMARY KEY, age int, at timestamptz NOT NULL);
                  INSERT INTO people VALUES (1, 30, now() - interval '1 day'), (2, 40, now())";
    let scene = Scene::new(people, users).await;
    says(&scene.run(), 0, &[]);
    scene
        .database
        .run("ALTER TABLE people ALTER COLUMN age TYPE text; INSERT INTO people VALUES (3, 'fifty', now())")
        .await;
    says(&scene.run(), 0, &[]);
    let users = scene.sandbox.effects("braze/users").await;
    let age = |user: &serde_json::Value| (super::user_of(user), user["attributes"]["age"].clone());
    let ages: BTreeMap<_, _> = users.iter().map(age).collect();
    let expected = [("1", json!(30)), ("2", json!("40")), ("3", json!("fifty"))];
    assert_eq!(ages, expected.map(|(id, age)| (id.to_owned(), age)).into());
}

#[tokio::test]
async fn bad_input_a_cursor_that_changes_its_type_stops_the_sync_instead_of_sending_all_again() {
    for (before, value, after, back) in [
        ("bigint", "n", "text", "bigint USING at::bigint"),
        ("timestamp", "now() - interval '1 day'", "timestamptz", "timestamp"),
        (
            "timestamptz",
            "date_trunc('second', now()) - interval '1 day'",
            "bigint USING extract(epoch from at)",
            "timestamptz USING to_timestamp(at)",
        ),
        ("text", "lpad(n::text, 9, '0')", "bigint USING at::bigint", "text USING lpad(at::text, 9, '0')"),
    ] {
        let scene = Scene::new(
            &format!(
                "CREATE TABLE people (id bigint PRIMARY KEY, note text, at {before} NOT NULL);
                 INSERT INTO people SELECT n, 'note ' || n, {value} FROM generate_series(1, 200) n"
            ),
            &from_people(),
        )
        .await;
        scene.arrives_once(1..=200).await;
        scene.database.run(&format!("ALTER TABLE people ALTER COLUMN at TYPE {after}")).await;
        let stopped = scene.run();
        says(
            &stopped,
            1,
            &["the cursor `at` is now ", "Next: change the type back, or run `tidegate reset s`"],
        );
        assert_eq!(scene.seen().await, once(1..=200), "{before} to {after}");
        scene.database.run(&format!("ALTER TABLE people ALTER COLUMN at TYPE {back}")).await;
        scene.arrives_once(1..=200).await;
    }
}

#[tokio::test]
async fn bad_input_reserved_words_and_quotes_in_names_are_read_as_they_are() {
    let sync = format!("    source: {{ connection: db, table: 'Select.\"ta\"\"ble.v1 — 🎈\"' }}\n{EVENTS}")
        .replace(
            "properties: [note]",
            "properties: [\"order\", 'a \"quoted\" one', \"O'Brien; DROP TABLE x --\", Größe]",
        );
    let scene = Scene::new(
        r#"CREATE SCHEMA "Select";
           CREATE TABLE "Select"."ta""ble.v1 — 🎈" (
             id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
             "order" text, "a ""quoted"" one" text, "O'Brien; DROP TABLE x --" text, "Größe" int);
           INSERT INTO "Select"."ta""ble.v1 — 🎈" VALUES (1, now(), 'group', 'by', 'having', 42)"#,
        &sync,
    )
    .await;
    scene.arrives_once(1..=1).await;
    let events = scene.sandbox.effects("braze/events").await;
    let expected = json!({
        "order": "group", "a \"quoted\" one": "by", "O'Brien; DROP TABLE x --": "having", "Größe": 42
    });
    assert_eq!(events[0]["properties"], expected);
}
