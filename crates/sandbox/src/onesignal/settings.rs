//! Settings of the sandbox.

use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Result, Secret};

/// What the sandbox does besides answering.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SandboxSettings {
    /// Answers custom events with message events, as a journey would.
    pub(super) message_events: Option<MessageEvents>,
}

/// Where the sandbox posts message events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageEvents {
    /// The address of an ingest, for example `http://127.0.0.1:7700/in/onesignal/push`.
    pub(super) url: String,
    /// The token of that ingest: `event_stream.token` of its connection.
    pub(super) token: Secret,
}

impl MessageEvents {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<()> {
        let uri = self.url.parse::<http::Uri>().ok();
        if uri.is_none_or(|uri| !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none()) {
            return Err(Error::settings(
                "`sandbox.message_events.url` is not an address that starts with http",
            ));
        }
        if let Ok(address) = self.url.parse() {
            clear_text::validate("sandbox.message_events.url", &address, Proof::Credential)?;
        }
        if !is_header_safe(&self.token) {
            return Err(Error::settings(
                "`sandbox.message_events.token` is empty or has characters that no header takes",
            ));
        }
        Ok(())
    }
}

fn is_header_safe(secret: &Secret) -> bool {
    let secret = secret.expose();
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic())
}
