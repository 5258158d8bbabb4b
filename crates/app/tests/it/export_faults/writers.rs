//! Tables that another program writes to, changes or removes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{committed, id, in_table, lake, once, paused, project, resume, send, until};
use crate::served::Served;
use crate::support::{Database, Project, same};

const DELTA: &str = "layout: messages, table: t, commit_every: 100ms";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_into_a_table_that_another_program_writes_to_loses_nothing_of_either() {
    let project = project("{ type: delta, path: lake }", DELTA);
    let table = project.path().join("lake/app_events/t");
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;

    let path = table.to_str().expect("a path").to_owned();
    let other = tokio::task::spawn_blocking(move || lake("append.py", &[&path, "20"]));
    let mut sent = 100;
    while !other.is_finished() {
        send(&served, sent..sent + 10).await;
        sent += 10;
        crate::support::pause(std::time::Duration::from_millis(50)).await;
    }
    other.await.expect("the other writer");
    committed(&project).await;

    let expected = [("other".to_owned(), 20), ("seen".to_owned(), u64::from(sent))];
    assert_eq!(in_table(&table), BTreeMap::from(expected));
}

#[tokio::test]
async fn export_into_a_table_that_was_removed_makes_it_again() {
    let project = project("{ type: delta, path: lake }", DELTA);
    let table = project.path().join("lake/app_events/t");
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;

    std::fs::remove_dir_all(&table).expect("removed");
    send(&served, 100..150).await;
    committed(&project).await;

    // What was removed is gone; what comes later begins the new table.
    assert_eq!(in_table(&table), BTreeMap::from([("seen".to_owned(), 50)]));
}

#[tokio::test]
async fn export_into_a_table_whose_columns_were_replaced_is_paused_until_it_is_restored() {
    let project = project("{ type: delta, path: lake }", DELTA);
    let table = project.path().join("lake/app_events/t");
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;

    let path = table.to_str().expect("a path");
    let version = lake("replace.py", &[path]).to_string();
    send(&served, 100..200).await;
    let words =
        [path, "the column `event_kind`", "holds long, and events need string", "Next: rename that column"];
    paused(&project, &words).await;
    lake("replace.py", &[path, &version]);
    resume(&project);
    committed(&project).await;

    assert_eq!(in_table(&table), BTreeMap::from([("seen".to_owned(), 200)]));
}

async fn into_postgres() -> (Database, Project, Served) {
    let database = Database::create().await;
    let project = project(&database.connection(), "schema: out, table: events, layout: events");
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;
    (database, project, served)
}

/// How often each event is in the table.
async fn rows(database: &Database) -> BTreeMap<String, u32> {
    let rows = database.client.query("SELECT event_id FROM out.events", &[]).await.expect("rows");
    let mut found = BTreeMap::new();
    rows.iter().for_each(|row| *found.entry(row.get(0)).or_default() += 1);
    found
}

#[tokio::test]
async fn export_into_a_table_that_lost_a_column_adds_it_again() {
    let (database, project, served) = into_postgres().await;

    database.run("ALTER TABLE out.events DROP COLUMN user_id").await;
    send(&served, 100..200).await;
    committed(&project).await;

    same("the table", &once(0..200), &rows(&database).await);
    assert_eq!(database.count("SELECT count(*) FROM out.events WHERE user_id IS NULL").await, 100);
    assert_eq!(database.count("SELECT count(*) FROM out.events WHERE user_id = 'u-7'").await, 5);
}

#[tokio::test]
async fn export_into_a_column_of_another_type_is_paused_with_the_statement_that_fixes_it() {
    let (database, project, served) = into_postgres().await;

    database.run("ALTER TABLE out.events ALTER COLUMN user_id TYPE varchar(9)").await;
    send(&served, 100..200).await;
    let words = ["the column `user_id` of out.events is character varying(9), events need text"];
    paused(&project, &words).await;
    // The next step is a statement that can be run unchanged.
    let why = project.json(&["status", "out"])[0]["paused"]["why"].as_str().expect("a reason").to_owned();
    let statement = why.split("run: ").nth(1).and_then(|rest| rest.split(';').next()).expect("a statement");
    database.run(statement).await;
    resume(&project);
    committed(&project).await;

    same("the table", &once(0..200), &rows(&database).await);
    assert_eq!(project.json(&["status", "out"])[0]["paused"], Value::Null);
}

/// What the table refuses for its values concerns these events only.
#[tokio::test]
async fn export_of_an_event_that_a_constraint_refuses_lists_it_and_delivers_the_others() {
    let (database, project, served) = into_postgres().await;

    database.run("ALTER TABLE out.events ADD CHECK (user_id <> 'u-3') NOT VALID").await;
    send(&served, 100..200).await;
    committed(&project).await;

    let mut others = once(0..200);
    let refused: Vec<String> = (100..200).filter(|at| at % super::USERS == 3).map(id).collect();
    others.retain(|id, _| !refused.contains(id));
    same("the table", &others, &rows(&database).await);
    let mut keys: Vec<String> = Vec::new();
    until("the refused ones are listed", async || {
        keys = project
            .rows(&["--rejected"])
            .iter()
            .filter_map(|row| row["key"].as_str().map(str::to_owned))
            .collect();
        (keys.len() == refused.len()).then_some(())
    })
    .await;
    keys.sort();
    assert_eq!(keys, refused);
}
