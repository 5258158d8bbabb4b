//! What a person types in.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Secret};

/// A OneSignal app and the key to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneSignalSettings {
    /// Where the REST API is. `sandbox` is the one inside this program.
    #[serde(default = "public_endpoint")]
    pub endpoint: String,
    /// The app: OneSignal → Settings → Keys & IDs → OneSignal App ID.
    pub app_id: String,
    /// An app API key: OneSignal → Settings → Keys & IDs → App API keys.
    pub api_key: Secret,
    /// How many requests with custom events may be sent in a second. OneSignal
    /// publishes no limit for them; the default is the one for users.
    #[serde(default = "user_rate")]
    pub requests_per_second: u32,
}

/// What a sync sets under `to:`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneSignalTarget {
    /// Users that OneSignal does not know are rejected instead of created.
    pub update_existing_only: bool,
}

/// Requests a second that write users of one app.
/// Source: OneSignal docs, Rate limits.
pub(super) const USER_RATE: u32 = 1_000;

fn public_endpoint() -> String {
    "https://api.onesignal.com".to_owned()
}

fn user_rate() -> u32 {
    USER_RATE
}

impl OneSignalSettings {
    /// The endpoint as the beginning of every request's address.
    ///
    /// # Errors
    /// `endpoint` is neither an HTTP address nor the word `sandbox`.
    pub fn base(&self) -> Result<String, Error> {
        if self.endpoint == "sandbox" {
            return Ok("http://sandbox".to_owned());
        }
        let base = self.endpoint.trim_end_matches('/');
        let usable = base.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        });
        if usable {
            return Ok(base.to_owned());
        }
        Err(Error::settings("`endpoint` is not the address of an HTTP server")
            .hint("write `https://api.onesignal.com`, or `sandbox` to try things out"))
    }

    /// Refuses what cannot work, before anything is sent.
    ///
    /// # Errors
    /// Names the setting and where to find its value.
    pub fn validate(&self) -> Result<(), Error> {
        if uuid::Uuid::try_parse(&self.app_id).is_err() || self.app_id.len() != 36 {
            return Err(Error::settings("`app_id` is not a UUID")
                .hint("copy it from OneSignal → Settings → Keys & IDs → OneSignal App ID"));
        }
        let key = self.api_key.expose();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::settings("`api_key` is empty or holds characters that no key has")
                .hint("copy it from OneSignal → Settings → Keys & IDs, without blanks or line ends"));
        }
        if self.requests_per_second == 0 {
            return Err(Error::settings("`requests_per_second` is 0: nothing would ever be sent")
                .hint("leave it out, or write a number from 1 on"));
        }
        Ok(())
    }
}
