//! Where the schema registry is and who we are to it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Secret;

/// A Confluent Schema Registry, or what speaks like one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrySettings {
    /// Its address, such as `https://psrc-1234.eu-central-1.aws.confluent.cloud`.
    #[schemars(extend("format" = "url"))]
    pub(crate) url: String,
    /// The name of the user at the registry.
    #[serde(default)]
    pub(crate) username: Option<String>,
    /// The password of the user at the registry.
    #[serde(default)]
    pub(crate) password: Option<Secret>,
    /// Confluent Cloud: the API key of the registry. Another word for `username`.
    #[serde(default)]
    pub(crate) api_key: Option<Secret>,
    /// Confluent Cloud: the secret of the API key. Another word for `password`.
    #[serde(default)]
    pub(crate) api_secret: Option<Secret>,
    /// A bearer token, instead of user name and password.
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    /// PEM file with the authority that signed the registry's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
}
