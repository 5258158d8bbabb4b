//! gRPC: calls with one answer, and calls with a stream of answers.
//!
//! Frames, statuses and messages are those of tonic and prost. The connection is that of the other requests, so
//! TLS, proxies and `ca_file` are the same.
//!
//! Source: gRPC docs, "gRPC over HTTP2".

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use prost::Message;
use tidegate_model::{ConnectorContext, Error, ErrorKind, Secret};
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
pub use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;
use url::Url;

use crate::http::answer::excerpt;
use crate::http::{Guarded, REMEDY, by_the_system, judge_literal};
use crate::tls;

/// How long connecting may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer, or the next one of a stream, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(100);
/// A connection on which nothing moves is asked this often whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The largest answer that is taken. Source: BigQuery docs, "Quotas", Storage Read API: a row has 128 MB at most.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A server of gRPC.
#[derive(Clone)]
pub struct GrpcServer {
    connection: Connection,
    address: Uri,
}

/// A method, who asks, and what routes the call.
#[derive(Clone, Copy)]
pub struct Method<'a> {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// The access token.
    pub token: &'a Secret,
    /// The member and its value that Google's servers route the call by, encoded as in an address.
    pub routing: &'a str,
}

/// Answers, one after the other.
pub struct Answers<A>(Streaming<A>);

impl<A> Answers<A> {
    /// Returns the next answer; `None` after the last one.
    ///
    /// # Errors
    /// What the server said, or that nothing came.
    pub async fn next(&mut self) -> Result<Option<A>, Status> {
        let next = tokio::time::timeout(ANSWER_TIMEOUT, self.0.message()).await;
        next.unwrap_or_else(|_| Err(Status::unavailable("it did not answer in time")))
    }
}

impl GrpcServer {
    /// Creates a client of the server at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] or [`ErrorKind::Missing`] for a `ca_file` without certificates.
    pub fn open(
        address: Uri,
        ca_file: Option<&Path>,
        context: &ConnectorContext,
    ) -> Result<GrpcServer, Error> {
        let literal = address.to_string().parse::<Url>().map_or(Ok(()), |url| judge_literal(&url, None));
        literal
            .map_err(|refused| Error::settings(format!("the address of a server: {refused}")).hint(REMEDY))?;
        let ca_file = ca_file.map(|file| context.project.join(file));
        let mut tls = tls::http_config(ca_file.as_deref())?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(Guarded { lookup: by_the_system, port: None }))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_gzip()
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .connect_timeout(CONNECT_TIMEOUT);
        if address.scheme_str() == Some("http") {
            client = client.http2_prior_knowledge();
        }
        let client = client
            .build()
            .map_err(|cause| Error::internal("the HTTP client cannot start").caused_by(cause))?;
        Ok(GrpcServer { connection: Connection(client), address })
    }

    fn client(&self) -> Grpc<Connection> {
        Grpc::with_origin(self.connection.clone(), self.address.clone())
            .max_decoding_message_size(ANSWER_BYTES)
    }

    /// Calls a method that answers once.
    ///
    /// # Errors
    /// What the server said, or what kept it from answering.
    pub async fn ask<Q, A>(&self, method: Method<'_>, question: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let asked = request(method, question)?;
        let path = PathAndQuery::from_static(method.path);
        let mut client = self.client();
        let answered = client.unary(asked, path, ProstCodec::<Q, A>::default());
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::unavailable("it did not answer in time")));
        Ok(answered?.into_inner())
    }

    /// Calls a method that answers with a stream.
    ///
    /// # Errors
    /// What the server said, or what kept it from answering.
    pub async fn follow<Q, A>(&self, method: Method<'_>, question: Q) -> Result<Answers<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let asked = request(method, question)?;
        let path = PathAndQuery::from_static(method.path);
        let mut client = self.client();
        let answered = client.server_streaming(asked, path, ProstCodec::<Q, A>::default());
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::unavailable("it did not answer in time")));
        Ok(Answers(answered?.into_inner()))
    }
}

fn request<Q>(method: Method<'_>, question: Q) -> Result<tonic::Request<Q>, Status> {
    let unsendable = |_| Status::invalid_argument("a header has characters that no header has");
    let mut authorization: MetadataValue<_> =
        HeaderValue::try_from(format!("Bearer {}", method.token.expose()))
            .map_err(|_| ())
            .and_then(|value| MetadataValue::try_from(value.as_bytes()).map_err(|_| ()))
            .map_err(unsendable)?;
    authorization.set_sensitive(true);
    let routing = MetadataValue::try_from(method.routing).map_err(|_| unsendable(()))?;
    let mut asked = tonic::Request::new(question);
    asked.metadata_mut().insert("authorization", authorization);
    asked.metadata_mut().insert("x-goog-request-params", routing);
    Ok(asked)
}

/// Returns the error for a status. `doing` starts the sentence.
///
/// Source: gRPC docs, "Status codes and their use in gRPC".
pub fn explained(doing: &str, status: &Status) -> Error {
    let kind = match status.code() {
        Code::Unavailable
        | Code::Internal
        | Code::Unknown
        | Code::Aborted
        | Code::Cancelled
        | Code::DeadlineExceeded => ErrorKind::Unavailable,
        Code::ResourceExhausted => ErrorKind::Throttled(None),
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::NotFound => ErrorKind::Missing,
        _ => ErrorKind::Unexpected,
    };
    // The words of a broken connection are those of libraries.
    let said = match std::error::Error::source(status) {
        Some(cause) => crate::network::why(cause),
        None => excerpt(serde_json::Value::from(status.message()).to_string().as_bytes()),
    };
    Error::new(kind, format!("{doing}: {said}"))
}

/// A connection that sends requests as tonic makes them.
#[derive(Clone)]
struct Connection(reqwest::Client);

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Service<Request<tonic::body::Body>> for Connection {
    type Response = Response<reqwest::Body>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // One question, which is small: an answer may be a stream, a question never is.
            let body = body.collect().await?.to_bytes();
            let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
            Ok(client.execute(request).await?.into())
        })
    }
}
