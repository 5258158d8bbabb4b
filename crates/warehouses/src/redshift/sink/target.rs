//! What a person types in under `destination`.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::settings::UpToAnHour;

/// The longest name of Redshift, in bytes. Source: Amazon Redshift Database Developer Guide, "Names and
/// identifiers".
const NAME_BYTES_MAX: usize = 127;

/// The table that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedshiftTarget {
    /// Schema of the table, made if it is missing. Default: the name of the
    /// stream and `_events`, for example `onesignal_events`.
    pub schema: Option<String>,
    /// Name of the table, made if it is missing. Default: `message_events`
    /// for message events, `events` for others.
    pub table: Option<String>,
    /// How long events are gathered for one file at most: 25,000 of them, or 6 MiB, do not wait.
    pub commit_every: UpToAnHour<60>,
}

impl RedshiftTarget {
    /// Schema and table, with the defaults filled in, in lower case as Redshift folds them.
    ///
    /// # Errors
    /// A name that Redshift does not take as it is.
    pub fn names(&self, target: &SinkTarget) -> Result<(String, String), Error> {
        let schema = self.schema.clone().unwrap_or_else(|| format!("{}_events", target.stream));
        let table = self.table.clone().unwrap_or_else(|| match target.layout {
            Layout::Messages => "message_events".to_owned(),
            Layout::Events => "events".to_owned(),
        });
        for (setting, name) in [("schema", &schema), ("table", &table)] {
            if name.is_empty() || name.contains(['\0', '\\']) {
                return Err(Error::settings(format!("`{setting}`: expected a name")));
            }
            if name.len() > NAME_BYTES_MAX {
                let message = format!("`{setting}`: `{name}` is longer than {NAME_BYTES_MAX} bytes");
                return Err(Error::settings(message)
                    .hint(format!("choose a shorter name and set `{setting}` under `destination`")));
            }
        }
        Ok((schema.to_lowercase(), table.to_lowercase()))
    }
}
