//! Queries as people paste them.

use super::{EVENTS, PEOPLE, Scene, says};

/// The project with this query.
fn from_query(query: &str) -> String {
    let indented = query.replace('\n', "\n        ");
    format!("    source:\n      connection: db\n      query: |\n        {indented}\n{EVENTS}")
}

#[tokio::test]
async fn bad_input_a_query_that_cannot_run_is_refused_with_its_place() {
    let scene = Scene::new(PEOPLE, &from_query("select 1")).await;
    let source = scene.database.connection();
    for (query, code, words) in [
        (
            "select id, note, at\nfrm people",
            2,
            &[
                "syntax error at or near \"people\" (line 2, column 5 of the query)",
                "→ run the statement in psql",
            ][..],
        ),
        ("select id, note, at from people where", 2, &["syntax error", "(at the end of the query)"]),
        (
            "select * from people; select * from people",
            2,
            &["syntax error at or near \";\" (line 1, column 21 of the query)", "it has to be one SELECT"],
        ),
        ("delete from people", 2, &["syntax error", "`query` is one SELECT or WITH"]),
        ("with gone as (delete from people returning *) select * from gone", 2, &["query", "→ "]),
        (
            "select id, nte, at from people",
            1,
            &["column \"nte\" does not exist", "→ Perhaps you meant to reference the column \"people.note\""],
        ),
        ("select * from peple", 1, &["relation \"peple\" does not exist", "→ "]),
        ("select id, at from people", 1, &["the source has no column `note`", "→ the columns are: id, at"]),
        (
            "select id, id, note, at from people",
            2,
            &["the query has two columns `id`", "→ give one of them another name with AS"],
        ),
        ("select 'a", 2, &["unterminated quoted string", "(line 1, column 8 of the query)", "→ "]),
    ] {
        scene.write(&source, &from_query(query));
        says(&scene.run(), code, words);
    }
    scene.write(&source, &from_query("select * from people"));
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_semicolon_or_a_comment_at_the_end_of_a_query_does_no_harm() {
    for query in [
        "select * from people;",
        "select * from people -- all of them",
        "select * from people -- all of them; really",
        "-- mine\nselect * from people /* all; of them */ ;;\n",
    ] {
        let scene = Scene::new(PEOPLE, &from_query(query)).await;
        scene.arrives_once(1..=200).await;
    }
}

#[tokio::test]
async fn bad_input_a_value_that_stops_the_query_is_not_repeated_in_the_message() {
    let scene =
        Scene::new(PEOPLE, &from_query("select id, note, note::int::text as x, at from people")).await;
    let stopped = scene.run();
    says(&stopped, 1, &["reading the query: a value of a row stops it (SQLSTATE 22P02)", "psql"]);
    assert!(!stopped.stderr.contains("note 1"), "{}", stopped.stderr);
    scene.write(&scene.database.connection(), &from_query("select * from people"));
    scene.arrives_once(1..=200).await;
}
