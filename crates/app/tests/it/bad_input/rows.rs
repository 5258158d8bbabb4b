//! Rows that are not acceptable, and rows that only look so.

use serde_json::json;

use super::{EVENTS, Scene, once, says};

/// A sync of events whose properties are a JSON column.
const JSON: &str = "    source: { connection: db, table: people }\n    cursor: at\n    \
                    destination: { connection: braze, object: event }\n    \
                    mapping: { external_id: id, name: { value: seen }, properties: payload }\n";

/// A sync over a table of the cloud-ingestion contract.
const CONTRACT: &str = "    source: { connection: db, table: people }\n    primary_key: [id]\n    contract: braze_cdi\n    \
                        destination: { connection: braze, object: user }\n";

#[tokio::test]
async fn bad_input_an_invalid_json_payload_is_rejected_with_its_place_and_fixed() {
    let scene = Scene::new(
        r#"CREATE TABLE people (id bigint PRIMARY KEY, payload text, at timestamptz NOT NULL DEFAULT now());
           INSERT INTO people VALUES (1, '{"a": 1}'), (2, '{"secret": }'), (3, '[1]'), (4, NULL), (5, ''), (6, '"text"')"#,
        JSON,
    )
    .await;
    says(&scene.run(), 3, &["`tidegate rows --rejected --run "]);
    let rejected = scene.rejected();
    for (key, code, message) in [
        ("2", "invalid_json", "`payload`: not valid JSON at line 1, column 12"),
        ("3", "not_an_object", "`payload` holds JSON that is not an object"),
        ("5", "invalid_json", "`payload`: not valid JSON at line 1, column 0"),
        ("6", "not_an_object", "`payload` holds JSON that is not an object"),
    ] {
        assert_eq!(rejected[key], (code.to_owned(), message.to_owned()), "{key}");
    }
    assert_eq!(rejected.len(), 4);
    assert_eq!(scene.seen().await, once([1, 4]));
    scene.database.run("UPDATE people SET payload = '{}', at = now() WHERE id IN (2, 3, 5, 6)").await;
    scene.arrives_once(1..=6).await;
}

#[tokio::test]
async fn bad_input_a_contract_row_is_rejected_with_its_reason_and_fixed() {
    let scene = Scene::new(
        r#"CREATE TABLE people (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now(),
             external_id text, alias_name text, alias_label text, email text, payload text);
           INSERT INTO people (id, external_id, alias_name, alias_label, email, payload) VALUES
             (1, 'u1', NULL, NULL, NULL, '{"a": 1}'),
             (2, 'u2', NULL, NULL, NULL, '{"a": }'),
             (3, 'u3', NULL, NULL, NULL, '{"a": "' || repeat('x', 1000000) || '"}'),
             (4, 'u4', NULL, NULL, 'u4@example.com', '{}'),
             (5, NULL, NULL, NULL, NULL, '{}'),
             (6, '', NULL, NULL, NULL, '{}'),
             (7, NULL, 'name', NULL, NULL, '{}'),
             (8, 'u8', NULL, NULL, NULL, '{"external_id": "u9"}'),
             (9, 'u9', NULL, NULL, NULL, NULL)"#,
        CONTRACT,
    )
    .await;
    says(&scene.run(), 3, &["`tidegate rows --rejected --run "]);
    let rejected = scene.rejected();
    for (key, code, message) in [
        ("2", "invalid_json", "PAYLOAD: not valid JSON at line 1, column 7"),
        ("3", "payload_too_large", "Payload was greater than 1MB"),
        ("4", "two_identifiers", "the row has 2 identifiers (external_id, email); exactly one is allowed"),
        ("5", "no_identifier", "the row has no identifier of a user: the column is empty"),
        ("6", "no_identifier", "the row has no identifier of a user: the column is empty"),
        ("7", "no_identifier", "ALIAS_NAME and ALIAS_LABEL must both be filled"),
        ("8", "identifier_in_payload", "PAYLOAD must not contain the identifier `external_id`"),
        ("9", "missing_field", "PAYLOAD is empty"),
    ] {
        assert_eq!(rejected[key], (code.to_owned(), message.to_owned()), "{key}");
    }
    assert_eq!(rejected.len(), 8);
    for (user, key) in [("u2", "2"), ("u3", "3"), ("u4", "4"), ("u8", "8"), ("u9", "9"), ("label:name", "7")]
    {
        let rows = scene.project.json(&["rows", "--user", user]);
        let found = rows.as_array().expect("rows").iter().filter(|row| row["key"] == key).count();
        assert_eq!(found, usize::from(user != "label:name"), "{user}: {rows}");
    }
    scene
        .database
        .run(
            "UPDATE people SET external_id = 'u' || id, alias_name = NULL, email = NULL, payload = '{\"a\": 1}', \
             updated_at = now() WHERE id > 1",
        )
        .await;
    says(&scene.run(), 0, &[]);
    assert_eq!(scene.sandbox.stats("braze").await["users"], 9);
    let rows = scene.project.json(&["status"]);
    assert_eq!(rows[0]["failed_rows"], 0, "{rows}");
}

#[tokio::test]
async fn bad_input_two_identifiers_or_none_are_rejected_and_retried_once_fixed() {
    let sync = "    source: { connection: db, table: people }\n    mode: full\n    destination: { connection: braze, object: event }\n    \
                mapping: { external_id: ext, email: email, name: { value: seen }, timestamp: at }\n";
    let scene = Scene::new(
        "CREATE TABLE people (id bigint PRIMARY KEY, ext text, email text, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO people VALUES (1, '1', NULL), (2, '2', 'b@example.com'), (3, NULL, NULL), (4, '', '')",
        sync,
    )
    .await;
    says(&scene.run(), 3, &[]);
    let rejected = scene.rejected();
    let two = "the row has 2 identifiers (external_id, email); exactly one is allowed";
    let none = "the row has no identifier of a user: the column is empty";
    assert_eq!(rejected["2"], ("two_identifiers".to_owned(), two.to_owned()));
    for key in ["3", "4"] {
        assert_eq!(rejected[key], ("no_identifier".to_owned(), none.to_owned()), "{key}");
    }
    assert_eq!(scene.seen().await, once([1]));
    scene.database.run("UPDATE people SET ext = id::text, email = NULL").await;
    let retried = scene.project.done(&["retry", "s"]);
    says(&retried, 0, &[]);
    assert_eq!(scene.seen().await, once(1..=4));
}

#[tokio::test]
async fn bad_input_a_long_text_is_rejected_with_its_member_and_the_limit() {
    let scene = Scene::new(
        "CREATE TABLE people (id bigint PRIMARY KEY, note text, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO people VALUES (1, repeat('é', 255)), (2, repeat('x', 10000))",
        &format!("    source: {{ connection: db, table: people }}\n{EVENTS}"),
    )
    .await;
    says(&scene.run(), 3, &[]);
    let (code, message) = scene.rejected().remove("2").expect("rejected");
    assert_eq!(code, "text_too_long");
    for word in ["`note`", "10000", "255"] {
        assert!(message.contains(word), "{message}");
    }
    assert!(!message.contains("xxx"), "{message}");
    scene.database.run("UPDATE people SET note = 'short', at = now() WHERE id = 2").await;
    scene.arrives_once([1, 2]).await;
}

#[tokio::test]
async fn bad_input_an_empty_table_is_a_success_and_its_first_row_arrives() {
    let scene = Scene::new(
        "CREATE TABLE people (id bigint PRIMARY KEY, note text, at timestamptz NOT NULL DEFAULT now())",
        &format!("    source: {{ connection: db, table: people }}\n{EVENTS}"),
    )
    .await;
    let run = scene.run();
    says(&run, 0, &[]);
    assert!(run.stdout.contains("s: succeeded · 0 read"), "{}", run.stdout);
    says(&scene.project.done(&["plan", "s"]), 0, &[]);
    says(&scene.project.done(&["preview", "s"]), 0, &["the source has no rows"]);
    scene.database.run("INSERT INTO people VALUES (1, 'first')").await;
    scene.arrives_once([1]).await;
}

#[tokio::test]
async fn bad_input_emoji_controls_and_text_that_looks_like_nul_arrive_as_they_are() {
    let texts = [
        "",
        " ",
        "🎈👩‍👩‍👧",
        "\\u0000",
        "\\0",
        "\u{1}\u{7f}\u{feff}",
        "NULL",
        "a\"b\\c\n\t",
        "</script>",
        "\u{202e}abc",
    ];
    let scene = Scene::new(
        "CREATE TABLE people (id bigint PRIMARY KEY, note text, at timestamptz NOT NULL DEFAULT now())",
        &format!("    source: {{ connection: db, table: people }}\n{EVENTS}"),
    )
    .await;
    for (id, text) in (1i64..).zip(texts) {
        scene
            .database
            .client
            .execute("INSERT INTO people VALUES ($1, $2)", &[&id, &text])
            .await
            .expect("written");
    }
    scene.arrives_once(1..=texts.len() as i64).await;
    for event in scene.sandbox.effects("braze/events").await {
        let id: usize = super::user_of(&event).parse().expect("an id");
        assert_eq!(event["properties"]["note"], json!(texts[id - 1]));
    }
}

#[tokio::test]
async fn bad_input_an_escaped_nul_in_json_arrives_or_is_rejected_but_stops_nothing() {
    let scene = Scene::new(
        r#"CREATE TABLE people (id bigint PRIMARY KEY, payload json, at timestamptz NOT NULL DEFAULT now());
           INSERT INTO people VALUES (1, '{"a": "x\u0000y"}'), (2, '{"a": "\ud83c\udf88"}'), (3, '{"a": "\ud800"}')"#,
        JSON,
    )
    .await;
    let run = scene.run();
    assert!(run.code == 0 || run.code == 3, "{run:?}");
    let (seen, rejected) = (scene.seen().await, scene.rejected());
    for id in ["1", "2", "3"] {
        assert!(seen.contains_key(id) != rejected.contains_key(id), "{id}: {seen:?} {rejected:?}");
    }
    assert!(seen.contains_key("2"), "{rejected:?}");
}
