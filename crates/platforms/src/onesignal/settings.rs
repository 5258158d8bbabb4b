//! The settings of a OneSignal connection, and of a destination.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Result, Secret};
use uuid::Uuid;

/// A OneSignal app and the key to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneSignalSettings {
    /// Where the REST API is. `sandbox` is the one inside this program.
    #[serde(default = "public_endpoint")]
    #[schemars(extend("format" = "endpoint"))]
    pub(super) endpoint: String,
    /// The app: OneSignal → Settings → Keys & IDs → OneSignal App ID.
    #[schemars(extend("format" = "uuid", "examples" = ["11111111-2222-3333-4444-555555555555"]))]
    pub(super) app_id: String,
    /// An app API key: OneSignal → Settings → Keys & IDs → App API keys.
    pub(super) api_key: Secret,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub(super) ca_file: Option<PathBuf>,
    /// How many requests with custom events may be sent in a second. OneSignal
    /// publishes no limit for them; the default is the one for users.
    #[serde(default = "user_rate")]
    #[schemars(range(min = 1))]
    pub(super) requests_per_second: u32,
    /// Receives message events from an event stream of the app. Without it,
    /// everything that comes in is refused.
    pub(super) event_stream: Option<EventStreamSettings>,
    /// Extra behavior of the sandbox; only with `endpoint: sandbox`.
    pub(super) sandbox: Option<SandboxSettings>,
}

/// How OneSignal proves that an event stream is its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventStreamSettings {
    /// What the header `Authorization: Bearer …` of the event stream carries.
    pub(super) token: Secret,
}

/// What the sandbox does besides answering.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SandboxSettings {
    /// Answers custom events with message events, as a journey would.
    pub(super) message_events: Option<MessageEvents>,
}

/// Where the sandbox posts message events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageEvents {
    /// The address of an ingest, for example `http://127.0.0.1:7700/in/onesignal/push`.
    #[schemars(extend("format" = "url"))]
    pub(super) url: String,
    /// The token of that ingest: `event_stream.token` of its connection.
    pub(super) token: Secret,
}

/// Where the records of a sync go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    /// Users that OneSignal does not know are rejected instead of created.
    pub(super) update_existing_only: bool,
}

/// Requests a second that write users of one app.
/// Source: OneSignal docs, Rate limits.
pub(super) const USER_RATE: u32 = 1_000;

/// Anything shorter can be guessed.
const TOKEN_LENGTH_MIN: usize = 16;

/// The address of OneSignal's REST API.
pub(super) const PUBLIC_ENDPOINT: &str = "https://api.onesignal.com";

fn public_endpoint() -> String {
    PUBLIC_ENDPOINT.to_owned()
}

fn user_rate() -> u32 {
    USER_RATE
}

impl OneSignalSettings {
    /// The address that paths are appended to, without a slash at its end.
    pub(super) fn base(&self) -> Result<String> {
        let endpoint = self.endpoint.trim_end_matches('/');
        if endpoint == "sandbox" {
            return Ok("http://sandbox".to_owned());
        }
        let wrong = |message: &str| {
            Err(Error::settings(format!("`endpoint`: {message}"))
                .hint("leave it out for https://api.onesignal.com, or write `sandbox` to try things out"))
        };
        let Ok(uri) = endpoint.parse::<http::Uri>() else { return wrong("this is not an address") };
        if uri.scheme().is_none() || uri.host().is_none() {
            return wrong("the address must start with https://");
        }
        if uri.path().len() > 1 || uri.query().is_some() {
            return wrong("the address must end behind the host");
        }
        // The key travels in a header.
        clear_text::validate("endpoint", &uri, Proof::Credential)?;
        Ok(endpoint.to_owned())
    }

    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<()> {
        let app_id = Uuid::try_parse(&self.app_id).ok().filter(|_| self.app_id.len() == 36);
        if app_id.is_none() {
            return Err(Error::settings("`app_id` is not a UUID")
                .hint("copy it from OneSignal → Settings → Keys & IDs → OneSignal App ID"));
        }
        let key = self.api_key.expose();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::settings("`api_key` is empty or has characters that no key has")
                .hint("look for a line break or a quote at its end"));
        }
        if self.requests_per_second == 0 {
            return Err(Error::settings("`requests_per_second` must be greater than 0"));
        }
        if let Some(stream) = &self.event_stream {
            stream.validate()?;
        }
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        if self.endpoint.trim_end_matches('/') != "sandbox" {
            return Err(Error::settings("`sandbox` works with `endpoint: sandbox` only")
                .hint("remove `sandbox`, or set `endpoint: sandbox`"));
        }
        sandbox.message_events.as_ref().map_or(Ok(()), MessageEvents::validate)
    }
}

impl EventStreamSettings {
    fn validate(&self) -> Result<()> {
        if TOKEN_LENGTH_MIN <= self.token.expose().len() && is_header_safe(&self.token) {
            return Ok(());
        }
        Err(Error::settings(format!(
            "`event_stream.token` is shorter than {TOKEN_LENGTH_MIN} characters or has some that no header takes"
        ))
        .hint("make one with `openssl rand -hex 32`"))
    }
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
