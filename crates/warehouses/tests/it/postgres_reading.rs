//! Which rows a read gives, and in which order.

use futures_util::{StreamExt, TryStreamExt};
use jiff::ToSpan;
use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode, Row, Value};

use crate::postgres_server::{Database, batches, rows, select, table};

fn cursor(column: &str, from: Option<Value>) -> ReadMode {
    ReadMode::Incremental { column: column.to_owned(), from, time_zone: "Europe/Paris".to_owned() }
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter()
        .map(|row| match row.get("id") {
            Some(Value::Int(id)) => *id,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_timestamp_cursor_gives_nulls_first_then_order_and_lets_the_future_wait() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE t (id int, at timestamptz); INSERT INTO t VALUES \
              (1, now() - interval '1 hour'), (2, now() - interval '2 hours'), (3, NULL), \
              (4, now() + interval '1 hour'), (5, 'infinity'), (6, '-infinity')",
        )
        .await;
    let batches = batches(&database.source(), &table("public.t"), &cursor("at", None)).await;
    let found: Vec<Row> = batches.iter().flat_map(|batch| batch.items.clone()).collect();
    assert_eq!(ids(&found), [3, 6, 2, 1]);
    let waiting: Vec<u64> = batches.iter().map(|batch| batch.not_due).collect();
    assert_eq!(waiting, [2]);
    assert!(batches.iter().all(|batch| batch.checkpoint.is_none()));
}

#[tokio::test]
async fn every_cursor_type_reads_on_from_its_own_value_with_all_ties() {
    let database = Database::new().await;
    database.run("CREATE EXTENSION citext").await;
    for (column_type, values) in [
        (
            "timestamptz",
            ["2026-01-01 00:00:00.000001Z", "2026-01-01 00:00:00.000002Z", "2026-01-01 00:00:00.000003Z"],
        ),
        ("timestamp", ["0044-03-15 BC", "2026-01-01 00:00:00.000002", "2026-01-01 00:00:00.000003"]),
        ("date", ["2025-12-31", "2026-01-01", "2026-01-02"]),
        ("int2", ["-5", "7", "9"]),
        ("int4", ["-5", "7", "9"]),
        ("int8", ["-5", "9007199254740993", "9007199254740994"]),
        ("numeric", ["0.1", "9007199254740993.0000000001", "9007199254740993.0000000002"]),
        ("float4", ["-1", "0.1", "0.2"]),
        ("float8", ["-1", "0.30000000000000004", "0.4"]),
        ("text", ["B", "a", "é"]),
        ("varchar(9)", ["B", "a", "é"]),
        ("char(3)", ["B", "a", "é"]),
        ("citext", ["B", "a", "é"]),
        ("name", ["B", "a", "é"]),
        (
            "uuid",
            [
                "00000000-0000-0000-0000-000000000001",
                "80000000-0000-0000-0000-000000000000",
                "f0000000-0000-0000-0000-000000000000",
            ],
        ),
    ] {
        database
            .run(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, c {column_type}); INSERT INTO t VALUES \
                 (1, '{}'), (2, '{}'), (3, '{}'), (4, NULL)",
                values[0], values[1], values[2]
            ))
            .await;
        database.run(&format!("INSERT INTO t VALUES (5, '{}')", values[1])).await;
        let source = database.source();

        let all = rows(&source, &table("public.t"), &cursor("C", None)).await;
        let order: Vec<Value> = all.iter().map(|row| row.values[1].clone()).collect();
        assert_eq!(order[0], Value::Null, "{column_type}");
        for pair in order[1..].windows(2) {
            assert!(pair[0].compare(&pair[1]).is_some_and(|order| order.is_le()), "{column_type}: {pair:?}");
        }
        let from = order[2].clone();
        let mut rest = ids(&rows(&source, &table("public.t"), &cursor("c", Some(from))).await);
        rest.sort_unstable();
        assert_eq!(rest, [2, 3, 4, 5], "{column_type}");
    }
}

#[tokio::test]
async fn now_is_the_wall_clock_of_the_given_zone_for_cursors_without_one() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE t AS SELECT 1 AS id, (now() AT TIME ZONE 'Europe/Paris') - interval '1 minute' AS at, \
              (now() AT TIME ZONE 'Europe/Paris')::date AS day UNION ALL \
              SELECT 2, (now() AT TIME ZONE 'Europe/Paris') + interval '1 minute', \
              (now() AT TIME ZONE 'Europe/Paris')::date + 1")
        .await;
    for column in ["at", "day"] {
        let batches = batches(&database.source(), &table("public.t"), &cursor(column, None)).await;
        let found: Vec<Row> = batches.iter().flat_map(|batch| batch.items.clone()).collect();
        assert_eq!(ids(&found), [1], "{column}");
        assert_eq!(batches.iter().map(|batch| batch.not_due).sum::<u64>(), 1, "{column}");
    }
}

#[tokio::test]
async fn numbers_that_are_none_never_become_the_place() {
    let database = Database::new().await;
    for column_type in ["numeric", "float8", "float4"] {
        database
            .run(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id int, c {column_type}); INSERT INTO t VALUES (1, 5), (2, 'NaN')"))
            .await;
        let batches = batches(&database.source(), &table("public.t"), &cursor("c", None)).await;
        let found: Vec<Row> = batches.iter().flat_map(|batch| batch.items.clone()).collect();
        assert_eq!((ids(&found), batches.last().map(|batch| batch.not_due)), (vec![1], Some(1)));
    }
}

#[tokio::test]
async fn a_query_is_read_by_cursor_as_a_table_is() {
    let database = Database::new().await;
    database.run("CREATE TABLE t AS SELECT n AS id, now() - n * interval '1 minute' AS at FROM generate_series(1, 250) AS n").await;
    let selection = select(json!({ "query": "select id, at from t -- all of them\n;", "key": ["id"] }));
    let from = Value::Timestamp(tidegate_model::SystemClock.now() - 100.minutes() - 30.seconds());
    let feed = database.source().read(&selection, &cursor("at", Some(from)), 30).await.expect("read");
    let batches: Vec<_> = feed.try_collect().await.expect("batches");
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.items.len()).collect();
    assert_eq!(sizes, [30, 30, 30, 10]);
    assert_eq!(batches[0].items[0].get("id"), Some(&Value::Int(100)));
}

use tidegate_model::Clock;

#[tokio::test]
async fn a_read_sees_one_state_whatever_is_committed_meanwhile() {
    let database = Database::new().await;
    database.run("CREATE TABLE t AS SELECT n AS id, n AS at FROM generate_series(1, 1000) AS n").await;
    let source = database.source();
    let mut feed = source.read(&table("public.t"), &cursor("at", None), 10).await.expect("read");
    let first = feed.next().await.expect("a batch").expect("rows");
    database
        .run("INSERT INTO t SELECT n, n FROM generate_series(1001, 2000) AS n; DELETE FROM t WHERE id < 500")
        .await;
    let rest: Vec<_> = feed.try_collect().await.expect("batches");
    let count = first.items.len() + rest.iter().map(|batch| batch.items.len()).sum::<usize>();
    assert_eq!(count, 1_000);
}

#[tokio::test]
async fn a_dropped_read_ends_at_the_server() {
    let database = Database::new().await;
    let selection = select(
        json!({ "query": "select n, repeat('x', 4000), pg_sleep(case when n > 150 then 3600 else 0 end)::text from generate_series(1, 1000) as n" }),
    );
    let mut feed = database.source().read(&selection, &ReadMode::Full, 100).await.expect("read");
    feed.next().await.expect("a batch").expect("rows");
    drop(feed);
    let running = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'tidegate'";
    let ended = async {
        loop {
            let count: i64 = database.admin.query_one(running, &[]).await.expect("count").get(0);
            if count == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.expect("the statement ends");
}

#[tokio::test]
async fn rows_are_looked_up_by_composite_keys_of_any_type() {
    let database = Database::new().await;
    database
        .run("CREATE TYPE size AS ENUM ('s', 'm'); CREATE TABLE t (shop int, code text, made timestamptz, size size, note text, PRIMARY KEY (shop, code)); \
              INSERT INTO t SELECT n % 10, 'c' || n, '2026-01-01Z'::timestamptz + n * interval '1 us', 's', 'it''s ' || n FROM generate_series(1, 1000) AS n")
        .await;
    let source = database.source();
    let key = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let wanted: Vec<Vec<Value>> = [(1, "c1"), (2, "c2"), (3, "c4"), (5, "it's; drop")]
        .map(|(shop, code)| vec![Value::Int(shop), Value::Text(code.into())])
        .to_vec();
    let found = source
        .lookup(&table("public.t"), &key(&["shop", "code"]), &wanted)
        .await
        .expect("lookup")
        .expect("rows");
    let found = looked_up(found).await;
    let mut notes: Vec<_> = found.iter().map(|row| row.get("note").cloned().expect("note")).collect();
    notes.sort_by(|a, b| a.compare(b).expect("texts"));
    assert_eq!(notes, [Value::Text("it's 1".into()), Value::Text("it's 2".into())]);

    let made = found[0].get("made").cloned().expect("made");
    let again = source
        .lookup(&table("public.t"), &key(&["made", "size"]), &[vec![made, Value::Text("s".into())]])
        .await
        .expect("lookup")
        .expect("rows");
    assert_eq!(looked_up(again).await, found[..1]);
    let Err(error) = source.lookup(&table("public.t"), &key(&["shopp"]), &wanted).await else {
        panic!("there is no such column");
    };
    assert_eq!(
        (error.kind(), error.next_step()),
        (ErrorKind::Missing, "did you mean `shop`? Correct the name, or add the column there")
    );
}

#[tokio::test]
async fn tables_views_and_queries_are_described() {
    let database = Database::new().await;
    database
        .run("CREATE SCHEMA \"My.Schema\"; CREATE TABLE \"My.Schema\".\"Order \"\"Lines\"\"\" (b int, a varchar(20), total numeric(12,2), tags text[], PRIMARY KEY (a, b)); \
              CREATE VIEW public.lines AS SELECT * FROM \"My.Schema\".\"Order \"\"Lines\"\"\"; CREATE TABLE public.gone (a int, b int); ALTER TABLE gone DROP COLUMN a")
        .await;
    let source = database.source();
    let datasets = source.discover().await.expect("datasets");
    let names: Vec<&str> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    assert_eq!(names, ["\"My.Schema\".\"Order \"\"Lines\"\"\"", "public.gone", "public.lines"]);
    let types: Vec<&str> = datasets[0].columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(types, ["integer", "character varying(20)", "numeric(12,2)", "text[]"]);
    assert_eq!(datasets[0].key, ["a", "b"]);
    for dataset in &datasets {
        assert_eq!(source.describe(&table(&dataset.name)).await.expect("described"), *dataset);
        assert_eq!(rows(&source, &table(&dataset.name), &ReadMode::Full).await.len(), 0);
    }
    let query = select(json!({ "query": "select total from lines", "key": ["total"] }));
    let described = source.describe(&query).await.expect("described");
    assert_eq!(
        (described.columns[0].type_name.as_str(), described.key),
        ("numeric(12,2)", vec!["total".to_owned()])
    );
}

/// All rows of a lookup.
async fn looked_up(feed: tidegate_model::Feed<Row>) -> Vec<Row> {
    let batches: Vec<_> = feed.try_collect().await.expect("read");
    batches.into_iter().flat_map(|batch: tidegate_model::Batch<Row>| batch.items).collect()
}

/// Looks rows up by the values that a read gave for these columns. Returns the ids found.
async fn found_again(source: &std::sync::Arc<dyn tidegate_model::Source>, key: &[&str]) -> Vec<i64> {
    let all = rows(source, &table("public.t"), &ReadMode::Full).await;
    let names: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let keys: Vec<Vec<Value>> = all
        .iter()
        .map(|row| key.iter().map(|name| row.get(name).expect("a key column").clone()).collect())
        .collect();
    let found = source.lookup(&table("public.t"), &names, &keys).await.expect("looked up").expect("rows");
    let mut found = ids(&looked_up(found).await);
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_row_with_null_in_its_key_is_found_by_retry() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE t AS SELECT 1 AS id, 'a1' AS account, NULL::text AS store UNION ALL \
             SELECT 2, 'a2', 's' UNION ALL SELECT 3, NULL, 's' UNION ALL SELECT 4, NULL, NULL",
        )
        .await;
    assert_eq!(found_again(&database.source(), &["account", "store"]).await, [1, 2, 3, 4]);
    assert_eq!(found_again(&database.source(), &["id", "store"]).await, [1, 2, 3, 4]);
    let a1 = vec![Value::Text("a1".into()), Value::Null];
    let key = ["account".to_owned(), "store".to_owned()];
    let found = database.source().lookup(&table("public.t"), &key, &[a1]).await.expect("looked up");
    assert_eq!(ids(&looked_up(found.expect("rows")).await), [1]);
}

#[tokio::test]
async fn a_row_is_found_by_a_key_of_every_type() {
    let database = Database::new().await;
    database.run("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b text)").await;
    for key in [
        "DATE '9999-12-31'",
        "DATE 'infinity'",
        "DATE '-infinity'",
        "DATE '5874897-12-31'",
        "DATE '4713-01-01 BC'",
        "TIMESTAMP 'infinity'",
        "TIMESTAMP '294276-12-31 23:59:59.999999'",
        "TIMESTAMPTZ '9999-12-31 23:59:59Z'",
        "TIMESTAMPTZ '-infinity'",
        "TIMESTAMPTZ '10000-01-01 00:00:00.5Z'",
        "'abc'::char(10)",
        "'24:00'::time",
        "'24:00:00+02'::timetz",
        "'NaN'::numeric",
        "0.1::float4",
        "1e300::float8",
        "12.5::money",
        "'{\"b\": 1,  \"a\": 0.10}'::json",
        "'{\"b\": 1, \"a\": 0.10}'::jsonb",
        "'<a>é</a>'::xml",
        "'(1,2)'::point",
        "'((0,0),(1,2))'::box",
        "'<(1,2),3>'::circle",
        "interval '1 day 02:03:04.5'",
        "'10.1.2.3/8'::inet",
        "'[2026-01-01 00:00+02,)'::tstzrange",
        "numrange(1.5, NULL)",
        "ROW(1, 'a \"b')::pair",
        "'happy'::mood",
        "'\\x00ff'::bytea",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        "ARRAY[1, NULL, 3]",
        "ARRAY[['a','b\"\\'],['','null']]",
        "ARRAY['{\"a\": [1]}', '[2]']::jsonb[]",
        "ARRAY['2026-03-01 00:00:00.5Z', 'infinity']::timestamptz[]",
        "ARRAY['happy']::mood[]",
        "ARRAY['ab ', 'cd']::char(4)[]",
        "ARRAY[true, NULL]",
    ] {
        database.run(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT 1 AS id, {key} AS k")).await;
        assert_eq!(found_again(&database.source(), &["k"]).await, [1], "{key}");
    }
}

#[tokio::test]
async fn a_narrowed_selection_reads_describes_and_finds_its_columns_alone() {
    let database = Database::new().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY, secret text, note text, at timestamptz); INSERT INTO t VALUES (1, 's', 'n', now())").await;
    let source = database.source();
    let columns = ["at", "id"].map(str::to_owned);
    for selection in
        [table("public.t"), select(json!({ "query": "select secret, note, id, at from t", "key": ["id"] }))]
    {
        let narrow = source.narrow(&selection, &columns).expect("a narrowed selection");
        let described = source.describe(&narrow).await.expect("described");
        let names: Vec<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names, described.key), (vec!["at", "id"], vec!["id".to_owned()]));
        let read = rows(&source, &narrow, &cursor("at", None)).await;
        assert_eq!(read[0].columns.names(), columns);
        let found = source.lookup(&narrow, &columns[1..], &[vec![Value::Int(1)]]).await.expect("looked up");
        assert_eq!(looked_up(found.expect("rows")).await, read);
        assert!(source.highest(&narrow, "at", "UTC").await.expect("asked").is_some());
    }
}

#[tokio::test]
async fn a_batch_of_wide_rows_ends_by_its_bytes() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE t AS SELECT n AS id, repeat('x', 1000000) AS wide FROM generate_series(1, 20) AS n",
        )
        .await;
    let batches = batches(&database.source(), &table("public.t"), &ReadMode::Full).await;
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.items.len()).collect();
    assert_eq!(sizes, [3, 3, 3, 3, 3, 3, 2]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server's own clock has to pass its limit")]
async fn a_slow_destination_does_not_end_the_session() {
    let database = Database::new().await;
    database.run("CREATE TABLE t AS SELECT n AS id, now() - interval '1 day' AS at FROM generate_series(1, 50) AS n").await;
    let limits = "ALTER DATABASE \"{}\" SET idle_in_transaction_session_timeout = '200ms'";
    let name = database.admin.query_one("select current_database()::text", &[]).await.expect("a name");
    database.run(&limits.replace("{}", &name.get::<_, String>(0))).await;
    let mut feed = database.source().read(&table("public.t"), &cursor("at", None), 10).await.expect("read");
    let mut read = 0;
    while let Some(batch) = feed.next().await {
        read += batch.expect("rows").items.len();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert_eq!(read, 50);
}

#[tokio::test]
async fn texts_do_not_depend_on_what_the_database_is_set_to() {
    let database = Database::new().await;
    let query = select(
        json!({ "query": "select tstzrange('2026-01-01 00:00Z', NULL) as span, (1/3.0::float8, 2) as pair, \
        interval '1 day 2 hours' as took, 12.5::money as price, '2026-01-02Z'::timestamptz::date as day" }),
    );
    let before = rows(&database.source(), &query, &ReadMode::Full).await;
    let name = database.admin.query_one("select current_database()::text", &[]).await.expect("a name");
    let name: String = name.get(0);
    for (setting, value) in [
        ("TimeZone", "'Pacific/Kiritimati'"),
        ("DateStyle", "'German, DMY'"),
        ("IntervalStyle", "'sql_standard'"),
        ("extra_float_digits", "-5"),
        ("bytea_output", "'escape'"),
    ] {
        database.run(&format!("ALTER DATABASE \"{name}\" SET {setting} = {value}")).await;
    }
    let after = rows(&database.source(), &query, &ReadMode::Full).await;
    assert_eq!(before, after);
    assert_eq!(after[0].get("price"), Some(&Value::Decimal("12.50".into())));
    assert_eq!(after[0].get("span"), Some(&Value::Text("[\"2026-01-01 00:00:00+00\",)".into())));
}
