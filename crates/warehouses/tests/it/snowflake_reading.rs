//! What happens between Snowflake and a run: partitions, faults, logins.

use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode, Selection, Value};

use crate::databricks_server::{by, read, rows, selection};
use crate::snowflake_server::{Account, ROLE};

async fn numbers(count: usize) -> (Account, Selection) {
    let account = Account::new().await;
    let table = account.table("NUMBERS");
    let columns = "(ID NUMBER(9,0), CLASS NUMBER(38,0))";
    account.run(&format!("CREATE TABLE {table} {columns}")).await;
    let rows = format!("SELECT SEQ4(), SEQ4() % 7 FROM TABLE(GENERATOR(ROWCOUNT => {count}))");
    account.run(&format!("INSERT INTO {table} {rows}")).await;
    let selected = selection(json!({ "table": table }));
    (account, selected)
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{{\"ID\":{id},\"CLASS\":{}}}", id % 7)).collect()
}

#[tokio::test]
async fn the_partitions_of_a_snowflake_result_arrive_in_order_and_none_is_lost() {
    let (account, selected) = numbers(100).await;
    account.set(json!({ "rows_per_part": 13 })).await;
    let batches = read(&*account.source(), &selected, &by("ID", None)).await.unwrap();
    assert_eq!(rows(&batches), expected(100));
    assert_eq!(account.open().await, 0);
}

#[tokio::test]
async fn a_snowflake_result_that_is_not_complete_is_an_error() {
    let (account, selected) = numbers(3).await;
    account.set(json!({ "too_large": true })).await;
    let error = read(&*account.source(), &selected, &ReadMode::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
}

/// Tries as a run does: what is transient is tried again.
#[tokio::test]
async fn a_read_of_snowflake_that_fails_in_any_phase_has_every_row_in_the_end() {
    let (account, selected) = numbers(40).await;
    for phase in ["submit", "poll", "part"] {
        for fault in ["429", "503", "drop", "expired"] {
            let what = format!("{fault} in {phase}");
            account.set(json!({ "rows_per_part": 10, "pending": 1, "faults": { phase: [fault] } })).await;
            let source = account.source();
            let mut attempts = 0;
            let batches = loop {
                attempts += 1;
                match read(&*source, &selected, &by("ID", None)).await {
                    Ok(batches) => break batches,
                    Err(error) => {
                        let transient =
                            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled(_));
                        assert!(transient && attempts < 4, "{what}: {error:?}");
                    }
                }
            };
            assert_eq!(rows(&batches), expected(40), "{what}");
            assert_eq!(account.faults_left().await, 0, "{what} did not happen");
        }
    }
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_repeated_under_its_id_and_runs_once() {
    let (account, selected) = numbers(5).await;
    let source = account.source();
    account.set(json!({ "lost": "SELECT \"ID\"" })).await;
    let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();
    assert_eq!(rows(&batches), expected(5));
    let reads = account.statements().await.into_iter().filter(|sql| sql.starts_with("SELECT \"ID\"")).count();
    assert_eq!(reads, 1);
}

#[tokio::test]
async fn a_read_of_snowflake_that_is_given_up_is_cancelled_there() {
    let (account, selected) = numbers(3).await;
    account.set(json!({ "pending": 1_000_000 })).await;
    let source = account.source();
    let reading = tokio::spawn(async move { read(&*source, &selected, &ReadMode::Full).await });
    while account.open().await == 0 {
        tokio::task::yield_now().await;
    }
    reading.abort();
    while account.open().await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_way_to_log_in_to_snowflake_works_and_a_wrong_one_says_what_to_do() {
    let (account, selected) = numbers(3).await;
    let user = account.user().to_owned();
    for changes in [
        json!({ "private_key": null, "user": null, "token": format!("pat-{user}") }),
        json!({ "private_key": null, "user": null, "oauth_token": format!("oauth-{user}") }),
    ] {
        let batches = read(&*account.source_with(changes), &selected, &ReadMode::Full).await.unwrap();
        assert_eq!(rows(&batches), expected(3));
    }
    let other = tidegate_transport::rsa::generate().unwrap();
    let key = tidegate_transport::rsa::open("private_key", &other, None).unwrap();
    let accept =
        format!("ALTER USER \"{user}\" SET RSA_PUBLIC_KEY = '{}';", tidegate_transport::rsa::public(&key));
    for (changes, remedy) in [
        (json!({ "private_key": other.expose() }), accept.as_str()),
        (json!({ "private_key": null, "token": "zzz" }), "make a new one and set `token`"),
        (json!({ "private_key": null, "oauth_token": "zzz" }), "get a new one and set `oauth_token`"),
        (json!({ "role": "\"tidegate_role\"" }), "GRANT ROLE \"tidegate_role\" TO USER"),
    ] {
        let source = account.source_with(changes);
        let error = read(&*source, &selected, &ReadMode::Full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.next_step().contains(remedy), "{error:?} {}", error.next_step());
        let checks = source.check(None).await.unwrap();
        assert_eq!(checks.0.len(), 1, "{checks:?}");
        assert!(!checks.passed() && checks.0[0].name == "login", "{checks:?}");
    }
}

#[tokio::test]
async fn a_name_of_snowflake_that_is_nearly_right_is_answered_with_the_right_one() {
    let (account, _) = numbers(3).await;
    let selected = selection(json!({ "table": "number" }));
    let error = account.source().describe(&selected).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert_eq!(error.next_step(), format!("did you mean `{}`?", account.table("NUMBERS")));
}

/// The cursor of cloud ingestion has nanoseconds: two rows of one microsecond are in order, and the next
/// run begins at the last one.
#[tokio::test]
async fn nanoseconds_of_a_cursor_are_kept_both_ways() {
    let account = Account::new().await;
    let table = account.table("SEEN");
    account.run(&format!("CREATE TABLE {table} (ID NUMBER(9,0), SEEN TIMESTAMP_NTZ(9))")).await;
    for (id, nanoseconds) in [(1, "000000001"), (2, "000000002"), (3, "000000999")] {
        let at = format!("2026-03-01 12:00:00.{nanoseconds}");
        account.run(&format!("INSERT INTO {table} SELECT {id}, '{at}'")).await;
    }
    let selected = selection(json!({ "table": table }));
    let source = account.source();
    let batches = read(&*source, &selected, &by("SEEN", None)).await.unwrap();
    let last = batches.iter().flat_map(|batch| &batch.items).last().unwrap();
    assert_eq!(last.get("SEEN"), Some(&Value::DateTime("2026-03-01T12:00:00.000000999".parse().unwrap())));
    let again = read(&*source, &selected, &by("SEEN", last.get("SEEN").cloned())).await.unwrap();
    assert_eq!(rows(&again), ["{\"ID\":3,\"SEEN\":\"2026-03-01T12:00:00.000000999\"}"]);
}

/// Without each single grant in turn, `check` names exactly that one.
#[tokio::test]
async fn a_grant_that_is_missing_to_read_snowflake_is_named_alone() {
    let (account, selected) = numbers(3).await;
    let (schema, table) = (format!("SHOP.{}", account.schema()), account.table("NUMBERS"));
    let quoted = |name: &str| name.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".");
    for (privilege, kind, name) in [
        ("USAGE", "WAREHOUSE", "TIDEGATE_WH"),
        ("OPERATE", "WAREHOUSE", "TIDEGATE_WH"),
        ("USAGE", "DATABASE", "SHOP"),
        ("USAGE", "SCHEMA", &schema),
        ("SELECT", "TABLE", &table),
    ] {
        let lacking = format!("{privilege} on {kind} {name}");
        account.set(json!({ "without": [lacking], "auto_resume": privilege != "OPERATE" })).await;
        let checks = account.source().check(Some(&selected)).await.unwrap();
        let told: Vec<_> = checks.0.iter().filter(|check| !check.passed || check.remedy.is_some()).collect();
        assert_eq!(told.len(), 1, "{lacking}: {checks:#?}");
        assert_eq!(told[0].name, format!("{privilege} on {} {name}", kind.to_lowercase()));
        let grant = format!("GRANT {privilege} ON {kind} {} TO ROLE \"{ROLE}\";", quoted(name));
        assert_eq!(told[0].remedy.as_ref(), Some(&grant));
        let error = read(&*account.source(), &selected, &ReadMode::Full).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing), "{error:?}");
    }
    account.set(json!({})).await;
    let checks = account.source().check(Some(&selected)).await.unwrap();
    assert!(checks.passed() && checks.0.iter().all(|check| check.remedy.is_none()), "{checks:#?}");
}

#[tokio::test]
async fn a_warehouse_that_does_not_resume_by_itself_is_resumed_with_operate() {
    let (account, selected) = numbers(3).await;
    account.set(json!({ "auto_resume": false })).await;
    let batches = read(&*account.source(), &selected, &ReadMode::Full).await.unwrap();
    assert_eq!(rows(&batches), expected(3));
}
