//! Small events.

use tidegate_model::{Event, Json, Text};

/// Returns an event of the one user whose order counts.
pub fn event(id: &str) -> Event {
    Event {
        id: id.into(),
        kind: "message.push.clicked".into(),
        at: jiff::Timestamp::constant(1_772_366_399, 123_456_789),
        user: "ada".into(),
        app: "shop".into(),
        message: "spring".into(),
        template: Text::new(),
        payload: Json::trusted(format!(r#"{{"id":"{id}","text":"größer 🎈"}}"#)),
    }
}

/// Events with the ids `from` to `to`, without `to`.
pub fn events(from: usize, to: usize) -> Vec<Event> {
    (from..to).map(|id| event(&id.to_string())).collect()
}
