//! What a record holds.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::LoggedEvent;

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// As it came in.
    #[default]
    Event,
}

impl Shape {
    /// The event as a record holds it.
    pub(crate) fn encode(self, logged: &LoggedEvent) -> Cow<'_, str> {
        match self {
            Shape::Event => Cow::Borrowed(logged.event.payload.as_str()),
        }
    }

    /// About how many bytes [`Shape::encode`] gives.
    pub(crate) fn weigh(self, logged: &LoggedEvent) -> usize {
        match self {
            Shape::Event => logged.event.payload.as_str().len(),
        }
    }
}

/// How many bytes base64 makes of this many.
pub(crate) fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}
