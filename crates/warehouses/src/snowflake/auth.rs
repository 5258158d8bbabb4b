//! Tokens: those that a key pair signs, which last an hour, those of an OAuth client, and tokens that were given.

use std::sync::Arc;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::{Clock, Error, ErrorKind, Http, Secret};
use tidegate_transport::jwt::RsaKey;
use tidegate_transport::oauth::{Granted, KeptToken, OAuthClient};
use tidegate_transport::rsa;

use super::settings::{Login, SnowflakeSettings};

/// How long a token lasts. Source: Snowflake docs, SQL API, "Authenticating to the server": an hour at
/// most, whatever it says itself.
const LIFETIME: SignedDuration = SignedDuration::from_mins(59);
/// A token begins this long ago, so that it counts where clocks are slow.
const EARLIER: SignedDuration = SignedDuration::from_secs(30);

/// Provides tokens.
pub struct Auth {
    login: Login,
    account: String,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    kept: KeptToken,
}

impl Auth {
    /// Creates a provider of tokens.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a key that cannot be read.
    pub fn new(
        settings: &SnowflakeSettings,
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
    ) -> Result<Auth, Error> {
        let account = settings.claimed_account();
        Ok(Auth { login: settings.login()?, account, http, clock, kept: KeptToken::default() })
    }

    /// Returns how Snowflake calls this type of token.
    pub fn kind(&self) -> HeaderValue {
        HeaderValue::from_static(match self.login {
            Login::KeyPair { .. } => "KEYPAIR_JWT",
            Login::Token(_) => "PROGRAMMATIC_ACCESS_TOKEN",
            Login::OAuth(_) | Login::Client(_) => "OAUTH",
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
                "the OAuth token is wrong or has ended: get a new one and set `oauth_token`, or set `oauth` \
                 to have tokens renewed, or use a key pair"
                    .to_owned()
            }
            Login::Client(client) => format!(
                "Snowflake does not accept the tokens of {}: compare its security integration (issuer, audience, \
                 the claim that names the user) with them, and `oauth.scope` with the role",
                client.host()
            ),
        }
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the OAuth client is refused, what keeps its server from answering, or
    /// [`ErrorKind::Internal`] if signing fails.
    pub async fn token(&self) -> Result<Secret, Error> {
        let now = self.clock.now();
        match &self.login {
            Login::Token(token) | Login::OAuth(token) => Ok(token.clone()),
            Login::KeyPair { user, key } => self.kept.token(now, async { self.signed(user, key, now) }).await,
            Login::Client(client) => {
                let host = client.host();
                let renewed = client
                    .granted(&*self.http, &*self.clock, &host, |code, said| refused(client, code, said));
                self.kept.token(now, renewed).await
            }
        }
    }

    fn signed(&self, user: &str, key: &RsaKey, now: Timestamp) -> Result<Granted, Error> {
        let subject = format!("{}.{user}", self.account);
        let from = now.saturating_sub(EARLIER).unwrap_or(now);
        let until = from.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let claims = json!({
            "iss": format!("{subject}.SHA256:{}", rsa::fingerprint(key)),
            "sub": subject,
            "iat": from.as_second(),
            "exp": until.as_second(),
        });
        Ok(Granted { token: key.token(None, &claims)?, until, refresh: None })
    }

    /// Forgets a token that was refused. Returns whether another one can be had.
    pub async fn forget(&self, refused: &Secret) -> bool {
        self.kept.forget(refused).await;
        matches!(self.login, Login::KeyPair { .. } | Login::Client(_))
    }
}

/// Source: RFC 6749, 5.2; Snowflake docs, "Introduction to OAuth", error codes.
fn refused(client: &OAuthClient, code: &str, said: &str) -> Error {
    let hint = match code {
        "invalid_client" | "unauthorized_client" => "compare `oauth.client_id` and `oauth.client_secret`",
        "invalid_grant" => {
            "the refresh token has ended, was revoked, or counts only once: authorize the client again and set \
             `oauth.refresh_token`"
        }
        "invalid_scope" => "compare `oauth.scope` with the scopes that the client may ask for",
        _ => "compare the settings under `oauth` with those of the client",
    };
    Error::new(ErrorKind::Denied, format!("{} gives out no token: {said}", client.host())).hint(hint)
}

/// Returns the statement that makes a user accept a key.
pub fn accepting(user: &str, public: &str) -> String {
    format!("ALTER USER {} SET RSA_PUBLIC_KEY = '{public}';", tidegate_transport::sql::quote(user))
}
