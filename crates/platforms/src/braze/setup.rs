//! What a customer's administrator does at Braze.

use tidegate_model::{ConnectionId, Result, Settings};

/// The steps, for people.
pub(super) fn setup(_: &ConnectionId, _: &Settings, _: Option<&Settings>) -> Result<String> {
    Ok("\
1. Open Settings → APIs and Identifiers → API Keys and create a REST API key.
2. Give it the permissions of what you send, and no more:
     user, event, purchase    users.track
     deletion                 users.delete
     catalog_item             catalogs.replace_items, catalogs.delete_items
3. If the key has an allow list, add the outgoing address of this machine.
4. Copy the REST endpoint of your instance, for example https://rest.iad-01.braze.com.
5. For catalog items, create the catalog with all its fields (Data Settings → Catalogs).
6. Run `tidegate check`.
"
    .to_owned())
}
