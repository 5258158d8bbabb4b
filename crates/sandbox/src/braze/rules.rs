//! The limits of the API as Braze documents them, each with its page.
//!
//! The sandbox judges clients, so nothing here is taken from one.

use std::time::Duration;

use tidegate_model::Rate;

const MINUTE: Duration = Duration::from_secs(60);

const fn rate(requests: u32, per: Duration) -> Rate {
    Rate { requests, per }
}

// Source: <https://www.braze.com/docs/api/api_limits/>

/// `/users/track`, classic contracts.
pub(super) const TRACK_RATE: Rate = rate(3_000, Duration::from_secs(3));
/// Deleting, aliasing, identifying and merging users, together.
pub(super) const USERS_RATE: Rate = rate(20_000, MINUTE);
/// `/users/export/ids`, accounts since August 2024.
pub(super) const EXPORT_RATE: Rate = rate(250, MINUTE);
/// Calls that change several catalog items.
pub(super) const ITEMS_RATE: Rate = rate(16_000, MINUTE);
/// The other catalog calls.
pub(super) const CATALOGS_RATE: Rate = rate(50, MINUTE);
/// Bytes of a request.
pub(super) const BODY_BYTES: usize = 4 << 20;
/// Objects of a `/users/track` request: in total, and in each array by legacy contracts.
pub(super) const OBJECTS: usize = 75;
/// Entries of the other calls about users.
pub(super) const ENTRIES: usize = 50;

// Source: <https://www.braze.com/docs/api/endpoints/user_data/post_user_track/>, endpoint-specific errors

/// Bytes of an external id.
pub(super) const EXTERNAL_ID_BYTES: usize = 987;
/// Bytes of the device id of a token.
pub(super) const DEVICE_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=255;
/// What `email_subscribe` and `push_subscribe` may be.
pub(super) const SUBSCRIPTION_STATES: [&str; 3] = ["subscribed", "unsubscribed", "opted_in"];
/// What the state of a subscription group may be.
pub(super) const GROUP_STATES: [&str; 2] = ["subscribed", "unsubscribed"];

// Source: <https://www.braze.com/docs/api/objects_filters/event_object/>, purchase_object

/// Characters of a name, and of a text that is a value.
pub(super) const TEXT_CHARS: usize = 255;
/// Names that the properties of an event must not have.
pub(super) const EVENT_RESERVED: [&str; 2] = ["time", "event_name"];
/// Names that the properties of a purchase must not have.
pub(super) const PURCHASE_RESERVED: [&str; 6] =
    ["time", "product_id", "quantity", "event_name", "price", "currency"];
/// Bytes of the properties of an event.
pub(super) const EVENT_BYTES: usize = 100 * 1024;
/// Bytes of the properties of a purchase.
pub(super) const PURCHASE_BYTES: usize = 50 * 1024;
/// Pieces of a purchase.
pub(super) const QUANTITY: u64 = 100;

// Source: <https://www.braze.com/docs/user_guide/data/activation/attributes/nested_custom_attribute_support/>,
// <https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types/>

/// Bytes of an object or an array among the attributes; a larger one leaves the profile unchanged.
pub(super) const ATTRIBUTE_BYTES: usize = 100 * 1024;
/// Elements of an array of plain values; the first ones of a longer one are lost.
pub(super) const ARRAY_ELEMENTS: usize = 500;
/// Names with a meaning of their own inside an attribute, the only ones with a `$`.
pub(super) const OPERATORS: [&str; 7] =
    ["$add", "$remove", "$update", "$identifier_key", "$identifier_value", "$new_object", "$time"];

/// Letters of the genders. Source: <https://www.braze.com/docs/api/objects_filters/user_attributes_object/>.
pub(super) const GENDERS: [&str; 5] = ["M", "F", "O", "N", "P"];

/// Whether the text is the code of a currency.
///
/// Source: Braze docs, purchase object: ISO 4217.
pub(super) fn is_currency(code: &str) -> bool {
    code.len() == 3 && CURRENCIES.split(' ').any(|known| known.eq_ignore_ascii_case(code))
}

/// ISO 4217, the codes in use and those withdrawn since 2010, and the one Braze adds.
const CURRENCIES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTC \
    BTN BWP BYN BYR BZD CAD CDF CHF CLF CLP CNY COP CRC CUC CUP CVE CZK DJF DKK DOP DZD EEK EGP ERN ETB EUR FJD \
    FKP GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR IQD IRR ISK JEP JMD JOD JPY KES \
    KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MTL MUR \
    MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR \
    SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU \
    UZS VED VEF VES VND VUV WST XAF XAG XAU XCD XCG XDR XOF XPD XPF XPT YER ZAR ZMK ZMW ZWG ZWL";
