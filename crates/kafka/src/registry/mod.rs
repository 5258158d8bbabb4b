//! The schema registry: asked once for each schema, over the HTTP that we are handed.
//!
//! Source: Confluent docs, Schema Registry API reference, "Schemas" and "Subjects".

mod answer;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::de::DeserializeOwned;
use tidegate_model::address::encoded;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Http};

pub(crate) use self::settings::RegistrySettings;

use self::answer::{Reference, Schema};

/// The media types of the API, newest first.
const MEDIA: HeaderValue =
    HeaderValue::from_static("application/vnd.schemaregistry.v1+json, application/json;q=0.9");
/// How deep schemas may refer to schemas.
const DEPTH_MAX: usize = 32;
/// How many schemas one schema may need.
const REFERENCES_MAX: usize = 1_000;

/// What names a schema in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SchemaId {
    /// The number of the classic framing.
    Number(u32),
    /// The globally unique id of newer producers.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaId::Number(number) => write!(f, "{number}"),
            SchemaId::Guid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A schema with all that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub(crate) kind: String,
    /// Its text.
    pub(crate) text: String,
    /// What it needs, each before those that need it: name and text.
    pub(crate) references: Vec<(String, String)>,
}

/// The registry's client.
pub(crate) struct Registry {
    url: String,
    authorization: Option<HeaderValue>,
    http: Arc<dyn Http>,
}

/// Returns the one that is given of two words for the same setting; `None` if both are.
fn only<'s, T>(one: &'s Option<T>, other: &'s Option<T>) -> Option<Option<&'s T>> {
    match (one, other) {
        (Some(_), Some(_)) => None,
        (one, other) => Some(one.as_ref().or(other.as_ref())),
    }
}

impl Registry {
    /// Prepares the client; opens nothing.
    ///
    /// # Errors
    /// An address that is none, or credentials that contradict each other.
    pub(crate) fn new(settings: &RegistrySettings, http: Arc<dyn Http>) -> Result<Registry, Error> {
        let url = settings.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::settings("`registry.url` must start with https:// or http://"));
        }
        let two_words =
            || Error::settings("`registry` has two words for one credential: keep `username` or `api_key`");
        let key = settings.api_key.as_ref().map(|key| key.expose().to_owned());
        let user = only(&settings.username, &key).ok_or_else(two_words)?;
        let password = only(&settings.password, &settings.api_secret).ok_or_else(two_words)?;
        let proves = user.is_some() || password.is_some() || settings.token.is_some();
        let address = url.parse().map_err(|_| {
            Error::settings("`registry.url`: this is not an address")
                .hint("write for example `https://registry.example.com`")
        })?;
        if proves {
            clear_text::validate("registry.url", &address, Proof::Credential)?;
        }
        if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Error::settings("`registry.url` holds a user or a password")
                .hint("write them as `username` and `password`"));
        }
        let words = match (user, password, &settings.token) {
            (None, None, None) => None,
            (Some(user), Some(password), None) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
            }
            (None, None, Some(token)) => Some(format!("Bearer {}", token.expose())),
            _ => {
                return Err(Error::settings(
                    "`registry` needs `username` and `password`, or `token` alone, or none of them",
                ));
            }
        };
        let authorization = words
            .map(|words| {
                let mut value = HeaderValue::try_from(words).map_err(|_| {
                    Error::settings("`registry`: the credential has characters that HTTP does not carry")
                })?;
                value.set_sensitive(true);
                Ok::<_, Error>(value)
            })
            .transpose()?;
        Ok(Registry { url, authorization, http })
    }

    /// The schema of an id, with its references; `None` if the registry
    /// knows no such id. `subject` determines the context.
    ///
    /// # Errors
    /// The registry cannot be reached, denies access, or its response cannot be read.
    pub(crate) async fn schema(
        &self,
        id: SchemaId,
        subject: Option<&str>,
    ) -> Result<Option<Registered>, Error> {
        let path = match (id, subject) {
            (SchemaId::Number(number), Some(subject)) => {
                format!("/schemas/ids/{number}?subject={}", encoded(subject))
            }
            (SchemaId::Number(number), None) => format!("/schemas/ids/{number}"),
            (SchemaId::Guid(_), _) => format!("/schemas/guids/{id}"),
        };
        let Some(schema) = self.get::<Schema>(&path).await? else { return Ok(None) };
        let references = self.references(schema.references).await?;
        Ok(Some(Registered { kind: schema.kind, text: schema.schema, references }))
    }

    /// All that is referred to, directly or not, each before those that need it.
    ///
    /// What is not there is left out: the schema then does not compile, which
    /// concerns the messages that use it and no others.
    async fn references(&self, first: Vec<Reference>) -> Result<Vec<(String, String)>, Error> {
        enum Step {
            Fetch(Reference, usize),
            Done(String, String),
        }
        let mut seen: Vec<Reference> = Vec::new();
        let mut ready: Vec<(String, String)> = Vec::new();
        let mut steps: Vec<Step> =
            first.into_iter().rev().map(|reference| Step::Fetch(reference, 1)).collect();
        while let Some(step) = steps.pop() {
            let (reference, depth) = match step {
                Step::Done(name, text) => {
                    ready.push((name, text));
                    continue;
                }
                Step::Fetch(reference, depth) => (reference, depth),
            };
            if seen.contains(&reference) || depth > DEPTH_MAX || seen.len() >= REFERENCES_MAX {
                continue;
            }
            // A reference stays readable when its version was deleted softly.
            let path = format!(
                "/subjects/{}/versions/{}?deleted=true",
                encoded(&reference.subject),
                reference.version
            );
            if let Some(schema) = self.get::<Schema>(&path).await? {
                steps.push(Step::Done(reference.name.clone(), schema.schema));
                steps.extend(schema.references.into_iter().rev().map(|inner| Step::Fetch(inner, depth + 1)));
            }
            seen.push(reference);
        }
        Ok(ready)
    }

    /// Asks once; `None` if the registry says that it knows no such thing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let mut request = http::Request::get(format!("{}{path}", self.url)).header(ACCEPT, MEDIA);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Bytes::new())
            .map_err(|cause| Error::settings("`registry.url` is not an address").caused_by(cause))?;
        answer::read(&self.url, self.http.send(request).await)
    }
}
