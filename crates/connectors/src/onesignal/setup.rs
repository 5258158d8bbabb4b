//! What a customer's administrator does at OneSignal.

use tidegate_model::{ConnectionId, Result, Settings};

/// The steps, for people.
pub(super) fn setup(_: &ConnectionId, _: &Settings, _: Option<&Settings>) -> Result<String> {
    Ok("\
1. Open Settings → Keys & IDs of the app and copy the OneSignal App ID.
2. Add an App API key there. If it has an IP allow list, add the address this
   machine goes out with.
3. For events, see that the plan has custom events.
4. For users, see that the plan has room for the tags that will be set.
5. Run `tidegate check`.
"
    .to_owned())
}
