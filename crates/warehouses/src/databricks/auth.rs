//! Access tokens: a personal one, or those of a service principal, which last an hour.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tidegate_model::{Clock, Error, ErrorKind, Http, Secret};
use tidegate_transport::http::answer;
use tidegate_transport::http::retry_after::retry_at;
use tokio::sync::Mutex;

use super::client::VENDOR;
use super::settings::Login;

/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// How long a token lasts that does not say so. Source: Databricks docs, "Authorize service
/// principal access with OAuth".
const LIFETIME_SECONDS: i64 = 3_600;

/// Provides access tokens.
pub struct Auth {
    login: Login,
    address: String,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Current>>,
}

struct Current {
    token: Secret,
    until: Timestamp,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<i64>,
}

impl Auth {
    /// Creates a provider of tokens for the workspace at `base`.
    pub fn new(login: Login, base: &str, http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Auth {
        Auth { login, address: format!("{base}/oidc/v1/token"), http, clock, current: Mutex::default() }
    }

    /// Returns whether tokens are those of a service principal.
    pub fn is_principal(&self) -> bool {
        matches!(self.login, Login::Principal { .. })
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the service principal is refused, or what keeps the workspace
    /// from answering.
    pub async fn token(&self) -> Result<Secret, Error> {
        let (id, secret) = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::Principal { id, secret } => (id, secret),
        };
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(current) = &*current
            && now.saturating_add(MARGIN).is_ok_and(|soon| soon < current.until)
        {
            return Ok(current.token.clone());
        }
        let granted = self.ask(id, secret).await?;
        let lifetime = SignedDuration::from_secs(granted.expires_in.unwrap_or(LIFETIME_SECONDS).max(1));
        let until = now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
        let token = Secret::new(granted.access_token);
        *current = Some(Current { token: token.clone(), until });
        Ok(token)
    }

    /// Forgets a token that the workspace refused. Returns whether another one can be had.
    pub async fn forget(&self, refused: &Secret) -> bool {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.token == *refused) {
            *current = None;
        }
        self.is_principal()
    }

    async fn ask(&self, id: &str, secret: &Secret) -> Result<Granted, Error> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", "all-apis")
            .finish();
        let basic = Bytes::from(format!("{id}:{}", secret.expose()));
        let mut authorization =
            HeaderValue::try_from(format!("Basic {}", tidegate_model::json::base64(&basic)))
                .map_err(|_| Error::settings("`client_id` or `client_secret` cannot be sent"))?;
        authorization.set_sensitive(true);
        let request = Request::post(&self.address)
            .header(http::header::AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|cause| Error::settings("`host` makes no address").caused_by(cause))?;
        let answered =
            self.http.send(request).await.map_err(|failure| answer::lost(VENDOR, &failure).into_error())?;
        let answered = answer::without(secret, answered);
        if answered.status().is_success() {
            return serde_json::from_slice(answered.body())
                .map_err(|_| answer::unreadable(VENDOR, &answered).into_error());
        }
        Err(refusal(&answered, self.clock.now()))
    }
}

/// 400 and 401 are what OAuth answers for a wrong client. Source: RFC 6749, 5.2.
fn refusal(answered: &Response<Bytes>, now: Timestamp) -> Error {
    match answered.status().as_u16() {
        400 | 401 | 403 => Error::new(
            ErrorKind::Denied,
            format!("{VENDOR} refuses the service principal: {}", answer::excerpt(answered.body())),
        )
        .hint(
            "compare `client_id` with the application id of the service principal, and make a new \
             OAuth secret for it; it has to belong to this workspace",
        ),
        _ => answer::request_error(VENDOR, answered, retry_at(answered.headers(), now)).into_error(),
    }
}
