//! Access tokens of OAuth 2.0: granted to a client, and kept until shortly before they end.
//!
//! Source: RFC 6749.

use std::future::Future;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::{Clock, Error, Http, Secret};

use crate::http::answer::{self, excerpt};
use crate::http::retry_after::retry_at;

/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// How long a token lasts that does not say so.
const LIFETIME_SECONDS: i64 = 3_600;

/// A token, and when it ends.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub token: Secret,
    /// When it ends.
    pub until: Timestamp,
    /// What takes the place of the refresh token that it was granted for.
    pub refresh: Option<Secret>,
}

/// Source: RFC 6749, 5.1. Some servers write the number as a text.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(i64),
    Text(String),
}

impl Granted {
    /// Reads the answer of a token endpoint; `vendor` starts the sentence of an error.
    ///
    /// # Errors
    /// If it has not the documented form.
    pub fn read(answered: &Response<Bytes>, now: Timestamp, vendor: &str) -> Result<Granted, Error> {
        let granted: Answer = serde_json::from_slice(answered.body())
            .map_err(|_| answer::unreadable(vendor, answered).into_error())?;
        let seconds = match granted.expires_in {
            Some(Seconds::Number(seconds)) => Some(seconds),
            Some(Seconds::Text(text)) => text.trim().parse().ok(),
            None => None,
        };
        let lifetime = SignedDuration::from_secs(seconds.unwrap_or(LIFETIME_SECONDS).max(1));
        Ok(Granted {
            token: Secret::new(granted.access_token),
            until: now.saturating_add(lifetime).unwrap_or(Timestamp::MAX),
            refresh: granted.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
        })
    }
}

/// The token that counts now.
#[derive(Default)]
pub struct KeptToken(tokio::sync::Mutex<Option<Granted>>);

impl KeptToken {
    /// Returns the token that is kept; that of `renewed` if it ends soon. One request at a time renews it.
    ///
    /// # Errors
    /// Those of `renewed`.
    pub async fn token(
        &self,
        now: Timestamp,
        renewed: impl Future<Output = Result<Granted, Error>>,
    ) -> Result<Secret, Error> {
        let mut kept = self.0.lock().await;
        if let Some(granted) = &*kept
            && now.saturating_add(MARGIN).is_ok_and(|soon| soon < granted.until)
        {
            return Ok(granted.token.clone());
        }
        let granted = renewed.await?;
        let token = granted.token.clone();
        *kept = Some(granted);
        Ok(token)
    }

    /// Forgets a token that was refused.
    pub async fn forget(&self, refused: &Secret) {
        let mut kept = self.0.lock().await;
        if kept.as_ref().is_some_and(|granted| granted.token == *refused) {
            *kept = None;
        }
    }
}

/// A client with a secret, as an authorization server knows it.
pub struct OAuthClient {
    /// The address of the token endpoint.
    pub address: String,
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
    /// The scope that is asked for.
    pub scope: Option<String>,
    /// The refresh token of a user; without one the client asks for itself.
    refresh: Mutex<Option<Secret>>,
}

impl OAuthClient {
    /// Creates a client that asks for a user, by the user's refresh token, or for itself.
    pub fn new(
        address: String,
        id: String,
        secret: Secret,
        scope: Option<String>,
        refresh: Option<Secret>,
    ) -> OAuthClient {
        OAuthClient { address, id, secret, scope, refresh: Mutex::new(refresh) }
    }

    /// Returns the host of the token endpoint.
    pub fn host(&self) -> String {
        let address = self.address.parse::<http::Uri>();
        address.ok().and_then(|address| address.host().map(str::to_owned)).unwrap_or_default()
    }

    /// Asks for a token. `vendor` starts the sentences of errors.
    ///
    /// # Errors
    /// What `refused` makes of a refusal, given its code and its sentence, or what keeps the server from answering.
    pub async fn granted(
        &self,
        http: &dyn Http,
        clock: &dyn Clock,
        vendor: &str,
        refused: impl FnOnce(&str, &str) -> Error,
    ) -> Result<Granted, Error> {
        let refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = self.request(refresh.as_ref())?;
        let sent = http.send(request).await;
        let mut answered = sent.map_err(|failure| answer::lost(vendor, &failure).into_error())?;
        let now = clock.now();
        if answered.status().is_success() {
            let granted = Granted::read(&answered, now, vendor)?;
            if granted.refresh.is_some() {
                *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = granted.refresh.clone();
            }
            return Ok(granted);
        }
        for secret in refresh.iter().chain([&self.secret]) {
            answered = answer::without(secret, answered);
        }
        Err(match refusal(&answered) {
            Some((code, said)) => refused(&code, &said),
            None => answer::request_error(vendor, &answered, retry_at(answered.headers(), now)).into_error(),
        })
    }

    fn request(&self, refresh: Option<&Secret>) -> Result<Request<Bytes>, Error> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        match refresh {
            Some(token) => {
                form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose())
            }
            None => form.append_pair("grant_type", "client_credentials"),
        };
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        let basic = Bytes::from(format!("{}:{}", self.id, self.secret.expose()));
        let mut authorization =
            HeaderValue::try_from(format!("Basic {}", tidegate_model::json::base64(&basic)))
                .map_err(|_| Error::settings("`client_id` or `client_secret` cannot be sent"))?;
        authorization.set_sensitive(true);
        Request::post(&self.address)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(form.finish()))
            .map_err(|cause| Error::settings("the token endpoint is not an address").caused_by(cause))
    }
}

/// Returns what a token endpoint says of a request that it refuses: its code and its sentence.
///
/// Source: RFC 6749, 5.2.
pub fn refusal(answered: &Response<Bytes>) -> Option<(String, String)> {
    if !matches!(answered.status().as_u16(), 400 | 401 | 403) {
        return None;
    }
    let body: Value = serde_json::from_slice(answered.body()).unwrap_or_default();
    let code = body["error"].as_str().unwrap_or_default();
    let said = [&body["error_description"], &body["error"]["message"], &body["message"]];
    let said = said.into_iter().find_map(Value::as_str);
    let said = match said.unwrap_or(code) {
        "" => excerpt(answered.body()),
        said => excerpt(Value::from(said).to_string().as_bytes()),
    };
    Some((code.to_owned(), said))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_model::ErrorKind;
    use tidegate_testkit::ManualClock;
    use tidegate_testkit::http::Canned;

    use super::*;

    fn client(refresh: Option<&str>) -> OAuthClient {
        let secret = Secret::new("f00d-4-client-secret");
        OAuthClient::new("https://idp.test/token".into(), "id".into(), secret, None, refresh.map(Secret::new))
    }

    async fn asked(client: &OAuthClient, http: &Canned) -> Result<Granted, Error> {
        let refused = |code: &str, said: &str| Error::new(ErrorKind::Denied, format!("{code}: {said}"));
        client.granted(http, &ManualClock::default(), "Idp", refused).await
    }

    #[tokio::test]
    async fn a_refresh_token_that_is_replaced_is_not_used_again() {
        let answer = |token: &str| Ok((200, token.to_owned()));
        let http = Canned::new([
            answer(r#"{"access_token":"a","expires_in":"600","refresh_token":"second"}"#),
            answer(r#"{"access_token":"b"}"#),
        ]);
        let client = client(Some("first"));
        let clock = ManualClock::default();
        let granted = asked(&client, &http).await.unwrap();
        assert_eq!(granted.until.as_second() - clock.now().as_second(), 600);
        assert_eq!(asked(&client, &http).await.unwrap().token.expose(), "b");
        let bodies: Vec<String> = http
            .requests()
            .iter()
            .map(|request| String::from_utf8_lossy(request.body()).into_owned())
            .collect();
        assert_eq!(
            bodies,
            ["first", "second"].map(|token| format!("grant_type=refresh_token&refresh_token={token}"))
        );
    }

    #[tokio::test]
    async fn a_refusal_is_told_without_the_secret_and_a_busy_server_is_asked_later() {
        let said = json!({ "error": "invalid_client", "error_description": "no f00d-4-client-secret here" });
        let http = Canned::new([Ok((401, said.to_string())), Ok((503, String::new()))]);
        let client = client(None);
        assert_eq!(asked(&client, &http).await.unwrap_err().message(), "invalid_client: no … here");
        assert_eq!(asked(&client, &http).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
