//! The settings of a Braze connection, and of a destination.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Result, Secret};

/// Objects in a `/users/track` request. Source: Braze docs, POST /users/track.
pub(super) const OBJECTS_PER_REQUEST_MAX: usize = 75;

/// A Braze workspace.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BrazeSettings {
    /// The REST endpoint of your instance, for example `https://rest.iad-01.braze.com`;
    /// or `sandbox` for the one that is built in.
    #[schemars(extend("format" = "endpoint", "examples" = ["https://rest.iad-01.braze.com"]))]
    pub(super) endpoint: String,
    /// A REST API key. Which permissions it needs depends on the objects: `users.track`,
    /// `users.delete`, `catalogs.replace_items` with `catalogs.delete_items`.
    pub(super) api_key: Secret,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub(super) ca_file: Option<PathBuf>,
    /// Objects in a request, at most 75. Some contracts allow 50.
    #[serde(default = "objects_per_request")]
    #[schemars(range(min = 1, max = 75))]
    pub(super) objects_per_request: usize,
    /// Request rates of your contract, if they differ from the documented ones.
    #[serde(default)]
    pub(super) rates: Rates,
}

/// Request rates of a contract. The documented ones are the defaults.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rates {
    /// `/users/track` requests in 3 seconds; the burst limit of contracts by monthly active
    /// users, whose hourly limit is kept by the headers of responses. Default: 3,000.
    #[schemars(range(min = 1))]
    pub(super) track_per_3s: u32,
    /// `/users/delete` requests in a minute. Default: 20,000.
    #[schemars(range(min = 1))]
    pub(super) delete_per_minute: u32,
    /// Requests that change catalog items in a minute. Default: 16,000.
    #[schemars(range(min = 1))]
    pub(super) items_per_minute: u32,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { track_per_3s: 3_000, delete_per_minute: 20_000, items_per_minute: 16_000 }
    }
}

/// Where the records of a sync go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    /// The catalog, for `catalog_item`. It must exist.
    #[schemars(extend("x-objects" = ["catalog_item"]))]
    pub(super) catalog: Option<String>,
    /// Leaves out rows of users that Braze does not know, instead of creating them.
    pub(super) update_existing_only: bool,
    /// For `user`: the attributes hold increments such as `{ "visits": { "inc": 1 } }`.
    /// A request whose answer was lost is then not sent again automatically, since
    /// that could count twice: it follows the sync's `in_doubt`.
    #[schemars(extend("x-objects" = ["user"]))]
    pub(super) increments: bool,
}

fn objects_per_request() -> usize {
    OBJECTS_PER_REQUEST_MAX
}

impl BrazeSettings {
    /// The address that paths are appended to, without a slash at its end.
    pub(super) fn base(&self) -> Result<String> {
        let endpoint = self.endpoint.trim_end_matches('/');
        if endpoint == "sandbox" {
            return Ok("http://sandbox".to_owned());
        }
        let wrong = |message: &str| {
            Err(Error::settings(format!("`endpoint`: {message}")).hint(
                "copy the REST endpoint from Settings → APIs and Identifiers, \
                 for example https://rest.iad-01.braze.com",
            ))
        };
        let Ok(uri) = endpoint.parse::<http::Uri>() else { return wrong("this is not an address") };
        let (Some(_), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return wrong("the address must start with https://");
        };
        if uri.path().len() > 1 || uri.query().is_some() {
            return wrong("the address must end behind the host");
        }
        if host.starts_with("dashboard") || host.starts_with("sdk.") {
            return wrong("this is not the REST endpoint of the instance");
        }
        // The key travels in a header.
        clear_text::validate("endpoint", &uri, Proof::Credential)?;
        Ok(endpoint.to_owned())
    }

    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<()> {
        if !(1..=OBJECTS_PER_REQUEST_MAX).contains(&self.objects_per_request) {
            return Err(Error::settings("`objects_per_request` must lie between 1 and 75"));
        }
        let Rates { track_per_3s, delete_per_minute, items_per_minute } = self.rates;
        if track_per_3s.min(delete_per_minute).min(items_per_minute) == 0 {
            return Err(Error::settings("`rates` must be greater than 0"));
        }
        if self.api_key.expose().is_empty()
            || !self.api_key.expose().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Error::settings("`api_key` is empty or has characters that no key has")
                .hint("look for a line break or a quote at its end"));
        }
        Ok(())
    }
}

impl Target {
    /// The catalog's name, checked.
    ///
    /// Source: Braze docs, Catalogs: letters, digits, hyphens and underscores, at most 250.
    pub(super) fn catalog(&self) -> Result<&str> {
        let name = self.catalog.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(
                Error::settings("`destination.catalog` is missing").hint("name the catalog the items go to")
            );
        }
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.len() > 250 || !name.bytes().all(good) {
            return Err(Error::settings(
                "`destination.catalog`: names of catalogs have up to 250 letters, digits, hyphens and underscores",
            ));
        }
        Ok(name)
    }
}
