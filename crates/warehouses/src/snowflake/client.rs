//! The calls that are made, and what the answers mean.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use tidegate_model::{Clock, ConnectorContext, Error, Http, Secret};
use tidegate_transport::http::answer::{self, RequestError};

use super::auth::Auth;
use super::errors;
use super::relation::folded;
use super::settings::SnowflakeSettings;

/// The name in sentences for people.
pub const VENDOR: &str = "Snowflake";

const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

/// One account, as one role sees it.
pub struct Client {
    /// The settings.
    pub settings: SnowflakeSettings,
    /// The role, the warehouse, the database and the schema, as Snowflake stores the names.
    pub names: Names,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether nothing may be written.
    pub dry_run: bool,
    http: Arc<dyn Http>,
    base: String,
    auth: Auth,
}

/// What statements run with, as Snowflake stores the names; absent for what the user has by default.
pub struct Names {
    /// The role.
    pub role: Option<String>,
    /// The warehouse.
    pub warehouse: Option<String>,
    /// The database of names without one.
    pub database: Option<String>,
    /// The schema of names without one.
    pub schema: Option<String>,
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: SnowflakeSettings, context: &ConnectorContext) -> Result<Arc<Client>, Error> {
        let settings = settings.checked()?;
        let stored = |name: &Option<String>| name.as_deref().map(folded);
        let http = context.trusting(settings.ca_file.as_deref())?.http;
        Ok(Arc::new(Client {
            names: Names {
                role: stored(&settings.role),
                warehouse: stored(&settings.warehouse),
                database: stored(&settings.database),
                schema: stored(&settings.schema),
            },
            base: settings.base()?,
            auth: Auth::new(&settings, Arc::clone(&http), Arc::clone(&context.clock))?,
            http,
            clock: Arc::clone(&context.clock),
            dry_run: context.dry_run,
            settings,
        }))
    }

    /// Calls an endpoint that changes nothing.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering. A failed statement is an answer.
    pub async fn get(&self, path: &str) -> Result<Response<Bytes>, Error> {
        self.call(Method::GET, path, Bytes::new()).await.map_err(RequestError::into_error)
    }

    /// Calls an endpoint with a JSON body.
    ///
    /// # Errors
    /// Whether the call took effect, if it is known. A failed statement is an answer.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        self.call(Method::POST, path, body).await
    }

    /// Calls an endpoint once; once more with a new token if the first one is refused, which has no
    /// effect.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
        let answered = self.send(&method, path, body.clone(), &token).await?;
        let answered = if errors::is_of_token(&answered) && self.auth.forget(&token).await {
            let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
            self.send(&method, path, body, &token).await?
        } else {
            answered
        };
        match answered.status().is_success() || errors::is_of_statement(&answered) {
            true => Ok(answered),
            false => {
                let role = self.names.role.as_deref();
                Err(errors::request_error(&answered, &self.auth.remedy(), role, self.clock.now()))
            }
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        token: &Secret,
    ) -> Result<Response<Bytes>, RequestError> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| {
                RequestError::NoEffect(Error::settings("`token` has characters that no token has"))
            })?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, authorization)
            .header(TOKEN_TYPE, self.auth.kind())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|cause| {
                RequestError::NoEffect(Error::settings("`host` makes no address").caused_by(cause))
            })?;
        let answered = self.http.send(request).await.map_err(|failure| answer::lost(VENDOR, &failure))?;
        Ok(if answered.status().is_success() { answered } else { answer::without(token, answered) })
    }
}
