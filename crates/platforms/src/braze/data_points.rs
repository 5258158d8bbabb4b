//! Data points, the unit in which Braze bills customers whose contract is older than 2025.
//!
//! Source: <https://www.braze.com/docs/user_guide/data/data_points/>, and for nested attributes
//! <https://www.braze.com/docs/user_guide/data/activation/attributes/nested_custom_attribute_support/>.
//! Each event, each purchase and each attribute that is set is one data point; of objects and arrays of
//! objects each member is. Subscription states, push tokens, deletions and catalogs are none.

use serde_json::value::RawValue;
use tidegate_model::{Body, Members, Record};

/// Attributes that are no data points.
const FREE: [&str; 5] =
    ["email_subscribe", "push_subscribe", "subscription_groups", "push_tokens", "push_token_import"];

/// Returns how many data points a record costs.
pub(super) fn of(record: &Record) -> u64 {
    match &record.body {
        Body::User { attributes } => {
            let Ok(Members(members)) = serde_json::from_str(attributes.as_str()) else { return 0 };
            let billed = members.iter().filter(|(name, _)| !FREE.contains(&&**name));
            billed.map(|(_, value)| of_value(value)).sum()
        }
        Body::Event { .. } | Body::Purchase(_) => 1,
        Body::Deletion | Body::CatalogItem { .. } | Body::CatalogRemoval { .. } => 0,
    }
}

/// An object costs what its members cost, an array what its objects cost, anything else one.
fn of_value(value: &RawValue) -> u64 {
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let Ok(Members(members)) = serde_json::from_str(value.get()) else { return 1 };
            members.iter().map(|(_, value)| of_value(value)).sum::<u64>().max(1)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
            let objects = items.iter().filter(|item| item.get().starts_with('{'));
            objects.map(|item| of_value(item)).sum::<u64>().max(1)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Identity, Json, RowHash};

    use super::*;

    #[test]
    fn data_points_are_counted_as_the_documents_of_braze_count_them() {
        let of_user = |attributes: &str| {
            let body = Body::User { attributes: Json::parse(attributes.into()).expect("JSON") };
            of(&Record { id: RowHash(1), identity: Identity::ExternalId("u".into()), body })
        };
        for (attributes, points) in [
            ("{}", 0),
            (r#"{"plan":"pro","city":null}"#, 2),
            (r#"{"email_subscribe":"opted_in","push_tokens":[{"app_id":"a","token":"t"}],"plan":1}"#, 1),
            // An array that is set at once is one, and each member of the objects in one.
            (r#"{"shown":["11111","22222","33333"]}"#, 1),
            (
                r#"{"pets":[{"id":1,"type":"dog","breed":"beagle","name":"Gus"},
                            {"id":2,"type":"cat","breed":"calico","name":"Gerald"}]}"#,
                8,
            ),
            (r#"{"best":{"song":"a","album":{"title":"b","year":2001},"live":true}}"#, 4),
            (r#"{"empty":{}, "none":[]}"#, 2),
        ] {
            assert_eq!(of_user(attributes), points, "{attributes}");
        }
        let deletion =
            Record { id: RowHash(1), identity: Identity::ExternalId("u".into()), body: Body::Deletion };
        assert_eq!(of(&deletion), 0);
    }
}
