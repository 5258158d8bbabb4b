//! The connector against answers in the form of documented ones, and a driven clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Http, HttpFailure, ReadMode};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{context, raw};

use super::CONNECTOR;

/// An account whose statements are answered with 202 so often, and whose partitions have fewer rows
/// than they announce.
#[derive(Default)]
struct Account {
    pending: usize,
    missing_rows: u64,
    asked: AtomicUsize,
}

impl Account {
    fn result(&self) -> Value {
        json!({
            "resultSetMetaData": {
                "numRows": 2 + self.missing_rows, "format": "jsonv2",
                "rowType": [{ "name": "ID", "type": "FIXED", "precision": 38, "scale": 0, "nullable": false }],
                "partitionInfo": [{ "rowCount": 1 }, { "rowCount": 1 + self.missing_rows }],
            },
            "data": [["1"]], "code": "090001", "statementHandle": "read", "sqlState": "00000",
        })
    }
}

#[async_trait]
impl Http for Account {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let answer = |status: StatusCode, body: Value| {
            Ok(Response::builder().status(status).body(Bytes::from(body.to_string())).expect("an answer"))
        };
        assert_eq!(request.headers()["x-snowflake-authorization-token-type"], "PROGRAMMATIC_ACCESS_TOKEN");
        let going = |handle: &str| json!({ "code": "333334", "message": "", "statementHandle": handle });
        let path = request.uri().path_and_query().expect("a path").as_str();
        if path.starts_with("/api/v2/statements?async=true&requestId=") {
            let body: Value = serde_json::from_slice(request.body()).expect("JSON");
            assert_eq!(body["parameters"]["timezone"], "UTC");
            let sql = body["statement"].as_str().expect("a statement");
            let handle = if sql.ends_with("LIMIT 0") { "probe" } else { "read" };
            return answer(StatusCode::ACCEPTED, going(handle));
        }
        match path {
            "/api/v2/statements/read?partition=1" => answer(StatusCode::OK, json!({ "data": [["2"]] })),
            "/api/v2/statements/probe" => {
                let mut probed = self.result();
                probed["resultSetMetaData"]["partitionInfo"] = json!([{ "rowCount": 0 }]);
                probed["data"] = json!([]);
                answer(StatusCode::OK, probed)
            }
            "/api/v2/statements/read" => match self.asked.fetch_add(1, Ordering::Relaxed) < self.pending {
                true => answer(StatusCode::ACCEPTED, going("read")),
                false => answer(StatusCode::OK, self.result()),
            },
            path => panic!("{path}"),
        }
    }
}

async fn read(account: Account) -> Result<usize, Error> {
    let settings = json!({ "account": "a", "token": "a-token-of-a-user" });
    let context = context(Arc::new(account), &ManualClock::default());
    let source = (CONNECTOR.source.unwrap().open)(&raw(settings), &context).unwrap();
    let selected = raw(json!({ "table": "a.b.c" }));
    let batches: Vec<_> = source.read(&selected, &ReadMode::Full, 100).await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.items.len()).sum())
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_runs_for_minutes_is_waited_for() {
    let began = tokio::time::Instant::now();
    let rows = read(Account { pending: 70, ..Account::default() }).await.unwrap();
    assert_eq!(rows, 2);
    let waited = began.elapsed().as_secs();
    assert!((240..600).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_partition_with_fewer_rows_than_announced_is_an_error_and_not_fewer_rows() {
    let error = read(Account { missing_rows: 1, ..Account::default() }).await.unwrap_err();
    assert!(error.message().ends_with("it has not the rows that were announced"), "{error}");
}

#[test]
fn setup_prints_the_statements_for_the_names_of_the_project() {
    let settings =
        json!({ "account": "a-b", "user": "app", "role": "r", "warehouse": "w", "database": "shop" });
    let name = tidegate_model::ConnectionId::new("snow");
    let selected = raw(json!({ "table": "sales.\"Orders\"" }));
    let text = (CONNECTOR.setup.unwrap())(&name, &raw(settings), Some(&selected)).unwrap();
    for line in [
        "CREATE USER IF NOT EXISTS \"APP\" TYPE = SERVICE DEFAULT_ROLE = \"R\" DEFAULT_WAREHOUSE = \"W\";",
        "ALTER USER \"APP\" SET RSA_PUBLIC_KEY = '<the line above>';",
        "GRANT USAGE ON WAREHOUSE \"W\" TO ROLE \"R\";",
        "-- GRANT OPERATE ON WAREHOUSE \"W\" TO ROLE \"R\";",
        "GRANT USAGE ON DATABASE \"SHOP\" TO ROLE \"R\";",
        "GRANT USAGE ON SCHEMA \"SHOP\".\"SALES\" TO ROLE \"R\";",
        "GRANT SELECT ON TABLE \"SHOP\".\"SALES\".\"Orders\" TO ROLE \"R\";",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
    }
    assert!(text.contains("One user for each installation"), "{text}");
}

/// Gives the same answer to every request.
struct Recorded(u16, &'static str);

#[async_trait]
impl Http for Recorded {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        Ok(Response::builder().status(self.0).body(Bytes::from_static(self.1.as_bytes())).expect("an answer"))
    }
}

/// In the form of answers that people recorded from accounts, and of those that the documentation prints:
/// types in lower case, members in any order and some of them null, no size of the first partition.
#[tokio::test(start_paused = true)]
async fn answers_as_accounts_gave_them_are_read() {
    let described = async |status, body| {
        let context = context(Arc::new(Recorded(status, body)), &ManualClock::default());
        let settings = raw(json!({ "account": "a", "token": "a-token-of-a-user" }));
        let source = (CONNECTOR.source.unwrap().open)(&settings, &context).unwrap();
        source.describe(&raw(json!({ "query": "select 1" }))).await
    };
    let read = described(
        200,
        r#"{"resultSetMetaData":{"numRows":1,"format":"jsonv2","partitionInfo":[{"rowCount":1,"uncompressedSize":29}],
        "rowType":[{"name":"?","database":"","schema":"","table":"","nullable":false,"length":null,"type":"fixed","scale":0,"precision":4,"byteLength":null,"collation":null},
        {"name":"CURRENT_REGION()","database":"","schema":"","table":"","byteLength":16777216,"type":"text","scale":null,"precision":null,"nullable":true,"collation":null,"length":16777216}]},
        "data":[["9999","PUBLIC.AWS_AP_NORTHEAST_1"]],"code":"090001","statementStatusUrl":"/api/v2/statements/01a?requestId=1","requestId":"1","sqlState":"00000",
        "statementHandle":"01a","message":"Statement executed successfully.","createdOn":1672211728759}"#,
    )
    .await
    .unwrap();
    let columns: Vec<String> = read.columns.iter().map(ToString::to_string).collect();
    assert_eq!(columns, ["? integer (NUMBER(4,0))", "CURRENT_REGION() text (VARCHAR)"]);
    for (status, body, kind) in [
        (
            401,
            r#"{"code":"390144","message":"JWT token is invalid. [7fb87e37-2f26-4a10-9f9c-72276ea898bf]"}"#,
            ErrorKind::Denied,
        ),
        (401, r#"{"code":"390303","message":"Invalid OAuth access token. ...TTTTTTTT"}"#, ErrorKind::Denied),
        (
            400,
            r#"{"code":"390142","message":"Incoming request does not contain a valid payload."}"#,
            ErrorKind::Settings,
        ),
        (
            422,
            r#"{"code":"000904","message":"SQL compilation error: error line 1 at position 7\ninvalid identifier 'AFAF'","sqlState":"42000","statementHandle":"01b"}"#,
            ErrorKind::Missing,
        ),
        (429, r#"{"code":"390505","message":"Too many requests."}"#, ErrorKind::Throttled(None)),
        (
            422,
            r#"{"code":"000709","message":"Statement 01c not found","sqlState":"02000","statementHandle":"01c"}"#,
            ErrorKind::Unexpected,
        ),
    ] {
        let error = described(status, body).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}
