//! Workload identity federation: a token of another identity provider is exchanged for one of Google, which
//! may then be exchanged for one of a service account.
//!
//! Source: Google IAM docs, "Workload identity federation"; Security Token Service API, `token`; IAM
//! Service Account Credentials API, `generateAccessToken`.

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{ConnectorContext, Error, ErrorKind, Secret};

use super::Environment;
use super::call::{Caller, LIFETIME_SECONDS, read};
use super::origin::{Origin, SourceFile};
use crate::oauth::{Granted, refusal};
use crate::settings::web_address;

const TOKEN_ADDRESS: &str = "https://sts.googleapis.com/v1/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const WANTED: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What a token needs that asks for one of a service account.
const EVERYTHING: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A credential configuration.
pub struct Federation {
    audience: String,
    token_type: String,
    token_address: String,
    user_project: Option<String>,
    origin: Origin,
    account: Option<Account>,
}

/// The service account whose token is asked for.
struct Account {
    address: String,
    email: String,
    lifetime_seconds: i64,
}

/// What the JSON file of a configuration says.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    audience: String,
    #[serde(default)]
    subject_token_type: String,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: Impersonation,
    workforce_pool_user_project: Option<String>,
    #[serde(default)]
    credential_source: SourceFile,
}

#[derive(Default, Deserialize)]
struct Impersonation {
    token_lifetime_seconds: Option<i64>,
}

/// What the service that impersonates answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: Timestamp,
}

impl Federation {
    /// Reads a credential configuration; `setting` holds it.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for one that is none, or that names what is not supported.
    pub fn read(
        text: &str,
        setting: &str,
        environment: &Environment,
        context: &ConnectorContext,
    ) -> Result<Federation, Error> {
        let wrong = |what: &str| {
            Error::settings(format!("`{setting}`: {what}")).hint(
                "give the file that `gcloud iam workload-identity-pools create-cred-config` has made, \
                 for example { file: federation.json }",
            )
        };
        let file: File = serde_json::from_str(text)
            .map_err(|_| wrong("expected the JSON of a credential configuration"))?;
        match file.kind.as_str() {
            "external_account" => {}
            "service_account" => {
                return Err(
                    wrong("this is the key of a service account").hint(format!("set it as `{}`", super::KEY))
                );
            }
            "authorized_user" => {
                return Err(wrong("this is the login of a person")
                    .hint("use a service account: a person's login ends with the person's password"));
            }
            _ => return Err(wrong("expected a configuration whose `type` is `external_account`")),
        }
        for (name, value) in [("audience", &file.audience), ("subject_token_type", &file.subject_token_type)]
        {
            if value.is_empty() {
                return Err(wrong(&format!("its `{name}` is missing")));
            }
        }
        let safe = |member: &str, address: String| {
            let named = format!("{setting}: {member}");
            clear_text::validate(&named, &web_address(&named, &address, TOKEN_ADDRESS)?, Proof::Credential)?;
            Ok::<_, Error>(address)
        };
        let lifetime = file.service_account_impersonation.token_lifetime_seconds;
        let account = match file.service_account_impersonation_url {
            None => None,
            Some(address) => Some(Account {
                email: impersonated(&address)
                    .ok_or_else(|| wrong("`service_account_impersonation_url` names no service account"))?,
                address: safe("service_account_impersonation_url", address)?,
                lifetime_seconds: lifetime.unwrap_or(LIFETIME_SECONDS),
            }),
        };
        Ok(Federation {
            token_address: safe("token_url", file.token_url.unwrap_or_else(|| TOKEN_ADDRESS.to_owned()))?,
            origin: Origin::read(file.credential_source, &file.audience, environment, context)
                .map_err(|why| wrong(&why))?,
            audience: file.audience,
            token_type: file.subject_token_type,
            user_project: file.workforce_pool_user_project,
            account,
        })
    }

    /// Returns who asks, as IAM policies name it: the service account, else every identity of the pool.
    ///
    /// Source: Google IAM docs, "Principal identifiers".
    pub fn member(&self) -> String {
        match &self.account {
            Some(account) => format!("serviceAccount:{}", account.email),
            None => self.pool(),
        }
    }

    fn pool(&self) -> String {
        let pool = self.audience.split("/providers/").next().unwrap_or_default();
        format!("principalSet:{}/*", pool.trim_start_matches("https:"))
    }

    /// Exchanges the identity provider's token.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if Google does not accept it, or what keeps one of the servers from answering.
    pub async fn token(&self, caller: &Caller, scope: &str) -> Result<Granted, Error> {
        let subject = self.origin.token(caller).await?;
        let scope_here = if self.account.is_some() { EVERYTHING } else { scope };
        let request = self.exchange(&subject, scope_here)?;
        let answered = caller
            .send(request, Some(&subject), |answered| {
                let (code, said) = refusal(answered)?;
                let refused = format!("Google does not accept the token of {}: {said}", self.origin.name());
                Some(Error::new(ErrorKind::Denied, refused).hint(hint(&code)))
            })
            .await?;
        let granted = caller.granted(&answered)?;
        match &self.account {
            None => Ok(granted),
            Some(account) => self.impersonate(account, &granted.token, caller, scope).await,
        }
    }

    fn exchange(&self, subject: &Secret, scope: &str) -> Result<Request<Bytes>, Error> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT)
            .append_pair("audience", &self.audience)
            .append_pair("scope", scope)
            .append_pair("requested_token_type", WANTED)
            .append_pair("subject_token_type", &self.token_type)
            .append_pair("subject_token", subject.expose());
        if let Some(project) = &self.user_project {
            form.append_pair("options", &json!({ "userProject": project }).to_string());
        }
        Request::post(&self.token_address)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(form.finish()))
            .map_err(|cause| Error::settings("`token_url` is not an address").caused_by(cause))
    }

    async fn impersonate(
        &self,
        account: &Account,
        token: &Secret,
        caller: &Caller,
        scope: &str,
    ) -> Result<Granted, Error> {
        let body = json!({ "scope": [scope], "lifetime": format!("{}s", account.lifetime_seconds) });
        let request = Request::post(&account.address)
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|cause| {
                Error::settings("`service_account_impersonation_url` is not an address").caused_by(cause)
            })?;
        let answered = caller
            .send(request, Some(token), |answered| {
                let (_, said) = refusal(answered)?;
                let refused = format!("no token of {} is given out: {said}", account.email);
                Some(Error::new(ErrorKind::Denied, refused).hint(format!(
                    "gcloud iam service-accounts add-iam-policy-binding {} --role=roles/iam.workloadIdentityUser \
                     --member=\"{}\"",
                    account.email,
                    self.pool()
                )))
            })
            .await?;
        let given: Impersonated = read(&answered)?;
        Ok(Granted { token: Secret::new(given.access_token), until: given.expire_time, refresh: None })
    }
}

/// Returns the service account in an address that ends in `serviceAccounts/EMAIL:generateAccessToken`.
fn impersonated(address: &str) -> Option<String> {
    let (_, name) = address.rsplit_once("/serviceAccounts/")?;
    let email = name.strip_suffix(":generateAccessToken")?;
    email.contains('@').then(|| email.to_owned())
}

/// Source: RFC 8693, 2.2.2; RFC 6749, 5.2.
fn hint(code: &str) -> &'static str {
    match code {
        "invalid_target" => {
            "`audience` names no provider that is enabled: compare it with IAM > Workload identity federation"
        }
        "unauthorized_client" => {
            "the provider's attribute condition rejects this identity: compare it with the claims of the token"
        }
        "invalid_grant" | "invalid_request" => {
            "the token has ended, or the provider expects another issuer or audience: compare both with IAM > Workload identity federation"
        }
        _ => "compare the credential configuration with IAM > Workload identity federation",
    }
}
