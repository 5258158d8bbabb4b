//! A service account that proves its key.
//!
//! Source: Google Identity docs, "Using OAuth 2.0 for Server to Server Applications".

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, ErrorKind, Secret};

use super::call::{Caller, LIFETIME_SECONDS};
use crate::jwt::RsaKey;
use crate::oauth::{Granted, refusal};
use crate::settings::web_address;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_ADDRESS: &str = "https://oauth2.googleapis.com/token";

/// A service account with a key.
pub struct ServiceAccount {
    /// Its address.
    pub email: String,
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

impl ServiceAccount {
    /// Reads the JSON file of a key; `setting` holds it.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a key that is none.
    pub fn read(key: &Secret, setting: &str) -> Result<ServiceAccount, Error> {
        let wrong = |what: &str| {
            Error::settings(format!("`{setting}`: {what}"))
                .hint("give the whole JSON file that Google made for the key, for example { file: key.json }")
        };
        let file: KeyFile = serde_json::from_str(key.expose())
            .map_err(|_| wrong("expected the JSON of a service account's key"))?;
        match file.kind.as_str() {
            "service_account" => {}
            "external_account" => {
                return Err(wrong("this is a credential configuration of workload identity federation")
                    .hint(format!("set it as `{}`", super::FEDERATION)));
            }
            _ => return Err(wrong("expected a key whose `type` is `service_account`")),
        }
        let is_email = file.client_email.contains('@') && !file.client_email.contains(char::is_whitespace);
        if !is_email {
            return Err(wrong("its `client_email` is missing"));
        }
        let token_address = file.token_uri.unwrap_or_else(|| TOKEN_ADDRESS.to_owned());
        let named = format!("{setting}: token_uri");
        clear_text::validate(
            &named,
            &web_address(&named, &token_address, TOKEN_ADDRESS)?,
            Proof::Credential,
        )?;
        Ok(ServiceAccount {
            email: file.client_email,
            key_id: file.private_key_id.filter(|id| !id.is_empty()),
            key: RsaKey::from_pem(&file.private_key, setting)?,
            token_address,
        })
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the key is refused, or what keeps Google from answering.
    pub async fn token(&self, caller: &Caller, scope: &str) -> Result<Granted, Error> {
        let request = self.request(caller.clock.now(), scope)?;
        let answered = caller
            .send(request, None, |answered| {
                let (_, said) = refusal(answered)?;
                let refused = format!("Google refuses the key of {}: {said}", self.email);
                Some(Error::new(ErrorKind::Denied, refused).hint(hint(&said)))
            })
            .await?;
        caller.granted(&answered)
    }

    fn request(&self, now: Timestamp, scope: &str) -> Result<Request<Bytes>, Error> {
        let claims = json!({
            "iss": self.email,
            "scope": scope,
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
            .map_err(|cause| Error::settings("the key's `token_uri` is not an address").caused_by(cause))
    }
}

/// 400 is what Google answers for a key that does not count.
fn hint(said: &str) -> &'static str {
    match () {
        () if said.contains("account not found") => {
            "the service account was deleted: make another one and a key for it"
        }
        () if said.contains("timeframe") => {
            "set the clock of this machine: a token counts for an hour from now on"
        }
        () => {
            "the key was deleted or disabled: make a new one, IAM > Service accounts > Keys, and set `service_account_key`"
        }
    }
}

/// Returns the address of the service account that a key is of; `None` if it is no key.
pub fn account_of(key: &Secret) -> Option<String> {
    let file: KeyFile = serde_json::from_str(key.expose()).ok()?;
    Some(file.client_email).filter(|email| email.contains('@'))
}
