//! What Braze does not take, or drops without a word: one line for each, with its page.
//!
//! The numbers are those of 2026-11. Errors of single objects have the codes that Braze publishes.

use crate::rule::rules;

const TRACK: &str = "https://www.braze.com/docs/api/endpoints/user_data/post_user_track/";
const EVENT: &str = "https://www.braze.com/docs/api/objects_filters/event_object/";
const PURCHASE: &str = "https://www.braze.com/docs/api/objects_filters/purchase_object/";
const NESTED: &str =
    "https://www.braze.com/docs/user_guide/data/activation/attributes/nested_custom_attribute_support/";
const TYPES: &str = "https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types/";
const CATALOGS: &str = "https://www.braze.com/docs/api/endpoints/catalogs/";

const ALL: &str = "all but catalog items";
const USER: &str = "user";
const TEXTS: &str = "user, event, purchase";
const HAPPENED: &str = "event, purchase";
const ITEM: &str = "catalog_item";

rules! {
    NO_IDENTIFIER: "no_identifier", ALL, 0, TRACK,
        "Braze needs one of external_id, alias, braze_id, e-mail address or phone number";
    ONE_IDENTIFIER: "identifier_in_attributes", USER, 0, TRACK,
        "Braze rejects objects with more than one primary identifier, and takes an e-mail address before a phone number";
    EXTERNAL_ID: "external_user_id_too_large", ALL, 987, TRACK,
        "Braze takes external ids of up to {} bytes";
    EMAIL: "email_bad_format", ALL, 0, TRACK,
        "Braze takes valid e-mail addresses only";
    EMAIL_STATE: "bad_email_subscription_state", USER, 0, TRACK,
        "Braze takes `subscribed`, `unsubscribed` or `opted_in` as `email_subscribe`";
    PUSH_STATE: "bad_push_subscription_state", USER, 0, TRACK,
        "Braze takes `subscribed`, `unsubscribed` or `opted_in` as `push_subscribe`";
    NESTED_NULL: "nested_null", USER, 0, TRACK,
        "Braze drops the whole update of a nested attribute that holds a null";
    NESTED_TIME: "nested_time", USER, 0, TRACK,
        "Braze drops the whole update of a nested attribute with a `$time` that is not in ISO 8601";
    NESTED_NAME: "nested_name", USER, 0, NESTED,
        "Braze takes no spaces, `.` or `$` in the names of a nested attribute";
    NESTED_BYTES: "nested_too_large", USER, 100_000, NESTED,
        "Braze drops an object or array of more than {} bytes and keeps the old value";
    ARRAY: "array_too_long", USER, 500, TYPES,
        "Braze keeps {} elements of an array and loses the first ones";
    TEXT: "text_too_long", TEXTS, 255, EVENT,
        "Braze takes texts of up to {} characters";
    NAME: "name_too_long", TEXTS, 255, EVENT,
        "Braze takes names of up to {} characters";
    DOLLAR: "invalid_name", TEXTS, 0, EVENT,
        "Braze takes no names that start with `$`";
    EMPTY_NAME: "empty_name", TEXTS, 0, EVENT,
        "Braze takes no empty names";
    DEPTH: "too_deep", TEXTS, 50, "",
        "Tidegate sends {} levels of nesting to Braze";
    REQUIRED: "missing_field", HAPPENED, 0, EVENT,
        "Braze needs the name of an event and the product of a purchase";
    EVENT_BYTES: "properties_too_large", "event", 100_000, EVENT,
        "Braze takes {} bytes of properties of an event";
    EVENT_RESERVED: "reserved_name", "event", 0, EVENT,
        "Braze reserves the property names `time` and `event_name`";
    PURCHASE_BYTES: "properties_too_large", "purchase", 50_000, PURCHASE,
        "Braze takes {} bytes of properties of a purchase";
    PURCHASE_RESERVED: "reserved_name", "purchase", 0, PURCHASE,
        "Braze reserves the property names `time`, `product_id`, `quantity`, `event_name`, `price` and `currency`";
    CURRENCY: "invalid_currency", "purchase", 0, PURCHASE,
        "Braze takes ISO 4217 codes such as EUR";
    QUANTITY: "invalid_quantity", "purchase", 100, PURCHASE,
        "Braze takes quantities of 1 to {}";
    ITEM_NEEDS_ID: "items-missing-ids", ITEM, 0, CATALOGS,
        "Braze needs the id of an item";
    ITEM_ID: "ids-too-large", ITEM, 250, CATALOGS,
        "Braze takes ids of up to {} characters";
    ITEM_ID_LETTERS: "invalid-ids", ITEM, 0, CATALOGS,
        "Braze takes letters, digits, hyphens and underscores in an id";
    ITEM_SIZE: "items-too-large", ITEM, 5_000, CATALOGS,
        "Braze takes items of up to {} characters";
    ITEM_ID_FIELD: "id-in-body", ITEM, 0, CATALOGS,
        "Braze takes the id of an item outside of its fields";
    ITEM_NAMES: "invalid-keys-in-value-object", ITEM, 0, CATALOGS,
        "Braze takes no `.` or `$` in the names inside an object";
    ITEM_DEPTH: "too-deep-nesting", ITEM, 50, CATALOGS,
        "Braze takes {} levels of nesting";
    ITEM_ARRAY: "array_unsupported", ITEM, 100, TYPES,
        "Braze takes arrays of up to {} texts, and pairs of numbers as places";
}
