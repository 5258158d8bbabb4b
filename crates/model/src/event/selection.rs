//! Which events an export takes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::Event;

/// A kind of event, or several at once: `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPattern(String);

impl KindPattern {
    /// A pattern such as `message.push.*`.
    pub fn new(pattern: impl Into<String>) -> KindPattern {
        KindPattern(pattern.into())
    }

    /// Checks that a pattern of message events fits one of their kinds: a misspelt
    /// one would export nothing, silently.
    ///
    /// # Errors
    /// The nearest kind there is.
    pub fn check(pattern: &str) -> Result<(), &'static str> {
        let kinds = super::MESSAGE_KINDS;
        if !pattern.starts_with("message.") || kinds.iter().any(|kind| KindPattern::new(pattern).fits(kind)) {
            return Ok(());
        }
        let near = kinds.iter().min_by_key(|kind| strsim::damerau_levenshtein(kind, pattern));
        Err(near.copied().unwrap_or_default())
    }

    /// Whether `kind` fits.
    pub fn fits(&self, kind: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = kind.strip_prefix(first) else { return false };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

impl<'de> Deserialize<'de> for KindPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KindPattern, D::Error> {
        let pattern = String::deserialize(deserializer)?;
        if let Err(near) = KindPattern::check(&pattern) {
            return Err(serde::de::Error::custom(format!(
                "no message event has the kind `{pattern}`; did you mean `{near}`?"
            )));
        }
        Ok(KindPattern(pattern))
    }
}

impl JsonSchema for KindPattern {
    fn schema_name() -> Cow<'static, str> {
        "KindPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "event-kind",
            "description": "A kind of event; `*` stands for any text.",
            "examples": ["message.push.*", "message.email.opened", "purchase"]
        })
    }
}

/// Which events an export takes: those that fit every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventSelection {
    /// Kinds of event. Default: all.
    pub kinds: Vec<KindPattern>,
    /// App ids. Default: all.
    pub apps: Vec<String>,
    /// Message ids. Default: all.
    pub messages: Vec<String>,
    /// Template ids. Default: all.
    pub templates: Vec<String>,
}

impl EventSelection {
    /// Whether the export takes the event.
    pub fn takes(&self, event: &Event) -> bool {
        let listed = |list: &[String], id: &str| list.is_empty() || list.iter().any(|wanted| wanted == id);
        (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.fits(&event.kind)))
            && listed(&self.apps, &event.app)
            && listed(&self.messages, &event.message)
            && listed(&self.templates, &event.template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, fits, misses) in [
            (
                "message.push.*",
                vec!["message.push.sent", "message.push."],
                vec!["message.email.sent", "message.push"],
            ),
            ("*", vec!["", "purchase"], vec![]),
            ("*.clicked", vec!["message.push.clicked", ".clicked"], vec!["clicked", "message.push.sent"]),
            ("a*b*c", vec!["abc", "aXbYc", "abbc"], vec!["ab", "acb", "abcd"]),
            ("purchase", vec!["purchase"], vec!["purchases", ""]),
        ] {
            for kind in fits {
                assert!(KindPattern::new(pattern).fits(kind), "{pattern} {kind}");
            }
            for kind in misses {
                assert!(!KindPattern::new(pattern).fits(kind), "{pattern} {kind}");
            }
        }
    }

    #[test]
    fn a_misspelt_message_kind_is_an_error_with_the_nearest_one() {
        let error = serde_json::from_str::<EventSelection>(r#"{"kinds":["message.push.clickd"]}"#);
        assert!(error.expect_err("misspelt").to_string().contains("`message.push.clicked`"));
        let good = r#"{"kinds":["message.*.clicked","my_event"]}"#;
        assert!(serde_json::from_str::<EventSelection>(good).is_ok());
    }
}
