//! Resolves credentials by the provider chain of AWS's own SDK, over this program's HTTP.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use jiff::Timestamp;
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, Result, Secret};

use super::Credentials;
use super::http::{LastAnswer, SdkHttp};
use crate::aws::errors;
use crate::aws::settings::AwsSettings;
use crate::http::answer::{self, RequestError};

/// The default name of a session.
const SESSION: &str = "tidegate";
const TITLE: &str = "AWS";

/// Resolves credentials, without caching them.
pub(super) struct CredentialsChain {
    origin: Origin,
    role: Option<Role>,
    region: Region,
    sts: String,
    http: SdkHttp,
    clock: Arc<dyn Clock>,
}

/// The source of the first credentials.
enum Origin {
    /// An access key in the settings.
    Settings(Credentials),
    /// A profile of the shared files.
    Profile(String),
    /// The first source of the default chain that has some.
    Default,
}

/// A role to assume.
struct Role {
    arn: String,
    external_id: Option<String>,
    session: String,
}

impl CredentialsChain {
    pub(super) fn new(settings: &AwsSettings, context: &ConnectorContext) -> Result<CredentialsChain> {
        let origin = match (&settings.access_key_id, &settings.secret_access_key, &settings.profile) {
            (Some(id), Some(secret), _) => Origin::Settings(Credentials {
                id: id.clone(),
                secret: secret.clone(),
                token: settings.session_token.clone(),
                expires: None,
            }),
            (_, _, Some(profile)) => Origin::Profile(profile.clone()),
            _ => Origin::Default,
        };
        let role = settings.role_arn.as_ref().map(|arn| Role {
            arn: arn.clone(),
            external_id: settings.external_id.clone(),
            session: settings.session_name.clone().unwrap_or_else(|| SESSION.to_owned()),
        });
        Ok(CredentialsChain {
            origin,
            role,
            region: Region::new(settings.region.clone()),
            sts: settings.sts()?.to_string(),
            http: SdkHttp::new(Arc::clone(&context.http)),
            clock: Arc::clone(&context.clock),
        })
    }

    /// Resolves new credentials. Called by one task at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if no source has credentials or a source is not set up correctly,
    /// [`ErrorKind::Denied`] if a sign-in has expired or the role may not be assumed,
    /// [`ErrorKind::Unavailable`] if a source does not answer.
    pub(super) async fn resolve(&self) -> Result<Credentials> {
        if let (Origin::Settings(credentials), None) = (&self.origin, &self.role) {
            return Ok(credentials.clone());
        }
        let origin = self.origin().await?;
        let found = match &self.role {
            None => origin.provide_credentials().await,
            Some(role) => self.assume(role, origin).await.provide_credentials().await,
        };
        let found = found.map_err(|error| self.explain(&error))?;
        Ok(Credentials {
            id: found.access_key_id().to_owned(),
            secret: Secret::new(found.secret_access_key()),
            token: found.session_token().map(Secret::new),
            expires: found.expiry().and_then(|end| Timestamp::try_from(end).ok()),
        })
    }

    async fn origin(&self) -> Result<SharedCredentialsProvider> {
        let config = ProviderConfig::without_region()
            .with_region(Some(self.region.clone()))
            .with_http_client(self.http.of_machine())
            .with_time_source(SdkClock(Arc::clone(&self.clock)))
            .with_sleep_impl(TokioSleep::new())
            .with_retry_config(RetryConfig::disabled());
        Ok(match &self.origin {
            Origin::Settings(credentials) => SharedCredentialsProvider::new(credentials.for_sdk()),
            Origin::Profile(name) => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build(),
            ),
            Origin::Default => {
                whole_key_in_environment()?;
                let chain = DefaultCredentialsChain::builder().configure(config).region(self.region.clone());
                SharedCredentialsProvider::new(chain.build().await)
            }
        })
    }

    async fn assume(&self, role: &Role, origin: SharedCredentialsProvider) -> AssumeRoleProvider {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .endpoint_url(&self.sts)
            .http_client(self.http.clone())
            .time_source(SdkClock(Arc::clone(&self.clock)))
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::disabled())
            .build();
        let mut builder =
            AssumeRoleProvider::builder(&role.arn).session_name(&role.session).configure(&config);
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        builder.build_from_provider(origin).await
    }

    /// Converts an error of the SDK. What a service answered says more than the SDK does.
    fn explain(&self, error: &CredentialsError) -> Error {
        match (error, self.http.take_last()) {
            (CredentialsError::InvalidConfiguration(_), _) => {
                Error::settings(format!("the AWS settings of {} cannot be used: {}", self.named(), reasons(error)))
                    .hint("correct the environment or ~/.aws/config, then run `tidegate check`")
            }
            (_, Some(LastAnswer::Failed(failure))) => answer::lost(TITLE, &failure).into_error(),
            (_, Some(LastAnswer::Refused(answer))) => self.refused(&answer),
            (CredentialsError::CredentialsNotLoaded(_), None) => self.nothing_found(error),
            (CredentialsError::ProviderTimedOut(_), None) => {
                Error::new(ErrorKind::Unavailable, format!("{} gave no AWS credentials in time", self.named()))
            }
            (_, None) => Error::new(
                ErrorKind::Denied,
                format!("no AWS credentials from {}: {}", self.named(), reasons(error)),
            )
            .hint("sign in again, for example with `aws sso login`, or correct ~/.aws/config; then run `tidegate check`"),
        }
    }

    fn nothing_found(&self, error: &CredentialsError) -> Error {
        match &self.origin {
            Origin::Profile(name) => Error::settings(format!(
                "the AWS profile `{name}` is not in the shared files, or holds no credentials"
            ))
            .hint("list the profiles with `aws configure list-profiles`, or set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"),
            Origin::Default => Error::settings(
                "no AWS credentials were found: not in the settings, the environment, the shared files, \
                 a web identity, the container or the machine's role",
            )
            .hint(
                "set `access_key_id` and `secret_access_key`, or `profile`, in a connection, or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY in the environment; or give this machine a role",
            ),
            Origin::Settings(_) => Error::settings(reasons(error)).hint("correct `role_arn` and its settings"),
        }
    }

    fn refused(&self, answer: &http::Response<bytes::Bytes>) -> Error {
        let denied = match &self.role {
            Some(role) => format!(
                "let the role's trust policy name the identity that is used here, with the external id in \
                 `external_id`; and allow sts:AssumeRole on {} to it. `tidegate setup` prints both",
                role.arn
            ),
            None => "let the role's trust policy name the identity that is used here".to_owned(),
        };
        if errors::ErrorResponse::read(answer).is_none() && answer.status().is_client_error() {
            // No service of AWS: its errors have a code.
            return Error::new(
                ErrorKind::Denied,
                format!(
                    "no AWS credentials from {}: the response was {} without an AWS error code, probably from a proxy or \
                     another cloud's metadata service",
                    self.named(),
                    answer.status().as_u16()
                ),
            )
            .hint(
                "set `access_key_id` and `secret_access_key`, or `profile`; or give this machine a role, and let \
                 requests to its metadata service and to AWS through (NO_PROXY)",
            );
        }
        let missing = "correct the role: it does not exist";
        match errors::request_error(TITLE, answer, missing, &denied, self.clock.now()) {
            RequestError::NoEffect(error) if error.kind() == ErrorKind::Rejected => {
                // No row is to blame for a role.
                Error::new(ErrorKind::Settings, error.message()).hint("correct `role_arn` and its settings")
            }
            RequestError::NoEffect(error) => error,
            RequestError::Unknown(reason) => Error::new(ErrorKind::Unavailable, reason.message),
        }
    }

    fn named(&self) -> String {
        match &self.origin {
            Origin::Settings(_) => "the connection".to_owned(),
            Origin::Profile(name) => format!("the profile `{name}`"),
            Origin::Default => "the default chain".to_owned(),
        }
    }
}

/// The SDK skips half a key and takes the next source, which may be another account.
fn whole_key_in_environment() -> Result<()> {
    let set = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if set("AWS_ACCESS_KEY_ID") == set("AWS_SECRET_ACCESS_KEY") {
        return Ok(());
    }
    Err(Error::settings("the environment has only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        .hint("set both or none"))
}

/// Returns an error's causes as one line.
fn reasons(error: &dyn StdError) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes.join(": ")
}

/// The clock of this program, as the SDK reads it.
struct SdkClock(Arc<dyn Clock>);

impl fmt::Debug for SdkClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkClock")
    }
}

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
