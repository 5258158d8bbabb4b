//! AWS credentials: resolved through the default chain and cached until shortly before expiry.

mod chain;
mod http;
mod object_store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials as SdkCredentials;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, Result, Secret};

use self::chain::CredentialsChain;
pub(crate) use self::object_store::S3Credentials;
use super::settings::AwsSettings;

/// How long before their expiry credentials are renewed.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long to wait after a failed renewal.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
    /// When it expires; never if absent.
    pub(crate) expires: Option<Timestamp>,
}

impl Credentials {
    /// Returns them as the SDK takes them.
    pub(crate) fn for_sdk(&self) -> SdkCredentials {
        let token = self.token.as_ref().map(|token| token.expose().to_owned());
        SdkCredentials::new(&self.id, self.secret.expose(), token, self.expires.map(Into::into), "tidegate")
    }
}

/// Credentials and when to renew them.
struct CachedCredentials {
    credentials: Credentials,
    renew: Option<Timestamp>,
}

impl CachedCredentials {
    fn new(credentials: Credentials) -> CachedCredentials {
        CachedCredentials {
            renew: credentials.expires.map(|end| end.checked_sub(AHEAD).unwrap_or(end)),
            credentials,
        }
    }
}

/// Provides cached credentials; renews them one request at a time.
pub(crate) struct CredentialsProvider {
    chain: CredentialsChain,
    clock: Arc<dyn Clock>,
    cached: Mutex<Option<CachedCredentials>>,
    searching: tokio::sync::Mutex<()>,
}

impl CredentialsProvider {
    /// Creates a provider. Nothing is resolved yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for an address of the token service that is not valid.
    pub(crate) fn open(settings: &AwsSettings, context: &ConnectorContext) -> Result<CredentialsProvider> {
        Ok(CredentialsProvider {
            chain: CredentialsChain::new(settings, context)?,
            clock: Arc::clone(&context.clock),
            cached: Mutex::default(),
            searching: tokio::sync::Mutex::default(),
        })
    }

    /// Returns valid credentials.
    ///
    /// While they are renewed, or if that fails, the previous ones are used until they expire.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        let Some((credentials, fresh)) = self.usable() else {
            let _one = self.searching.lock().await;
            return match self.usable() {
                Some((credentials, _)) => Ok(credentials),
                None => self.search().await,
            };
        };
        if fresh {
            return Ok(credentials);
        }
        let Ok(_one) = self.searching.try_lock() else { return Ok(credentials) };
        match self.search().await {
            Ok(newer) => Ok(newer),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "AWS credentials could not be renewed yet");
                if let Some(cached) = &mut *self.cached() {
                    cached.renew = self.clock.now().checked_add(PAUSE).ok();
                }
                Ok(credentials)
            }
        }
    }

    /// Returns other credentials than these, which were rejected as expired; `None` if there are none.
    pub(crate) async fn replace(&self, refused: &Credentials) -> Result<Option<Credentials>> {
        let _one = self.searching.lock().await;
        let other =
            |credentials: &Credentials| credentials.id != refused.id || credentials.token != refused.token;
        if let Some((credentials, _)) = self.usable().filter(|(credentials, _)| other(credentials)) {
            return Ok(Some(credentials));
        }
        Ok(Some(self.search().await?).filter(other))
    }

    async fn search(&self) -> Result<Credentials> {
        match self.chain.resolve().await {
            Ok(credentials) => {
                *self.cached() = Some(CachedCredentials::new(credentials.clone()));
                Ok(credentials)
            }
            // They were found before: their source is unavailable for a moment.
            Err(error) if error.kind() == ErrorKind::Settings && self.cached().is_some() => {
                Err(Error::new(ErrorKind::Unavailable, error.chain()).hint(error.next_step()))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns cached credentials that have not expired, and whether it is too early to renew them.
    fn usable(&self) -> Option<(Credentials, bool)> {
        let now = self.clock.now();
        let cached = self.cached();
        let cached =
            cached.as_ref().filter(|cached| cached.credentials.expires.is_none_or(|end| now < end))?;
        Some((cached.credentials.clone(), cached.renew.is_none_or(|renew| now < renew)))
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<CachedCredentials>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
