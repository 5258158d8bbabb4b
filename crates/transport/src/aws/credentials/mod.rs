//! AWS credentials: resolved through the default chain and cached until shortly before expiry.

mod default_chain;
mod metadata;
mod profile;
mod sts;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, Http, Result, Secret};

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

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Role {
    arn: String,
    external_id: Option<String>,
    session: String,
}

/// The source of the first credentials.
enum Origin {
    /// The settings.
    Given(Credentials),
    /// A profile of the shared files.
    Profile(String),
    /// The first source of the default chain that has some.
    DefaultChain,
}

/// Reads an environment variable.
type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Resolves credentials, without caching them.
struct CredentialsChain {
    origin: Origin,
    role: Option<Role>,
    region: String,
    sts: Uri,
    variables: Variables,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

impl CredentialsChain {
    /// Resolves credentials anew.
    async fn find(&self) -> Result<Credentials> {
        let credentials = match &self.origin {
            Origin::Given(credentials) => credentials.clone(),
            Origin::Profile(name) => self.named_profile(name).await?,
            Origin::DefaultChain => self.default_chain().await?,
        };
        match &self.role {
            Some(role) => self.assume(&credentials, role).await,
            None => Ok(credentials),
        }
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
    cached: Mutex<Option<CachedCredentials>>,
    searching: tokio::sync::Mutex<()>,
}

impl CredentialsProvider {
    /// Creates a provider. Nothing is resolved yet.
    pub(crate) fn open(settings: &AwsSettings, context: &ConnectorContext) -> Result<CredentialsProvider> {
        CredentialsProvider::with(settings, context, Arc::new(|name| std::env::var(name).ok()))
    }

    fn with(
        settings: &AwsSettings,
        context: &ConnectorContext,
        variables: Variables,
    ) -> Result<CredentialsProvider> {
        let origin = match (&settings.access_key_id, &settings.secret_access_key, &settings.profile) {
            (Some(id), Some(secret), _) => Origin::Given(Credentials {
                id: id.clone(),
                secret: secret.clone(),
                token: settings.session_token.clone(),
                expires: None,
            }),
            (_, _, Some(profile)) => Origin::Profile(profile.clone()),
            _ => Origin::DefaultChain,
        };
        let role = settings.role_arn.as_ref().map(|arn| Role {
            arn: arn.clone(),
            external_id: settings.external_id.clone(),
            session: settings.session_name.clone().unwrap_or_else(|| sts::SESSION.to_owned()),
        });
        let chain = CredentialsChain {
            origin,
            role,
            region: settings.region.clone(),
            sts: settings.sts()?,
            variables,
            http: Arc::clone(&context.http),
            clock: Arc::clone(&context.clock),
        };
        Ok(CredentialsProvider { chain, cached: Mutex::default(), searching: tokio::sync::Mutex::default() })
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
                    cached.renew = self.chain.clock.now().checked_add(PAUSE).ok();
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
        match self.chain.find().await {
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
        let now = self.chain.clock.now();
        let cached = self.cached();
        let cached =
            cached.as_ref().filter(|cached| cached.credentials.expires.is_none_or(|end| now < end))?;
        Some((cached.credentials.clone(), cached.renew.is_none_or(|renew| now < renew)))
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<CachedCredentials>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
