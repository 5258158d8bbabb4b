//! The files of `google/type`, which Confluent's own clients know without being told.
//!
//! Source: `googleapis-common-protos` 1.76.0 (Apache-2.0), unchanged; the list is that of
//! `ProtobufSchema` in Confluent's Schema Registry 7.6.

/// The name by which a file is imported, and its text.
pub(super) const GOOGLE_TYPES: [(&str, &str); 17] = [
    ("google/type/calendar_period.proto", include_str!("google/calendar_period.proto")),
    ("google/type/color.proto", include_str!("google/color.proto")),
    ("google/type/date.proto", include_str!("google/date.proto")),
    ("google/type/datetime.proto", include_str!("google/datetime.proto")),
    ("google/type/dayofweek.proto", include_str!("google/dayofweek.proto")),
    ("google/type/decimal.proto", include_str!("google/decimal.proto")),
    ("google/type/expr.proto", include_str!("google/expr.proto")),
    ("google/type/fraction.proto", include_str!("google/fraction.proto")),
    ("google/type/interval.proto", include_str!("google/interval.proto")),
    ("google/type/latlng.proto", include_str!("google/latlng.proto")),
    ("google/type/localized_text.proto", include_str!("google/localized_text.proto")),
    ("google/type/money.proto", include_str!("google/money.proto")),
    ("google/type/month.proto", include_str!("google/month.proto")),
    ("google/type/phone_number.proto", include_str!("google/phone_number.proto")),
    ("google/type/postal_address.proto", include_str!("google/postal_address.proto")),
    ("google/type/quaternion.proto", include_str!("google/quaternion.proto")),
    ("google/type/timeofday.proto", include_str!("google/timeofday.proto")),
];
