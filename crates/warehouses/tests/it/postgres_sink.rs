//! Events in a table of PostgreSQL: made, merged, widened, refused.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_model::event::{ColumnType, Event};
use tidegate_model::{
    ConnectorContext, Error, ErrorKind, Json, Layout, LoggedEvent, Offset, Outcome, Reason, Settings, Sink,
    SinkTarget, StreamId, SyncId, Text,
};
use tidegate_warehouses::postgres::CONNECTOR;

use crate::postgres_server::{Database, context};
use crate::tunnels::tunnel;

fn event(number: u64) -> LoggedEvent {
    let at = "2026-03-01T23:59:59.123456Z".parse().expect("timestamp");
    let payload = json!({
        "event_id": format!("e{number}"), "language": "de", "device_type": 1, "subscribed": true,
        "message_title": "Grüße, \"du\"\n\\", "token": null, "more": { "n": number }
    });
    let event = Event {
        id: format!("e{number}").into(),
        kind: "message.push.clicked".into(),
        at,
        user: "u1".into(),
        app: "a1".into(),
        message: "m1".into(),
        template: Text::new(),
        payload: Json::trusted(payload.to_string()),
    };
    LoggedEvent { offset: Offset::new(0, number), logged_at: at, event }
}

fn events(numbers: std::ops::Range<u64>) -> Vec<LoggedEvent> {
    numbers.map(event).collect()
}

fn open(
    database: &Database,
    changes: Value,
    layout: Layout,
    to: &Value,
    context: &ConnectorContext,
) -> Result<Arc<Sink>, Error> {
    let role = CONNECTOR.sink.expect("a sink");
    let target = SinkTarget {
        sync: SyncId::new("out"),
        stream: StreamId::new("shop"),
        layout,
        settings: Settings::new(to.as_object().expect("object").clone()),
    };
    (role.open)(&database.settings(changes), &target, context)
}

#[expect(clippy::needless_pass_by_value, reason = "written in place by every caller")]
fn sink(database: &Database, layout: Layout, to: Value) -> Arc<Sink> {
    open(database, json!({}), layout, &to, &context()).expect("settings that work")
}

async fn deliver(sink: &Arc<Sink>, events: &[LoggedEvent]) {
    let receipt = sink.deliver(events).await.expect("a receipt");
    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; events.len()]);
}

impl Database {
    async fn text(&self, sql: &str) -> String {
        let row = self.admin.query_one(&format!("SELECT ({sql})::text"), &[]).await.expect(sql);
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_table_is_made_with_the_columns_of_its_layout_and_holds_what_happened() {
    let database = Database::new().await;
    // Roles belong to the server, which may have met this test before.
    database
        .run("DO $$ BEGIN CREATE ROLE \"nobody here\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        .await;
    for (layout, table) in [(Layout::Messages, "message_events"), (Layout::Events, "events")] {
        deliver(&sink(&database, layout, json!({})), &events(0..3)).await;
        let made = database
            .text(&format!(
                "select string_agg(column_name || ' ' || data_type || ' ' || is_nullable, ',' order by ordinal_position) \
                 from information_schema.columns where table_schema = 'shop_events' and table_name = '{table}'"
            ))
            .await;
        let wanted: Vec<String> = (layout.columns().iter())
            .map(|column| {
                let kind = match column.kind {
                    ColumnType::Text => "text",
                    ColumnType::Int => "bigint",
                    ColumnType::Bool => "boolean",
                    ColumnType::Timestamp => "timestamp with time zone",
                    ColumnType::Date => "date",
                };
                format!("{} {kind} {}", column.name, if column.nullable { "YES" } else { "NO" })
            })
            .collect();
        assert_eq!(made, wanted.join(","));
        let indexes = format!(
            "select string_agg(indexdef, ' ' order by indexdef) from pg_indexes where tablename = '{table}'"
        );
        let indexes = database.text(&indexes).await;
        assert!(indexes.contains("UNIQUE INDEX") && indexes.contains("(event_timestamp)"), "{indexes}");
    }

    let row =
        database.text("select to_jsonb(t) from shop_events.message_events t where event_id = 'e2'").await;
    let row: Value = serde_json::from_str(&row).expect("JSON");
    for (column, value) in [
        ("event_timestamp", json!("2026-03-01T23:59:59.123456+00:00")),
        ("event_kind", json!("message.push.clicked")),
        ("event_date", json!("2026-03-01")),
        ("device_type", json!(1)),
        ("subscribed", json!(true)),
        ("token", Value::Null),
        ("template_id", Value::Null),
        ("message_title", json!("Grüße, \"du\"\n\\")),
        ("_index", json!(2)),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    let more =
        "select string_agg(payload::jsonb #>> '{more,n}', ' ' order by event_id) from shop_events.events";
    assert_eq!(database.text(more).await, "0 1 2");
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_there_once() {
    let database = Database::new().await;
    let sink = sink(&database, Layout::Events, json!({ "schema": "public", "table": "Out \"1\"" }));
    let mut twice = events(0..50);
    twice.extend(events(25..75));
    deliver(&sink, &twice).await;
    deliver(&sink, &events(0..100)).await;
    deliver(&sink, &[]).await;
    assert_eq!(database.text("select count(*) from \"Out \"\"1\"\"\"").await, "100");
}

#[tokio::test]
async fn four_exports_at_once_make_one_table_and_every_event_once() {
    let database = Database::new().await;
    let mut running = Vec::new();
    for turn in 0..4 {
        let sink = sink(&database, Layout::Messages, json!({}));
        running.push(tokio::spawn(async move {
            for start in [0, 500, 1_000] {
                let mut events = events(start..start + 1_000);
                if turn % 2 == 1 {
                    events.reverse();
                }
                deliver(&sink, &events).await;
            }
        }));
    }
    for sink in running {
        sink.await.expect("no failure");
    }
    let counts = "select count(*) || ' ' || count(distinct event_id) from shop_events.message_events";
    assert_eq!(database.text(counts).await, "2000 2000");
}

#[tokio::test]
async fn a_table_that_lacks_columns_is_widened_and_one_that_is_dropped_is_made_again() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE events (event_id uuid PRIMARY KEY, payload jsonb, own int DEFAULT 7); \
             CREATE TABLE varied (event_id varchar PRIMARY KEY)",
        )
        .await;
    let widened = sink(&database, Layout::Events, json!({ "schema": "public" }));
    let mut one = event(1);
    one.event.id = "7f2c1c64-0d0a-4c40-9d3f-2a8a5c1a5c11".into();
    deliver(&widened, &[one.clone()]).await;
    assert_eq!(
        database.text("select concat_ws(' ', own, event_kind, payload -> 'more' ->> 'n') from events").await,
        "7 message.push.clicked 1"
    );
    deliver(
        &sink(&database, Layout::Messages, json!({ "schema": "public", "table": "varied" })),
        &events(0..2),
    )
    .await;

    database.run("DROP TABLE events").await;
    deliver(&widened, &[one]).await;
    assert_eq!(database.text("select count(*) from events").await, "1");
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_by_the_name_of_its_column() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE wrong (event_id text PRIMARY KEY, event_timestamp timestamp); \
             CREATE TABLE short (event_id varchar(10) PRIMARY KEY); \
             CREATE TABLE keyless (event_id text); \
             CREATE TABLE stern (event_id text PRIMARY KEY, tenant int NOT NULL); \
             CREATE VIEW seen AS SELECT 1 AS x",
        )
        .await;
    for (table, part, remedy) in [
        (
            "wrong",
            "`event_timestamp` of public.wrong is timestamp without time zone",
            "ALTER TABLE \"public\".\"wrong\"",
        ),
        ("short", "`event_id` of public.short is character varying(10)", "TYPE text"),
        ("keyless", "public.keyless has no unique index on event_id", "ADD PRIMARY KEY (event_id)"),
        ("stern", "`tenant` must not be empty", "default"),
        ("seen", "seen", "choose"),
    ] {
        let sink = sink(&database, Layout::Events, json!({ "schema": "public", "table": table }));
        let error = sink.deliver(&events(0..2)).await.expect_err(table);
        assert_eq!(error.kind(), ErrorKind::Settings, "{table}: {error:?}");
        assert!(error.message().contains(part), "{table}: {error:?}");
        assert!(error.next_step().contains(remedy), "{table}: {}", error.next_step());
        // What only the first event tells apart is no part of a check.
        assert_eq!(sink.check().await.expect("checks").passed(), table == "stern", "{table}");
    }
}

#[tokio::test]
async fn the_grants_that_check_prints_make_an_export_work() {
    let database = Database::new().await;
    let name = database.text("select current_database()").await;
    database.run(&format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC; CREATE SCHEMA closed; CREATE SCHEMA made; CREATE TABLE made.events (event_id text PRIMARY KEY)")).await;
    for (to, rounds_least) in
        [(json!({}), 1), (json!({ "schema": "closed" }), 1), (json!({ "schema": "made" }), 1)]
    {
        let user = database.user().await;
        let changes = json!({ "user": user, "password": "secret-of-reader" });
        let sink = open(&database, changes, Layout::Events, &to, &context()).expect("settings");
        let denied = sink.deliver(&events(0..1)).await.expect_err("no privilege");
        assert_eq!(denied.kind(), ErrorKind::Denied, "{denied:?}");
        assert!(denied.next_step().contains("GRANT TEMPORARY ON DATABASE"), "{}", denied.next_step());
        let mut rounds = 0;
        loop {
            let checks = sink.check().await.expect("checks");
            if checks.passed() {
                break;
            }
            rounds += 1;
            assert!(rounds < 5, "{checks:?}");
            for check in checks.0.iter().filter(|check| !check.passed) {
                database.run(check.remedy.as_deref().expect("a remedy")).await;
            }
        }
        assert!(rounds >= rounds_least, "{to}");
        deliver(&sink, &events(0..10)).await;
    }
    assert_eq!(database.text("select count(*) from made.events").await, "10");
}

#[tokio::test]
async fn a_refusal_while_writing_names_the_grant() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE events (event_id text PRIMARY KEY); CREATE TABLE whole (event_id text PRIMARY KEY)",
        )
        .await;
    deliver(&sink(&database, Layout::Events, json!({ "schema": "public", "table": "whole" })), &events(0..1))
        .await;
    let user = database.user().await;
    database.run(&format!("GRANT SELECT ON whole TO \"{user}\"")).await;
    let changes = json!({ "user": user, "password": "secret-of-reader" });
    for (to, remedy) in [
        (json!({ "schema": "public" }), "ALTER TABLE \"public\".\"events\" ADD COLUMN".to_owned()),
        (
            json!({ "schema": "public", "table": "whole" }),
            format!("GRANT SELECT, INSERT ON \"public\".\"whole\" TO \"{user}\""),
        ),
        (json!({ "schema": "new" }), format!("GRANT USAGE, CREATE ON SCHEMA \"new\" TO \"{user}\"")),
        (
            json!({ "schema": "public", "table": "new" }),
            format!("GRANT USAGE, CREATE ON SCHEMA \"public\" TO \"{user}\""),
        ),
    ] {
        let sink = open(&database, changes.clone(), Layout::Events, &to, &context()).expect("settings");
        let error = sink.deliver(&events(1..2)).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Denied, "{to}: {error:?}");
        assert!(error.next_step().contains(&remedy), "{to}: {}", error.next_step());
    }
}

#[tokio::test]
async fn a_dry_run_does_all_of_it_and_changes_nothing() {
    let database = Database::new().await;
    let dry_run = ConnectorContext { dry_run: true, ..context() };
    let sink = open(&database, json!({}), Layout::Messages, &json!({}), &dry_run).expect("settings");
    deliver(&sink, &events(0..10)).await;
    assert_eq!(database.text("select to_regnamespace('shop_events') is null").await, "true");
}

#[tokio::test]
async fn what_postgresql_cannot_hold_is_refused_before_it_is_sent() {
    let database = Database::new().await;
    let sink = sink(&database, Layout::Messages, json!({}));
    let changed = |change: fn(&mut Event)| {
        let mut logged = event(1);
        change(&mut logged.event);
        logged
    };
    for (logged, code) in [
        (changed(|event| event.id = "a\0b".into()), "nul_in_text"),
        (changed(|event| event.id = "x".repeat(3_000).into()), "id_too_long"),
        (changed(|event| event.payload = Json::trusted(r#"{"message_title":"a\u0000b"}"#)), "nul_in_text"),
        (
            changed(|event| event.at = "-004800-01-01T00:00:00Z".parse().expect("timestamp")),
            "time_out_of_range",
        ),
    ] {
        assert_eq!(sink.validate(&logged).map_err(|reason| reason.code), Err(Reason::new(code, "").code));
    }
    let odd = [
        // The first is never read from a column, and the second is no NUL at all.
        changed(|event| event.payload = Json::trusted(r#"{"own":"\u0000"}"#)),
        changed(|event| event.payload = Json::trusted(r#"{"message_title":"\\u0000"}"#)),
        changed(|event| event.at = "-004711-01-01T00:00:00Z".parse().expect("timestamp")),
        changed(|event| event.at = "9999-12-30T22:00:00.999999999Z".parse().expect("timestamp")),
        changed(|event| {
            event.id = (0..2_600u32)
                .map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90))
                .collect::<String>()
                .into();
        }),
    ];
    for (at, logged) in odd.into_iter().enumerate() {
        let mut logged = logged;
        if at < 4 {
            logged.event.id = format!("odd{at}").into();
        }
        assert_eq!(sink.validate(&logged), Ok(()), "{at}");
        deliver(&sink, &[logged]).await;
    }
    assert_eq!(database.text("select count(*) from shop_events.message_events").await, "5");
}

#[tokio::test]
async fn a_value_that_the_table_refuses_refuses_the_request_and_is_not_told() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE events (event_id text PRIMARY KEY, user_id text CHECK (user_id <> 'secret-user'))")
        .await;
    let sink = sink(&database, Layout::Events, json!({ "schema": "public" }));
    let mut bad = event(2);
    bad.event.user = "secret-user".into();
    let error = sink.deliver(&[event(1), bad]).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(!format!("{error:?}{}", error.next_step()).contains("secret-user"), "{error:?}");
    // The same connection goes on.
    deliver(&sink, &[event(1)]).await;
    assert_eq!(database.text("select count(*) from pg_stat_activity where datname = current_database() and application_name = 'tidegate'").await, "1");
}

#[tokio::test]
async fn a_server_that_goes_away_has_taken_all_of_a_request_or_nothing() {
    let database = Database::new().await;
    let sink = sink(&database, Layout::Events, json!({ "schema": "public" }));
    deliver(&sink, &events(0..1)).await;
    database
        .run(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF NEW.event_id = 'e5' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$; \
             CREATE TRIGGER now AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
    let error = sink.deliver(&events(1..10)).await.expect_err("stopped before the commit");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");

    database
        .run(
            "DROP TRIGGER now ON events; \
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
    let receipt = sink.deliver(&events(1..10)).await.expect("a receipt");
    assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{receipt:?}");
    assert_eq!(receipt.outcomes.len(), 9);

    database.run("DROP TRIGGER late ON events").await;
    deliver(&sink, &events(0..10)).await;
    assert_eq!(database.text("select count(*) from events").await, "10");
}

#[tokio::test]
async fn settings_of_an_export_that_cannot_work_are_refused_before_connecting() {
    let database = Database::new().await;
    for (to, part) in [
        (json!({ "tabel": "x" }), "tabel"),
        (json!({ "table": "" }), "`table`"),
        (json!({ "schema": "x".repeat(64) }), "longer than 63 bytes"),
    ] {
        let error = open(&database, json!({}), Layout::Events, &to, &context()).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.message().contains(part), "{to}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_through_a_tunnel_and_are_there_once_after_its_server_was_killed() {
    let (mut server, tunnel) = tunnel();
    let database = Database::new().await;
    let through = json!({ "tunnel": tunnel });
    let sink = open(&database, through, Layout::Events, &json!({}), &context()).expect("settings that work");
    deliver(&sink, &events(0..50)).await;
    let checks = sink.check().await.expect("checks");
    assert!(
        checks.passed() && format!("{checks:?}").contains("through the tunnel at 127.0.0.1:"),
        "{checks:?}"
    );

    server.kill();
    // Whether the events were written is known, or it is said that it is not.
    match sink.deliver(&events(40..90)).await {
        Ok(receipt) => assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_)))),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
    }
    server.restart();
    deliver(&sink, &events(40..90)).await;
    let found =
        database.text("SELECT count(*) || ' ' || count(DISTINCT event_id) FROM shop_events.events").await;
    assert_eq!(found, "90 90");
}
