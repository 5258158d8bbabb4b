//! Who we are: found in the usual places, kept until shortly before they run out.

mod metadata;
mod profile;
mod sts;
#[cfg(test)]
mod tests;
mod usual;

use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, Error, ErrorKind, Http, Result, Secret, Tools};

use super::settings::AwsSettings;

/// Credentials are renewed this long before they run out.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How long to leave the place they come from alone after it failed.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
    /// When it runs out; never, where absent.
    pub(crate) expires: Option<Timestamp>,
}

/// A role to take on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Role {
    arn: String,
    external_id: Option<String>,
    session: String,
}

/// Where the first key comes from.
enum Origin {
    /// The settings.
    Given(Keys),
    /// A profile of the shared files.
    Profile(String),
    /// Wherever it is found first.
    Usual,
}

/// Reads a variable of the environment.
type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Finds credentials, without keeping them.
struct Finder {
    origin: Origin,
    role: Option<Role>,
    region: String,
    sts: Uri,
    variables: Variables,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

impl Finder {
    /// Looks anew.
    async fn find(&self) -> Result<Keys> {
        let keys = match &self.origin {
            Origin::Given(keys) => keys.clone(),
            Origin::Profile(name) => self.named_profile(name).await?,
            Origin::Usual => self.usual().await?,
        };
        match &self.role {
            Some(role) => self.assume(&keys, role).await,
            None => Ok(keys),
        }
    }
}

/// Credentials and when to look for newer ones.
struct Held {
    keys: Keys,
    renew: Option<Timestamp>,
}

impl Held {
    fn new(keys: Keys) -> Held {
        Held { renew: keys.expires.map(|end| end.checked_sub(AHEAD).unwrap_or(end)), keys }
    }
}

/// Keeps credentials; one search at a time.
pub(crate) struct Wallet {
    finder: Finder,
    held: Mutex<Option<Held>>,
    searching: tokio::sync::Mutex<()>,
}

impl Wallet {
    /// A wallet with nothing in it yet.
    pub(crate) fn open(settings: &AwsSettings, tools: &Tools) -> Result<Wallet> {
        Wallet::with(settings, tools, Arc::new(|name| std::env::var(name).ok()))
    }

    fn with(settings: &AwsSettings, tools: &Tools, variables: Variables) -> Result<Wallet> {
        let origin = match (&settings.access_key_id, &settings.secret_access_key, &settings.profile) {
            (Some(id), Some(secret), _) => Origin::Given(Keys {
                id: id.clone(),
                secret: secret.clone(),
                token: settings.session_token.clone(),
                expires: None,
            }),
            (_, _, Some(profile)) => Origin::Profile(profile.clone()),
            _ => Origin::Usual,
        };
        let role = settings.role_arn.as_ref().map(|arn| Role {
            arn: arn.clone(),
            external_id: settings.external_id.clone(),
            session: settings.session_name.clone().unwrap_or_else(|| sts::SESSION.to_owned()),
        });
        let finder = Finder {
            origin,
            role,
            region: settings.region.clone(),
            sts: settings.sts()?,
            variables,
            http: Arc::clone(&tools.http),
            clock: Arc::clone(&tools.clock),
        };
        Ok(Wallet { finder, held: Mutex::default(), searching: tokio::sync::Mutex::default() })
    }

    /// Credentials that are good now.
    ///
    /// While newer ones are looked for, or cannot be found, the old ones serve
    /// until they run out.
    pub(crate) async fn keys(&self) -> Result<Keys> {
        let Some((keys, fresh)) = self.usable() else {
            let _one = self.searching.lock().await;
            return match self.usable() {
                Some((keys, _)) => Ok(keys),
                None => self.search().await,
            };
        };
        if fresh {
            return Ok(keys);
        }
        let Ok(_one) = self.searching.try_lock() else { return Ok(keys) };
        match self.search().await {
            Ok(newer) => Ok(newer),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "AWS credentials could not be renewed yet");
                if let Some(held) = &mut *self.held() {
                    held.renew = self.finder.clock.now().checked_add(PAUSE).ok();
                }
                Ok(keys)
            }
        }
    }

    /// Other credentials than these, which were refused as expired; `None`
    /// where there are no others.
    pub(crate) async fn replace(&self, refused: &Keys) -> Result<Option<Keys>> {
        let _one = self.searching.lock().await;
        let other = |keys: &Keys| keys.id != refused.id || keys.token != refused.token;
        if let Some((keys, _)) = self.usable().filter(|(keys, _)| other(keys)) {
            return Ok(Some(keys));
        }
        Ok(Some(self.search().await?).filter(other))
    }

    async fn search(&self) -> Result<Keys> {
        match self.finder.find().await {
            Ok(keys) => {
                *self.held() = Some(Held::new(keys.clone()));
                Ok(keys)
            }
            // They were there before: the place where they come from is away for a moment.
            Err(error) if error.kind() == ErrorKind::Settings && self.held().is_some() => {
                Err(Error::new(ErrorKind::Unavailable, error.chain()).hint(error.next_step()))
            }
            Err(error) => Err(error),
        }
    }

    /// What has not run out, and whether it is too early to look for newer ones.
    fn usable(&self) -> Option<(Keys, bool)> {
        let now = self.finder.clock.now();
        let held = self.held();
        let held = held.as_ref().filter(|held| held.keys.expires.is_none_or(|end| now < end))?;
        Some((held.keys.clone(), held.renew.is_none_or(|renew| now < renew)))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
