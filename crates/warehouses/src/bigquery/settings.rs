//! The settings of a BigQuery connection, and of a source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Secret};
use tidegate_transport::settings::web_address;
use tidegate_transport::sql::selection::{Selected, selected};

use super::relation::{Relation, is_name};

/// The address of the API.
const ENDPOINT: &str = "https://bigquery.googleapis.com";
/// The address of the Storage API.
const STORAGE_ENDPOINT: &str = "https://bigquerystorage.googleapis.com";

/// How to reach BigQuery.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BigQuerySettings {
    /// The id of the project that queries run in and are paid by.
    #[schemars(extend("examples" = ["shop-analytics"]))]
    pub project: String,
    /// The dataset of tables that are written without one.
    pub dataset: Option<String>,
    /// Where the datasets are, for example `EU` or `europe-west3`. By default, that of the table that
    /// is read.
    #[schemars(extend("examples" = ["EU"]))]
    pub location: Option<String>,
    /// The key of a service account: the content of its JSON file. Without one and without
    /// `workload_identity`, the file that `GOOGLE_APPLICATION_CREDENTIALS` names is used, else the metadata
    /// server of the Google machine that this runs on.
    pub service_account_key: Option<Secret>,
    /// The credential configuration of workload identity federation, instead of a key: the content of the
    /// JSON file that `gcloud iam workload-identity-pools create-cred-config` makes.
    pub workload_identity: Option<Secret>,
    /// The most bytes that one query may be billed for; one that would process more is not run.
    #[schemars(extend("examples" = [10_000_000_000_u64]))]
    pub maximum_bytes_billed: Option<u64>,
    /// Whether results of 10,000 rows and more are read by the Storage Read API instead of page by page, which is
    /// faster. It needs the role *BigQuery Read Session User* on the project besides.
    #[serde(default)]
    pub storage_read: bool,
    /// Another address of the API, for tests and proxies.
    #[schemars(extend("examples" = ["http://127.0.0.1:9050"]))]
    pub endpoint: Option<String>,
    /// Another address of the Storage API, for tests and proxies.
    #[schemars(extend("examples" = ["http://127.0.0.1:9060"]))]
    pub storage_endpoint: Option<String>,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub ca_file: Option<PathBuf>,
}

impl BigQuerySettings {
    /// Refuses settings that cannot work, before anything is opened.
    ///
    /// # Errors
    /// Names the setting.
    pub fn checked(self) -> Result<BigQuerySettings, Error> {
        let is_project =
            |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || b"-.:".contains(&sign);
        if self.project.is_empty() || !self.project.bytes().all(is_project) {
            return Err(Error::settings("`project`: expected the id of a project")
                .hint("it has small letters, digits and hyphens, for example shop-analytics"));
        }
        if self.dataset.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(Error::settings("`dataset`: expected a name"));
        }
        let is_place = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'-';
        if self.location.as_ref().is_some_and(|place| place.is_empty() || !place.bytes().all(is_place)) {
            return Err(Error::settings("`location`: expected a location such as EU or europe-west3"));
        }
        if self.maximum_bytes_billed == Some(0) {
            return Err(Error::settings("`maximum_bytes_billed`: expected a number of bytes above 0"));
        }
        Ok(self)
    }

    /// Returns the address of the API, without a slash at its end.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for an `endpoint` that is none.
    pub fn base(&self) -> Result<String, Error> {
        let Some(endpoint) = &self.endpoint else { return Ok(ENDPOINT.to_owned()) };
        let endpoint = endpoint.trim_end_matches('/');
        clear_text::validate("endpoint", &web_address("endpoint", endpoint, ENDPOINT)?, Proof::Credential)?;
        Ok(endpoint.to_owned())
    }
}

impl BigQuerySettings {
    /// Returns the address of the Storage API, if results are read by it.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a `storage_endpoint` that is none.
    pub fn storage_address(&self) -> Result<Option<http::Uri>, Error> {
        if !self.storage_read {
            return Ok(None);
        }
        let endpoint = self.storage_endpoint.as_deref().unwrap_or(STORAGE_ENDPOINT).trim_end_matches('/');
        let address = web_address("storage_endpoint", endpoint, STORAGE_ENDPOINT)?;
        clear_text::validate("storage_endpoint", &address, Proof::Credential)?;
        Ok(Some(address))
    }
}

/// What to read: exactly one of `table` and `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
pub struct BigQuerySelection {
    /// A table or view, `project.dataset.table`. Shorter names count from the connection's `project`
    /// and `dataset`.
    #[schemars(extend("examples" = ["shop.orders"]))]
    pub table: Option<String>,
    /// One `SELECT` statement of GoogleSQL.
    pub query: Option<String>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub key: Option<Vec<String>>,
    /// The columns that are read; all of them if absent. Set by
    /// [`tidegate_transport::sql::selection::narrow`], never by a person.
    #[schemars(skip)]
    pub columns: Option<Vec<String>>,
}

impl BigQuerySelection {
    /// Returns what a selection reads from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
    pub fn relation(&self, settings: &BigQuerySettings) -> Result<Relation, Error> {
        match selected(self.table.as_deref(), self.query.as_deref(), "shop.orders")? {
            Selected::Table(table) => {
                Relation::table(table, [Some(settings.project.as_str()), settings.dataset.as_deref()])
            }
            Selected::Query(query) => Ok(Relation::Query(query.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidegate_testkit::http::raw;

    use super::*;

    fn settings(changes: &Value) -> Result<BigQuerySettings, Error> {
        let mut members = json!({ "project": "shop-1" });
        for (name, value) in changes.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        raw(members).parse::<BigQuerySettings>()?.checked()
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        for (wrong, name) in [
            (json!({ "project": "" }), "project"),
            (json!({ "project": "Shop" }), "project"),
            (json!({ "project": "a/b" }), "project"),
            (json!({ "dataset": "a`b" }), "dataset"),
            (json!({ "location": "a b" }), "location"),
            (json!({ "maximum_bytes_billed": 0 }), "maximum_bytes_billed"),
        ] {
            let error = settings(&wrong).unwrap_err();
            assert!(error.message().starts_with(&format!("`{name}`")), "{wrong}: {error:?}");
        }
    }

    #[test]
    fn the_address_is_googles_unless_an_endpoint_says_otherwise() {
        let base = |changes: Value| settings(&changes).unwrap().base();
        assert_eq!(base(json!({})).unwrap(), "https://bigquery.googleapis.com");
        assert_eq!(base(json!({ "endpoint": "http://127.0.0.1:1/" })).unwrap(), "http://127.0.0.1:1");
        assert!(base(json!({ "endpoint": "127.0.0.1" })).is_err());
        assert!(base(json!({ "endpoint": "http://proxy.example" })).is_err());
        let storage = |changes: Value| settings(&changes).unwrap().storage_address();
        assert_eq!(storage(json!({})).unwrap(), None);
        let address = storage(json!({ "storage_read": true })).unwrap().unwrap();
        assert_eq!(address.host(), Some("bigquerystorage.googleapis.com"));
        assert!(
            storage(json!({ "storage_read": true, "storage_endpoint": "http://proxy.example" })).is_err()
        );
    }
}
