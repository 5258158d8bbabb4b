//! Bearer tokens for OAUTHBEARER.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use tidegate_model::address::encoded;
use tidegate_model::{Clock, Error, ErrorKind, Http, Secret};
use tokio::runtime::Handle;

use crate::settings::{Oidc, Sasl};

/// How long a token counts that does not say when it ends.
const UNSAID: Duration = Duration::from_secs(3_600);

/// Gives the client library a token whenever it asks for one.
pub(crate) struct Tokens {
    origin: Origin,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

enum Origin {
    Given(Secret),
    Asked(Oidc),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<i64>,
    sub: Option<String>,
}

impl Tokens {
    /// Where the tokens of a login come from; none for other mechanisms.
    pub(crate) fn of(sasl: &Sasl, http: &Arc<dyn Http>, clock: &Arc<dyn Clock>) -> Option<Tokens> {
        let origin = match (&sasl.token, &sasl.oidc) {
            (Some(token), _) => Origin::Given(token.clone()),
            (None, Some(oidc)) => Origin::Asked(oidc.clone()),
            (None, None) => return None,
        };
        Some(Tokens { origin, http: Arc::clone(http), clock: Arc::clone(clock) })
    }

    /// A token that counts now. Blocks while the provider is asked, so it must
    /// not be called on a thread of the runtime.
    ///
    /// # Errors
    /// The provider does not respond, or denies the token.
    pub(crate) fn token(&self, runtime: &Handle) -> Result<OAuthToken, Error> {
        let (token, expires_in) = match &self.origin {
            Origin::Given(token) => (token.expose().to_owned(), None),
            Origin::Asked(oidc) => {
                let answer = runtime.block_on(self.ask(oidc))?;
                (answer.access_token, answer.expires_in)
            }
        };
        let claims = claims(&token);
        let after =
            |span: u64| self.clock.now().as_second().saturating_add(i64::try_from(span).unwrap_or(i64::MAX));
        let ends = claims.exp.unwrap_or_else(|| after(expires_in.unwrap_or(UNSAID.as_secs())));
        Ok(OAuthToken {
            token,
            principal_name: claims
                .sub
                .filter(|name| !name.contains('\0'))
                .unwrap_or_else(|| "tidegate".to_owned()),
            lifetime_ms: ends.saturating_mul(1_000),
        })
    }

    async fn ask(&self, oidc: &Oidc) -> Result<Answer, Error> {
        let url = &oidc.url;
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &oidc.scope {
            body.push_str(&format!("&scope={}", encoded(scope)));
        }
        let credentials = format!("{}:{}", encoded(&oidc.client_id), encoded(oidc.client_secret.expose()));
        let request = Request::post(url)
            .header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(body))
            .map_err(|_| Error::settings(format!("`sasl.oidc.url`: {url} is not an address")))?;
        let answer = self.http.send(request).await.map_err(|failure| {
            let gave = format!("{url} gave no token");
            match failure.untrusted() {
                Some(untrusted) => untrusted.context(gave),
                None => Error::new(ErrorKind::Unavailable, format!("{gave}: {}", failure.why())),
            }
        })?;
        if !answer.status().is_success() {
            let kind = match answer.status().as_u16() {
                400 | 401 | 403 => ErrorKind::Denied,
                404 => ErrorKind::Settings,
                _ => ErrorKind::Unavailable,
            };
            return Err(Error::new(kind, format!("{url} gave no token: status {}", answer.status()))
                .hint("correct `client_id`, `client_secret` and `scope`"));
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            Error::new(ErrorKind::Unexpected, format!("{url} answered without an `access_token`"))
        })
    }
}

/// The claims of a token, if it is a JWT. It is not verified: the brokers do that.
fn claims(token: &str) -> Claims {
    let middle = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    middle.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_says_when_it_ends_is_believed() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"sub":"reader","exp":1800000000}"#);
        let claims = claims(&format!("e30.{payload}.sig"));
        assert_eq!((claims.sub.as_deref(), claims.exp), (Some("reader"), Some(1_800_000_000)));
        assert_eq!(super::claims("opaque").exp, None);
    }

    #[test]
    fn credentials_are_encoded_before_they_are_joined() {
        assert_eq!(encoded("a:b c/é").to_string(), "a%3Ab%20c%2F%C3%A9");
    }
}
