//! What a journey would do: answers custom events with message events.
//!
//! For each custom event a push message is sent, received by most and clicked by
//! some, as follows from the event alone: the same event has the same journey.
//! The message events are posted one by one, as OneSignal's event streams do, in
//! the body that OneSignal makes from a template. Posting delays no request: it
//! happens after the answer, is tried once, and what finds no room is left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tidegate_model::{Error, Http, OwnRequest, RowHash, SandboxContext, Value as Cell};
use tokio::sync::mpsc;

use super::message_event;
use super::settings::{MessageEvents, SandboxSettings};

/// Users are dealt to this many posters; the journeys of one user stay in order.
const POSTERS: usize = 4;
/// Journeys that wait for one poster.
const WAITING_MAX: usize = 10_000;

/// A custom event that took effect.
#[derive(Debug)]
pub(super) struct Happened {
    /// Tells it from all others, and is the same when it is sent again.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// The user's id at OneSignal.
    pub(super) onesignal_id: String,
    /// The customer's id of the user.
    pub(super) external_id: Option<String>,
    /// When it was received.
    pub(super) at: Timestamp,
}

/// Posts message events for custom events.
pub(super) struct Journeys {
    target: MessageEvents,
    http: Arc<dyn Http>,
    /// Journeys that are not at their end.
    waiting: Arc<AtomicU64>,
    posters: OnceLock<Vec<mpsc::Sender<(String, Happened)>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    left_out: AtomicU64,
}

impl Journeys {
    /// The journeys that the settings ask for; nothing is posted without a way to.
    pub(super) fn open(context: &SandboxContext) -> Result<Option<Journeys>, Error> {
        let settings: SandboxSettings =
            context.settings.parse().map_err(|error| error.context("settings under `sandbox`"))?;
        let (Some(target), Some(http)) = (settings.message_events, &context.http) else { return Ok(None) };
        target.validate()?;
        let (posters, counts) = (OnceLock::new(), Arc::default());
        let waiting = Arc::clone(&context.webhooks);
        Ok(Some(Journeys { target, http: Arc::clone(http), waiting, posters, counts }))
    }

    /// Starts the journeys of what happened in an app; does not wait for them.
    pub(super) fn start(&self, app_id: &str, happened: Vec<Happened>) {
        let posters = self.posters.get_or_init(|| (0..POSTERS).map(|_| self.spawn_poster()).collect());
        for event in happened {
            let user = hash(&[&event.onesignal_id]).0;
            let poster = &posters[usize::try_from(user % POSTERS as u128).unwrap_or_default()];
            self.waiting.fetch_add(1, Ordering::AcqRel);
            if poster.try_send((app_id.to_owned(), event)).is_err() {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                self.counts.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many message events were taken, were not, and how many journeys had no room.
    pub(super) fn stats(&self) -> Value {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "accepted": count(&self.counts.accepted),
            "refused": count(&self.counts.refused),
            "journeys_left_out": count(&self.counts.left_out),
        })
    }

    fn spawn_poster(&self) -> mpsc::Sender<(String, Happened)> {
        let (sender, mut waiting) = mpsc::channel::<(String, Happened)>(WAITING_MAX);
        let (target, http, counts) = (self.target.clone(), Arc::clone(&self.http), Arc::clone(&self.counts));
        let under_way = Arc::clone(&self.waiting);
        tokio::spawn(async move {
            while let Some((app_id, event)) = waiting.recv().await {
                for body in message_events(&app_id, &event) {
                    let sent = match request(&target, body) {
                        Some(request) => http.send(request).await,
                        None => break,
                    };
                    let accepted = sent.is_ok_and(|answer| answer.status().is_success());
                    let count = if accepted { &counts.accepted } else { &counts.refused };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                under_way.fetch_sub(1, Ordering::AcqRel);
            }
        });
        sender
    }
}

fn request(target: &MessageEvents, body: String) -> Option<Request<Bytes>> {
    Request::post(&target.url)
        .extension(OwnRequest::Sandbox)
        .header(AUTHORIZATION, format!("Bearer {}", target.token.expose()))
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
        .ok()
}

/// The bodies of a journey, in order.
fn message_events(app_id: &str, event: &Happened) -> Vec<String> {
    let share = hash(&[&event.id, "share"]).0 % 100;
    let steps = [
        ("message.push.sent", SignedDuration::ZERO, true),
        ("message.push.received", SignedDuration::from_millis(350), share < 85),
        ("message.push.clicked", SignedDuration::from_millis(4_200), share < 25),
    ];
    let steps = steps.into_iter().filter(|(.., happens)| *happens);
    steps.map(|(kind, after, _)| message_event::body(&members(app_id, event, kind, after))).collect()
}

fn members(app_id: &str, event: &Happened, kind: &str, after: SignedDuration) -> Map<String, Value> {
    let at = event.at.checked_add(after).unwrap_or(event.at);
    let apple = hash(&[&event.onesignal_id, "device"]).0.is_multiple_of(2);
    let (device_type, device_os) = if apple { ("iOS", "26.1") } else { ("Android", "16") };
    let members = json!({
        "event_id": hash(&[&event.id, kind]).to_uuid(),
        "event_kind": kind,
        "event_timestamp": at.as_second(),
        "event_datetime": format!("{at:.3}"),
        "app_id": app_id,
        "external_id": event.external_id.as_deref().unwrap_or_default(),
        "onesignal_id": event.onesignal_id,
        "subscription_id": hash(&[&event.onesignal_id, "subscription"]).to_uuid(),
        "subscription_device_type": device_type,
        "message_id": hash(&[app_id, &event.name, "message"]).to_uuid(),
        "message_name": format!("After {}", event.name),
        "message_title": "Thank you",
        "message_contents": format!("We saw your {}", event.name),
        "template_id": hash(&[app_id, &event.name, "template"]).to_uuid(),
        "token": hash(&[&event.onesignal_id, "token"]).to_string(),
        "language": "en",
        "subscribed": true,
        "last_active": at.as_second(),
        "sdk": "050214",
        "device_os": device_os,
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn hash(parts: &[&str]) -> RowHash {
    let cells: Vec<Cell> = parts.iter().map(|part| Cell::Text((*part).into())).collect();
    RowHash::of_values(&cells, &mut Vec::new())
}
