//! Access tokens, which are kept until shortly before they end.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tidegate_model::{ConnectorContext, Error, Secret};

use super::call::Caller;
use super::federation::Federation;
use super::key::ServiceAccount;
use super::machine::Machine;
use super::{Environment, FEDERATION, KEY, VARIABLE};
use crate::oauth::KeptToken;

/// What the settings of a connection have to log in with. With neither, it is what the environment of the
/// process names, and then the machine's own service account.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenLogin<'a> {
    /// The JSON of a service account's key.
    pub key: Option<&'a Secret>,
    /// The JSON of a credential configuration.
    pub federation: Option<&'a Secret>,
}

/// Who asks.
enum Login {
    Key(Box<ServiceAccount>),
    Federation(Box<Federation>),
    Machine(Machine),
}

/// Provides access tokens of one scope.
pub struct GoogleTokens {
    login: Login,
    scope: &'static str,
    caller: Caller,
    kept: KeptToken,
}

impl GoogleTokens {
    /// Creates a provider of tokens. Nothing is sent yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a key or a configuration that is none, and for both.
    pub fn open(
        given: GivenLogin<'_>,
        environment: &Environment,
        scope: &'static str,
        context: &ConnectorContext,
    ) -> Result<GoogleTokens, Error> {
        let login = match (given.key, given.federation) {
            (Some(_), Some(_)) => {
                return Err(Error::settings(format!("both `{KEY}` and `{FEDERATION}` are set"))
                    .hint("keep the one that belongs to this machine"));
            }
            (Some(key), None) => Login::Key(Box::new(ServiceAccount::read(key, KEY)?)),
            (None, Some(federation)) => Login::Federation(Box::new(Federation::read(
                federation.expose(),
                FEDERATION,
                environment,
                context,
            )?)),
            (None, None) => match &environment.credentials {
                Some(file) => from_file(file, environment, context)?,
                None => Login::Machine(Machine { host: environment.metadata.clone() }),
            },
        };
        let caller = Caller { http: Arc::clone(&context.http), clock: Arc::clone(&context.clock) };
        Ok(GoogleTokens { login, scope, caller, kept: KeptToken::default() })
    }

    /// Returns who asks, as IAM policies name it: `serviceAccount:NAME@PROJECT.iam.gserviceaccount.com`.
    ///
    /// # Errors
    /// What keeps the metadata server from answering.
    pub async fn member(&self) -> Result<String, Error> {
        match (&self.login, self.known_member()) {
            (Login::Machine(machine), _) => {
                Ok(format!("serviceAccount:{}", machine.email(&self.caller).await?))
            }
            (_, known) => Ok(known.unwrap_or_default()),
        }
    }

    /// Returns who asks, if the settings tell it.
    pub fn known_member(&self) -> Option<String> {
        match &self.login {
            Login::Key(account) => Some(format!("serviceAccount:{}", account.email)),
            Login::Federation(federation) => Some(federation.member()),
            Login::Machine(_) => None,
        }
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Denied`] if the login is refused, or what keeps a server from answering.
    pub async fn token(&self) -> Result<Secret, Error> {
        let renewed = async {
            match &self.login {
                Login::Key(account) => account.token(&self.caller, self.scope).await,
                Login::Federation(federation) => federation.token(&self.caller, self.scope).await,
                Login::Machine(machine) => machine.token(&self.caller).await,
            }
        };
        self.kept.token(self.caller.clock.now(), renewed).await
    }

    /// Forgets a token that was refused.
    pub async fn forget(&self, refused: &Secret) {
        self.kept.forget(refused).await;
    }
}

/// Reads the file that the environment names: a key or a credential configuration.
fn from_file(file: &Path, environment: &Environment, context: &ConnectorContext) -> Result<Login, Error> {
    let text = std::fs::read_to_string(file).map_err(|cause| {
        Error::settings(format!(
            "the variable {VARIABLE} names {}: {}",
            file.display(),
            crate::network::plain(&cause.to_string())
        ))
        .hint(format!("correct the variable, or set `{KEY}` or `{FEDERATION}`"))
    })?;
    let key = Secret::new(text);
    Ok(match super::key::account_of(&key) {
        Some(_) => Login::Key(Box::new(ServiceAccount::read(&key, VARIABLE)?)),
        None => Login::Federation(Box::new(Federation::read(key.expose(), VARIABLE, environment, context)?)),
    })
}

impl fmt::Debug for GoogleTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GoogleTokens")
    }
}
