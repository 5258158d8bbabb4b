//! Settings that the sinks of lakes share.

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use tidegate_model::Error;

/// How long events are gathered before they are written: `5s`, `1m`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitEvery(pub(crate) Duration);

const LONGEST: Duration = Duration::from_secs(3600);

impl Default for CommitEvery {
    fn default() -> CommitEvery {
        CommitEvery(Duration::from_secs(5))
    }
}

impl<'de> Deserialize<'de> for CommitEvery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CommitEvery, D::Error> {
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
        fits.map(CommitEvery).ok_or_else(|| {
            serde::de::Error::custom("expected a length of time up to an hour, for example `5s`")
        })
    }
}

impl JsonSchema for CommitEvery {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommitEvery".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time up to an hour: `5s`, `1m`, or a number of seconds.",
            "type": ["string", "integer"],
        })
    }
}

/// The name of a table or of a folder, as one part of a path.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a name that readers of lakes
/// would stumble over: they skip names that begin with `_` or `.`.
pub(crate) fn part(setting: &str, name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 200 && name.bytes().all(allowed) && !name.starts_with(['_', '.']) {
        return Ok(());
    }
    Err(Error::settings(format!("`{setting}`: {name:?} cannot be the name of a folder"))
        .hint("use letters, digits, `_`, `-` and `.`, beginning with a letter or a digit"))
}

/// The name of a connection as the beginning of a folder's name.
pub(crate) fn folder_of(stream: &str) -> String {
    let kept = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = stream.chars().map(kept).collect();
    format!("{}_events", name.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_text_or_a_number_and_at_most_an_hour() {
        let read = |text: &str| serde_json::from_str::<CommitEvery>(text).map(|every| every.0.as_millis());
        assert_eq!(read(r#""1500ms""#).expect("text"), 1500);
        assert_eq!(read("2").expect("number"), 2000);
        assert_eq!(read("0").expect("number"), 0);
        for wrong in [r#""2h""#, r#""-1s""#, r#""soon""#, "-1", "true"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for wrong in ["", ".", "..", "a/b", "_log", "a b", "é"] {
            assert!(part("table", wrong).is_err(), "{wrong}");
        }
        assert!(part("table", "message_events-2.x").is_ok());
        assert_eq!(folder_of("__one signal/é"), "one_signal___events");
    }
}
