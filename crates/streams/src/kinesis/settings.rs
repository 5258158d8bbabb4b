//! The settings of a stream.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Result};

use crate::shape::Shape;
use tidegate_transport::aws::{Arn, AwsSettings};

/// The stream that events are written to, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// The stream: its name, or its ARN if it belongs to another account. It must exist.
    pub(super) stream: String,
    /// What the partition key is, which decides the shard. Default: `user`.
    #[serde(default)]
    pub(super) partition_by: PartitionBy,
    /// How an event is written. Default: `event`.
    #[serde(default)]
    pub(super) shape: Shape,
    /// The number of the account, as `shape: pinpoint` writes it. Default: that of the stream's
    /// ARN, or of the role.
    pub(super) account_id: Option<String>,
    /// Whether events of a user may overtake one that the stream did not take. Default: `relaxed`.
    #[serde(default)]
    pub(super) order: Order,
    /// How large records and requests may be. Default: `current`.
    #[serde(default)]
    pub(super) limits: Sizes,
}

/// What the partition key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PartitionBy {
    /// The user; the event's id if the user is unknown. Events of a user stay in one shard.
    #[default]
    User,
    /// The event's id: the most even load, without an order.
    Event,
}

/// How the order of a user's events is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// As many events of a user in a request as there are: one that fails is
    /// sent again and then follows those that did not.
    #[default]
    Relaxed,
    /// One event of a user in a request: slower where few users have many events.
    Strict,
}

/// Sizes that the service takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sizes {
    /// Records and requests of 10 MiB.
    #[default]
    Current,
    /// Records of 1 MiB and requests of 5 MiB, as before 2025 and for consumers that read no larger ones.
    Legacy,
}

impl Sizes {
    /// Bytes of a record with its key, before base64. Source: AWS docs, PutRecords.
    pub(super) fn record_max(self) -> usize {
        match self {
            Sizes::Current => 10 << 20,
            Sizes::Legacy => 1 << 20,
        }
    }

    /// Bytes of a request. Source: AWS docs, PutRecords.
    pub(super) fn request_max(self) -> usize {
        match self {
            Sizes::Current => 10 << 20,
            Sizes::Legacy => 5 << 20,
        }
    }
}

impl Target {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self, settings: &AwsSettings) -> Result<()> {
        let name = match Arn::parse(&self.stream) {
            Some(arn) if arn.service != "kinesis" || arn.region != settings.region => {
                return Err(Error::settings("`stream`: this is no ARN of a Kinesis stream in `region`")
                    .hint("it looks like arn:aws:kinesis:eu-central-1:123456789012:stream/name"));
            }
            Some(arn) => arn.resource.strip_prefix("stream/").unwrap_or_default(),
            None => &self.stream,
        };
        // Source: AWS docs, Kinesis API reference, StreamName.
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(good) {
            return Err(Error::settings("`stream`: names have 1 to 128 letters, digits, `_`, `.` and `-`"));
        }
        Ok(())
    }

    /// How a request names the stream: member and value.
    pub(super) fn addressed(&self) -> (&'static str, &str) {
        match Arn::parse(&self.stream) {
            Some(_) => ("StreamARN", &self.stream),
            None => ("StreamName", &self.stream),
        }
    }

    /// The name alone.
    pub(super) fn name(&self) -> &str {
        self.stream.rsplit('/').next().unwrap_or_default()
    }
}
