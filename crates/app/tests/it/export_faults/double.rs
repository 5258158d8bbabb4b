//! A stream, or a search index, that refuses the records it is set to refuse and counts those that arrive.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use serde_json::{Value, json};

/// Whether the record is refused at this offer of it (from 1), and by which code.
pub(super) type Refuse = fn(at: u32, offer: u32) -> Option<&'static str>;

/// What it was sent.
#[derive(Default)]
struct Seen {
    /// Offers of each record inside requests that succeed.
    offers: BTreeMap<u32, u32>,
    /// Offers that it refused.
    refused: BTreeMap<u32, u32>,
    /// Records that it took, by user, in order.
    taken: HashMap<String, Vec<u32>>,
    /// The code of the next failures, and how many requests fail.
    failing: Option<(&'static str, u32)>,
    /// How many requests came by each access key.
    requests: BTreeMap<String, u32>,
}

/// `PutRecords` of Kinesis and `PutRecordBatch` of Firehose, with canned refusals.
#[derive(Clone)]
pub(super) struct Double {
    pub(super) url: String,
    seen: Arc<Mutex<Seen>>,
    refuse: Refuse,
}

impl Double {
    pub(super) async fn start(refuse: Refuse) -> Double {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let double = Double { url, seen: Arc::default(), refuse };
        let routes = Router::new().route("/_bulk", post(bulk)).fallback(answer).with_state(double.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        double
    }

    /// This many requests fail as a whole with this code.
    pub(super) fn fail(&self, code: &'static str, times: u32) {
        self.seen().failing = Some((code, times));
    }

    /// How many records were taken.
    pub(super) fn taken(&self) -> usize {
        self.seen().taken.values().map(Vec::len).sum()
    }

    /// How many requests came by each access key.
    pub(super) fn requests(&self) -> BTreeMap<String, u32> {
        self.seen().requests.clone()
    }

    /// How often each record was offered and how often it was refused.
    pub(super) fn offers(&self) -> BTreeMap<u32, (u32, u32)> {
        let seen = self.seen();
        let refused = |at| seen.refused.get(at).copied().unwrap_or_default();
        seen.offers.iter().map(|(at, offers)| (*at, (*offers, refused(at)))).collect()
    }

    /// The records of each user, in the order in which they were taken.
    pub(super) fn by_user(&self) -> HashMap<String, Vec<u32>> {
        self.seen().taken.clone()
    }

    /// Takes an event, or refuses it by a code.
    fn offered(&self, seen: &mut Seen, event: &Value) -> Option<&'static str> {
        let at = u32::try_from(event["at"].as_u64().expect("a number")).expect("a small one");
        let offer = seen.offers.entry(at).and_modify(|offers| *offers += 1).or_insert(1);
        let code = (self.refuse)(at, *offer);
        match code {
            Some(_) => *seen.refused.entry(at).or_default() += 1,
            None => {
                let user = event["user"].as_str().expect("a user").to_owned();
                seen.taken.entry(user).or_default().push(at);
            }
        }
        code
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> Response {
    let operation = headers["x-amz-target"].to_str().expect("an operation");
    let batch = operation.ends_with(".PutRecordBatch");
    assert!(batch || operation.ends_with(".PutRecords"), "{operation}");
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let mut seen = double.seen();
    *seen.requests.entry(access_key(&headers)).or_default() += 1;
    if let Some((code, left)) = seen.failing.filter(|(_, left)| *left > 0) {
        seen.failing = Some((code, left - 1));
        let body = json!({ "__type": code, "message": "so it was told" });
        return (StatusCode::BAD_REQUEST, body.to_string()).into_response();
    }
    let mut answers = Vec::new();
    for record in request["Records"].as_array().expect("records") {
        let data = base64::engine::general_purpose::STANDARD.decode(record["Data"].as_str().expect("data"));
        let event: Value = serde_json::from_slice(&data.expect("base64")).expect("an event");
        answers.push(match double.offered(&mut seen, &event) {
            Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "so it was told" }),
            None => json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000", "RecordId": "1" }),
        });
    }
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    let body = match batch {
        true => json!({ "FailedPutCount": failed, "Encrypted": false, "RequestResponses": answers }),
        false => json!({ "FailedRecordCount": failed, "Records": answers }),
    };
    body.to_string().into_response()
}

/// `_bulk` of OpenSearch: a line for the action, one for the document.
async fn bulk(State(double): State<Double>, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut seen = double.seen();
    let mut items = Vec::new();
    for pair in lines.chunks(2) {
        let [action, document] = pair else { panic!("an action without a document") };
        let event = &document["payload"];
        assert_eq!(action["create"]["_id"], event["id"]);
        items.push(match double.offered(&mut seen, event) {
            Some(code) => {
                json!({ "create": { "status": 429, "error": { "type": code, "reason": "so it was told" } } })
            }
            None => json!({ "create": { "status": 201 } }),
        });
    }
    json!({ "took": 1, "errors": true, "items": items }).to_string().into_response()
}

/// `AWS4-HMAC-SHA256 Credential=KEY/20261122/…`
fn access_key(headers: &HeaderMap) -> String {
    let signed = headers["authorization"].to_str().expect("a signature");
    let key = signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
    key.expect("an access key").to_owned()
}
