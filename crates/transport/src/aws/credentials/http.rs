//! The HTTP of this program, as the SDK's providers call it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Response;
use tidegate_model::{Http, HttpFailure, OwnRequest};

/// How a call ended that gave no credentials.
pub(super) enum LastAnswer {
    /// An error response.
    Refused(Response<Bytes>),
    /// No response.
    Failed(HttpFailure),
}

/// Sends what the SDK's providers ask for and remembers the last call that failed.
#[derive(Clone)]
pub(super) struct SdkHttp {
    http: Arc<dyn Http>,
    of_machine: bool,
    last: Arc<Mutex<Option<LastAnswer>>>,
}

impl SdkHttp {
    pub(super) fn new(http: Arc<dyn Http>) -> SdkHttp {
        SdkHttp { http, of_machine: false, last: Arc::default() }
    }

    /// Returns the same for providers that ask this machine, at addresses that no person chose.
    pub(super) fn of_machine(&self) -> SdkHttp {
        SdkHttp { of_machine: true, ..self.clone() }
    }

    /// Removes and returns the last call's failure; `None` if the last call succeeded.
    pub(super) fn take_last(&self) -> Option<LastAnswer> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, last: Option<LastAnswer>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    async fn send(&self, request: HttpRequest, limit: Duration) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|cause| ConnectorError::user(cause.into()))?;
        let mut request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
        if self.of_machine {
            request.extensions_mut().insert(OwnRequest::Credentials);
        }
        let answer = tokio::time::timeout(limit, self.http.send(request))
            .await
            .unwrap_or_else(|_| Err(HttpFailure::ResponseLost(format!("no answer within {limit:?}"))));
        match answer {
            Ok(answer) => {
                self.note((!answer.status().is_success()).then(|| LastAnswer::Refused(answer.clone())));
                HttpResponse::try_from(answer.map(SdkBody::from))
                    .map_err(|cause| ConnectorError::other(cause.into(), None))
            }
            Err(failure) => {
                let cause = io::Error::other(failure.why().to_owned());
                self.note(Some(LastAnswer::Failed(failure)));
                Err(ConnectorError::io(cause.into()))
            }
        }
    }
}

/// Requests hold credentials.
impl fmt::Debug for SdkHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkHttp")
    }
}

/// The HTTP and the longest that one call may take.
#[derive(Debug)]
struct Connector(SdkHttp, Duration);

/// How long a call may take if the SDK names no limit. It names a second for the metadata services.
const LIMIT: Duration = Duration::from_secs(10);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, limit) = (self.0.clone(), self.1);
        HttpConnectorFuture::new(async move { http.send(request, limit).await })
    }
}

impl HttpClient for SdkHttp {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limit = settings
            .read_timeout()
            .map_or(LIMIT, |read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Connector(self.clone(), limit))
    }
}
