//! Each phase of a read and of a delivery fails in each way: nothing is lost, nothing is there twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::{Clock, ConnectorContext, ErrorKind, Http, HttpFailure, Outcome, SystemClock};
use tidegate_warehouses::databricks::CONNECTOR;

use crate::databricks_server::{Workspace, by, read, rows, selection};
use crate::databricks_sink::{counted, sink};
use crate::event_sinks::{events, open};

/// How a service does not answer, or not as it should.
const FAULTS: &[&str] = &["429", "503", "drop", "expired"];

/// Tries as a run does: what is transient is tried again.
async fn tried<T>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, tidegate_model::Error>,
) -> (T, usize) {
    for attempts in 1..=4 {
        match attempt().await {
            Ok(done) => return (done, attempts),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled(_)) => {
                assert!(!error.message().is_empty(), "{what}");
            }
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    panic!("{what}: it does not end");
}

#[tokio::test]
async fn a_read_that_fails_in_any_phase_has_every_row_in_the_end() {
    let workspace = Workspace::new().await;
    let table = workspace.table("numbers");
    workspace.run(&format!("CREATE TABLE {table} AS SELECT id FROM range(40)")).await;
    let selected = selection(json!({ "table": table }));
    let expected: Vec<String> = (0..40).map(|id| format!("{{\"id\":{id}}}")).collect();
    for phase in ["token", "submit", "poll", "part", "storage", "close"] {
        for fault in FAULTS {
            let what = format!("{fault} in {phase}");
            if (phase, *fault) == ("storage", "expired") || (phase, *fault) == ("token", "expired") {
                continue;
            }
            workspace.set(json!({ "rows_per_part": 10, "pending": 1, "faults": { phase: [fault] } })).await;
            let source = workspace.source();
            let reading = async || read(&*source, &selected, &by("id", None)).await;
            let (batches, attempts) = tried(&what, reading).await;
            assert_eq!(rows(&batches), expected, "{what}");
            // A statement that only reads is submitted again as soon as it is taken.
            assert!(phase != "submit" || attempts == 1, "{what}: {attempts} attempts");
            // A statement is closed when its rows are on their way, maybe later than now.
            assert!(phase == "close" || workspace.faults_left().await == 0, "{what} did not happen");
        }
    }
}

#[tokio::test]
async fn a_delivery_that_fails_in_any_phase_has_every_event_once_in_the_end() {
    let workspace = Workspace::new().await;
    let table = workspace.table("message_events");
    let mut delivered = 0;
    for phase in ["token", "submit", "poll", "upload", "remove", "close"] {
        for fault in FAULTS {
            let what = format!("{fault} in {phase}");
            if (phase, *fault) == ("token", "expired") {
                continue;
            }
            workspace.set(json!({ "faults": { phase: [fault] } })).await;
            let sink = sink(&workspace, json!({ "schema": workspace.schema() }));
            let items = events(delivered..delivered + 3);
            // An outcome that is not known is offered again, as the engine does.
            let (_, _) = tried(&what, async || {
                let receipt = sink.deliver(&items).await?;
                match receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) {
                    true => Ok(()),
                    false => Err(tidegate_model::Error::new(ErrorKind::Unavailable, "not known")),
                }
            })
            .await;
            assert!(phase == "close" || workspace.faults_left().await == 0, "{what} did not happen");
            delivered += 3;
            let expected = usize::try_from(delivered).unwrap();
            assert_eq!(counted(&workspace, &table).await, (expected, expected), "{what}");
        }
    }
    workspace.set(json!({})).await;
    assert!(!workspace.files().await.is_empty(), "some could not be removed");
    let target = json!({ "schema": workspace.schema() });
    sink(&workspace, target.clone()).deliver(&events(0..1)).await.unwrap();
    assert!(!workspace.files().await.is_empty(), "another process may still read them");
    let later = ConnectorContext { clock: Arc::new(TwoHoursLater), ..workspace.context() };
    let sink = open(&CONNECTOR, &workspace.settings(json!({})), target, &later);
    sink.deliver(&events(0..1)).await.unwrap();
    assert_eq!(workspace.files().await, Vec::<String>::new(), "what was abandoned is removed");
}

struct TwoHoursLater;

impl Clock for TwoHoursLater {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_hours(2)
    }
}

/// Holds the next upload back, which its delivery gives up, and lets it arrive before the next merge.
struct LateUpload {
    http: Arc<dyn Http>,
    is_awaited: AtomicBool,
    held: Mutex<Option<Request<Bytes>>>,
}

#[async_trait]
impl Http for LateUpload {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        if request.method() == Method::PUT && self.is_awaited.swap(false, Ordering::Relaxed) {
            self.held.lock().expect("no test has panicked").replace(request);
            return Err(HttpFailure::ResponseLost("given up".to_owned()));
        }
        let is_merge = request.body().windows(10).any(|part| part == b"MERGE INTO");
        let late = if is_merge { self.held.lock().expect("no test has panicked").take() } else { None };
        if let Some(late) = late {
            assert!(self.http.send(late).await?.status().is_success());
        }
        self.http.send(request).await
    }
}

#[tokio::test]
async fn an_upload_that_was_given_up_and_arrives_late_is_not_merged_for_the_next_delivery() {
    let workspace = Workspace::new().await;
    let (is_awaited, held) = (AtomicBool::new(false), Mutex::default());
    let late = Arc::new(LateUpload { http: workspace.http(), is_awaited, held });
    let context = ConnectorContext { http: late.clone(), ..workspace.context() };
    let target = json!({ "schema": workspace.schema() });
    let sink = open(&CONNECTOR, &workspace.settings(json!({})), target, &context);
    sink.deliver(&events(0..1)).await.unwrap();
    late.is_awaited.store(true, Ordering::Relaxed);
    sink.deliver(&events(1..3)).await.expect_err("given up");

    let receipt = sink.deliver(&events(3..6)).await.unwrap();

    assert!(receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered));
    assert!(late.held.lock().unwrap().is_none(), "it has arrived");
    let table = workspace.table("message_events");
    assert_eq!(counted(&workspace, &table).await, (4, 4), "those that were delivered");
    sink.deliver(&events(1..3)).await.unwrap();
    assert_eq!(counted(&workspace, &table).await, (6, 6));
}
