//! Access tokens: a personal one, or those of a service principal, which last an hour.

use std::sync::Arc;

use tidegate_model::{Clock, Error, ErrorKind, Http, Secret};
use tidegate_transport::oauth::{KeptToken, OAuthClient};

use super::client::VENDOR;
use super::settings::Login;

/// Provides access tokens.
pub struct Auth {
    source: Source,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    kept: KeptToken,
}

enum Source {
    Token(Secret),
    Principal(Box<OAuthClient>),
}

impl Auth {
    /// Creates a provider of tokens for the workspace at `base`.
    ///
    /// Source: Databricks docs, "Authorize service principal access with OAuth".
    pub fn new(login: Login, base: &str, http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Auth {
        let source = match login {
            Login::Token(token) => Source::Token(token),
            Login::Principal { id, secret } => {
                let (address, scope) = (format!("{base}/oidc/v1/token"), Some("all-apis".to_owned()));
                Source::Principal(Box::new(OAuthClient::new(address, id, secret, scope, None)))
            }
        };
        Auth { source, http, clock, kept: KeptToken::default() }
    }

    /// Returns whether tokens are those of a service principal.
    pub fn is_principal(&self) -> bool {
        matches!(self.source, Source::Principal(_))
    }

    /// Returns a token that counts now.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the service principal is refused, or what keeps the workspace
    /// from answering.
    pub async fn token(&self) -> Result<Secret, Error> {
        let client = match &self.source {
            Source::Token(token) => return Ok(token.clone()),
            Source::Principal(client) => client,
        };
        let renewed = client.granted(&*self.http, &*self.clock, VENDOR, |_, said| {
            Error::new(ErrorKind::Denied, format!("{VENDOR} refuses the service principal: {said}")).hint(
                "compare `client_id` with the application id of the service principal, and make a new \
                 OAuth secret for it; it has to belong to this workspace",
            )
        });
        self.kept.token(self.clock.now(), renewed).await
    }

    /// Forgets a token that the workspace refused. Returns whether another one can be had.
    pub async fn forget(&self, refused: &Secret) -> bool {
        self.kept.forget(refused).await;
        self.is_principal()
    }
}
