//! The settings of a Databricks connection, and of a source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Secret};
use tidegate_transport::settings::UpToAnHour;
use tidegate_transport::sql::selection::{Selected, selected};

use super::relation::Relation;

/// How to reach a SQL warehouse of Databricks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabricksSettings {
    /// The "Server hostname" of the warehouse's connection details.
    #[schemars(extend("format" = "host", "examples" = ["dbc-a1b2c3d4-e5f6.cloud.databricks.com"]))]
    pub host: String,
    /// Port of the workspace.
    #[serde(default = "default_port", deserialize_with = "tidegate_transport::settings::port")]
    pub port: u16,
    /// The "HTTP path" of the warehouse's connection details. It holds the id of the warehouse.
    #[schemars(extend("examples" = ["/sql/1.0/warehouses/1a2b3c4d5e6f7a8b"]))]
    pub http_path: Option<String>,
    /// The id of the warehouse, instead of `http_path`.
    pub warehouse_id: Option<String>,
    /// The application id of a service principal: the preferred way to log in.
    pub client_id: Option<String>,
    /// An OAuth secret of the service principal.
    pub client_secret: Option<Secret>,
    /// A personal access token, instead of a service principal.
    pub token: Option<Secret>,
    /// The catalog of tables that are written without one.
    pub catalog: Option<String>,
    /// The schema of tables that are written without one.
    pub schema: Option<String>,
    /// Another address of the workspace, for tests and proxies.
    #[schemars(extend("examples" = ["http://127.0.0.1:18010"]))]
    pub endpoint: Option<String>,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub ca_file: Option<PathBuf>,
}

fn default_port() -> u16 {
    443
}

/// How to prove who is asking.
#[derive(Clone, Debug)]
pub enum Login {
    /// A personal access token.
    Token(Secret),
    /// A service principal: OAuth between machines.
    Principal {
        /// Its application id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
}

impl DatabricksSettings {
    /// Refuses settings that cannot work, before anything is opened.
    ///
    /// # Errors
    /// Names the setting.
    pub fn checked(self) -> Result<DatabricksSettings, Error> {
        let wrong_host = self.host.is_empty()
            || self.host.contains("://")
            || self.host.contains(['/', ' ', '@', ':', '?', '#']);
        if wrong_host {
            return Err(Error::settings("`host`: expected a host name")
                .hint("write only the name, for example dbc-a1b2c3d4-e5f6.cloud.databricks.com"));
        }
        self.warehouse()?;
        self.login()?;
        for (setting, name) in [("catalog", &self.catalog), ("schema", &self.schema)] {
            if name.as_ref().is_some_and(|name| !is_name(name)) {
                return Err(Error::settings(format!("`{setting}`: expected a name")));
            }
        }
        Ok(self)
    }

    /// Returns the id of the warehouse.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] if there is none, or there are two.
    pub fn warehouse(&self) -> Result<String, Error> {
        let id = match (&self.warehouse_id, &self.http_path) {
            (Some(id), None) => id.trim(),
            (None, Some(path)) => path
                .trim()
                .trim_end_matches('/')
                .rsplit_once("/warehouses/")
                .map(|(_, id)| id)
                .ok_or_else(|| {
                    Error::settings("`http_path`: expected the path of a SQL warehouse").hint(
                        "copy it from SQL Warehouses > Connection details: /sql/1.0/warehouses/<id>; clusters have another API",
                    )
                })?,
            (Some(_), Some(_)) => {
                return Err(Error::settings("both `http_path` and `warehouse_id` are set").hint("keep one of them"));
            }
            (None, None) => {
                return Err(Error::settings("neither `http_path` nor `warehouse_id` is set")
                    .hint("copy the HTTP path from SQL Warehouses > Connection details"));
            }
        };
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(Error::settings(
                "`warehouse_id`: expected the id of a SQL warehouse, letters and digits",
            ));
        }
        Ok(id.to_owned())
    }

    /// Returns how to prove who is asking.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one complete way.
    pub fn login(&self) -> Result<Login, Error> {
        let blank = |secret: &Secret| secret.expose().trim().is_empty();
        match (&self.token, &self.client_id, &self.client_secret) {
            (Some(token), None, None) if blank(token) => Err(Error::settings("`token` is empty")),
            (Some(token), None, None) => Ok(Login::Token(token.clone())),
            (None, Some(id), Some(secret)) if id.trim().is_empty() || blank(secret) => {
                Err(Error::settings("`client_id` or `client_secret` is empty"))
            }
            (None, Some(id), Some(secret)) => {
                Ok(Login::Principal { id: id.trim().to_owned(), secret: secret.clone() })
            }
            (Some(_), ..) => Err(Error::settings("both `token` and a service principal are set")
                .hint("keep `client_id` and `client_secret`: a service principal belongs to no person")),
            (None, Some(_), None) => Err(Error::settings("`client_secret` is missing")),
            (None, None, Some(_)) => Err(Error::settings("`client_id` is missing")),
            (None, None, None) => Err(Error::settings("nothing is set to log in with")
                .hint("set `client_id` and `client_secret` of a service principal, or `token`")),
        }
    }

    /// Returns the address of the workspace, without a slash at its end.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for an `endpoint` that is none.
    pub fn base(&self) -> Result<String, Error> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(match self.port {
                443 => format!("https://{}", self.host),
                port => format!("https://{}:{port}", self.host),
            });
        };
        let endpoint = endpoint.trim_end_matches('/');
        let address = endpoint.parse::<http::Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && uri.query().is_none()
        });
        let address = address.ok_or_else(|| {
            Error::settings("`endpoint`: expected an address such as http://127.0.0.1:18010")
        })?;
        clear_text::validate("endpoint", &address, Proof::Credential)?;
        Ok(endpoint.to_owned())
    }
}

/// Returns whether a text can be the name of a catalog, a schema, a table or a volume.
///
/// Source: Databricks docs, "Names": at most 255 characters, no control characters, no `/`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= 255
        && !name.chars().any(|character| character.is_control() || character == '/')
}

/// What to read: exactly one of `table` and `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
pub struct DatabricksSelection {
    /// A table or view, `catalog.schema.table`. Shorter names count from the connection's
    /// `catalog` and `schema`. Names that hold a dot are written in backticks.
    #[schemars(extend("examples" = ["main.shop.orders"]))]
    pub table: Option<String>,
    /// One `SELECT` statement.
    pub query: Option<String>,
    /// With `mode: stream`, how long between two looks for new versions of the table. Each look keeps
    /// the warehouse up.
    pub poll_every: UpToAnHour<20>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub key: Option<Vec<String>>,
    /// The columns that are read; all of them if absent. Set by
    /// [`tidegate_transport::sql::selection::narrow`], never by a person.
    #[schemars(skip)]
    pub columns: Option<Vec<String>>,
}

impl DatabricksSelection {
    /// Returns what a selection reads from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
    pub fn relation(&self, settings: &DatabricksSettings) -> Result<Relation, Error> {
        match selected(self.table.as_deref(), self.query.as_deref(), "main.shop.orders")? {
            Selected::Table(table) => {
                Relation::table(table, [settings.catalog.as_deref(), settings.schema.as_deref()])
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

    fn settings(changes: &Value) -> Result<DatabricksSettings, Error> {
        let mut members =
            json!({ "host": "dbc-1.cloud.databricks.com", "warehouse_id": "1a2b", "token": "t" });
        for (name, value) in changes.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        members.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        raw(members).parse::<DatabricksSettings>()?.checked()
    }

    #[test]
    fn the_http_path_of_the_connection_details_holds_the_warehouse() {
        let path =
            settings(&json!({ "warehouse_id": null, "http_path": "/sql/1.0/warehouses/abc123 " })).unwrap();
        assert_eq!(path.warehouse().unwrap(), "abc123");
        for wrong in [
            json!({ "warehouse_id": null }),
            json!({ "http_path": "/sql/1.0/warehouses/abc123" }),
            json!({ "warehouse_id": null, "http_path": "sql/protocolv1/o/1/0101-1" }),
            json!({ "warehouse_id": "a/b" }),
        ] {
            assert!(settings(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn exactly_one_complete_way_to_log_in_is_taken() {
        assert!(settings(&json!({})).is_ok());
        assert!(settings(&json!({ "token": null, "client_id": "a", "client_secret": "b" })).is_ok());
        for wrong in [
            json!({ "token": null }),
            json!({ "token": " " }),
            json!({ "client_id": "a", "client_secret": "b" }),
            json!({ "token": null, "client_id": "a" }),
            json!({ "token": null, "client_secret": "a" }),
        ] {
            assert!(settings(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_address_is_https_unless_an_endpoint_says_otherwise() {
        let base = |changes: Value| settings(&changes).unwrap().base();
        assert_eq!(base(json!({})).unwrap(), "https://dbc-1.cloud.databricks.com");
        assert_eq!(base(json!({ "port": "8443" })).unwrap(), "https://dbc-1.cloud.databricks.com:8443");
        assert_eq!(base(json!({ "endpoint": "http://127.0.0.1:1/" })).unwrap(), "http://127.0.0.1:1");
        assert!(base(json!({ "endpoint": "127.0.0.1" })).is_err());
        assert!(base(json!({ "endpoint": "http://proxy.example" })).is_err());
        assert!(settings(&json!({ "host": "https://dbc-1.cloud.databricks.com" })).is_err());
    }
}
