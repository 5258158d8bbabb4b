//! What a person types in under `destination`.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Layout, SinkTarget};

/// The longest name that PostgreSQL does not cut, in bytes. Source: PostgreSQL
/// handbook, "Identifiers and Key Words".
const NAME_BYTES_MAX: usize = 63;

/// The table that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresTarget {
    /// Schema of the table, made if it is missing. Default: the name of the
    /// stream and `_events`, for example `onesignal_events`.
    pub schema: Option<String>,
    /// Name of the table, made if it is missing. Default: `message_events`
    /// for message events, `events` for others.
    pub table: Option<String>,
}

impl PostgresTarget {
    /// Schema and table, with the defaults filled in.
    ///
    /// # Errors
    /// A name that PostgreSQL does not take as it is.
    pub fn names(target: &SinkTarget) -> Result<(String, String), Error> {
        let written: PostgresTarget = target.settings.parse()?;
        let schema = written.schema.unwrap_or_else(|| format!("{}_events", target.stream));
        let table = written.table.unwrap_or_else(|| match target.layout {
            Layout::Messages => "message_events".to_owned(),
            Layout::Events => "events".to_owned(),
        });
        for (setting, name) in [("schema", &schema), ("table", &table)] {
            if name.is_empty() || name.contains('\0') {
                return Err(Error::settings(format!("`{setting}`: expected a name")));
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(Error::settings(format!(
                    "`{setting}`: `{name}` is longer than {NAME_BYTES_MAX} bytes"
                ))
                .hint(format!("choose a shorter name and set `{setting}` under `destination`")));
            }
        }
        Ok((schema, table))
    }
}
