//! Settings that connectors of several families have.

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use tidegate_model::Error;

/// Reads a port, or the text of one: the value of a variable or a file is text.
///
/// # Errors
/// For anything but 0 to 65535.
pub fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a port, 0 to 65535")]
    enum Written {
        Number(u16),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(port) => Ok(port),
        Written::Text(text) => {
            text.trim().parse().map_err(|_| serde::de::Error::custom("expected a port, 0 to 65535"))
        }
    }
}

/// Reads an address of the web; `setting` holds it.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a text that is none, and for one with a query.
pub fn web_address(setting: &str, text: &str, example: &str) -> Result<http::Uri, Error> {
    let address = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    address.ok_or_else(|| Error::settings(format!("`{setting}`: expected an address such as {example}")))
}

/// A length of time up to an hour: `5s`, `15m`, or a number of seconds. The default is a number
/// of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpToAnHour<const DEFAULT: u64>(pub Duration);

const LONGEST: Duration = Duration::from_secs(3600);

impl<const DEFAULT: u64> Default for UpToAnHour<DEFAULT> {
    fn default() -> UpToAnHour<DEFAULT> {
        UpToAnHour(Duration::from_secs(DEFAULT))
    }
}

impl<'de, const DEFAULT: u64> Deserialize<'de> for UpToAnHour<DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UpToAnHour<DEFAULT>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a length of time such as `5s` or a number of seconds")]
        enum Written {
            Seconds(u32),
            Text(String),
        }
        let length = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Written::Text(text) => {
                text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok())
            }
        };
        let fits = length.filter(|length| *length <= LONGEST);
        fits.map(UpToAnHour).ok_or_else(|| {
            serde::de::Error::custom("expected a length of time up to an hour, for example `5s`")
        })
    }
}

impl<const DEFAULT: u64> JsonSchema for UpToAnHour<DEFAULT> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UpToAnHour".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time up to an hour: `5s`, `15m`, or a number of seconds.",
            "type": ["string", "integer"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_text_or_a_number_and_at_most_an_hour() {
        let read = |text: &str| serde_json::from_str::<UpToAnHour<5>>(text).map(|every| every.0.as_millis());
        assert_eq!(read(r#""1500ms""#).expect("text"), 1500);
        assert_eq!(read("2").expect("number"), 2000);
        assert_eq!(read("0").expect("number"), 0);
        assert_eq!(UpToAnHour::<60>::default().0.as_secs(), 60);
        for wrong in [r#""2h""#, r#""-1s""#, r#""soon""#, "-1", "true"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
