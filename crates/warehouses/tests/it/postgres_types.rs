//! Every type, exact.

use jiff::civil;
use serde_json::json;
use tidegate_model::{DataType, Json, ReadMode, Value};

use crate::postgres_server::{Database, rows, select, table};

/// What PostgreSQL has, and what it is here.
fn cases() -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::Text(text.into());
    let decimal = |digits: &str| Value::Decimal(digits.into());
    let json = |text: &str| Value::Json(Json::trusted(text));
    vec![
        ("(-32768)::int2", Value::Int(-32_768)),
        ("2147483647::int4", Value::Int(2_147_483_647)),
        ("(-9223372036854775808)::int8", Value::Int(i64::MIN)),
        ("4294967295::oid", Value::Int(4_294_967_295)),
        ("0.1::float4", Value::Float(0.1)),
        ("1e-300::float8", Value::Float(1e-300)),
        ("'Infinity'::float8", Value::Float(f64::INFINITY)),
        ("0::numeric", decimal("0")),
        ("0.000::numeric", decimal("0.000")),
        ("10000::numeric", decimal("10000")),
        ("-0.00012::numeric", decimal("-0.00012")),
        (
            "12345678901234567890.123456789012345678901234567890::numeric",
            decimal("12345678901234567890.123456789012345678901234567890"),
        ),
        ("1e30::numeric", decimal("1000000000000000000000000000000")),
        ("99.90::numeric(10,2)", decimal("99.90")),
        ("'NaN'::numeric", decimal("NaN")),
        ("true", Value::Bool(true)),
        ("'é 日本 🎈'::text", text("é 日本 🎈")),
        ("''::varchar(5)", text("")),
        ("'ab'::char(4)", text("ab")),
        ("'    '::char(4)", text("")),
        ("ARRAY['ab','cd']::char(5)[]", json("[\"ab\",\"cd\"]")),
        ("'n'::name", text("n")),
        (
            "'2026-03-01 12:00:00.123456+02'::timestamptz",
            Value::Timestamp("2026-03-01T10:00:00.123456Z".parse().expect("a timestamp")),
        ),
        ("'infinity'::timestamptz", text("infinity")),
        ("'-infinity'::timestamptz", text("-infinity")),
        ("'infinity'::timestamp", text("infinity")),
        (
            "'9999-12-30 22:00:00+00'::timestamptz",
            Value::Timestamp("9999-12-30T22:00:00Z".parse().expect("a timestamp")),
        ),
        ("'9999-12-31 23:59:59+00'::timestamptz", text("9999-12-31T23:59:59Z")),
        ("'294276-12-31 23:59:59.999999+00'::timestamptz", text("294276-12-31T23:59:59.999999Z")),
        (
            "'9999-12-31 23:59:59.999999'::timestamp",
            Value::DateTime(civil::datetime(9999, 12, 31, 23, 59, 59, 999_999_000)),
        ),
        ("'9999-12-31 24:00:00'::timestamp", text("10000-01-01T00:00:00")),
        ("'9999-12-31'::date", Value::Date(civil::Date::MAX)),
        ("'5874897-12-31'::date", text("5874897-12-31")),
        (
            "'0044-03-15 00:00:00+00 BC'::timestamptz",
            Value::Timestamp("-000043-03-15T00:00:00Z".parse().expect("a timestamp")),
        ),
        (
            "'1999-12-31 23:59:59.999999'::timestamp",
            Value::DateTime(civil::datetime(1999, 12, 31, 23, 59, 59, 999_999_000)),
        ),
        ("'2024-02-29'::date", Value::Date(civil::date(2024, 2, 29))),
        ("'-infinity'::date", text("-infinity")),
        ("'13:14:15.000001'::time", Value::Time(civil::time(13, 14, 15, 1_000))),
        ("'24:00'::time", text("24:00:00")),
        ("'13:14:15+02'::timetz", text("13:14:15+02")),
        ("'1 day 02:03:04'::interval", text("1 day 02:03:04")),
        ("'{\"b\": 1,  \"a\": 0.10}'::json", json("{\"b\": 1,  \"a\": 0.10}")),
        (
            "'{\"b\":1,\"a\":12345678901234567890.10}'::jsonb",
            json("{\"a\": 12345678901234567890.10, \"b\": 1}"),
        ),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("'\\x00ff'::bytea", Value::Bytes(bytes::Bytes::from_static(&[0, 255]))),
        ("'10.1.2.3/8'::inet", text("10.1.2.3/8")),
        ("'10.0.0.0/8'::cidr", text("10.0.0.0/8")),
        ("'08:00:2b:01:02:03'::macaddr", text("08:00:2b:01:02:03")),
        ("'101'::bit(3)", text("101")),
        ("'<a>é</a>'::xml", text("<a>é</a>")),
        ("'[1,5)'::int4range", text("[1,5)")),
        ("'happy'::mood", text("happy")),
        ("ROW(1, 'a b')::pair", text("(1,\"a b\")")),
        ("7::positive", Value::Int(7)),
        ("'CiText'::citext", text("CiText")),
        ("'x'::\"char\"", text("x")),
        ("ARRAY[1,NULL,3]", json("[1,null,3]")),
        ("'{}'::text[]", json("[]")),
        ("ARRAY[['a','b\"'],['c','']]", json("[[\"a\",\"b\\\"\"],[\"c\",\"\"]]")),
        ("ARRAY[1.50,'NaN']::numeric[]", json("[1.50,\"NaN\"]")),
        ("ARRAY['2026-03-01 00:00:00Z'::timestamptz]", json("[\"2026-03-01T00:00:00Z\"]")),
        (
            "ARRAY['9999-12-31 23:59:59Z', 'infinity']::timestamptz[]",
            json("[\"9999-12-31T23:59:59Z\",\"infinity\"]"),
        ),
        ("ARRAY['{\"a\":1}'::jsonb]", json("[{\"a\": 1}]")),
        ("ARRAY['happy'::mood]", json("[\"happy\"]")),
        ("ARRAY['10.1.2.3'::inet]", text("{10.1.2.3}")),
        ("NULL::jsonb", Value::Null),
        ("NULL::int4[]", Value::Null),
    ]
}

async fn with_types() -> Database {
    let database = Database::new().await;
    database
        .run(
            "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'happy'); \
              CREATE TYPE pair AS (a int, b text); CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        )
        .await;
    database
}

#[tokio::test]
async fn every_type_arrives_exactly() {
    let database = with_types().await;
    let list: Vec<String> =
        cases().iter().enumerate().map(|(at, (sql, _))| format!("{sql} AS c{at}")).collect();
    database.run(&format!("CREATE TABLE all_types AS SELECT {}", list.join(", "))).await;

    let source = database.source();
    let described = source.describe(&table("public.all_types")).await.expect("described");
    let rows = rows(&source, &table("public.all_types"), &ReadMode::Full).await;

    assert_eq!(rows.len(), 1);
    for (at, (sql, expected)) in cases().iter().enumerate() {
        assert_eq!(&rows[0].values[at], expected, "{sql}");
        let column = &described.columns[at];
        assert!(column.data_type.holds(expected), "{sql}: {column}");
        let is_text = matches!(expected, Value::Text(_));
        assert!(is_text || column.data_type != DataType::Other, "{sql}: {column}");
    }
}

#[tokio::test]
async fn types_that_users_made_are_known_by_what_they_are_made_of() {
    let database = with_types().await;
    database
        .run(
            "CREATE DOMAIN cents AS numeric(9,2); CREATE DOMAIN euros AS cents; \
             CREATE TABLE made (a mood, b mood[], c citext, d citext[], e positive, f euros, g pair, h euros[], \
                                i numeric(12,3)[], j numeric(38,0), k numeric)",
        )
        .await;
    let source = database.source();
    let list = |of| DataType::List(Box::new(of));
    let digits = |precision, scale| DataType::Decimal { precision: Some(precision), scale: Some(scale) };
    let expected = [
        DataType::Text,
        list(DataType::Text),
        DataType::Text,
        list(DataType::Text),
        DataType::Integer,
        digits(9, 2),
        DataType::Other,
        DataType::Other,
        list(digits(12, 3)),
        digits(38, 0),
        DataType::DECIMAL,
    ];
    let described = source.describe(&table("public.made")).await.expect("described");
    let listed = source.discover().await.expect("listed");
    let listed = listed.iter().find(|dataset| dataset.name == "public.made").expect("the table");
    for columns in [&described.columns, &listed.columns] {
        let found: Vec<_> = columns.iter().map(|column| column.data_type.clone()).collect();
        assert_eq!(found, expected, "{columns:?}");
    }
}

#[tokio::test]
async fn the_highest_value_is_found_for_every_kind_of_cursor() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE marks (small int2, large bigint, number numeric, float float8, code text, at timestamptz); \
             CREATE TABLE none (id int); \
             INSERT INTO marks SELECT n, n * 1000, n / 2.0, n, 'b' || n, '2026-01-01Z'::timestamptz + n * interval '1 s' \
             FROM generate_series(1, 9) n; \
             INSERT INTO marks VALUES (NULL, NULL, 'NaN', 'Infinity', NULL, now() + interval '1 year')",
        )
        .await;
    let source = database.source();
    for (column, highest) in [
        ("small", Value::Int(9)),
        ("large", Value::Int(9_000)),
        ("number", Value::Decimal("4.5000000000000000".into())),
        ("float", Value::Float(9.0)),
        ("code", Value::Text("b9".into())),
        ("at", Value::Timestamp("2026-01-01T00:00:09Z".parse().expect("a timestamp"))),
    ] {
        let found = source.highest(&table("public.marks"), column, "UTC").await.expect("asked");
        assert_eq!(found, Some(highest), "{column}");
    }
    assert_eq!(source.highest(&table("public.none"), "id", "UTC").await.expect("asked"), None);
}

#[tokio::test]
async fn not_a_number_stays_one() {
    let database = Database::new().await;
    let query = select(json!({ "query": "select 'NaN'::float8 as number;" }));
    let rows = rows(&database.source(), &query, &ReadMode::Full).await;
    assert!(matches!(rows[0].values[0], Value::Float(number) if number.is_nan()));
}

#[tokio::test]
async fn numerics_are_written_as_the_server_writes_them() {
    let database = Database::new().await;
    let query = "select n, n::text as text from (select (random() * 10 ^ (random() * 40 - 20))::numeric * \
                 (case when random() < 0.5 then -1 else 1 end) as n from generate_series(1, 2000)) as numbers";
    let rows = rows(&database.source(), &select(json!({ "query": query })), &ReadMode::Full).await;
    assert_eq!(rows.len(), 2_000);
    for row in rows {
        let (Value::Decimal(ours), Value::Text(theirs)) = (&row.values[0], &row.values[1]) else {
            panic!("{row:?}")
        };
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn a_text_of_many_megabytes_arrives_whole() {
    let database = Database::new().await;
    let query = select(json!({ "query": "select repeat('é', 8000000) as large, 1 as small" }));
    let rows = rows(&database.source(), &query, &ReadMode::Full).await;
    let Value::Text(text) = &rows[0].values[0] else { panic!("text") };
    assert_eq!(text.len(), 16_000_000);
    assert_eq!(rows[0].values[1], Value::Int(1));
}
