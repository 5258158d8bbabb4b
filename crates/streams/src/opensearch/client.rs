//! Requests to a cluster.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use tidegate_model::{Clock, ConnectorContext, Error, Http, Result, Secret};
use tidegate_transport::aws::Signer;
use tidegate_transport::http::answer::{self, RequestError};

use super::TITLE;
use super::settings::{Login, OpenSearchSettings};

/// A cluster and how to sign in to it.
pub(super) struct Client {
    address: String,
    login: Authorization,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

enum Authorization {
    Anonymous,
    Basic(HeaderValue, Secret),
    Signed(Box<Signer>),
}

impl Client {
    /// Creates a client, without I/O except for the file of authorities.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(super) fn open(settings: &OpenSearchSettings, context: &ConnectorContext) -> Result<Client> {
        let address = settings.address()?.to_owned();
        let context = context.trusting(settings.ca_file.as_deref())?;
        let login = match settings.login()? {
            Login::Anonymous => Authorization::Anonymous,
            Login::Password(user, password) => basic(user, password)?,
            Login::Aws(aws) => {
                Authorization::Signed(Box::new(Signer::open(&aws, TITLE, settings.service.name(), &context)?))
            }
        };
        Ok(Client { address, login, http: context.http, clock: context.clock })
    }

    /// Returns the time.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends a request and returns the answer, whatever its status. `path` begins with `/`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Response<Bytes>, RequestError> {
        let has_body = !body.is_empty();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.address).parse().map_err(|_| {
            RequestError::NoEffect(Error::settings("`endpoint`: no address can be made of it"))
        })?;
        if has_body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        match &self.login {
            Authorization::Signed(signer) => signer.send(&request).await,
            Authorization::Anonymous => self.send_plain(request).await,
            Authorization::Basic(header, password) => {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
                Ok(answer::without(password, self.send_plain(request).await?))
            }
        }
    }

    /// Sends a request of JSON, or one without a body.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Response<Bytes>, RequestError> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        self.send(method, path, "application/json", body).await
    }

    async fn send_plain(&self, request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        self.http.send(request).await.map_err(|failure| answer::lost(TITLE, &failure))
    }
}

fn basic(user: &str, password: &Secret) -> Result<Authorization> {
    if user.is_empty() || user.contains(':') {
        return Err(Error::settings("`user`: a name is not empty and has no colon"));
    }
    let token = STANDARD.encode(format!("{user}:{}", password.expose()));
    let mut header = HeaderValue::try_from(format!("Basic {token}"))
        .map_err(|_| Error::settings("`password` cannot be sent"))?;
    header.set_sensitive(true);
    Ok(Authorization::Basic(header, password.clone()))
}
