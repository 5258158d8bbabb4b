//! The answer to a bulk request, document by document.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Outcome, RateLimitStatus, Reason, Receipt, Result};
use tidegate_transport::http::answer;

use super::TITLE;
use super::errors::Fault;

/// For how long nothing is sent if a cluster throttled all documents of a request, as queues of a node empty within
/// seconds; for less if it took some of them, in proportion.
const ALL_THROTTLED_FOR: Duration = Duration::from_secs(1);

/// Source: OpenSearch docs, Bulk API, "Response". Each item is named after its action.
#[derive(Deserialize)]
struct Answer {
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: Option<Fault>,
}

/// What is wrong with something else than the document.
struct Obstacle {
    kind: ErrorKind,
    hint: Option<String>,
}

/// Returns the outcome of each of `items` documents, from a successful response. `denied` is the
/// next step if a permission is missing.
///
/// # Errors
/// None of the documents was written, and all for a reason that is not theirs.
pub(super) fn receipt(
    answer: &Response<Bytes>,
    items: usize,
    denied: &str,
    now: Timestamp,
) -> Result<Receipt> {
    let read = serde_json::from_slice::<Answer>(answer.body()).ok();
    let Some(read) = read.filter(|read| read.items.len() == items) else {
        return answer::unreadable(TITLE, answer).into_receipt(items);
    };
    let mut receipt = Receipt { outcomes: Vec::with_capacity(items), rate_limit: None };
    let mut held: Vec<(Obstacle, Reason)> = Vec::new();
    for item in read.items {
        let Some(item) = item.into_values().next() else {
            return answer::unreadable(TITLE, answer).into_receipt(items);
        };
        receipt.outcomes.push(match sorted(&item, denied) {
            Sorted::Written => Outcome::Delivered,
            Sorted::Refused(reason) => Outcome::Rejected(reason),
            Sorted::Held(obstacle, reason) => {
                held.push((obstacle, reason.clone()));
                Outcome::Deferred(reason)
            }
        });
    }
    let throttled =
        held.iter().filter(|(obstacle, _)| matches!(obstacle.kind, ErrorKind::Throttled(_))).count();
    if held.len() == items
        && let Some((obstacle, reason)) = held.into_iter().max_by_key(|(obstacle, _)| rank(obstacle.kind))
    {
        let (message, said) = reason.message.split_once(": ").unwrap_or((&reason.message, ""));
        let error = Error::new(obstacle.kind, message).words(said);
        return Err(match obstacle.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    if throttled > 0 {
        let pause = ALL_THROTTLED_FOR.mul_f64(throttled as f64 / items as f64);
        receipt.rate_limit = now.checked_add(pause).ok().map(|reset| RateLimitStatus { remaining: 0, reset });
    }
    Ok(receipt)
}

enum Sorted {
    Written,
    Refused(Reason),
    Held(Obstacle, Reason),
}

fn sorted(item: &Item, denied: &str) -> Sorted {
    let none = Fault::default();
    let fault = item.error.as_ref().unwrap_or(&none);
    let held = |kind, hint: Option<&str>| {
        Sorted::Held(Obstacle { kind, hint: hint.map(str::to_owned) }, reason(item.status, fault))
    };
    match (item.status, fault.kind.as_str()) {
        (200..=299, _) => Sorted::Written,
        // A document with this id is there: it was created before.
        (409, _) => Sorted::Written,
        // A full disk blocks an index with status 429, too.
        (_, "cluster_block_exception" | "index_create_block_exception") => {
            held(ErrorKind::Denied, Some(BLOCKED))
        }
        (429, _) => held(ErrorKind::Throttled(None), None),
        // Too many shards: a document is not at fault for the index that it needs.
        (_, "validation_exception" | "invalid_index_name_exception" | "index_closed_exception") => {
            held(ErrorKind::Denied, Some(NO_INDEX))
        }
        (401 | 403, _) => held(ErrorKind::Denied, Some(denied)),
        (404, _) => held(ErrorKind::Missing, Some(NO_INDEX)),
        // A document that was created although the answer failed is found as one that is there.
        (408 | 500..=599, _) => held(ErrorKind::Unavailable, None),
        _ => Sorted::Refused(reason(item.status, fault)),
    }
}

const BLOCKED: &str = "the index takes no documents: look at the free disk space of its nodes and at the setting \
     index.blocks; then run `tidegate check`";
const NO_INDEX: &str = "let the cluster create the index (action.auto_create_index, cluster.max_shards_per_node), or open \
     it if it is closed; then run `tidegate check`";

fn reason(status: u16, fault: &Fault) -> Reason {
    let code = fault.code();
    let message = match fault.said() {
        said if said.is_empty() => format!("{TITLE} refused the document ({status})"),
        said => format!("{TITLE} refused the document ({status} {code}): {said}"),
    };
    Reason::new(code, message)
}

/// A reason that needs a person comes before one that passes.
fn rank(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Denied | ErrorKind::Missing => 2,
        ErrorKind::Unavailable => 1,
        _ => 0,
    }
}
