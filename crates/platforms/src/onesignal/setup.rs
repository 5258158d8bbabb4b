//! What a customer's administrator does at OneSignal.

use tidegate_model::{ConnectionId, Result, Settings, address};

use super::template::template;

/// The steps, for people.
pub(super) fn setup(connection: &ConnectionId, _: &Settings, _: Option<&Settings>) -> Result<String> {
    let path = address::encoded(connection.as_str());
    Ok(format!(
        "\
1. Open Settings → Keys & IDs of the app and copy the OneSignal App ID.
2. Add an App API key there. If it has an IP allow list, add the outgoing address
   of this machine.
3. For events, check that your plan at OneSignal includes custom events.
4. For users, check that your plan allows the number of tags that will be set.
5. Run `tidegate check`.

To receive message events (the plan needs Event Streams):

6. Make a token, for example with `openssl rand -hex 32`, and set it on the
   connection: `event_stream: {{ token: \"${{ONESIGNAL_STREAM_TOKEN}}\" }}`.
7. At OneSignal, open Data → Event Streams → New Event Stream and choose the events.
8. Method POST, URL: https://YOUR-HOST/in/onesignal/{path}
9. Headers: `Authorization` with the value `Bearer ` and the token;
   `Content-Type` with the value `application/json`.
10. Body: Custom Body, and in it exactly this, one member a line:

{}",
        template()
    ))
}
