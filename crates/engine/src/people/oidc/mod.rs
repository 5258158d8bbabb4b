//! Signing in at an identity provider, by OpenID Connect: the code flow with PKCE.
//!
//! - [`settings`] says which provider it is and which roles its groups have,
//! - [`provider`] reads what the provider publishes, and exchanges a code for claims,
//! - [`id_token`] verifies who signed the claims, for whom, and when.
//!
//! A browser keeps one random secret in a cookie while its person is at the provider. `state`, `nonce` and the
//! verifier of PKCE are hashes of it, so nothing is stored here, and any process on the store can finish what
//! another one began.
//!
//! Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (`iss` of the response).

mod id_token;
mod provider;
mod settings;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tidegate_model::address::encoded;
use tidegate_model::people::Person;
use tidegate_model::{Error, ErrorKind};

pub use provider::Oidc;
pub use settings::{GroupRole, OidcSettings};

use super::secrets::{self, digest};
use crate::service::Engine;

/// The longest text of a provider that is repeated.
const WORDS_CHARS_MAX: usize = 200;

/// Where a browser goes to sign in, and what it keeps meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtProvider {
    /// The address of the provider's page.
    pub address: String,
    /// The secret that the browser keeps.
    pub secret: String,
}

/// What a browser brings back from the provider.
#[derive(Clone, Debug, Default)]
pub struct FromProvider {
    /// The code, to be exchanged for claims.
    pub code: Option<String>,
    /// What was sent along.
    pub state: Option<String>,
    /// The provider, if it says so.
    pub issuer: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

/// Who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The name of the person.
    pub name: String,
    /// The secret of the session.
    pub session: String,
    /// The role, if groups of the provider gave the person a new one.
    pub new_role: Option<String>,
}

/// Returns the text that is made of a browser's secret for one purpose.
fn derived(purpose: &str, secret: &str) -> String {
    digest(&format!("{purpose} {secret}"))
}

impl Engine {
    /// Gives the engine the identity provider by which people sign in besides passwords.
    #[must_use]
    pub fn with_oidc(mut self, oidc: Oidc) -> Engine {
        self.oidc = Some(oidc.into());
        self
    }

    /// Returns the host of the identity provider, if people can sign in there.
    pub fn identity_provider(&self) -> Option<&str> {
        self.oidc.as_ref().map(|oidc| oidc.host())
    }

    fn oidc(&self) -> Result<&Oidc, Error> {
        self.oidc.as_deref().ok_or_else(|| {
            Error::settings("people sign in here with a name and a password only")
                .hint("an operator starts `tidegate serve` with `--oidc-issuer` to change that")
        })
    }

    /// Sends a browser to the identity provider. `redirect` is the address that it comes back to.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the provider cannot be reached, [`ErrorKind::Settings`] if there is none or
    /// it is not what the settings say, [`ErrorKind::Denied`] while no person has a password: the first admin signs
    /// in with one.
    pub async fn begin_sign_in(&self, redirect: &str) -> Result<AtProvider, Error> {
        let oidc = self.oidc()?;
        if !self.has_people().await? {
            return Err(Error::new(ErrorKind::Denied, "the first admin signs in with a password")
                .hint("add one on the server: `tidegate people add NAME --role admin`"));
        }
        let secret = secrets::secret()?;
        let page = oidc.authorization_endpoint(self.config.clock.now()).await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(derived("verifier", &secret)));
        let settings = oidc.settings();
        let pairs: [(&str, &str); 8] = [
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", redirect),
            ("scope", &settings.scopes),
            ("state", &derived("state", &secret)),
            ("nonce", &derived("nonce", &secret)),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mark = if page.contains('?') { '&' } else { '?' };
        Ok(AtProvider { address: format!("{page}{mark}{}", query.join("&")), secret })
    }

    /// Signs in the person whose browser comes back from the identity provider. `secret` is what the browser
    /// kept, `redirect` the address that it came back to.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the person may not sign in, or this is not the browser that was sent there, and
    /// those of the provider.
    pub async fn finish_sign_in(
        &self,
        back: &FromProvider,
        secret: Option<&str>,
        redirect: &str,
    ) -> Result<SignedIn, Error> {
        let (oidc, now) = (self.oidc()?, self.config.clock.now());
        let code = code_of(oidc, back, secret, now).await?;
        let secret = secret.unwrap_or_default();
        let exchanged = oidc.exchange(code, redirect, &derived("verifier", secret), now).await?;
        if exchanged.claims["nonce"].as_str() != Some(derived("nonce", secret).as_str()) {
            return Err(again("the identity provider answered another attempt to sign in"));
        }
        let claims = oidc.complete(exchanged, now).await?;
        let name = oidc.settings().name(&claims)?;
        self.admit(&name, oidc.settings().role(&claims)).await
    }

    /// Opens the session of a person that an admin added, or to whom a group gives a role.
    async fn admit(&self, name: &str, granted: Option<&GroupRole>) -> Result<SignedIn, Error> {
        let book = self.config.store.people_book();
        let people = book.people().await?;
        let exact = people.iter().find(|person| person.name == name);
        let known = exact.or_else(|| people.iter().find(|person| person.name.eq_ignore_ascii_case(name)));
        let (name, new_role) = match (known, granted) {
            (Some(person), _) if !person.by_groups => (person.name.clone(), None),
            (known, Some(granted)) => {
                let name = known.map_or(name, |known| &known.name).to_owned();
                let new_role = self.give(&name, known, granted).await?;
                (name, new_role)
            }
            (known, None) => {
                if let Some(person) = known {
                    // The groups that gave a role are gone, and the sessions with them.
                    book.remove_person(&person.name).await?;
                }
                return Err(Error::new(ErrorKind::Denied, format!("`{name}` may not sign in here")).hint(
                    "ask an admin to add you under this name (`tidegate people add`), or to give a role to one of \
                     your groups (`--oidc-role`)",
                ));
            }
        };
        Ok(SignedIn { session: self.open_session(&name).await?, name, new_role })
    }

    /// Gives a person the role of a group. Returns it if it is new.
    async fn give(
        &self,
        name: &str,
        known: Option<&Person>,
        granted: &GroupRole,
    ) -> Result<Option<String>, Error> {
        if known.is_some_and(|known| known.role == granted.role && known.rows == granted.rows) {
            return Ok(None);
        }
        super::check_name(name)?;
        let created_at = known.map_or_else(|| self.config.clock.now(), |known| known.created_at);
        let (role, rows) = (granted.role, granted.rows);
        let person =
            Person { name: name.to_owned(), role, rows, by_groups: true, created_at, password: None };
        self.config.store.people_book().put_person(&person).await?;
        Ok(Some(role.to_string()))
    }
}

/// Returns the code that a browser brings back, if it is the browser that was sent to the provider.
async fn code_of<'b>(
    oidc: &Oidc,
    back: &'b FromProvider,
    secret: Option<&str>,
    now: jiff::Timestamp,
) -> Result<&'b str, Error> {
    let Some(secret) = secret else {
        return Err(again("this browser did not begin to sign in here, or it took longer than ten minutes"));
    };
    if back.state.as_deref() != Some(derived("state", secret).as_str()) {
        return Err(again("this answer belongs to another attempt to sign in"));
    }
    oidc.is_answer_of(back.issuer.as_deref(), now).await?;
    if let Some(code) = &back.error {
        let said = back.error_description.as_ref().unwrap_or(code);
        let said: String = said.chars().take(WORDS_CHARS_MAX).collect();
        return Err(again(&format!("{} did not sign you in: {said}", oidc.host())));
    }
    back.code.as_deref().filter(|code| !code.is_empty()).ok_or_else(|| again("the answer has no code"))
}

fn again(why: &str) -> Error {
    Error::new(ErrorKind::Denied, why).hint("begin again at `/sign-in`")
}
