//! What a customer's administrator does for senders.

use tidegate_model::{ConnectionId, Result, Settings, address};

/// The steps, for people.
pub(super) fn setup(connection: &ConnectionId, _: &Settings, _: Option<&Settings>) -> Result<String> {
    let path = address::encoded(connection.as_str());
    Ok(format!(
        "\
1. Make a token, for example with `openssl rand -hex 32`, and set it on the
   connection: `token: ${{APP_EVENTS_TOKEN}}`. Give it to the senders.
2. Let them post JSON: an object, an array of objects, or one object a line.

   curl https://YOUR-HOST/in/events/{path} \\
     -H \"Authorization: Bearer $APP_EVENTS_TOKEN\" -H 'Content-Type: application/json' \\
     -d '{{\"id\":\"1\",\"kind\":\"order_placed\",\"time\":\"2026-03-01T12:00:00Z\",\"user_id\":\"u1\"}}'

   The answer is 202 once the events are durable.
3. Let them send a request again when it is answered 429 or 5xx, or not at all:
   events are stored once by their id.
"
    ))
}
