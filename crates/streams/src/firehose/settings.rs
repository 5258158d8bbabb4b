//! The settings of a stream.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Result};

use crate::shape::Shape;

/// The Firehose stream that events are written to, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// The name of the Firehose stream. It must exist, with the source Direct PUT.
    pub(super) delivery_stream: String,
    /// Whether a line break follows each event, so that files have one event a line. Default: true.
    #[serde(default = "yes")]
    pub(super) newline: bool,
    /// How an event is written. Default: `event`.
    #[serde(default)]
    pub(super) shape: Shape,
    /// The number of the account, as `shape: pinpoint` writes it. Default: that of the role.
    pub(super) account_id: Option<String>,
}

fn yes() -> bool {
    true
}

impl Target {
    /// Checks what the types cannot say.
    ///
    /// Source: AWS docs, Firehose API reference, DeliveryStreamName.
    pub(super) fn validate(&self) -> Result<()> {
        let name = &self.delivery_stream;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            return Err(Error::settings(
                "`delivery_stream`: names have 1 to 64 letters, digits, `_`, `.` and `-`",
            ));
        }
        Ok(())
    }
}
