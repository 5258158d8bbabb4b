//! The settings of a PostgreSQL connection, and of a source.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use tidegate_model::{Error, Secret};
use tidegate_transport::tls::Tls;
use tidegate_tunnel::TunnelSettings;

use super::query::Relation;
use tidegate_transport::sql::selection::{Selected, selected};

/// How to reach a PostgreSQL database (9.6 or newer).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// Host name or address of the server. A read replica is a good choice.
    #[schemars(extend("format" = "host", "examples" = ["db.example.com"]))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "default_port", deserialize_with = "tidegate_transport::settings::port")]
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// User to log in as. On Azure single servers: `user@host`.
    pub user: String,
    /// The user's password. Leave it out if the server trusts this machine.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted and the server has to prove who it is.
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with the authority that signed the server's certificate, or with
    /// that certificate itself. Without it, the system's authorities count.
    pub ca_file: Option<PathBuf>,
    /// An SSH server that connects to the database, if this machine cannot. `host` and `port` are then those that
    /// the SSH server sees.
    pub tunnel: Option<TunnelSettings>,
    /// Longest time a statement may take, for example `10m`. The wait for a slow
    /// destination counts as well. Without it, the server's own limit holds.
    pub statement_timeout: Option<Span>,
    /// Longest time connecting may take, for example `10s`.
    #[serde(default)]
    pub connect_timeout: ConnectTimeout,
    /// How many connections all syncs that read with these settings have at once, in one process;
    /// the others wait for their turn. An export has one of its own besides. Default: 8.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroU32,
}

/// A length of time: `90s`, `10m`, `1h 30m`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Longest time connecting may take; fifteen seconds if nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ConnectTimeout(pub Span);

impl Default for ConnectTimeout {
    fn default() -> ConnectTimeout {
        ConnectTimeout(Span(Duration::from_secs(15)))
    }
}

fn default_max_connections() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(7)
}

fn default_port() -> u16 {
    5432
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a length of time such as `10m` or a number of seconds")]
        enum Written {
            Seconds(u32),
            Text(String),
        }
        let length = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Written::Text(text) => (text.parse::<SignedDuration>().ok())
                .and_then(|length| Duration::try_from(length).ok())
                .ok_or_else(|| serde::de::Error::custom("expected a length of time such as `10m`"))?,
        };
        // PostgreSQL counts milliseconds in 32 bits, and 0 would mean: no limit.
        if length < Duration::from_millis(1) || length.as_millis() > i32::MAX as u128 {
            return Err(serde::de::Error::custom("expected a length of time between 1ms and 24 days"));
        }
        Ok(Span(length))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time such as `10m`, or a number of seconds.",
            "examples": ["30s", "10m"],
            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 1 }]
        })
    }
}

impl PostgresSettings {
    /// Refuses what cannot work, before anything is opened.
    ///
    /// # Errors
    /// Names the setting.
    pub fn checked(self) -> Result<PostgresSettings, Error> {
        let wrong_host =
            self.host.is_empty() || self.host.contains("://") || self.host.contains(['/', ' ', '@']);
        if wrong_host {
            return Err(Error::settings("`host`: expected a host name or an address")
                .hint("write only the name, for example db.example.com; port, user and database have their own settings"));
        }
        for (setting, value) in [("database", &self.database), ("user", &self.user)] {
            if value.is_empty() || value.contains('\0') {
                return Err(Error::settings(format!("`{setting}`: expected a name")));
            }
        }
        if self.ca_file.is_some() && self.tls != Tls::VerifyFull {
            return Err(Error::settings("`ca_file`: counts only with `tls: verify-full`")
                .hint("remove `ca_file`, or set `tls: verify-full`"));
        }
        Ok(self)
    }

    /// Returns the role inside the database: Azure single servers take `role@server` as the name to log
    /// in with. Source: Azure docs, "Create users in Azure Database for PostgreSQL - Single Server".
    pub fn role(&self) -> &str {
        match self.user.rsplit_once('@') {
            Some((role, server)) if self.host.split('.').next() == Some(server) => role,
            _ => &self.user,
        }
    }
}

/// What to read: exactly one of `table` and `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
pub struct PostgresSelection {
    /// A table or view, `schema.table`, as `tidegate` lists it. Names that hold
    /// a dot are written in double quotes.
    #[schemars(extend("examples" = ["public.orders"]))]
    pub table: Option<String>,
    /// One `SELECT` statement.
    pub query: Option<String>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub key: Option<Vec<String>>,
    /// The columns that are read; all of them if absent. Set by
    /// [`tidegate_transport::sql::selection::narrow`], never by a person.
    #[schemars(skip)]
    pub columns: Option<Vec<String>>,
}

impl PostgresSelection {
    /// What a selection reads from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
    pub fn relation(&self) -> Result<Relation, Error> {
        match selected(self.table.as_deref(), self.query.as_deref(), "public.orders")? {
            Selected::Table(table) => Relation::table(table),
            Selected::Query(query) => Ok(Relation::Query(query.to_owned())),
        }
    }
}
