//! The token service: roles.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use tidegate_model::{Error, ErrorKind, Reason, Result, Secret};

use super::metadata::read_token;
use super::{Credentials, CredentialsChain, Role};
use crate::aws::errors::{self, element};
use crate::aws::sign::sign;
use crate::http::answer::{self, RequestError};

/// The default name of a session.
pub(crate) const SESSION: &str = "tidegate";
const TITLE: &str = "AWS STS";

impl CredentialsChain {
    /// `AssumeRole`.
    ///
    /// Source: AWS docs, STS API reference, AssumeRole.
    pub(crate) async fn assume(&self, credentials: &Credentials, role: &Role) -> Result<Credentials> {
        let mut form =
            vec![("Action", "AssumeRole"), ("RoleArn", &role.arn), ("RoleSessionName", &role.session)];
        form.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        let mut request = self.request(&form);
        sign(&mut request, credentials, "sts", &self.region, self.clock.now())?;
        let denied = format!(
            "let the role's trust policy name who we are, with the external id in `external_id`; \
             and allow sts:AssumeRole on {} to it. `tidegate setup` prints both",
            role.arn
        );
        self.exchange(request, &credentials.secret, &denied).await
    }

    /// `AssumeRoleWithWebIdentity`, by the token in a file.
    ///
    /// Source: AWS docs, STS API reference, AssumeRoleWithWebIdentity.
    pub(crate) async fn web_identity(&self, role: &str, session: &str, file: &str) -> Result<Credentials> {
        let token = read_token(file).await?;
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", &token),
        ];
        let denied = format!("let the trust policy of {role} name the provider and the subject of the token");
        self.exchange(self.request(&form), &Secret::new(&*token), &denied).await
    }

    fn request(&self, members: &[(&str, &str)]) -> Request<Bytes> {
        let mut body = "Version=2011-06-15".to_owned();
        for (name, value) in members {
            body.push('&');
            body.push_str(name);
            body.push('=');
            encode(value, &mut body);
        }
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.sts.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        request
    }

    async fn exchange(&self, request: Request<Bytes>, secret: &Secret, denied: &str) -> Result<Credentials> {
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|failure| answer::lost(TITLE, &failure).into_error())?;
        if !answer.status().is_success() {
            let answer = answer::without(secret, answer);
            let missing = "correct `role_arn`: the role is not there";
            return Err(match errors::request_error(TITLE, &answer, missing, denied) {
                RequestError::NoEffect(error) if error.kind() == ErrorKind::Rejected => {
                    // No row is to blame for a role.
                    Error::new(ErrorKind::Settings, error.message())
                        .hint("correct `role_arn` and its settings")
                }
                RequestError::NoEffect(error) => error,
                RequestError::Unknown(Reason { message, .. }) => Error::new(ErrorKind::Unavailable, message),
            });
        }
        read_credentials(&answer)
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("{TITLE} answered without credentials")))
    }
}

fn read_credentials(answer: &Response<Bytes>) -> Option<Credentials> {
    let xml = std::str::from_utf8(answer.body()).ok()?;
    let inner = element(xml, "Credentials")?;
    Some(Credentials {
        id: element(inner, "AccessKeyId")?.to_owned(),
        secret: Secret::new(element(inner, "SecretAccessKey")?),
        token: Some(Secret::new(element(inner, "SessionToken")?)),
        expires: Some(element(inner, "Expiration")?.parse().ok()?),
    })
}

/// Percent-encodes everything that is not unreserved (RFC 3986).
fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
