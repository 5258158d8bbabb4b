//! Error messages, and the next step of each.

use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode, Value};
use tidegate_warehouses::postgres::CONNECTOR;

use crate::postgres_server::{Database, ca_file, failure, select, table};

/// An authority that signed nothing.
const OTHER_AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBqjCCAVCgAwIBAgIUF5/eFni6ELYhpYwmhJbAnIouj9owCgYIKoZIzj0EAwIw\n\
HDEaMBgGA1UEAwwRQW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIyMDQzMzM5WhgP\n\
MjEyNjEwMjkwNDMzMzlaMBwxGjAYBgNVBAMMEUFub3RoZXIgYXV0aG9yaXR5MFkw\n\
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL1O5A1aHguxqu13Sz/i4omx4vc+wc4+6\n\
WU6aRdTsOoWpdn/3RS6H3knBiAbK5C3EcQCSMIGeLd9M+0dlvoSpi6NuMGwwHQYD\n\
VR0OBBYEFByPAXaXJREPMSU+ekUIdMkRa9FeMB8GA1UdIwQYMBaAFByPAXaXJREP\n\
MSU+ekUIdMkRa9FeMA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOZGIuZXhh\n\
bXBsZS5jb20wCgYIKoZIzj0EAwIDSAAwRQIgS6Z0VBTAiIcEuhC+vKtQXiXn6u+R\n\
L+TBBURwgwPIFI0CIQDsKK+EAGOtd6dpa0/9sh2jWfLlvXYiuw08xKXP+uIpkg==\n\
-----END CERTIFICATE-----";

#[tokio::test]
async fn what_keeps_us_from_connecting_is_told_apart() {
    let database = Database::new().await;
    for (changes, kind, part) in [
        (json!({ "host": "no-such-host.invalid" }), ErrorKind::Unavailable, "no-such-host.invalid:"),
        (json!({ "port": 1 }), ErrorKind::Unavailable, ":1 cannot be reached"),
        (json!({ "password": "wrong-password-7" }), ErrorKind::Denied, "password authentication failed"),
        (json!({ "password": null }), ErrorKind::Denied, "asks for a password"),
        (json!({ "user": "nobody_here" }), ErrorKind::Denied, "nobody_here"),
        (json!({ "database": "no_such_database" }), ErrorKind::Missing, "no database `no_such_database`"),
    ] {
        let error = database.source_with(changes.clone()).check(None).await.expect_err("not connected");
        assert_eq!(error.kind(), kind, "{changes}: {error:?}");
        let told = format!("{} {}", error.chain(), error.next_step());
        assert!(told.contains(part), "{changes}: {told}");
        assert!(!told.contains("wrong-password-7"), "{told}");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_where_it_should_be() {
    let database = Database::new().await;
    let trusting = database.source_with(json!({ "tls": "verify-full", "ca_file": ca_file() }));
    assert!(trusting.check(None).await.expect("connected").passed());
    assert!(database.source_with(json!({ "tls": "require" })).check(None).await.expect("connected").passed());

    let error = database
        .source_with(json!({ "tls": "verify-full" }))
        .check(None)
        .await
        .expect_err("unknown authority");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.next_step().contains("ca_file"), "{}", error.next_step());

    let folder = tempfile::tempdir().expect("folder");
    let other = folder.path().join("other.pem");
    std::fs::write(&other, OTHER_AUTHORITY).expect("file");
    let changes = json!({ "tls": "verify-full", "ca_file": other });
    let error = database.source_with(changes).check(None).await.expect_err("another authority");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.message().starts_with("the certificate of PostgreSQL"), "{error:?}");

    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").expect("file");
    let error = database
        .source_with(json!({ "tls": "verify-full", "ca_file": empty }))
        .check(None)
        .await
        .expect_err("no certificate");
    assert!(error.message().contains("contains no certificate"), "{error:?}");
    let error = database
        .source_with(json!({ "tls": "verify-full", "ca_file": "no/such.pem" }))
        .check(None)
        .await
        .expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn the_traffic_is_encrypted_unless_it_is_disabled() {
    let database = Database::new().await;
    let query = select(json!({ "query": "select ssl from pg_stat_ssl where pid = pg_backend_pid()" }));
    for (tls, encrypted) in [("require", true), ("disable", false)] {
        let rows = crate::postgres_server::rows(
            &database.source_with(json!({ "tls": tls })),
            &query,
            &ReadMode::Full,
        )
        .await;
        assert_eq!(rows[0].values[0], Value::Bool(encrypted), "{tls}");
    }
}

#[tokio::test]
async fn what_keeps_us_from_reading_is_told_apart() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE orders (id int, customer text); INSERT INTO orders VALUES (1, 'top-secret-value'); CREATE SEQUENCE numbers")
        .await;
    let source = database.source();
    for (selection, kind, part) in [
        (json!({ "table": "public.ordrs" }), ErrorKind::Missing, "did you mean `public.orders`?"),
        (json!({ "table": "shop.orders" }), ErrorKind::Missing, "did you mean `public.orders`?"),
        (json!({ "query": "select custmer from orders" }), ErrorKind::Missing, "custmer"),
        (
            json!({ "query": "select id\n  frm orders o" }),
            ErrorKind::Settings,
            "line 2, column 7 of the query",
        ),
        (json!({ "query": "select 1, 1" }), ErrorKind::Settings, "two columns"),
        (json!({ "query": "delete from orders" }), ErrorKind::Settings, "SELECT"),
        (
            json!({ "query": "with gone as (delete from orders returning 1) select * from gone" }),
            ErrorKind::Settings,
            "",
        ),
        (json!({ "query": "select setval('s', 1)" }), ErrorKind::Missing, "\"s\""),
        (json!({ "query": "select nextval('numbers')" }), ErrorKind::Settings, "a source only reads"),
        (json!({ "query": "select customer::int from orders" }), ErrorKind::Settings, "22P02"),
        (json!({ "query": "select 1", "table": "orders" }), ErrorKind::Settings, "keep one of them"),
        (json!({}), ErrorKind::Settings, "neither"),
        (json!({ "tabel": "orders" }), ErrorKind::Settings, "tabel"),
    ] {
        let error = failure(&source, &select(selection.clone())).await;
        assert_eq!(error.kind(), kind, "{selection}: {error:?}");
        let told = format!("{} {}", error.chain(), error.next_step());
        assert!(told.contains(part), "{selection}: {told}");
        assert!(!told.contains("top-secret-value"), "{told}");
    }
    let mode = ReadMode::Incremental { column: "customr".into(), from: None, time_zone: "UTC".into() };
    let error = source.read(&table("public.orders"), &mode, 10).await.err().expect("no such column");
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.next_step().starts_with("did you mean `customer`?"), "{}", error.next_step());
}

#[tokio::test]
async fn the_grants_that_check_prints_make_it_pass() {
    let database = Database::new().await;
    database.run("CREATE SCHEMA \"Sales\"; CREATE TABLE \"Sales\".\"Orders\" (id int); CREATE TABLE \"Sales\".\"Lines\" (id int)").await;
    let user = database.user().await;
    let source = database.source_with(json!({ "user": user, "password": "secret-of-reader" }));
    let denied = failure(&source, &table("Sales.Orders")).await;
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(
        denied.next_step().contains(&format!("GRANT USAGE ON SCHEMA \"Sales\" TO \"{user}\";")),
        "{denied:?}"
    );

    for selection in [
        table("Sales.Orders"),
        select(
            json!({ "query": "select o.id from \"Sales\".\"Orders\" o join \"Sales\".\"Lines\" l using (id)" }),
        ),
    ] {
        let mut rounds = 0;
        loop {
            let checks = source.check(Some(&selection)).await.expect("checks");
            if checks.passed() {
                break;
            }
            rounds += 1;
            assert!(rounds < 4, "{checks:?}");
            for check in checks.0.iter().filter(|check| !check.passed) {
                database.run(check.remedy.as_deref().expect("a remedy")).await;
            }
        }
        assert!(rounds > 0, "something was missing");
        assert!(crate::postgres_server::rows(&source, &selection, &ReadMode::Full).await.is_empty());
    }
}

#[tokio::test]
async fn the_printed_setup_gives_a_user_that_can_read() {
    let database = Database::new().await;
    database.run("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int)").await;
    let user = crate::postgres_server::unique("Gate \"1\"");
    let setup = Some(CONNECTOR).and_then(|connector| connector.setup).expect("a setup");
    let printed = setup(
        &tidegate_model::ConnectionId::new("shop"),
        &database.settings(json!({ "user": user })),
        Some(&table("shop.orders")),
    )
    .expect("text");
    assert!(!printed.contains("pgpass"), "{printed}");
    database.run(&printed.replace("<strong-unique-password>", "chosen")).await;
    let source = database.source_with(json!({ "user": user, "password": "chosen" }));
    let checks = source.check(Some(&table("shop.orders"))).await.expect("checks");
    assert!(checks.passed(), "{checks:?}");
    database.run("CREATE TABLE shop.later (id int)").await;
    assert!(source.check(Some(&table("shop.later"))).await.expect("checks").passed());
    database.run(&format!("DROP OWNED BY \"{0}\"; DROP USER \"{0}\"", user.replace('"', "\"\""))).await;
}

#[tokio::test]
async fn a_read_that_is_killed_or_too_slow_says_so() {
    let database = Database::new().await;
    let selection = select(
        json!({ "query": "select n, repeat('x', 4000), pg_sleep(case when n > 150 then 60 else 0 end)::text from generate_series(1, 1000) as n" }),
    );
    let mut feed = database.source().read(&selection, &ReadMode::Full, 100).await.expect("read");
    feed.next().await.expect("a batch").expect("rows");
    database.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'tidegate'").await;
    let error = feed.try_collect::<Vec<_>>().await.expect_err("killed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");

    let source = database.source_with(json!({ "statement_timeout": "200ms" }));
    let error = failure(&source, &select(json!({ "query": "select pg_sleep(60)::text" }))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.next_step().contains("statement_timeout"), "{error:?}");
}

#[tokio::test]
async fn a_table_that_is_being_read_can_be_neither_dropped_nor_altered() {
    let database = Database::new().await;
    database.run("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 500) AS n").await;
    let mut feed = database.source().read(&table("public.t"), &ReadMode::Full, 100).await.expect("read");
    feed.next().await.expect("a batch").expect("rows");
    for change in ["DROP TABLE t", "ALTER TABLE t DROP COLUMN id"] {
        let refused = database.admin.batch_execute(&format!("SET lock_timeout = '100ms'; {change}")).await;
        assert_eq!(refused.expect_err("locked").code().map(|code| code.code()), Some("55P03"));
    }
    assert_eq!(feed.try_collect::<Vec<_>>().await.expect("batches").len(), 4);
    database.run("DROP TABLE t").await;
    let error = failure(&database.source(), &table("public.t")).await;
    assert_eq!(error.kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_connecting() {
    let database = Database::new().await;
    for (changes, part) in [
        (json!({ "host": "postgresql://db.example.com/shop" }), "`host`"),
        (json!({ "tls": "prefer" }), "tls"),
        (json!({ "ca_file": "ca.pem" }), "`ca_file`"),
        (json!({ "statement_timeout": "soon" }), "statement_timeout"),
        (json!({ "statement_timeout": 0 }), "statement_timeout"),
        (json!({ "pasword": "x" }), "pasword"),
    ] {
        let error = database.open(changes.clone()).err().unwrap_or_else(|| panic!("{changes}"));
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.message().contains(part), "{changes}: {}", error.message());
    }
}

#[tokio::test]
async fn rights_on_the_columns_that_are_needed_are_enough() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE members (id int PRIMARY KEY, email text, passport text, total numeric(9,2)); INSERT INTO members VALUES (1, 'a@example.org', 'secret', 1)")
        .await;
    let user = database.user().await;
    database.run(&format!("GRANT SELECT (id, email) ON members TO \"{user}\"")).await;
    let source = database.source_with(json!({ "user": user, "password": "secret-of-reader" }));
    let members = table("public.members");

    let checks = source.check(Some(&members)).await.expect("checks");
    assert!(checks.passed(), "{checks:?}");
    assert!(
        checks.0.iter().any(|check| check.detail.contains("not on the columns passport, total")),
        "{checks:?}"
    );
    // All columns are described as their owner sees them, so that a mapping can name them.
    assert_eq!(
        source.describe(&members).await.expect("described"),
        database.source().describe(&members).await.expect("described")
    );
    let needed = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        source.narrow(&members, &columns).expect("a narrowed selection")
    };
    let read = crate::postgres_server::rows(&source, &needed(&["email", "id"]), &ReadMode::Full).await;
    assert_eq!(read[0].values, [Value::Text("a@example.org".into()), Value::Int(1)]);

    let denied = source.advise(&needed(&["id", "total"]), None).await.expect_err("denied");
    assert_eq!(denied.kind(), ErrorKind::Denied);
    let grant = format!("GRANT SELECT (\"total\") ON \"public\".\"members\" TO \"{user}\";");
    assert!(denied.next_step().ends_with(&grant), "{denied:?}");
    let same = failure(&source, &needed(&["id", "total"])).await;
    assert_eq!(same.next_step(), denied.next_step());
    database.run(&grant).await;
    source.advise(&needed(&["id", "total"]), None).await.expect("granted");
    database.run(&format!("DROP OWNED BY \"{user}\"; DROP USER \"{user}\"")).await;
}

#[tokio::test]
async fn a_cursor_without_an_index_gets_the_statement_that_makes_one() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, code text, kind char(3)); \
             CREATE INDEX ON t (code); CREATE INDEX ON t (kind, at); CREATE INDEX ON t (at) WHERE id > 5; \
             CREATE VIEW v AS SELECT * FROM t; CREATE TABLE parts (at date) PARTITION BY RANGE (at)",
        )
        .await;
    let source = database.source();
    let advice = async |name: &str, cursor: &str| {
        source.advise(&table(name), Some(cursor)).await.expect("advice").0.pop()
    };
    for (name, column, statement) in [
        ("public.t", "at", "CREATE INDEX CONCURRENTLY ON \"public\".\"t\" (\"at\");"),
        ("public.t", "code", "CREATE INDEX CONCURRENTLY ON \"public\".\"t\" (\"code\" COLLATE \"C\");"),
        ("public.t", "kind", "CREATE INDEX CONCURRENTLY ON \"public\".\"t\" (\"kind\" COLLATE \"C\");"),
        ("public.parts", "at", "CREATE INDEX ON \"public\".\"parts\" (\"at\");"),
    ] {
        let check = advice(name, column).await.expect("a check");
        assert!(check.passed && check.detail.contains("reads the whole table"), "{check:?}");
        assert_eq!(check.remedy.as_deref(), Some(statement));
        database.run(statement).await;
        assert_eq!(advice(name, column).await.and_then(|check| check.remedy), None, "{name}.{column}");
    }
    assert_eq!(advice("public.t", "id").await.and_then(|check| check.remedy), None);
    assert!(advice("public.v", "at").await.expect("a check").detail.contains("a view"));
}

#[tokio::test]
async fn a_key_that_several_rows_share_is_noted_before_a_row_is_taken_for_a_change_of_another() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, shop int, number int, email text, code text); \
             CREATE UNIQUE INDEX ON t (shop, number); CREATE UNIQUE INDEX ON t (lower(email)); \
             CREATE UNIQUE INDEX ON t (code) WHERE code <> ''; CREATE INDEX ON t (shop); \
             CREATE VIEW v AS SELECT * FROM t; CREATE TABLE bare (id int)",
        )
        .await;
    let source = database.source();
    let check = async |name: &str, key: &[&str]| {
        let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
        source.check_key(&table(name), &key).await.expect("a check").0.pop()
    };
    for unique in [&["id"][..], &["email", "id"], &["number", "shop"], &["shop", "number", "code"]] {
        assert_eq!(check("public.t", unique).await, None, "{unique:?}");
    }
    for shared in ["shop", "email", "code"] {
        let check = check("public.t", &[shared]).await.expect("a note");
        assert!(check.passed && check.detail.contains(shared), "{check:?}");
        assert!(check.remedy.as_deref().is_some_and(|remedy| remedy.contains("is id,")), "{check:?}");
    }
    let check_of_bare = check("public.bare", &["id"]).await.expect("a note");
    assert!(check_of_bare.remedy.as_deref().is_some_and(|remedy| remedy.contains("unique index")));
    assert_eq!(check("public.v", &["shop"]).await, None, "a view has no index");
}
