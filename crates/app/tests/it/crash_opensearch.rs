//! `kill -9` of an export to OpenSearch, again and again, while some documents are throttled: each event is there
//! once, and within the life of a process only what was throttled is sent again.
//!
//! Few events in the suite; `TIDEGATE_TEST_EVENTS=1000000` for many. The index is a double of ours, which counts; that
//! the documents are those that OpenSearch's own client reads is shown by `crash_out`.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::crash_warehouses::fill;
use crate::services::Machines;
use crate::support::{Project, pause};

const EVENTS: usize = 5_000;
/// Runs that are killed, each when it has come further than the one before it.
const KILLS: usize = 4;

/// What is known of an event.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The life of the process that created it, from 1; 0 if it is not there.
    created_in: u8,
    /// How often it was throttled.
    throttled: u8,
}

/// An index, and what was asked of it.
#[derive(Default)]
struct Index {
    events: Vec<Known>,
    created: usize,
    /// The life of a process, from 1.
    life: u8,
    throttled: u64,
    /// Documents that were there already, of an earlier life.
    offered_again: u64,
    /// The same, of this life: they were acknowledged, or are on their way twice.
    offered_twice: u64,
}

impl Index {
    /// Takes a document or refuses it, by the status of its item.
    fn offered(&mut self, at: usize) -> u16 {
        let (life, known) = (self.life, &mut self.events[at]);
        // Every seventh once, every eleventh three times.
        let refusals = if at.is_multiple_of(11) { 3 } else { u8::from(at.is_multiple_of(7)) };
        match known.created_in {
            0 if known.throttled < refusals => {
                known.throttled += 1;
                self.throttled += 1;
                429
            }
            0 => {
                known.created_in = life;
                self.created += 1;
                201
            }
            created_in if created_in == life => {
                self.offered_twice += 1;
                409
            }
            _ => {
                self.offered_again += 1;
                409
            }
        }
    }
}

type Shared = Arc<Mutex<Index>>;

fn locked(index: &Shared) -> std::sync::MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `_bulk`: a line for the action, one for the document.
async fn bulk(State(index): State<Shared>, body: Bytes) -> Response {
    let text = std::str::from_utf8(&body).expect("text");
    let mut index = locked(&index);
    let items: Vec<Value> = text
        .lines()
        .step_by(2)
        .map(|action| {
            let action: Value = serde_json::from_str(action).expect("JSON");
            let id = action["create"]["_id"].as_str().expect("an id");
            let status = index.offered(id[1..].parse().expect("a number"));
            let kind = match status {
                409 => "version_conflict_engine_exception",
                _ => "es_rejected_execution_exception",
            };
            match status {
                201 => json!({ "create": { "_id": id, "status": status } }),
                _ => json!({ "create": { "_id": id, "status": status, "error": { "type": kind, "reason": "so it was told" } } }),
            }
        })
        .collect();
    json!({ "took": 1, "errors": true, "items": items }).to_string().into_response()
}

async fn served(index: &Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = Router::new().route("/_bulk", post(bulk)).layer(DefaultBodyLimit::disable());
    let routes = routes.with_state(Arc::clone(index));
    tokio::spawn(async { axum::serve(listener, routes).await });
    url
}

/// Starts a run and kills it when `enough` documents are there. Tells whether it was running.
async fn killed(project: &Project, index: &Shared, enough: usize) -> bool {
    let mut command = project.tidegate(&["run", "out"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tidegate starts");
    while locked(index).created < enough && run.try_wait().expect("a state").is_none() {
        pause(Duration::from_millis(1)).await;
    }
    let running = run.try_wait().expect("a state").is_none();
    run.kill().expect("killed");
    run.wait().expect("ended");
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_opensearch_each_event_is_there_once_and_only_throttled_ones_are_sent_again() {
    each_event_is_there_once(Machines::Restarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_opensearch_each_event_is_there_once_although_each_machine_is_replaced() {
    each_event_is_there_once(Machines::replaced().await).await;
}

async fn each_event_is_there_once(machines: Machines) {
    let events: usize =
        std::env::var("TIDEGATE_TEST_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    let index: Shared =
        Arc::new(Mutex::new(Index { events: vec![Known::default(); events], ..Index::default() }));
    let url = served(&index).await;
    let head = format!(
        "connections:\n{}{}  search: {{ type: opensearch, endpoint: '{url}' }}\n",
        super::serve::SHOP,
        machines.connections()
    );
    let mut project = machines.machine(&format!("{head}syncs: {{}}\n"));
    fill(&project, events as u64).await;
    project.write(
        "tidegate.yaml",
        &format!(
            "{head}syncs:\n  out: {{ source: {{ connection: shop }}, destination: {{ connection: search, index: shop, template: false }} }}\n"
        ),
    );

    let mut met = 0;
    for kill in 0..KILLS {
        locked(&index).life += 1;
        met += usize::from(killed(&project, &index, events * (kill + 1) / (KILLS + 2)).await);
        machines.replace(&mut project);
    }
    assert!(met > 0, "no run was killed before its end");
    locked(&index).life += 1;
    let started = Instant::now();
    let run: Value = project.run("out");
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    let index = locked(&index);
    assert_eq!(index.created, events, "each event is there");
    assert_eq!(index.offered_twice, 0, "a document that was taken was sent again by the same process");
    let refusals = |at: usize| if at.is_multiple_of(11) { 3 } else { u8::from(at.is_multiple_of(7)) };
    assert!(index.events.iter().enumerate().all(|(at, known)| known.throttled == refusals(at)));
    eprintln!(
        "{met} of {KILLS} runs killed; {events} events once each, {} throttled and sent again, {} recognized after a kill; the last run took {:?}",
        index.throttled,
        index.offered_again,
        started.elapsed()
    );
}
