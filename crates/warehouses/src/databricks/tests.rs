//! The connector against answers in the form of recorded ones, and a driven clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{Int64Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response};
use serde_json::{Value, json};
use tidegate_model::{Error, Http, HttpFailure, ReadMode};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{context, raw};

use super::CONNECTOR;

/// A workspace that does not take the first statements, whose statements say `PENDING` so often, and
/// whose parts have fewer rows than they announce.
#[derive(Default)]
struct Workspace {
    busy: &'static [(u16, &'static str)],
    submitted: AtomicUsize,
    pending: usize,
    missing_rows: u64,
    asked: AtomicUsize,
}

fn stream(rows: &[i64]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    let column = Arc::new(Int64Array::from(rows.to_vec()));
    writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

impl Workspace {
    fn statement(&self, links: bool) -> Value {
        let columns = json!([{ "name": "id", "type_name": "LONG", "type_text": "BIGINT", "position": 0 }]);
        let mut answer = json!({
            "statement_id": if links { "read" } else { "probe" },
            "status": { "state": "SUCCEEDED" },
            "manifest": { "format": "ARROW_STREAM", "schema": { "column_count": 1, "columns": columns },
                "total_chunk_count": u64::from(links), "total_row_count": 0, "truncated": false },
            "result": {},
        });
        if links {
            let rows = 2 + self.missing_rows;
            answer["manifest"]["total_row_count"] = rows.into();
            answer["result"] = json!({ "external_links": [{ "chunk_index": 0, "row_offset": 0, "row_count": rows,
                "byte_count": 1, "external_link": "http://storage.example/part", "expiration": "2099-01-01T00:00:00Z" }] });
        }
        answer
    }
}

#[async_trait]
impl Http for Workspace {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let answer = |body: Vec<u8>| Ok(Response::new(Bytes::from(body)));
        let path = request.uri().path().to_owned();
        let pending = |id: &str| json!({ "statement_id": id, "status": { "state": "PENDING" } });
        match (request.method().as_str(), path.as_str()) {
            ("GET", "/part") => {
                assert!(!request.headers().contains_key("authorization"), "the token is sent to the storage");
                answer(stream(&[1, 2]))
            }
            ("POST", "/api/2.0/sql/statements") => {
                if let Some((status, seconds)) = self.busy.get(self.submitted.fetch_add(1, Ordering::Relaxed))
                {
                    let refused = Response::builder().status(*status).header("retry-after", *seconds);
                    return Ok(refused.body(Bytes::from_static(b"{}")).unwrap());
                }
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                let id = if body["disposition"] == "EXTERNAL_LINKS" { "read" } else { "probe" };
                answer(pending(id).to_string().into())
            }
            ("GET", "/api/2.0/sql/warehouses/w") => answer(br#"{"name":"w","state":"STARTING"}"#.to_vec()),
            ("GET", "/api/2.0/sql/statements/probe") => answer(self.statement(false).to_string().into()),
            ("GET", _) => match self.asked.fetch_add(1, Ordering::Relaxed) < self.pending {
                true => answer(pending("read").to_string().into()),
                false => answer(self.statement(true).to_string().into()),
            },
            _ => answer(b"{}".to_vec()),
        }
    }
}

async fn read(workspace: Workspace) -> Result<usize, Error> {
    let settings = json!({ "host": "h", "warehouse_id": "w", "token": "a-token-of-a-person" });
    let context = context(Arc::new(workspace), &ManualClock::default());
    let source = (CONNECTOR.source.unwrap().open)(&raw(settings), &context).unwrap();
    let selected = raw(json!({ "table": "a.b.c" }));
    let batches: Vec<_> = source.read(&selected, &ReadMode::Full, 100).await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.items.len()).sum())
}

#[tokio::test(start_paused = true)]
async fn a_warehouse_that_starts_for_minutes_is_waited_for() {
    let began = tokio::time::Instant::now();
    let rows = read(Workspace { pending: 70, ..Workspace::default() }).await.unwrap();
    assert_eq!(rows, 2);
    let waited = began.elapsed().as_secs();
    assert!((240..600).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_taken_waits_as_long_as_it_is_asked_to_and_is_submitted_again() {
    let began = tokio::time::Instant::now();
    let busy = &[(429, "40"), (503, "20"), (429, "300")];
    assert_eq!(read(Workspace { busy, ..Workspace::default() }).await.unwrap(), 2);
    let waited = began.elapsed().as_secs();
    assert!((360..370).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_denied_is_not_submitted_again() {
    let began = tokio::time::Instant::now();
    let error = read(Workspace { busy: &[(403, "40")], ..Workspace::default() }).await.unwrap_err();
    assert_eq!(error.kind(), tidegate_model::ErrorKind::Denied);
    assert_eq!(began.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_part_with_fewer_rows_than_announced_is_an_error_and_not_fewer_rows() {
    let error = read(Workspace { missing_rows: 1, ..Workspace::default() }).await.unwrap_err();
    assert!(error.message().ends_with("is damaged: rows are missing"), "{error}");
}
