//! Serves the vendors' sandboxes on a port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::registry::CONNECTORS;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidegate_model::{Error, ErrorKind, Faults, Http, SandboxContext, Settings, SystemClock};
use tidegate_transport::http::RealHttp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Larger requests are answered 413.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Every vendor that can be served, and where its paths begin.
pub(crate) struct Sandboxes {
    vendors: Vec<Vendor>,
    faults: Arc<Mutex<Faults>>,
}

struct Vendor {
    kind: &'static str,
    paths: &'static [&'static str],
    http: Arc<dyn Http>,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

impl Sandboxes {
    /// Opens all of them; in memory if no folder is given.
    pub(crate) fn open(
        folder: Option<&Path>,
        faults: Faults,
        limits: bool,
        settings: &Settings,
    ) -> Result<Sandboxes, Error> {
        let faults = Arc::new(Mutex::new(faults));
        let http: Arc<dyn Http> = Arc::new(RealHttp::new()?);
        let mut vendors = Vec::new();
        for connector in CONNECTORS {
            let Some(role) = connector.sandbox else { continue };
            let context = SandboxContext {
                data: folder.map(|folder| folder.join(connector.kind)),
                clock: Arc::new(SystemClock),
                faults: faults.clone(),
                limits,
                settings: settings.clone(),
                http: Some(http.clone()),
                webhooks: Arc::default(),
            };
            vendors.push(Vendor { kind: connector.kind, paths: role.paths, http: (role.open)(&context)? });
        }
        Ok(Sandboxes { vendors, faults })
    }

    /// The vendors' words.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.vendors.iter().map(|vendor| vendor.kind).collect()
    }

    /// Answers a request to the vendor of a connector.
    pub(crate) async fn send(&self, kind: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let vendor = self.vendors.iter().find(|vendor| vendor.kind == kind);
        let vendor = vendor.ok_or_else(|| Error::internal(format!("there is no sandbox of {kind}")))?;
        vendor.http.send(request).await.map_err(|_| Error::internal("the sandbox did not answer"))
    }

    /// Serves until `stop` fires. Calls `ready` with the address once it listens.
    pub(crate) async fn serve(
        self,
        listen: SocketAddr,
        stop: CancellationToken,
        ready: impl FnOnce(SocketAddr, &Sandboxes),
    ) -> Result<(), Error> {
        let listener = TcpListener::bind(listen).await.map_err(|cause| {
            Error::new(ErrorKind::Settings, format!("cannot listen on {listen}"))
                .hint("choose another address with --listen")
                .caused_by(cause)
        })?;
        let address = listener.local_addr().unwrap_or(listen);
        ready(address, &self);
        let this = Arc::new(self);
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(cause) => {
                        tracing::warn!(%cause, "a connection could not be accepted");
                        continue;
                    }
                },
            };
            if let Err(cause) = stream.set_nodelay(true) {
                tracing::debug!(%cause, "TCP_NODELAY could not be set");
            }
            let this = this.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let this = this.clone();
                    async move { this.answer(request).await }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(cause) = served {
                    tracing::debug!(%cause, "a connection ended early");
                }
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (mut head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"Payload too large"}"#));
        };
        let body = body.to_bytes();
        let path = head.uri.path().to_owned();
        let mut segments = path.trim_start_matches('/').splitn(3, '/');
        let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let vendor = match (first, second) {
            ("_sandbox", "faults") => return Ok(self.change_faults(&head.method, &body)),
            ("_sandbox", kind) => {
                let vendor = self.vendors.iter().find(|vendor| vendor.kind == kind);
                let rest = segments.next().unwrap_or_default();
                let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                match format!("/_sandbox/{rest}{query}").parse() {
                    Ok(uri) => head.uri = uri,
                    Err(_) => return Ok(text(StatusCode::BAD_REQUEST, r#"{"message":"Invalid URL"}"#)),
                }
                vendor
            }
            (first, _) => self.vendors.iter().find(|vendor| vendor.paths.contains(&first)),
        };
        let Some(vendor) = vendor else {
            return Ok(text(StatusCode::NOT_FOUND, r#"{"message":"Invalid URL","errors":["no such path"]}"#));
        };
        match vendor.http.send(Request::from_parts(head, body)).await {
            Ok(answer) => Ok(answer.map(Full::new)),
            Err(_) => Err(Dropped),
        }
    }

    fn change_faults(&self, method: &Method, body: &Bytes) -> Response<Full<Bytes>> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if method == Method::PUT {
            match serde_json::from_slice(body) {
                Ok(new) => *faults = new,
                Err(cause) => {
                    let message = serde_json::json!({ "message": cause.to_string() }).to_string();
                    return text(StatusCode::BAD_REQUEST, &message);
                }
            }
        }
        text(StatusCode::OK, &serde_json::json!(*faults).to_string())
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}
