//! A client of one AWS service.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use tidegate_model::{Checks, Clock, ConnectorContext, Error, ErrorKind, Http, Result, Secret};

use super::credentials::{Credentials, CredentialsProvider};
use super::errors::{self, ErrorClass, ErrorResponse};
use super::settings::AwsSettings;
use super::sign::sign;
use crate::http::answer::{self, RequestError};

/// A service with the JSON 1.1 protocol, or with the Query protocol.
pub struct Service {
    /// Its name in messages.
    pub title: &'static str,
    /// Its name in addresses and signatures.
    pub name: &'static str,
    /// The prefix of operations in `X-Amz-Target`; empty with the Query protocol.
    pub target: &'static str,
}

/// What a request holds.
struct Body {
    content_type: &'static str,
    target: Option<HeaderValue>,
    bytes: Bytes,
}

/// The next steps of errors, which only the connector knows.
pub struct ErrorHints {
    /// If the resource does not exist.
    pub missing: String,
    /// If a permission is missing.
    pub denied: String,
}

/// Calls the operations of a service with signed requests.
pub struct AwsClient {
    service: &'static Service,
    hints: ErrorHints,
    region: String,
    endpoint: Uri,
    provider: CredentialsProvider,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

impl AwsClient {
    /// Creates a client, without I/O.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn open(
        settings: &AwsSettings,
        service: &'static Service,
        hints: ErrorHints,
        context: &ConnectorContext,
    ) -> Result<AwsClient> {
        settings.validate()?;
        let context = context.trusting(settings.ca_file.as_deref())?;
        Ok(AwsClient {
            service,
            hints,
            region: settings.region.clone(),
            endpoint: settings.endpoint_of(service.name)?,
            provider: CredentialsProvider::open(settings, &context)?,
            http: context.http,
            clock: context.clock,
        })
    }

    /// Returns the name of the service in messages.
    pub fn title(&self) -> &'static str {
        self.service.title
    }

    /// Returns the time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Calls an operation once and returns its success.
    ///
    /// If the credentials have expired meanwhile, they are renewed and the call is repeated: the first
    /// one had no effect.
    pub async fn call(&self, operation: &'static str, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        let target = HeaderValue::try_from(format!("{}.{operation}", self.service.target)).map_err(|_| {
            RequestError::NoEffect(Error::internal("an operation's name cannot stand in a header"))
        })?;
        self.exchange(Body { content_type: "application/x-amz-json-1.1", target: Some(target), bytes: body })
            .await
    }

    /// As [`AwsClient::call`], for a service with the Query protocol: the request is a form of these
    /// parameters, the answer XML.
    pub async fn query(
        &self,
        version: &str,
        operation: &'static str,
        parameters: &[(&str, &str)],
    ) -> Result<Response<Bytes>, RequestError> {
        let bytes = form(version, operation, parameters);
        self.exchange(Body { content_type: "application/x-www-form-urlencoded", target: None, bytes }).await
    }

    async fn exchange(&self, body: Body) -> Result<Response<Bytes>, RequestError> {
        let credentials = self.provider.credentials().await.map_err(RequestError::NoEffect)?;
        let answer = self.send(&body, &credentials).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let expired = ErrorResponse::read(&answer)
            .is_some_and(|error| errors::class_of(&error.code) == Some(ErrorClass::Expired));
        if expired
            && let Some(credentials) =
                self.provider.replace(&credentials).await.map_err(RequestError::NoEffect)?
        {
            let answer = self.send(&body, &credentials).await?;
            return if answer.status().is_success() { Ok(answer) } else { Err(self.request_error(&answer)) };
        }
        Err(self.request_error(&answer))
    }

    fn request_error(&self, answer: &Response<Bytes>) -> RequestError {
        let hints = &self.hints;
        errors::request_error(self.service.title, answer, &hints.missing, &hints.denied, self.clock.now())
    }

    async fn send(&self, body: &Body, credentials: &Credentials) -> Result<Response<Bytes>, RequestError> {
        let mut request = Request::new(body.bytes.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        if let Some(target) = &body.target {
            headers.insert(HeaderName::from_static("x-amz-target"), target.clone());
        }
        sign(&mut request, credentials, self.service.name, &self.region, self.clock.now())
            .map_err(RequestError::NoEffect)?;
        let answer = self.http.send(request).await.map_err(|failure| answer::lost(self.title(), &failure))?;
        Ok(without(credentials, answer))
    }
}

fn form(version: &str, operation: &str, parameters: &[(&str, &str)]) -> Bytes {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", operation).append_pair("Version", version).extend_pairs(parameters);
    Bytes::from(form.finish())
}

/// Returns the response without credentials that it may repeat.
pub(super) fn without(credentials: &Credentials, answer: Response<Bytes>) -> Response<Bytes> {
    // A success is read by position only, and nothing of it is shown.
    if answer.status().is_success() {
        return answer;
    }
    let hide = |answer, secret: &Secret| answer::without(secret, answer);
    let answer = hide(answer, &credentials.secret);
    credentials.token.iter().fold(answer, hide)
}

/// Notes errors that the user can fix as failed checks; returns all others.
pub fn failed(checks: &mut Checks, name: &str, request_error: RequestError) -> Result<()> {
    let error = request_error.into_error();
    match error.kind() {
        ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Settings => {
            checks.fail(name, error.with_words(), error.next_step());
            Ok(())
        }
        _ => Err(error),
    }
}
