//! The calls that are made, and what the answers mean.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_model::address::encoded;
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, Http, Secret};
use tidegate_transport::google::{Environment, GivenLogin, GoogleTokens};
use tidegate_transport::grpc::GrpcServer;
use tidegate_transport::http::answer::{self, RequestError};

use super::errors;
use super::settings::BigQuerySettings;

/// The name in sentences for people.
pub const VENDOR: &str = "BigQuery";
/// Where everything is, below the address of the API.
const API: &str = "/bigquery/v2/projects";
/// Source: BigQuery docs, REST reference, `jobs.insert`, authorization scopes.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// BigQuery, as one service account sees it.
pub struct Client {
    /// The settings.
    pub settings: BigQuerySettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether nothing may be written.
    pub dry_run: bool,
    /// Who asks.
    pub auth: GoogleTokens,
    /// The bytes that queries have processed, which is what is paid for on demand.
    pub processed: AtomicU64,
    /// The Storage API, if results are read by it.
    pub storage: Option<GrpcServer>,
    http: Arc<dyn Http>,
    endpoint: String,
}

/// What a call sends.
#[derive(Clone)]
pub struct Body {
    /// The content.
    pub content: Bytes,
    /// What it is: `application/json`.
    pub media_type: String,
}

impl Body {
    fn json(value: &Value) -> Body {
        Body { content: Bytes::from(value.to_string()), media_type: "application/json".to_owned() }
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: BigQuerySettings, context: &ConnectorContext) -> Result<Arc<Client>, Error> {
        let settings = settings.checked()?;
        let endpoint = settings.base()?;
        let context = context.trusting(settings.ca_file.as_deref())?;
        let given = GivenLogin {
            key: settings.service_account_key.as_ref(),
            federation: settings.workload_identity.as_ref(),
        };
        let auth = GoogleTokens::open(given, &Environment::read(), SCOPE, &context)?;
        let storage = match settings.storage_address()? {
            Some(address) => Some(GrpcServer::open(address, settings.ca_file.as_deref(), &context)?),
            None => None,
        };
        let (dry_run, processed) = (context.dry_run, AtomicU64::new(0));
        let ConnectorContext { http, clock, .. } = context;
        Ok(Arc::new(Client { settings, clock, dry_run, auth, processed, storage, http, endpoint }))
    }

    /// Returns the path of something in the project that pays.
    pub fn path(&self, rest: &str) -> String {
        format!("/{}/{rest}", encoded(&self.settings.project))
    }

    /// Calls an endpoint that changes nothing.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answered = self.call(Method::GET, path, None).await.map_err(RequestError::into_error)?;
        read(&answered)
    }

    /// Calls an endpoint that changes nothing and returns its body as it is.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn body(&self, path: &str) -> Result<Bytes, Error> {
        let answered = self.call(Method::GET, path, None).await.map_err(RequestError::into_error)?;
        Ok(answered.into_body())
    }

    /// Calls an endpoint with a JSON body.
    ///
    /// # Errors
    /// Whether the call took effect, if it is known.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Response<Bytes>, RequestError> {
        self.call(Method::POST, path, Some(Body::json(body))).await
    }

    /// Calls the endpoint of uploads.
    ///
    /// # Errors
    /// Whether the call took effect, if it is known.
    pub async fn upload(&self, path: &str, body: Body) -> Result<Response<Bytes>, RequestError> {
        self.answered(Method::POST, &format!("{}/upload{API}{path}", self.endpoint), Some(body)).await
    }

    /// Changes something, in the members that the body has.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<(), Error> {
        let changed = self.call(Method::PATCH, path, Some(Body::json(body))).await;
        changed.map(|_| ()).map_err(RequestError::into_error)
    }

    /// Removes something. What is not there is no error.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        match self.call(Method::DELETE, path, None).await.map_err(RequestError::into_error) {
            Err(error) if error.kind() != ErrorKind::Missing => Err(error),
            _ => Ok(()),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Response<Bytes>, RequestError> {
        self.answered(method, &format!("{}{API}{path}", self.endpoint), body).await
    }

    /// Calls an address once; once more with a new token if the first one has expired, which has
    /// no effect.
    async fn answered(
        &self,
        method: Method,
        address: &str,
        body: Option<Body>,
    ) -> Result<Response<Bytes>, RequestError> {
        let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
        let mut answered = self.send(&method, address, body.clone(), &token).await?;
        if answered.status() == StatusCode::UNAUTHORIZED {
            self.auth.forget(&token).await;
            let token = self.auth.token().await.map_err(RequestError::NoEffect)?;
            answered = self.send(&method, address, body, &token).await?;
        }
        match answered.status().is_success() {
            true => Ok(answered),
            false => {
                Err(errors::request_error(&answered, self.auth.known_member().as_deref(), self.clock.now()))
            }
        }
    }

    async fn send(
        &self,
        method: &Method,
        address: &str,
        body: Option<Body>,
        token: &Secret,
    ) -> Result<Response<Bytes>, RequestError> {
        let unsendable = |_| RequestError::NoEffect(errors::unreadable("a token"));
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(unsendable)?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json");
        if let Some(body) = &body {
            request = request.header(CONTENT_TYPE, &body.media_type);
        }
        let request = request.body(body.map(|body| body.content).unwrap_or_default()).map_err(|cause| {
            RequestError::NoEffect(Error::settings("`project` makes no address").caused_by(cause))
        })?;
        let answered = self.http.send(request).await.map_err(|failure| answer::lost(VENDOR, &failure))?;
        Ok(if answered.status().is_success() { answered } else { answer::without(token, answered) })
    }
}

/// Reads an answer.
///
/// # Errors
/// If it has not the documented form.
pub fn read<T: DeserializeOwned>(answered: &Response<Bytes>) -> Result<T, Error> {
    serde_json::from_slice(answered.body()).map_err(|_| answer::unreadable(VENDOR, answered).into_error())
}
