//! The token that is exchanged: where another identity provider leaves it for this machine.
//!
//! Source: Google IAM docs, "Configure workload identity federation with other identity providers",
//! "Create a credential configuration".

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Response, Uri};
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{ConnectorContext, Error, ErrorKind, Secret};

use super::Environment;
use super::aws_identity::{AwsIdentity, ENVIRONMENT};
use super::call::Caller;

/// The part of a credential configuration that says where the token is.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct SourceFile {
    file: Option<PathBuf>,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    format: Format,
    environment_id: Option<String>,
    regional_cred_verification_url: Option<String>,
    executable: Option<Value>,
    certificate: Option<Value>,
}

/// How a token is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

/// Where a token is found.
pub struct Origin {
    token: SubjectToken,
    /// The member of a JSON object that holds it; absent for a token that stands alone.
    member: Option<String>,
}

/// Where it is, by the kind of the machine.
enum SubjectToken {
    /// A file, which its owner replaces from time to time.
    File(PathBuf),
    /// A server.
    Address(Uri, BTreeMap<String, String>),
    /// The identity of an AWS machine.
    Aws(Box<AwsIdentity>),
}

impl Origin {
    /// Reads where a token is that is meant for `audience`. Relative paths start at the project's folder.
    ///
    /// # Errors
    /// What is wrong with it, for the end of a sentence.
    pub fn read(
        source: SourceFile,
        audience: &str,
        environment: &Environment,
        context: &ConnectorContext,
    ) -> Result<Origin, String> {
        let unsupported = |what: &str| {
            format!(
                "`credential_source`: {what}; a `file`, a `url` and the identity of an AWS machine are supported"
            )
        };
        if let Some(name) = &source.environment_id {
            if name != ENVIRONMENT {
                return Err(unsupported("its `environment_id` is not known"));
            }
            let address = source.regional_cred_verification_url.as_deref();
            let identity = AwsIdentity::new(address, audience, environment.aws_region.clone(), context)?;
            return Ok(Origin { token: SubjectToken::Aws(Box::new(identity)), member: None });
        }
        if source.executable.is_some() {
            return Err(unsupported("a program is not started"));
        }
        if source.certificate.is_some() {
            return Err(unsupported("a client certificate is not supported"));
        }
        let token = match (source.file, source.url) {
            (Some(file), None) => SubjectToken::File(context.project.join(file)),
            (None, Some(url)) => SubjectToken::Address(near(&url)?, source.headers),
            _ => return Err(unsupported("expected either of them")),
        };
        let Format { kind, subject_token_field_name } = source.format;
        let member = match (kind.as_deref(), subject_token_field_name) {
            (None | Some("text"), _) => None,
            (Some("json"), Some(name)) => Some(name),
            (Some("json"), None) => {
                return Err("`credential_source.format`: `subject_token_field_name` is missing".to_owned());
            }
            (Some(_), _) => return Err("`credential_source.format`: expected `text` or `json`".to_owned()),
        };
        Ok(Origin { token, member })
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        match &self.token {
            SubjectToken::File(path) => path.display().to_string(),
            SubjectToken::Address(address, _) => address.host().unwrap_or_default().to_owned(),
            SubjectToken::Aws(identity) => identity.name(),
        }
    }

    /// Fetches the token as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if there is none at the moment.
    pub async fn token(&self, caller: &Caller) -> Result<Secret, Error> {
        let missing = |why: &str| {
            Error::new(
                ErrorKind::Unavailable,
                format!("no token of the identity provider: {}: {why}", self.name()),
            )
            .hint("`credential_source` says where the token is: compare it with what your platform provides")
        };
        let content = match &self.token {
            SubjectToken::Aws(identity) => return identity.token(caller).await,
            SubjectToken::File(path) => {
                let read = tokio::fs::read(path).await;
                Bytes::from(read.map_err(|cause| missing(&crate::network::plain(&cause.to_string())))?)
            }
            SubjectToken::Address(address, headers) => {
                let mut request = Request::get(address);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let request = request.body(Bytes::new()).map_err(|_| {
                    Error::settings("`credential_source`: a header has characters that no header has")
                })?;
                let refused = |answered: &Response<Bytes>| {
                    Some(missing(&format!("it answered {}", answered.status().as_u16())))
                };
                caller.send(request, None, refused).await?.into_body()
            }
        };
        let token = match &self.member {
            None => std::str::from_utf8(&content).ok().map(|text| text.trim().to_owned()),
            Some(name) => {
                let object: Value = serde_json::from_slice(&content).unwrap_or_default();
                object[name.as_str()].as_str().map(str::to_owned)
            }
        };
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        token.ok_or_else(|| match &self.member {
            Some(name) => missing(&format!("it has no `{name}`")),
            None => missing("it is empty"),
        })
    }
}

/// Tokens come over https, or from this machine. The address is one that a person chose, so the metadata of a cloud's
/// machine is none.
fn near(url: &str) -> Result<Uri, String> {
    let wrong = || "`credential_source.url`: expected an address that begins with https://".to_owned();
    let address: Uri = url.parse().map_err(|_| wrong())?;
    match clear_text::validate("url", &address, Proof::Credential) {
        Ok(()) => Ok(address),
        Err(_) => Err(wrong()),
    }
}
