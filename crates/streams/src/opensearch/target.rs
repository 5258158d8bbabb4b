//! Where the documents of an export go.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Layout, Result, SinkTarget};

/// The indices of an export.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    /// What the names of the indices begin with. Default: the name of the connection that the events
    /// come in through, and `_events`.
    pub(super) index: Option<String>,
    /// When a new index begins, by the time at which an event came in. Default: `day`.
    pub(super) rotation: Rotation,
    /// The name of a data stream, instead of `index` and `rotation`.
    pub(super) data_stream: Option<String>,
    /// Whether an index template is created if there is none of its name. An existing one is left
    /// as it is. Default: `true`.
    pub(super) template: bool,
    /// How the member `payload` is indexed. Default: `flat`.
    pub(super) payload: Payload,
}

impl Default for Target {
    fn default() -> Target {
        Target {
            index: None,
            rotation: Rotation::default(),
            data_stream: None,
            template: true,
            payload: Payload::default(),
        }
    }
}

/// When a new index begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rotation {
    /// Each day: `message-events-2026-11-22`.
    #[default]
    Day,
    /// Each month: `message-events-2026-11`.
    Month,
    /// Never: one index.
    None,
}

/// How a payload is indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payload {
    /// As one field, whose members are found as keywords (`flat_object`, OpenSearch 2.7 and newer).
    /// Members never conflict.
    #[default]
    Flat,
    /// Each member as a field, of the type that its first value has. An event whose member has
    /// another type is rejected.
    Dynamic,
}

/// Where documents go: the name, and whether it is a data stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Indices {
    /// Indices whose names begin with this.
    Index(String, Rotation),
    /// A data stream.
    DataStream(String),
}

impl Target {
    /// Returns where the documents go.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a name that an index cannot have.
    pub(super) fn indices(&self, target: &SinkTarget) -> Result<Indices> {
        if let Some(name) = &self.data_stream {
            if self.index.is_some() || self.rotation != Rotation::default() {
                return Err(Error::settings("`data_stream` excludes `index` and `rotation`")
                    .hint("keep `data_stream`: its indices rotate by the cluster's own policies"));
            }
            validate("data_stream", name)?;
            return Ok(Indices::DataStream(name.clone()));
        }
        let name = match &self.index {
            Some(name) => {
                validate("index", name)?;
                name.clone()
            }
            None => default_name(target),
        };
        Ok(Indices::Index(name, self.rotation))
    }
}

/// `push_events`, in the characters that a name may have.
fn default_name(target: &SinkTarget) -> String {
    let stream = target.stream.as_str().to_lowercase();
    let plain: String = stream
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "_-".contains(char) { char } else { '-' })
        .collect();
    format!("{}_events", plain.trim_start_matches(['_', '-', '+']))
}

/// Source: OpenSearch docs, "Create index", index naming restrictions. Ten bytes are kept for the day.
fn validate(setting: &str, name: &str) -> Result<()> {
    let good =
        |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"\\/*?\"<>|,#:".contains(&byte);
    let starts_well = !name.starts_with(['-', '_', '+', '.']);
    if name.is_empty() || name.len() > 240 || !starts_well || !name.bytes().all(good) {
        return Err(Error::settings(format!("`{setting}`: this cannot be the name of an index"))
            .hint("names have 1 to 240 lower-case letters, digits, `_`, `-` and `.`, and begin with a letter or a digit"));
    }
    Ok(())
}

impl Indices {
    /// Returns the name of the settings, which is also that of the template.
    pub(super) fn name(&self) -> &str {
        match self {
            Indices::Index(name, _) | Indices::DataStream(name) => name,
        }
    }

    /// Returns the index of events that came in at this time, or the data stream.
    pub(super) fn index(&self, logged_at: Timestamp) -> String {
        match self {
            Indices::DataStream(name) | Indices::Index(name, Rotation::None) => name.clone(),
            Indices::Index(name, Rotation::Day) => format!("{name}-{}", logged_at.strftime("%Y-%m-%d")),
            Indices::Index(name, Rotation::Month) => format!("{name}-{}", logged_at.strftime("%Y-%m")),
        }
    }

    /// Returns the pattern that all of its indices match.
    pub(super) fn pattern(&self) -> String {
        match self {
            Indices::DataStream(name) | Indices::Index(name, Rotation::None) => name.clone(),
            Indices::Index(name, _) => format!("{name}-*"),
        }
    }

    /// Returns its name in messages.
    pub(super) fn title(&self, layout: Layout) -> String {
        let what = match layout {
            Layout::Messages => "message events",
            Layout::Events => "events",
        };
        match self {
            Indices::DataStream(name) => format!("data stream {name}, {what}"),
            Indices::Index(..) => format!("index {}, {what}", self.pattern()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_begins_with_the_day_on_which_an_event_came_in() {
        let at: Timestamp = "2026-11-22T23:59:59.9Z".parse().expect("a time");
        let of = |rotation| Indices::Index("shop".to_owned(), rotation).index(at);
        assert_eq!(of(Rotation::Day), "shop-2026-11-22");
        assert_eq!(of(Rotation::Month), "shop-2026-11");
        assert_eq!(of(Rotation::None), "shop");
        assert_eq!(Indices::DataStream("shop".to_owned()).index(at), "shop");
    }

    #[test]
    fn a_name_that_no_index_can_have_is_refused_before_anything_is_sent() {
        for good in ["shop", "shop-events.v2", "2026_events"] {
            assert!(validate("index", good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "-shop", "_shop", ".shop", "a b", "a/b", "a*", "a,b", "a#b", "a:b", "é"] {
            let error = validate("index", bad).expect_err(bad);
            assert!(error.message().starts_with("`index`"), "{error:?}");
        }
    }
}
