//! The calls that are made, and what the answers mean.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use tidegate_model::{Clock, ConnectorContext, Error, Http, Secret};
use tidegate_transport::http::answer::{self, RequestError};

use super::auth::Auth;
use super::errors;
use super::settings::DatabricksSettings;

/// The name in sentences for people.
pub const VENDOR: &str = "Databricks";

/// One workspace and one of its SQL warehouses.
pub struct Client {
    /// The settings.
    pub settings: DatabricksSettings,
    /// The id of the warehouse.
    pub warehouse: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether nothing may be written.
    pub dry_run: bool,
    http: Arc<dyn Http>,
    base: String,
    auth: Auth,
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: DatabricksSettings, context: &ConnectorContext) -> Result<Arc<Client>, Error> {
        let settings = settings.checked()?;
        let base = settings.base()?;
        let http = context.trusting(settings.ca_file.as_deref())?.http;
        let clock = Arc::clone(&context.clock);
        Ok(Arc::new(Client {
            warehouse: settings.warehouse()?,
            auth: Auth::new(settings.login()?, &base, Arc::clone(&http), Arc::clone(&clock)),
            settings,
            clock,
            dry_run: context.dry_run,
            http,
            base,
        }))
    }

    /// Returns whether a service principal logs in, not a person.
    pub fn is_principal(&self) -> bool {
        self.auth.is_principal()
    }

    /// Calls an endpoint that changes nothing.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answered = self.call(Method::GET, path, None).await.map_err(RequestError::into_error)?;
        serde_json::from_slice(answered.body())
            .map_err(|_| answer::unreadable(VENDOR, &answered).into_error())
    }

    /// Calls an endpoint with a JSON body.
    ///
    /// # Errors
    /// Whether the call took effect, if it is known.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Response<Bytes>, RequestError> {
        let body = Bytes::from(body.to_string());
        self.call(Method::POST, path, Some((body, "application/json"))).await
    }

    /// Ends something at the workspace. What comes of it does not matter.
    pub async fn end(&self, method: Method, path: &str) {
        if let Err(error) = self.call(method, path, None).await {
            tracing::debug!(error = %error.into_error().chain(), "a statement could not be closed");
        }
    }

    /// Fetches a part of a result from the address that the workspace gave. The address is
    /// signed: our token must not be sent there.
    ///
    /// # Errors
    /// What kept it from being answered. A refusal is an answer.
    pub async fn download(&self, link: &str, headers: &[(String, String)]) -> Result<Response<Bytes>, Error> {
        let mut request = Request::get(link);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::new()).map_err(|_| errors::unreadable("a link to a result"))?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.http.send(request).await.map_err(|failure| errors::download_lost(&host, &failure))
    }

    /// Calls an endpoint once; once more with a new token if the first one has expired, which
    /// has no effect.
    ///
    /// # Errors
    /// Whether the call took effect, if it is known.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(Bytes, &'static str)>,
    ) -> Result<Response<Bytes>, RequestError> {
        let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
        let answered = self.send(&method, path, body.clone(), &token).await?;
        let refused = matches!(answered.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && errors::is_about_token(&answered);
        let answered = if refused && self.auth.forget(&token).await {
            let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
            self.send(&method, path, body, &token).await?
        } else {
            answered
        };
        match answered.status().is_success() {
            true => Ok(answered),
            false => Err(errors::request_error(&answered, self.is_principal(), self.clock.now())),
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<(Bytes, &'static str)>,
        token: &Secret,
    ) -> Result<Response<Bytes>, RequestError> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| {
                RequestError::NoEffect(Error::settings("`token` has characters that no token has"))
            })?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json");
        if let Some((_, content_type)) = &body {
            request = request.header(CONTENT_TYPE, *content_type);
        }
        let body = body.map(|(body, _)| body).unwrap_or_default();
        let request = request.body(body).map_err(|cause| {
            RequestError::NoEffect(Error::settings("`host` makes no address").caused_by(cause))
        })?;
        let answered = self.http.send(request).await.map_err(|failure| answer::lost(VENDOR, &failure))?;
        Ok(if answered.status().is_success() { answered } else { answer::without(token, answered) })
    }
}
