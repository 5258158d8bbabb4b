//! Access tokens: those of a service account, by its key or by the Google machine that this runs on.
//!
//! Source: Google Identity docs, "Using OAuth 2.0 for Server to Server Applications"; Compute Engine
//! docs, "Access token from the metadata server".

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Clock, Error, ErrorKind, Http, OwnRequest, Secret};
use tidegate_transport::http::answer;
use tidegate_transport::http::retry_after::retry_at;
use tidegate_transport::jwt::RsaKey;
use tokio::sync::Mutex;

use super::client::VENDOR;
use super::settings::address;

/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// How long a token lasts, and the longest that may be asked for.
const LIFETIME_SECONDS: i64 = 3_600;
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_ADDRESS: &str = "https://oauth2.googleapis.com/token";
const SETTING: &str = "service_account_key";

/// Who asks.
enum Login {
    /// A service account with a key.
    Key(Box<ServiceAccount>),
    /// The service account of this machine; the address of its metadata server.
    Machine(String),
}

/// What the JSON file of a key says.
struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKey,
    token_address: String,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// Provides access tokens.
pub struct Auth {
    login: Login,
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
    /// Creates a provider of tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a key that is none.
    pub fn new(key: Option<&Secret>, http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Result<Auth, Error> {
        let login = match key {
            Some(key) => Login::Key(Box::new(service_account(key)?)),
            // What Google's own libraries read.
            None => Login::Machine(
                std::env::var("GCE_METADATA_HOST").unwrap_or_else(|_| "metadata.google.internal".to_owned()),
            ),
        };
        Ok(Auth { login, http, clock, current: Mutex::default() })
    }

    /// Returns the address of the service account, as roles name it.
    ///
    /// # Errors
    /// What keeps the metadata server from answering.
    pub async fn account(&self) -> Result<String, Error> {
        let host = match &self.login {
            Login::Key(account) => return Ok(account.email.clone()),
            Login::Machine(host) => host,
        };
        let answered = self.ask(machine(host, "email")?).await?;
        Ok(String::from_utf8_lossy(answered.body()).trim().to_owned())
    }

    /// Returns the address of the service account if the settings tell it.
    pub fn known_account(&self) -> Option<&str> {
        match &self.login {
            Login::Key(account) => Some(&account.email),
            Login::Machine(_) => None,
        }
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the service account is refused, or what keeps Google from answering.
    pub async fn token(&self) -> Result<Secret, Error> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(current) = &*current
            && now.saturating_add(MARGIN).is_ok_and(|soon| soon < current.until)
        {
            return Ok(current.token.clone());
        }
        let request = match &self.login {
            Login::Key(account) => account.request(now)?,
            Login::Machine(host) => machine(host, "token")?,
        };
        let answered = self.ask(request).await?;
        let granted: Granted = serde_json::from_slice(answered.body())
            .map_err(|_| answer::unreadable("Google", &answered).into_error())?;
        let lifetime = SignedDuration::from_secs(granted.expires_in.unwrap_or(LIFETIME_SECONDS).max(1));
        let until = now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
        let token = Secret::new(granted.access_token);
        *current = Some(Current { token: token.clone(), until });
        Ok(token)
    }

    /// Forgets a token that was refused.
    pub async fn forget(&self, refused: &Secret) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.token == *refused) {
            *current = None;
        }
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answered = self.http.send(request).await.map_err(|failure| {
            let error = answer::lost(&host, &failure).into_error();
            match &self.login {
                Login::Machine(_) => error.hint(
                    "set `service_account_key`, or run this on a Google machine that has a service account",
                ),
                Login::Key(_) => error,
            }
        })?;
        if answered.status().is_success() {
            return Ok(answered);
        }
        Err(self.refusal(&answered))
    }

    /// 400 is what Google answers for a key that does not count.
    fn refusal(&self, answered: &Response<Bytes>) -> Error {
        let account = match &self.login {
            Login::Key(account) if matches!(answered.status().as_u16(), 400 | 401 | 403) => account,
            _ => {
                let until = retry_at(answered.headers(), self.clock.now());
                return answer::request_error("Google", answered, until).into_error();
            }
        };
        let body: serde_json::Value = serde_json::from_slice(answered.body()).unwrap_or_default();
        let said = body["error_description"].as_str().unwrap_or_default();
        let said = answer::excerpt(json!(said).to_string().as_bytes());
        let hint = match () {
            () if said.contains("account not found") => {
                "the service account was deleted: make another one and a key for it"
            }
            () if said.contains("timeframe") => {
                "set the clock of this machine: a token counts for an hour from now on"
            }
            () => {
                "the key was deleted or disabled: make a new one, IAM > Service accounts > Keys, and set `service_account_key`"
            }
        };
        Error::new(ErrorKind::Denied, format!("Google refuses the key of {}: {said}", account.email))
            .hint(hint)
    }
}

impl ServiceAccount {
    fn request(&self, now: Timestamp) -> Result<Request<Bytes>, Error> {
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_address,
            "iat": now.as_second(),
            "exp": now.as_second() + LIFETIME_SECONDS,
        });
        let assertion = self.key.token(self.key_id.as_deref(), &claims)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", assertion.expose())
            .finish();
        Request::post(&self.token_address)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|cause| {
                Error::settings(format!("`{SETTING}`: `token_uri` is no address")).caused_by(cause)
            })
    }
}

fn machine(host: &str, what: &str) -> Result<Request<Bytes>, Error> {
    let path = "computeMetadata/v1/instance/service-accounts/default";
    Request::get(format!("http://{host}/{path}/{what}"))
        .extension(OwnRequest::Credentials)
        .header("metadata-flavor", "Google")
        .body(Bytes::new())
        .map_err(|cause| Error::settings("the variable GCE_METADATA_HOST names no host").caused_by(cause))
}

fn service_account(key: &Secret) -> Result<ServiceAccount, Error> {
    let wrong = |what: &str| {
        Error::settings(format!("`{SETTING}`: {what}"))
            .hint("give the whole JSON file that Google made for the key, for example { file: key.json }")
    };
    let file: KeyFile = serde_json::from_str(key.expose())
        .map_err(|_| wrong("expected the JSON of a service account's key"))?;
    if file.kind != "service_account" {
        return Err(wrong("expected a key whose `type` is `service_account`"));
    }
    let is_email = file.client_email.contains('@') && !file.client_email.contains(char::is_whitespace);
    if !is_email {
        return Err(wrong("its `client_email` is missing"));
    }
    let token_address = file.token_uri.unwrap_or_else(|| TOKEN_ADDRESS.to_owned());
    let named = format!("{SETTING}: token_uri");
    clear_text::validate(&named, &address(&named, &token_address)?, Proof::Credential)?;
    Ok(ServiceAccount {
        email: file.client_email,
        key_id: file.private_key_id.filter(|id| !id.is_empty()),
        key: RsaKey::from_pem(&file.private_key, SETTING)?,
        token_address,
    })
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({VENDOR})")
    }
}

/// Returns the address of the service account that a key is of; `None` if it is no key.
pub fn account_of(key: &Secret) -> Option<String> {
    let file: KeyFile = serde_json::from_str(key.expose()).ok()?;
    Some(file.client_email).filter(|email| email.contains('@'))
}
