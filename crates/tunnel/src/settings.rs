//! The settings of a tunnel.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use tidegate_model::Secret;

/// An SSH server that connects to the database, if this machine cannot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunnelSettings {
    /// Host name or address of the SSH server.
    #[schemars(extend("format" = "host", "examples" = ["bastion.example.com"]))]
    pub host: String,
    /// Port of the SSH server.
    #[serde(default = "default_port", deserialize_with = "tidegate_transport::settings::port")]
    pub port: u16,
    /// User of the SSH server. It needs no shell.
    pub user: String,
    /// Private key of that user, Ed25519 or ECDSA, as `tidegate secret generate-key NAME --ssh` and `ssh-keygen`
    /// make it.
    pub private_key: Secret,
    /// Passphrase of the private key, if it is encrypted.
    pub private_key_passphrase: Option<Secret>,
    /// Host key of the SSH server, as `ssh-keyscan` prints it: `ssh-ed25519 AAAA…`. A list while the server's key is
    /// changed. `tidegate check` prints the key if it is missing; nothing is read until it is set.
    #[serde(default)]
    pub host_key: HostKeys,
}

fn default_port() -> u16 {
    22
}

/// The host keys that an SSH server may have, one on a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeys(pub Vec<String>);

impl<'de> Deserialize<'de> for HostKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostKeys, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a host key such as `ssh-ed25519 AAAA…`, or a list of them")]
        enum Written {
            One(String),
            Many(Vec<String>),
        }
        Ok(HostKeys(match Written::deserialize(deserializer)? {
            Written::One(key) => vec![key],
            Written::Many(keys) => keys,
        }))
    }
}

impl JsonSchema for HostKeys {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostKeys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A host key such as `ssh-ed25519 AAAA…`, or a list of them.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}
