//! What a person types in to reach a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Secret};

use crate::names::Names;
use crate::registry::RegistrySettings;

/// A Kafka cluster, or one on Confluent Cloud.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSettings {
    /// Bootstrap servers, for example `broker-1.example.com:9092, broker-2.example.com:9092`; a list or one text.
    pub(crate) brokers: Names,
    /// How the brokers are spoken to. Default: `sasl_ssl` with `sasl` or `api_key`, else `ssl`; `plaintext` for brokers on this machine and for names without a dot.
    pub(crate) security: Option<Security>,
    /// How to log in.
    pub(crate) sasl: Option<Sasl>,
    /// Confluent Cloud: the API key. Short for SASL PLAIN over TLS.
    pub(crate) api_key: Option<Secret>,
    /// Confluent Cloud: the secret of the API key.
    pub(crate) api_secret: Option<Secret>,
    /// Certificates, where those of the machine are not enough.
    pub(crate) tls: Option<Tls>,
    /// The schema registry, for messages that carry the id of a schema.
    pub(crate) registry: Option<RegistrySettings>,
    /// Settings of the client library by their own names, for example `session.timeout.ms`.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Property>,
}

/// How the brokers are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Security {
    /// Neither encrypted nor logged in.
    Plaintext,
    /// Encrypted; a client certificate is optional.
    Ssl,
    /// Logged in, not encrypted.
    SaslPlaintext,
    /// Logged in and encrypted.
    SaslSsl,
}

impl Security {
    /// The word of the client library.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Security::Plaintext => "plaintext",
            Security::Ssl => "ssl",
            Security::SaslPlaintext => "sasl_plaintext",
            Security::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether a login is used.
    pub(crate) fn logs_in(self) -> bool {
        matches!(self, Security::SaslPlaintext | Security::SaslSsl)
    }
}

/// How to log in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sasl {
    /// The mechanism that the brokers ask for.
    pub(crate) mechanism: Mechanism,
    /// User, for `plain` and `scram_…`.
    pub(crate) username: Option<String>,
    /// Password, for `plain` and `scram_…`.
    pub(crate) password: Option<Secret>,
    /// A token that is renewed by others, for `oauthbearer`.
    pub(crate) token: Option<Secret>,
    /// Where tokens are asked for with client credentials, for `oauthbearer`.
    pub(crate) oidc: Option<Oidc>,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mechanism {
    /// User and password as they are; only over TLS.
    Plain,
    /// Salted and hashed, SHA-256.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// Salted and hashed, SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
    /// A bearer token.
    Oauthbearer,
}

impl Mechanism {
    /// The word of the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::Oauthbearer => "OAUTHBEARER",
        }
    }
}

/// Client credentials at an identity provider (OAuth 2.0, RFC 6749 section 4.4).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oidc {
    /// The provider's token endpoint, for example `https://login.example.com/oauth2/token`.
    #[schemars(extend("format" = "url"))]
    pub(crate) url: String,
    /// The client.
    pub(crate) client_id: String,
    /// The client's secret.
    pub(crate) client_secret: Secret,
    /// The scope to ask for.
    pub(crate) scope: Option<String>,
    /// PEM file with the authority that signed the provider's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Certificates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// File with the authorities to trust (PEM). Default: those of the machine.
    pub(crate) ca: Option<PathBuf>,
    /// File with our own certificate (PEM), if the brokers ask for one.
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key (PEM), best as `{ file: client.key }`.
    pub(crate) key: Option<Secret>,
    /// The password of the private key.
    pub(crate) key_password: Option<Secret>,
}

/// A setting of the client library.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Property {
    /// On or off.
    Switch(bool),
    /// A number.
    Number(i64),
    /// A word.
    Text(String),
}

impl Property {
    /// As the client library takes it.
    pub(crate) fn text(&self) -> String {
        match self {
            Property::Switch(on) => on.to_string(),
            Property::Number(number) => number.to_string(),
            Property::Text(text) => text.clone(),
        }
    }
}

impl KafkaSettings {
    /// How the brokers are spoken to, said or derived.
    pub(crate) fn security(&self) -> Security {
        let near = |broker: &String| {
            let host = host_of(broker);
            clear_text::is_loopback(host) || !host.contains('.')
        };
        self.security.unwrap_or(match (self.sasl.is_some() || self.api_key.is_some(), &self.tls) {
            (true, _) => Security::SaslSsl,
            (false, None) if self.brokers.0.iter().all(near) => Security::Plaintext,
            (false, _) => Security::Ssl,
        })
    }

    /// How to log in: `sasl`, or what an API key stands for.
    ///
    /// # Errors
    /// Settings that do not fit together.
    pub(crate) fn login(&self) -> Result<Option<Sasl>, Error> {
        let sasl = match (&self.sasl, &self.api_key, &self.api_secret) {
            (Some(_), Some(_), _) => {
                return Err(Error::settings("`sasl` and `api_key`: only one of them says how to log in"));
            }
            (_, Some(_), None) => return Err(Error::settings("`api_secret`: missing beside `api_key`")),
            (_, None, Some(_)) => return Err(Error::settings("`api_key`: missing beside `api_secret`")),
            (sasl, None, None) => sasl.clone(),
            (None, Some(key), Some(secret)) => Some(Sasl {
                mechanism: Mechanism::Plain,
                username: Some(key.expose().to_owned()),
                password: Some(secret.clone()),
                token: None,
                oidc: None,
            }),
        };
        match (&sasl, self.security()) {
            (None, security) if security.logs_in() => {
                return Err(Error::settings(format!(
                    "`sasl`: missing, but `security` is {}",
                    security.name()
                )));
            }
            (Some(_), security) if !security.logs_in() => {
                return Err(Error::settings(format!(
                    "`security`: {} does not use a login; use sasl_ssl",
                    security.name()
                )));
            }
            _ => {}
        }
        if let Some(sasl) = &sasl {
            sasl.check()?;
            let readable = matches!(sasl.mechanism, Mechanism::Plain | Mechanism::Oauthbearer);
            let away = |broker: &String| !clear_text::is_loopback(host_of(broker));
            if readable && self.security() == Security::SaslPlaintext && self.brokers.0.iter().any(away) {
                return Err(Error::settings(format!(
                    "`security`: with sasl_plaintext the credentials of {} would travel unencrypted",
                    sasl.mechanism.name()
                ))
                .hint("write sasl_ssl, or log in by SCRAM"));
            }
        }
        self.check_bytes()?;
        Ok(sasl)
    }

    /// The library takes texts that end with a zero byte, so none can hold one.
    fn check_bytes(&self) -> Result<(), Error> {
        let sasl = self.sasl.as_ref();
        let hidden = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let all = [
            ("api_key", hidden(&self.api_key)),
            ("api_secret", hidden(&self.api_secret)),
            ("sasl.username", sasl.and_then(|sasl| sasl.username.clone())),
            ("sasl.password", sasl.and_then(|sasl| hidden(&sasl.password))),
            ("sasl.token", sasl.and_then(|sasl| hidden(&sasl.token))),
            ("tls.key", self.tls.as_ref().and_then(|tls| hidden(&tls.key))),
            ("tls.key_password", self.tls.as_ref().and_then(|tls| hidden(&tls.key_password))),
        ];
        match all.iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.contains('\0'))) {
            Some((name, _)) => Err(Error::settings(format!("`{name}`: holds a zero byte"))),
            None => Ok(()),
        }
    }

    /// Who is logged in, as access rules name it.
    pub(crate) fn principal(&self) -> Option<&str> {
        let sasl = self.sasl.as_ref();
        let user = sasl.and_then(|sasl| sasl.username.as_deref());
        let client = sasl.and_then(|sasl| sasl.oidc.as_ref()).map(|oidc| oidc.client_id.as_str());
        user.or(client).filter(|name| !name.is_empty())
    }
}

/// Returns the host of `host:port`.
fn host_of(broker: &str) -> &str {
    broker.rsplit_once(':').map_or(broker, |(host, _)| host)
}

impl Sasl {
    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::settings(format!("`sasl`: {} {what}", self.mechanism.name())));
        match self.mechanism {
            Mechanism::Oauthbearer => match (&self.token, &self.oidc) {
                (Some(_), Some(_)) => wrong("takes `token` or `oidc`, not both"),
                (None, None) => wrong("needs `token` or `oidc`"),
                (None, Some(oidc)) => {
                    let address = oidc.url.parse().map_err(|_| {
                        Error::settings("`sasl.oidc.url`: this is not an address")
                            .hint("write for example `https://login.example.com/oauth2/token`")
                    })?;
                    clear_text::validate("sasl.oidc.url", &address, Proof::Credential)
                }
                (Some(_), None) => Ok(()),
            },
            _ if self.username.as_deref().is_none_or(str::is_empty) => wrong("needs `username`"),
            _ if self.password.is_none() => wrong("needs `password`"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_elsewhere_are_spoken_to_over_tls_unless_the_file_says_otherwise() {
        let security = |brokers: &str, more: serde_json::Value| {
            let mut members = serde_json::json!({ "brokers": brokers });
            members.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
            let settings: KafkaSettings = serde_json::from_value(members).expect("settings");
            settings.security()
        };
        let none = || serde_json::json!({});
        assert_eq!(security("kafka-1.example.com:9092", none()), Security::Ssl);
        assert_eq!(security("kafka:9092, 10.0.0.7:9092", none()), Security::Ssl);
        for near in ["localhost:9092", "127.0.0.1:9092,[::1]:9092", "kafka:9092"] {
            assert_eq!(security(near, none()), Security::Plaintext, "{near}");
        }
        let said = serde_json::json!({ "security": "plaintext" });
        assert_eq!(security("kafka-1.example.com:9092", said), Security::Plaintext);
    }
}
