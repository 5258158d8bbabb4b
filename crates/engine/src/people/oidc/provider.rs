//! The identity provider: what it publishes, and what it says about a person.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};
use tidegate_model::address::encoded;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, ErrorKind, Http};
use tokio::sync::Mutex;

use super::WORDS_CHARS_MAX;
use super::id_token::{self, IdToken, unfit};
use super::settings::OidcSettings;

/// How long what the provider publishes is taken for unchanged.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// How often keys are asked for because of a token that names another one.
const KEYS_AT_MOST_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Longer answers are none of a provider.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The identity provider by which people sign in.
pub struct Oidc {
    settings: OidcSettings,
    host: String,
    http: Arc<dyn Http>,
    known: Mutex<Option<Known>>,
}

/// What the provider gives for a code.
pub(super) struct Exchanged {
    /// The claims of the ID token.
    pub(super) claims: Value,
    /// The right to ask for more claims.
    access_token: Option<String>,
}

/// What the provider publishes.
#[derive(Clone)]
struct Known {
    document: Arc<Value>,
    keys: Arc<[Jwk]>,
    read_at: Timestamp,
    keys_read_at: Timestamp,
}

impl Known {
    fn endpoint(&self, name: &str) -> Result<&str, Error> {
        self.document[name].as_str().ok_or_else(|| {
            Error::settings(format!("the identity provider publishes no `{name}`"))
                .hint("`--oidc-issuer` must be a provider of OpenID Connect with the code flow")
        })
    }
}

impl Oidc {
    /// Makes the client of a provider. It connects when it is needed first.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for an issuer that is no `https` address, or a file of authorities that cannot be
    /// read.
    pub fn new(settings: OidcSettings, http: Arc<dyn Http>) -> Result<Oidc, Error> {
        let wrong = || {
            Error::settings("`--oidc-issuer` is not an address")
                .hint("write it as the provider does, such as https://accounts.google.com")
        };
        let issuer: http::Uri = settings.issuer.parse().map_err(|_| wrong())?;
        let host = issuer.host().filter(|_| issuer.scheme().is_some()).ok_or_else(wrong)?.to_owned();
        clear_text::validate("--oidc-issuer", &issuer, Proof::Credential)?;
        let http = match &settings.ca_file {
            Some(file) => http.trusting(file)?.unwrap_or(http),
            None => http,
        };
        Ok(Oidc { settings, host, http, known: Mutex::default() })
    }

    /// Returns the host of the provider, for people.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Reads what the provider publishes, and compares it with the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it cannot be reached, [`ErrorKind::Settings`] if it is another provider.
    pub async fn check(&self, now: Timestamp) -> Result<(), Error> {
        self.known(now).await.map(drop)
    }

    pub(super) async fn authorization_endpoint(&self, now: Timestamp) -> Result<String, Error> {
        self.known(now).await?.endpoint("authorization_endpoint").map(str::to_owned)
    }

    /// Checks that a response comes from this provider, if it or the provider says so.
    pub(super) async fn is_answer_of(&self, issuer: Option<&str>, now: Timestamp) -> Result<(), Error> {
        let says =
            self.known(now).await?.document["authorization_response_iss_parameter_supported"] == json!(true);
        match issuer {
            Some(issuer) if issuer == self.settings.issuer => Ok(()),
            None if !says => Ok(()),
            _ => Err(super::again("another identity provider answered")),
        }
    }

    /// Exchanges a code for the claims of an ID token, which is verified but for its `nonce`.
    pub(super) async fn exchange(
        &self,
        code: &str,
        redirect: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Exchanged, Error> {
        let known = self.known(now).await?;
        let mut form = format!(
            "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={}",
            encoded(code),
            encoded(redirect),
            encoded(verifier)
        );
        let mut request = Request::post(known.endpoint("token_endpoint")?)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        let client = encoded(&self.settings.client_id).to_string();
        match &self.settings.client_secret {
            Some(secret) if takes_basic(&known.document) => {
                // Source: RFC 6749, 2.3.1: both are encoded as in a form first.
                let pair = BASE64_STANDARD.encode(format!("{client}:{}", encoded(secret.expose())));
                request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
            }
            Some(secret) => {
                form.push_str(&format!("&client_id={client}&client_secret={}", encoded(secret.expose())));
            }
            None => form.push_str(&format!("&client_id={client}")),
        }
        let answer = self.send(request, form.into()).await?;
        let tokens = answer.map_err(|said| self.refused(&said))?;
        let text = tokens["id_token"].as_str().ok_or_else(|| unfit("there is none"))?;
        let token = IdToken::read(text)?;
        let known = match token.key(&known.keys) {
            Some(_) => known,
            // Providers change their keys from time to time.
            None => self.with_new_keys(known, now).await?,
        };
        let key = token.key(&known.keys).ok_or_else(|| unfit("the provider does not publish its key"))?;
        let claims = token.verify(key, &self.settings.issuer, &self.settings.client_id, now)?;
        Ok(Exchanged { claims, access_token: tokens["access_token"].as_str().map(str::to_owned) })
    }

    /// Adds the claims that the provider gives at its userinfo endpoint only, if they are needed.
    pub(super) async fn complete(&self, exchanged: Exchanged, now: Timestamp) -> Result<Value, Error> {
        let Exchanged { mut claims, access_token } = exchanged;
        let lacks = |claim: &str| claims.get(claim).is_none();
        let needed = lacks(&self.settings.name_claim)
            || !self.settings.roles.is_empty() && lacks(&self.settings.groups_claim);
        let known = self.known(now).await?;
        let endpoint = known.document["userinfo_endpoint"].as_str();
        let (true, Some(endpoint), Some(token)) = (needed, endpoint, access_token) else { return Ok(claims) };
        let request = Request::get(endpoint)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let more = self.send(request, Bytes::new()).await?.map_err(|said| self.refused(&said))?;
        if more["sub"] != claims["sub"] {
            return Err(unfit("the userinfo of the provider is about another person"));
        }
        for (claim, value) in more.as_object().into_iter().flatten() {
            if claims.get(claim).is_none() {
                claims[claim.as_str()] = value.clone();
            }
        }
        Ok(claims)
    }

    async fn known(&self, now: Timestamp) -> Result<Known, Error> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| now.duration_since(known.read_at) < FRESH) {
            return Ok(known.clone());
        }
        let issuer = &self.settings.issuer;
        let document = self
            .published(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
            .await?;
        match document["issuer"].as_str() {
            Some(said) if said == issuer => {}
            Some(said) => {
                return Err(Error::settings(format!(
                    "the identity provider calls itself {said}, not {issuer}"
                ))
                .hint(format!("start the server with `--oidc-issuer {said}`, if you trust it")));
            }
            None => {
                return Err(Error::settings(format!("{issuer} is not a provider of OpenID Connect"))
                    .hint("write `--oidc-issuer` as the documentation of the provider does"));
            }
        }
        let mut new =
            Known { document: document.into(), keys: Arc::default(), read_at: now, keys_read_at: now };
        new.keys = self.published_keys(&new).await?;
        Ok(known.insert(new).clone())
    }

    async fn with_new_keys(&self, known: Known, now: Timestamp) -> Result<Known, Error> {
        let mut kept = self.known.lock().await;
        let kept = kept.get_or_insert(known);
        if now.duration_since(kept.keys_read_at) >= KEYS_AT_MOST_EVERY {
            kept.keys_read_at = now;
            kept.keys = self.published_keys(kept).await?;
        }
        Ok(kept.clone())
    }

    async fn published_keys(&self, known: &Known) -> Result<Arc<[Jwk]>, Error> {
        Ok(id_token::keys(&self.published(known.endpoint("jwks_uri")?).await?).into())
    }

    async fn published(&self, address: &str) -> Result<Value, Error> {
        let request = Request::get(address).header(header::ACCEPT, "application/json");
        self.send(request, Bytes::new()).await?.map_err(|said| {
            Error::new(ErrorKind::Unavailable, format!("{} did not answer {address}: {said}", self.host))
                .hint("compare `--oidc-issuer` with the documentation of the provider")
        })
    }

    /// Returns the JSON of an answer, or what an error response says.
    async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Result<Value, String>, Error> {
        let request = request.body(body).map_err(|cause| {
            Error::settings("an address of the identity provider cannot be used").caused_by(cause)
        })?;
        let answer = self.http.send(request).await.map_err(|failure| {
            failure.untrusted().unwrap_or_else(|| {
                let why = format!("the identity provider cannot be reached: {}", failure.why());
                Error::new(ErrorKind::Unavailable, why)
                    .hint("try again soon; people with a password can sign in meanwhile")
            })
        })?;
        let status = answer.status();
        let body = Some(answer.body()).filter(|body| body.len() <= ANSWER_BYTES_MAX);
        let document: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
        Ok(match (status, document) {
            (StatusCode::OK, Some(document)) => Ok(document),
            (StatusCode::OK, None) => Err("its answer is not JSON".to_owned()),
            (_, Some(document)) if document["error"].is_string() => {
                let said = document["error"].as_str().unwrap_or_default();
                Err(said.chars().take(WORDS_CHARS_MAX).collect())
            }
            _ => Err(status.to_string()),
        })
    }

    fn refused(&self, said: &str) -> Error {
        if matches!(said, "invalid_client" | "unauthorized_client") {
            return Error::settings(format!(
                "{} does not accept this program as its client: {said}",
                self.host
            ))
            .hint(
                "an operator compares `--oidc-client-id` and TIDEGATE_OIDC_CLIENT_SECRET with the provider",
            );
        }
        super::again(&format!("{} did not confirm the sign-in: {said}", self.host))
    }
}

/// Whether the provider takes the secret of a client in a header, as all do that do not say otherwise.
///
/// Source: OpenID Connect Discovery 1.0, 3: the default is `client_secret_basic`.
fn takes_basic(document: &Value) -> bool {
    let listed = document["token_endpoint_auth_methods_supported"].as_array();
    listed.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
}
