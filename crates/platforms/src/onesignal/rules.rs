//! What OneSignal does not take, or takes and cannot use: one line for each, with its page.
//!
//! The numbers are those of 2026-11.

use crate::rule::rules;

const EVENTS: &str = "https://documentation.onesignal.com/reference/create-custom-events";
const CREATE: &str = "https://documentation.onesignal.com/reference/create-user";
const UPDATE: &str = "https://documentation.onesignal.com/reference/update-user";
const USERS: &str = "https://documentation.onesignal.com/docs/en/users";
const TAGS: &str = "https://documentation.onesignal.com/docs/en/add-user-data-tags";
const TIMES: &str = "https://documentation.onesignal.com/docs/en/time-operators";
const LIMITS: &str = "https://documentation.onesignal.com/reference/rate-limits";

const ALL: &str = "all";
const USER: &str = "user";
const EVENT: &str = "event";
const PURCHASE: &str = "purchase";

rules! {
    PLACEHOLDER: "placeholder_identifier", ALL, 0, USERS,
        "OneSignal refuses the external ids `NA`, `NULL`, `0`, `1`, `-1`, `all` and the UUID of zeros";
    IDENTIFIER: "identifier_unsupported", ALL, 0, UPDATE,
        "OneSignal finds users by external id, OneSignal id or alias, and takes events by the first two";
    ONESIGNAL_ID: "not_a_uuid", ALL, 0, USERS,
        "OneSignal ids are UUIDs";
    IDENTIFIER_BYTES: "identifier_too_long", ALL, 8_192, "",
        "Tidegate sends OneSignal identifiers of up to {} bytes, which fit an address";
    EMAIL: "invalid_email", USER, 0, CREATE,
        "OneSignal takes a valid e-mail address as the token of an Email subscription";
    PHONE: "invalid_phone", USER, 15, CREATE,
        "OneSignal takes phone numbers in E.164: a plus and up to {} digits";
    LANGUAGE: "invalid_language", USER, 0, CREATE,
        "OneSignal takes ISO 639-1 codes in small letters, `zh-Hans` and `zh-Hant`";
    COUNTRY: "invalid_country", USER, 0, CREATE,
        "OneSignal takes ISO 3166-1 alpha-2 codes in capital letters";
    LATITUDE: "not_degrees", USER, 90, CREATE,
        "OneSignal takes latitudes of -{} to {}";
    LONGITUDE: "not_degrees", USER, 180, CREATE,
        "OneSignal takes longitudes of -{} to {}";
    MOMENT: "not_a_time", USER, 0, CREATE,
        "OneSignal takes whole seconds since 1970; a time with its offset is sent as such";
    RESTRICTED_TAG: "restricted_tag", USER, 0, TAGS,
        "OneSignal restricts the tags `message`, `notification`, `subscription`, `user`, `template`, `app`, `org`, `dynamic_content`, `data_feed`, `journey` and `custom_data`";
    TIME_IN_TAG: "time_in_tag", USER, 0, TIMES,
        "OneSignal compares times in tags only as whole seconds since 1970";
    NESTED_TAG: "nested_tag", USER, 0, TAGS,
        "OneSignal takes text as the value of a tag";
    UPDATES: "too_many_attributes", USER, 100, LIMITS,
        "OneSignal takes {} properties and tags in a request";
    SUBSCRIPTION: "subscription_unsupported", USER, 0, UPDATE,
        "OneSignal takes `email` and `phone` only with a request that may create the user";
    EVENT_NAME: "event_name_too_long", EVENT, 128, EVENTS,
        "OneSignal takes names of up to {} characters";
    EVENT_BYTES: "event_too_large", EVENT, 2_024, EVENTS,
        "OneSignal takes events of up to {} bytes";
    AMOUNT: "not_an_amount", PURCHASE, 0, UPDATE,
        "OneSignal takes plain decimal numbers as the amount of a purchase";
    PURCHASE_PROPERTIES: "purchase_properties", PURCHASE, 0, UPDATE,
        "OneSignal keeps no properties of a purchase";
}
