//! Which events an export takes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{Event, MESSAGE_KINDS, OLDER_KINDS, channel_of, current_kind};

/// Letters by which a misspelt kind differs from the one that is meant, at most.
const MISSPELT_MAX: usize = 2;

/// A kind of event, or several at once: `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPattern(String);

impl KindPattern {
    /// Creates a pattern such as `message.push.*`. Does not check it; see [`KindPattern::check`].
    pub fn new(pattern: impl Into<String>) -> KindPattern {
        KindPattern(pattern.into())
    }

    /// Checks that a pattern is not a misspelt kind of message event, which would export
    /// nothing, silently. Kinds that are not listed may be tomorrow's.
    ///
    /// # Errors
    /// The kind or pattern that is probably meant.
    pub fn check(pattern: &str) -> Result<(), String> {
        meant(pattern).map_or(Ok(()), Err)
    }

    /// Whether `kind` fits.
    ///
    /// Written here because this runs for each event, and a library of globs gives `?`, `[` and `{` a
    /// meaning, which the names of other apps' events may contain.
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

    /// Whether `kind` fits, under its name or under another that it has or had.
    fn takes(&self, kind: &str) -> bool {
        let other = |(older, current): &(&str, &str)| {
            (kind == *older && self.fits(current)) || (kind == *current && self.fits(older))
        };
        self.fits(kind) || OLDER_KINDS.iter().any(other)
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

/// The kind that is probably meant by a misspelt one, which would export nothing,
/// silently. Kinds that are not listed may be tomorrow's: only what differs by a
/// letter or two, in a channel that is known, counts as misspelt.
fn meant(pattern: &str) -> Option<String> {
    let distance = |kind: &&str| strsim::damerau_levenshtein(kind, pattern);
    let nearest = || MESSAGE_KINDS.iter().copied().min_by_key(distance);
    if has_misspelt_channel(pattern) {
        let near = nearest()?;
        let (channel, rest) = (near.split('.').nth(1)?, pattern.splitn(3, '.').nth(2));
        return Some(match rest.filter(|rest| rest.contains('*')) {
            Some(rest) => format!("message.{channel}.{rest}"),
            None => near.to_owned(),
        });
    }
    let listed = MESSAGE_KINDS.contains(&pattern) || current_kind(pattern) != pattern;
    if listed || pattern.contains('*') || channel_of(pattern).is_none() {
        return None;
    }
    nearest().filter(|kind| distance(kind) <= MISSPELT_MAX).map(str::to_owned)
}

/// Whether the channel of a pattern differs from a known one by a letter: `message.pusch.*`.
fn has_misspelt_channel(pattern: &str) -> bool {
    let channel = |kind: &'_ str| kind.split('.').nth(1).map(str::to_owned);
    let Some(written) = channel(pattern).filter(|_| pattern.starts_with("message.")) else { return false };
    let near =
        |kind: &&str| channel(kind).is_some_and(|known| strsim::damerau_levenshtein(&known, &written) == 1);
    !written.contains('*') && channel_of(pattern).is_none() && MESSAGE_KINDS.iter().any(near)
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
    /// Returns whether the export takes the event.
    pub fn takes(&self, event: &Event) -> bool {
        let listed = |list: &[String], id: &str| list.is_empty() || list.iter().any(|wanted| wanted == id);
        (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.takes(&event.kind)))
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
        assert_eq!(KindPattern::check("message.psh.*"), Err("message.push.*".to_owned()));
        let good = r#"{"kinds":["message.*.clicked","my_event"]}"#;
        assert!(serde_json::from_str::<EventSelection>(good).is_ok());
    }

    #[test]
    fn kinds_that_are_not_listed_can_be_chosen() {
        for kind in
            ["message.whatsapp.*", "message.rcs.delivered", "message.push.snoozed", "message.iam.displayed"]
        {
            let written = format!(r#"{{"kinds":["{kind}"]}}"#);
            assert!(serde_json::from_str::<EventSelection>(&written).is_ok(), "{kind}");
        }
    }

    #[test]
    fn a_kind_is_taken_under_its_older_name_too() {
        let takes = |pattern: &str, kind: &str| KindPattern::new(pattern).takes(kind);
        assert!(takes("message.iam.impression", "message.iam.displayed"));
        assert!(takes("message.email.hardbounced", "message.email.bounced"));
        assert!(takes("message.email.supressed", "message.email.supressed"));
        assert!(!takes("message.iam.impression", "message.iam.page_displayed"));
    }
}
