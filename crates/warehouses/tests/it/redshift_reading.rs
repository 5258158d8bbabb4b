//! Signing in, reading, looking up and checking, against the double.

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode, Value};

use crate::databricks_server::{by, read, rows, selection};
use crate::postgres_server::{failure, table};
use crate::redshift_server::{Cluster, ca_file};

#[tokio::test]
async fn a_user_of_redshift_signs_in_by_md5_or_by_the_digest_with_and_without_tls() {
    let cluster = Cluster::new().await;
    for (password, written) in [("Secret-1", "Secret-1"), ("Secret-2é", "sha256|Secret-2é")] {
        let user = cluster.user(written).await;
        for (tls, ca_file) in [("disable", None), ("require", None), ("verify-full", Some(ca_file()))] {
            let with = |password: &str| json!({ "user": user, "password": password, "tls": tls, "ca_file": ca_file });
            let checks = cluster.source_with(with(password)).check(None).await.unwrap();
            assert!(checks.passed(), "{tls}: {checks:?}");
            let error = cluster.source_with(with("wrong")).check(None).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            assert!(error.next_step().starts_with("correct `user` or `password`"), "{error:?}");
        }
        let without = json!({ "user": user, "password": null });
        let error = cluster.source_with(without).check(None).await.unwrap_err();
        assert!(error.message().ends_with("asks for a password"), "{error:?}");
        // The name is checked, too: the certificate has no such address.
        let elsewhere = json!({ "user": user, "password": password, "tls": "verify-full" });
        let error = cluster.source_with(elsewhere).check(None).await.unwrap_err();
        assert!(error.message().starts_with("the certificate of Amazon Redshift at "), "{error:?}");
    }
}

#[tokio::test]
async fn rows_of_redshift_are_fetched_in_pieces_and_belong_to_one_moment() {
    let cluster = Cluster::new().await;
    cluster.run("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 1000) AS n").await;
    let source = cluster.source_with(json!({ "fetch_rows": 7 }));
    let mut feed = source.read(&table("t"), &ReadMode::Full, 100).await.unwrap();
    let first = feed.try_next().await.unwrap().expect("a batch");
    cluster.run("UPDATE t SET id = id + 10000").await;
    let rest: Vec<_> = feed.try_collect().await.unwrap();
    let mut ids: Vec<i64> = std::iter::once(&first)
        .chain(&rest)
        .flat_map(|batch| &batch.items)
        .map(|row| if let Value::Int(id) = row.values[0] { id } else { panic!("{row:?}") })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
    assert_eq!(cluster.open().await, 1, "the connection is kept for the next read");
}

/// Each cursor type: ties, nulls first, and rows that are not due by Redshift's clock.
#[tokio::test]
async fn rows_of_redshift_that_are_not_due_are_counted_and_left_for_later() {
    let cluster = Cluster::new().await;
    for (at, (column, now, far)) in [
        ("TIMESTAMPTZ", "SYSDATE AT TIME ZONE 'UTC'", "SYSDATE AT TIME ZONE 'UTC' + INTERVAL '3 days'"),
        ("TIMESTAMP", "SYSDATE", "SYSDATE + INTERVAL '3 days'"),
        ("DATE", "CAST(SYSDATE AS DATE)", "CAST(SYSDATE + INTERVAL '3 days' AS DATE)"),
        ("FLOAT8", "CAST('1.5' AS FLOAT8)", "CAST('Infinity' AS FLOAT8)"),
        ("REAL", "CAST('0.1' AS REAL)", "CAST('NaN' AS REAL)"),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.run(&format!("CREATE TABLE t{at} (id INT, c {column})")).await;
        cluster
            .run(&format!("INSERT INTO t{at} SELECT 1, {now} UNION ALL SELECT 2, {now} UNION ALL SELECT 3, NULL UNION ALL SELECT 4, {far}"))
            .await;
        let source = cluster.source();
        let selected = table(&format!("t{at}"));
        let batches = read(&*source, &selected, &by("C", None)).await.unwrap();
        let ids: Vec<String> = (batches.iter().flat_map(|batch| &batch.items))
            .filter_map(|row| row.get("id")?.to_text().map(|id| id.to_string()))
            .collect();
        assert_eq!(ids.first().map(String::as_str), Some("3"), "{column}");
        assert_eq!(ids.len(), 3, "{column}: {ids:?}");
        assert_eq!(batches.iter().map(|batch| batch.not_due).sum::<u64>(), 1, "{column}");
        let from = batches.iter().flat_map(|batch| &batch.items).last().and_then(|row| row.get("c").cloned());
        let highest = source.highest(&selected, "c", "Europe/Berlin").await.unwrap();
        assert_eq!(from, highest, "{column}");
        let again = read(&*source, &selected, &by("c", from)).await.unwrap();
        assert_eq!(rows(&again).len(), 3, "{column}: ties and nulls are read again");
    }
}

#[tokio::test]
async fn a_checkpoint_of_text_with_quotes_and_backslashes_reads_the_rows_after_it() {
    let cluster = Cluster::new().await;
    cluster.run("CREATE TABLE t (code VARCHAR)").await;
    cluster.run(r"INSERT INTO t VALUES ('a'), ('it''s \\ é'), ('z'), ('Z')").await;
    let from = Value::Text("it's \\ é".into());
    let batches = read(&*cluster.source(), &table("t"), &by("code", Some(from))).await.unwrap();
    assert_eq!(rows(&batches), [r#"{"code":"it's \\ é"}"#, r#"{"code":"z"}"#]);
}

#[tokio::test]
async fn rows_of_redshift_are_found_by_keys_of_every_type() {
    let cluster = Cluster::new().await;
    cluster
        .run("CREATE TABLE t (id BIGINT, name VARCHAR, total DECIMAL(9,2), share FLOAT8, at TIMESTAMPTZ, day DATE, raw VARBYTE, doc SUPER, even BOOLEAN)")
        .await;
    for id in 0..4 {
        cluster
            .run(&format!(
                "INSERT INTO t SELECT {id}, CASE WHEN {id} > 0 THEN 'it''s \\\\ {id}' END, {id}.50, {id} / 7.0, \
                 CAST('2026-03-01 12:00:00.12345{id}+02' AS TIMESTAMPTZ), DATE '2026-01-01' + {id}, TO_VARBYTE('0{id}ff', 'hex'), \
                 JSON_PARSE('{{\"n\":{id}}}'), {id} % 2 = 0"
            ))
            .await;
    }
    let source = cluster.source();
    let batches = read(&*source, &table("public.t"), &ReadMode::Full).await.unwrap();
    let all: Vec<_> = batches.iter().flat_map(|batch| &batch.items).collect();
    let names: Vec<String> = all[0].columns.names().to_vec();
    for column in &names {
        let key = ["id".to_owned(), column.clone()];
        let values: Vec<Vec<Value>> = all[..3]
            .iter()
            .map(|row| vec![row.get("id").cloned().unwrap(), row.get(column).cloned().unwrap()])
            .collect();
        let found = source.lookup(&table("public.t"), &key, &values).await.unwrap().expect("a lookup");
        let found: Vec<_> = found.try_collect().await.unwrap();
        assert_eq!(rows(&found).len(), 3, "{column}");
    }
    let none =
        source.lookup(&table("t"), &["id".to_owned()], &[vec![Value::Int(99)]]).await.unwrap().unwrap();
    assert!(none.try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_grant_that_is_missing_at_redshift_is_named_with_its_statement() {
    let cluster = Cluster::new().await;
    cluster
        .run("CREATE SCHEMA sales; CREATE TABLE sales.orders (id INT PRIMARY KEY, total DECIMAL(9,2))")
        .await;
    let user = cluster.user("sha256|Secret-1").await;
    let source = cluster.source_with(json!({ "user": user, "password": "Secret-1" }));
    for grant in [
        format!("GRANT USAGE ON SCHEMA \"sales\" TO \"{user}\";"),
        format!("GRANT SELECT ON TABLE \"sales\".\"orders\" TO \"{user}\";"),
    ] {
        let checks = source.check(Some(&table("sales.orders"))).await.unwrap();
        assert!(!checks.passed());
        assert!(
            format!("{checks:?}").contains(&format!("{grant:?}").trim_matches('"').to_owned()),
            "{grant}: {checks:?}"
        );
        let error = failure(&source, &table("sales.orders")).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.next_step().ends_with(&grant), "{error:?}");
        cluster.run(&grant).await;
    }
    let checks = source.check(Some(&table("SALES.ORDERS"))).await.unwrap();
    assert!(checks.passed(), "{checks:?}");
    let described = source.describe(&table("SALES.ORDERS")).await.unwrap();
    assert_eq!(described.key, ["id"]);
    assert!(
        source
            .check(Some(&selection(json!({ "query": "select total from sales.orders;" }))))
            .await
            .unwrap()
            .passed()
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_selection_of_redshift_is_said_in_the_words_of_the_file() {
    let cluster = Cluster::new().await;
    cluster.run("CREATE TABLE public.orders (id INT, doc SUPER)").await;
    let source = cluster.source();
    let error = failure(&source, &table("public.ordrs")).await;
    assert_eq!((error.kind(), error.next_step()), (ErrorKind::Missing, "did you mean `public.orders`?"));
    let error = failure(&source, &selection(json!({ "query": "select id frm orders" }))).await;
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    let error = source.read(&table("orders"), &by("doc", None), 10).await.err().expect("no cursor");
    assert_eq!(error.message(), "column `doc` of type super cannot be a cursor");
    let long = "select json_parse('\"' || repeat('x', 70000) || '\"') as doc";
    let error = failure(&source, &selection(json!({ "query": long }))).await;
    assert!(error.message().contains("more JSON than a VARCHAR holds"), "{error:?}");
    let error = cluster.source_with(json!({ "database": "none_of_these" })).check(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    let listed = source.discover().await.unwrap();
    let columns: Vec<String> = listed.iter().flat_map(|set| &set.columns).map(ToString::to_string).collect();
    assert_eq!(columns, ["id integer", "doc JSON (super)"]);
}
