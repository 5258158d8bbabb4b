//! The settings of a Pinpoint connection.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Result, Secret};

/// A Pinpoint data plane: apps send their events to it as to Amazon's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("anyOf" = [{ "required": ["access_keys"] }, { "required": ["anonymous"] }]))]
pub(super) struct PinpointSettings {
    /// The application ids that are served; others are answered 404. Default: all.
    pub(super) apps: Vec<String>,
    /// The account id in `awsAccountId` of every record. Default: twelve zeros.
    pub(super) account_id: Option<String>,
    /// Who may send: requests must be signed with one of these keys.
    pub(super) access_keys: Vec<AccessKey>,
    /// Takes events and endpoints from anyone who reaches it, signed or not, as browsers and
    /// temporary keys need it. All other calls need a key of `access_keys`.
    pub(super) anonymous: bool,
    /// The SQLite file for endpoints and event streams, relative to the project's
    /// folder. Default: `pinpoint.db` in the data folder.
    pub(super) file: Option<PathBuf>,
    /// How the exports reach AWS that `PutEventStream` asks for.
    pub(super) streams: StreamAccess,
}

/// A key that senders sign with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessKey {
    /// The access key id, for example `AKIAIOSFODNN7EXAMPLE`.
    pub(super) id: String,
    /// The secret access key.
    pub(super) secret: Secret,
}

/// How the exports reach AWS that `PutEventStream` asks for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StreamAccess {
    /// Assumes the role that `PutEventStream` names, as Pinpoint did. It must trust our own identity.
    pub(super) assume_role: bool,
    /// The access key id of our own identity. Default: the usual credential chain.
    pub(super) access_key_id: Option<String>,
    /// The secret access key that belongs to it.
    pub(super) secret_access_key: Option<Secret>,
    /// The session token, if the key is a temporary one.
    pub(super) session_token: Option<Secret>,
    /// The profile in the AWS configuration files.
    pub(super) profile: Option<String>,
    /// The external id that the role's trust policy asks for.
    pub(super) external_id: Option<String>,
    /// Another address of Kinesis Data Streams, such as an emulator's.
    pub(super) kinesis_endpoint: Option<String>,
    /// Another address of Firehose, such as an emulator's.
    pub(super) firehose_endpoint: Option<String>,
}

impl Default for StreamAccess {
    fn default() -> StreamAccess {
        StreamAccess {
            assume_role: true,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            external_id: None,
            kinesis_endpoint: None,
            firehose_endpoint: None,
        }
    }
}

impl PinpointSettings {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(id) = &self.account_id
            && (id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(Error::settings("`account_id` is not twelve digits"));
        }
        if self.access_keys.is_empty() && !self.anonymous {
            return Err(Error::settings("the connection does not say who may send").hint(
                "add `access_keys`, or `anonymous: true` if anyone who reaches it may send events and endpoints",
            ));
        }
        for key in &self.access_keys {
            let graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !graphic(&key.id) || key.id.contains('/') || !graphic(key.secret.expose()) {
                return Err(Error::settings("`access_keys` has a key that no client can sign with")
                    .hint("look for empty values, line breaks and quotes"));
            }
        }
        if self.streams.access_key_id.is_some() != self.streams.secret_access_key.is_some() {
            return Err(Error::settings(
                "`streams.access_key_id` and `streams.secret_access_key` go together: one is missing",
            ));
        }
        Ok(())
    }

    /// The account id for records.
    pub(super) fn account(&self) -> &str {
        self.account_id.as_deref().unwrap_or("000000000000")
    }
}
