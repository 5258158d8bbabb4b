//! What took effect at a platform that takes everything, event by event.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The events that took effect.
#[derive(Default)]
pub(super) struct Effects {
    /// How often each event did.
    times: HashMap<Effect, u32>,
    /// The idempotency keys that came.
    keys: HashSet<String>,
}

/// An event, by its name and the text of the property `id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Effect {
    /// The name of the event.
    pub(crate) name: String,
    /// Its `id`, whether it was a text or a number.
    pub(crate) id: String,
}

/// What is known of a body that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many events it has.
    pub(super) events: usize,
    /// Whether they have idempotency keys, as those for OneSignal do.
    pub(super) keyed: bool,
}

impl Effects {
    /// Lets the events of a body take effect: one with an idempotency key that came before does not.
    /// Returns nothing for a body that holds anything else.
    ///
    /// Source: OneSignal docs, Create custom events, `idempotency_key`; Braze docs, POST /users/track.
    pub(super) fn take(&mut self, body: &[u8]) -> Option<Taken> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let events = body["events"].as_array()?;
        let mut keyed = false;
        for event in events {
            let (name, id) = (event["name"].as_str()?, &event["properties"]["id"]);
            let id = id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))?;
            let is_new = match event["idempotency_key"].as_str() {
                Some(key) => {
                    keyed = true;
                    self.keys.insert(key.to_owned())
                }
                None => true,
            };
            if is_new {
                *self.times.entry(Effect { name: name.to_owned(), id }).or_default() += 1;
            }
        }
        Some(Taken { events: events.len(), keyed })
    }

    /// How many different events took effect.
    pub(super) fn arrived(&self) -> usize {
        self.times.len()
    }

    /// How many took effect more than once.
    pub(super) fn doubled(&self) -> usize {
        self.times.values().filter(|times| **times > 1).count()
    }

    /// Those of these events that did not take effect.
    pub(super) fn missing(&self, expected: impl Iterator<Item = Effect>) -> Vec<Effect> {
        expected.filter(|effect| !self.times.contains_key(effect)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(name: &str, id: &str) -> Effect {
        Effect { name: name.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn an_event_that_comes_twice_counts_twice_unless_its_key_is_known() {
        let mut effects = Effects::default();
        let plain = br#"{"events":[{"name":"a","external_id":"u","properties":{"id":1}}]}"#;
        let keyed = br#"{"events":[{"name":"b","idempotency_key":"k","properties":{"id":"x"}}]}"#;
        assert_eq!(effects.take(plain), Some(Taken { events: 1, keyed: false }));
        assert_eq!(effects.take(keyed), Some(Taken { events: 1, keyed: true }));
        assert_eq!(effects.take(keyed), Some(Taken { events: 1, keyed: true }));
        assert_eq!((effects.arrived(), effects.doubled()), (2, 0));

        effects.take(plain);
        effects.take(&String::from_utf8_lossy(keyed).replace("\"k\"", "\"l\"").into_bytes());

        assert_eq!((effects.arrived(), effects.doubled()), (2, 2));
        let expected = [effect("a", "1"), effect("b", "x"), effect("b", "y")];
        assert_eq!(effects.missing(expected.into_iter()), [effect("b", "y")]);
    }

    #[test]
    fn a_body_without_events_is_not_taken() {
        for body in [&b"{}"[..], b"", br#"{"events":[{"name":"a","properties":{}}]}"#] {
            assert_eq!(Effects::default().take(body), None);
        }
    }
}
