//! Tokens: those that a key pair signs, which last an hour, and tokens that were given.

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::{Error, Secret};
use tidegate_transport::rsa;
use tokio::sync::Mutex;

use super::settings::{Login, SnowflakeSettings};

/// How long a token lasts. Source: Snowflake docs, SQL API, "Authenticating to the server": an hour at
/// most, whatever it says itself.
const LIFETIME: SignedDuration = SignedDuration::from_mins(59);
/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// A token begins this long ago, so that it counts where clocks are slow.
const EARLIER: SignedDuration = SignedDuration::from_secs(30);

/// Provides tokens.
pub struct Auth {
    login: Login,
    account: String,
    current: Mutex<Option<(Secret, Timestamp)>>,
}

impl Auth {
    /// Creates a provider of tokens.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a key that cannot be read.
    pub fn new(settings: &SnowflakeSettings) -> Result<Auth, Error> {
        let account = settings.claimed_account();
        Ok(Auth { login: settings.login()?, account, current: Mutex::default() })
    }

    /// Returns how Snowflake calls this type of token.
    pub fn kind(&self) -> HeaderValue {
        HeaderValue::from_static(match self.login {
            Login::KeyPair { .. } => "KEYPAIR_JWT",
            Login::Token(_) => "PROGRAMMATIC_ACCESS_TOKEN",
            Login::OAuth(_) => "OAUTH",
        })
    }

    /// Returns what to do if a token is refused.
    pub fn remedy(&self) -> String {
        match &self.login {
            Login::KeyPair { user, key } => format!(
                "compare `account` and `user`, and the clock of this machine; to accept the key, run: {}",
                accepting(user, &rsa::public(key))
            ),
            Login::Token(_) => {
                "the programmatic access token is wrong, ended or disabled: make a new one and set \
                                `token`, or use a key pair"
                    .to_owned()
            }
            Login::OAuth(_) => {
                "the OAuth token is wrong or has ended: get a new one and set `oauth_token`, or use \
                                a key pair"
                    .to_owned()
            }
        }
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Internal`] if signing fails.
    pub async fn token(&self, now: Timestamp) -> Result<Secret, Error> {
        let (user, key) = match &self.login {
            Login::Token(token) | Login::OAuth(token) => return Ok(token.clone()),
            Login::KeyPair { user, key } => (user, key),
        };
        let mut current = self.current.lock().await;
        if let Some((token, until)) = &*current
            && now.saturating_add(MARGIN).is_ok_and(|soon| soon < *until)
        {
            return Ok(token.clone());
        }
        let subject = format!("{}.{user}", self.account);
        let from = now.saturating_sub(EARLIER).unwrap_or(now);
        let until = from.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let claims = json!({
            "iss": format!("{subject}.SHA256:{}", rsa::fingerprint(key)),
            "sub": subject,
            "iat": from.as_second(),
            "exp": until.as_second(),
        });
        let token = key.token(None, &claims)?;
        *current = Some((token.clone(), until));
        Ok(token)
    }

    /// Forgets a token that was refused. Returns whether another one can be had.
    pub async fn forget(&self, refused: &Secret) -> bool {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|(token, _)| token == refused) {
            *current = None;
        }
        matches!(self.login, Login::KeyPair { .. })
    }
}

/// Returns the statement that makes a user accept a key.
pub fn accepting(user: &str, public: &str) -> String {
    format!("ALTER USER {} SET RSA_PUBLIC_KEY = '{public}';", tidegate_transport::sql::quote(user))
}
