//! The real client.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::redirect;
use rustls::ClientConfig;
use tidegate_model::{Error, Http, HttpFailure, OwnRequest, Result, clear_text};

use super::authorities::AuthorityFile;
use super::guard::{self, Guarded, Lookup, Refused};
use crate::network;
use crate::tls::{self, Distrust};

/// How long connecting may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take from its first byte to the last of its answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(100);
/// Requests at once that share one pool of connections. By HTTP/2 they share one connection,
/// on which most servers take 100 or 128 at a time.
///
/// Source: RFC 9113, 5.1.2 (no less than 100 is recommended).
const PER_POOL: usize = 100;
/// Pools of connections: only as many are used as the requests at once ask for.
const POOLS: usize = 6;

/// HTTP over the network. Neither retries nor follows redirects, and sends nothing to addresses that give away
/// secrets of the machine, nor to this process itself, except an [`OwnRequest`].
///
/// Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct RealHttp {
    pools: Arc<[reqwest::Client]>,
    /// For credentials of the machine.
    own: reqwest::Client,
    tls: ClientConfig,
    lookup: Lookup,
    under_way: Arc<AtomicUsize>,
    trusting: Arc<Mutex<Vec<(AuthorityFile, RealHttp)>>>,
}

/// One request under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RealHttp {
    /// Makes a client without connections. It opens none.
    ///
    /// # Errors
    /// When the machine's root certificates cannot be read.
    pub fn new() -> Result<RealHttp> {
        RealHttp::with(tls::http_config(None)?, guard::by_the_system)
    }

    fn with(mut tls: ClientConfig, lookup: Lookup) -> Result<RealHttp> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let guarded = || pool(&tls, Some(Guarded { lookup, port: None }));
        let pools = (0..POOLS).map(|_| guarded()).collect::<Result<Vec<_>>>()?;
        let (under_way, trusting) = (Arc::default(), Arc::default());
        Ok(RealHttp { pools: pools.into(), own: pool(&tls, None)?, tls, lookup, under_way, trusting })
    }

    /// Sends by the pool that a request may use. `server` is the name of the server.
    async fn execute(
        &self,
        request: reqwest::Request,
        own: Option<OwnRequest>,
        others: usize,
        server: &str,
    ) -> Result<reqwest::Response, HttpFailure> {
        let failure = |cause| failure(server, cause);
        if own == Some(OwnRequest::Credentials) {
            return self.own.execute(request).await.map_err(failure);
        }
        let port = guard::own_port(request.url()).filter(|_| own.is_none());
        guard::judge_literal(request.url(), port).map_err(|why| refused(server, why))?;
        let Some(port) = port else {
            return self.pools[(others / PER_POOL).min(POOLS - 1)].execute(request).await.map_err(failure);
        };
        // Seldom: another server on a port of ours. It needs no connection that is kept.
        let pool = pool(&self.tls, Some(Guarded { lookup: self.lookup, port: Some(port) }));
        let pool = pool.map_err(|error| HttpFailure::NotSent(error.chain()))?;
        pool.execute(request).await.map_err(failure)
    }
}

/// Makes a pool of connections, whose names are looked up with a guard or as the library does.
fn pool(tls: &ClientConfig, guarded: Option<Guarded>) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        // Read once: each client would read the machine's certificates again.
        .tls_backend_preconfigured(tls.clone())
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(PER_POOL)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT);
    let builder = match guarded {
        Some(guarded) => builder.dns_resolver(Arc::new(guarded)),
        None => builder,
    };
    builder.build().map_err(|cause| Error::internal("the HTTP client cannot start").caused_by(cause))
}

/// Returns the failure of a request to an address that none may go to.
fn refused(server: &str, why: Refused) -> HttpFailure {
    HttpFailure::Untrusted {
        why: format!("nothing is sent to {server}: {why}"),
        remedy: guard::REMEDY.to_owned(),
    }
}

#[async_trait]
impl Http for RealHttp {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        // Connectors check their settings; this holds for what comes after them as well.
        if clear_text::exposes(&request) {
            let why = "over http:// its credential would travel unencrypted".to_owned();
            return Err(HttpFailure::NotSent(why));
        }
        let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let failure = |cause| failure(&server, cause);
        let own = request.extensions().get::<OwnRequest>().copied();
        let request = reqwest::Request::try_from(request).map_err(failure)?;
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.under_way);
        let mut answer = self.execute(request, own, others, &server).await?;

        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        *response.body_mut() = answer.bytes().await.map_err(failure)?;
        Ok(response)
    }

    /// All that name the same file share their connections, until the file changes.
    fn trusting(&self, ca_file: &Path) -> Result<Option<Arc<dyn Http>>> {
        let file = AuthorityFile::at(ca_file)?;
        let mut known = self.trusting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, http)) = known.iter().find(|(other, _)| *other == file) {
            return Ok(Some(Arc::new(http.clone())));
        }
        let http = RealHttp::with(tls::http_config(Some(ca_file))?, self.lookup)?;
        known.retain(|(other, _)| other.path != file.path);
        known.push((file, http.clone()));
        Ok(Some(Arc::new(http)))
    }
}

/// Returns "not sent" only if the request was certainly never sent. `server` is its name.
///
/// A pooled connection that the peer has closed is not such a case: the bytes
/// may have been on their way.
fn failure(server: &str, error: reqwest::Error) -> HttpFailure {
    if let Some(why) = Refused::of(&error) {
        return refused(server, why);
    }
    let sent = !(error.is_connect() || error.is_builder());
    if let Some(distrust) = Distrust::of(&error).filter(|_| !sent) {
        return HttpFailure::Untrusted {
            why: format!("the certificate of {server} {}", distrust.said()),
            remedy: distrust.remedy("the address"),
        };
    }
    // Addresses may hold the identifier of a user; that of the server is enough.
    let why = match error.is_timeout() {
        true => "it did not answer in time".to_owned(),
        false => network::why(&error.without_url()),
    };
    if sent { HttpFailure::ResponseLost(why) } else { HttpFailure::NotSent(format!("{server}: {why}")) }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn send_to(address: &str) -> Result<http::Response<Bytes>, HttpFailure> {
        let request = http::Request::post(format!("http://{address}/path"))
            .body(Bytes::from_static(b"{}"))
            .expect("request");
        RealHttp::new().expect("client").send(request).await
    }

    /// A server that reads one request and answers with these bytes, then closes.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer).await;
        });
        address
    }

    #[tokio::test]
    async fn a_refused_connection_was_certainly_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        drop(listener);

        let failure = send_to(&address).await.expect_err("nothing listens");

        let HttpFailure::NotSent(why) = failure else { panic!("{failure:?}") };
        assert_eq!(why, format!("{address}: Connection refused"));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_named_in_the_words_of_the_system_alone() {
        let failure = send_to("no-such-host.invalid").await.expect_err("no such host");

        let HttpFailure::NotSent(why) = failure else { panic!("{failure:?}") };
        assert!(why.starts_with("no-such-host.invalid: "), "{why}");
        for word in ["error", "client", "dns", "lookup"] {
            assert!(!why.contains(word), "{why}");
        }
    }

    #[tokio::test]
    async fn a_credential_is_never_sent_in_the_clear_to_another_machine() {
        let request = http::Request::post("http://192.0.2.1/path").header("authorization", "Bearer t");

        let failure =
            RealHttp::new().expect("client").send(request.body(Bytes::new()).expect("request")).await;

        let Err(HttpFailure::NotSent(why)) = failure else { panic!("{failure:?}") };
        assert!(why.contains("unencrypted"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_lost() {
        let failure = send_to(&server(b"").await).await.expect_err("closed");
        let HttpFailure::ResponseLost(why) = failure else { panic!("{failure:?}") };
        assert_eq!(why, "the connection was closed");

        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        let failure = send_to(&server(half).await).await.expect_err("cut off");
        assert!(matches!(failure, HttpFailure::ResponseLost(_)), "{failure:?}");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_the_metadata_of_the_machine_gets_no_request() {
        let metadata: Lookup =
            |_| Box::pin(async { Ok(vec!["169.254.169.254:0".parse().expect("an address")]) });
        let http = RealHttp::with(tls::http_config(None).expect("TLS"), metadata).expect("client");
        for address in ["http://hooks.example.com/x", "http://169.254.169.254/latest", "http://2852039166/"] {
            let request = || http::Request::get(address);
            let refused = http.send(request().body(Bytes::new()).expect("request")).await;

            let failure = refused.expect_err("refused");
            let error = failure.untrusted().expect("a person must act");
            assert!(error.message().contains("it leads to 169.254.169.254"), "{address}: {error}");
            assert!(error.next_step().contains("the address of the system itself"), "{error}");
            let of_sandbox = request().extension(OwnRequest::Sandbox).body(Bytes::new()).expect("request");
            http.send(of_sandbox).await.expect_err("its address is one that a person chose, too");
        }
    }

    #[tokio::test]
    async fn this_process_sends_nothing_to_itself_but_what_it_makes_by_itself() {
        let listening = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        guard::listens_on(listening.parse().expect("an address"));
        let (_, port) = listening.split_once(':').expect("a port");
        let loopback: Lookup = |_| Box::pin(async { Ok(vec!["127.0.0.1:0".parse().expect("an address")]) });
        let http = RealHttp::with(tls::http_config(None).expect("TLS"), loopback).expect("client");
        for host in ["127.0.0.1", "localhost", "rebound.example.com", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let request = http::Request::get(format!("http://{host}:{port}/api")).body(Bytes::new());
            let failure = http.send(request.expect("request")).await.expect_err("refused");
            assert!(failure.why().contains("where tidegate itself listens"), "{host}: {failure:?}");
        }
        let own = http::Request::get(format!("http://{listening}/in")).extension(OwnRequest::Sandbox);
        let answer = http.send(own.body(Bytes::new()).expect("request")).await.expect("answered");
        assert_eq!(answer.body().as_ref(), b"ok");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_any_other() {
        let moved = b"HTTP/1.1 307 x\r\nlocation: http://169.254.169.254/\r\ncontent-length: 2\r\n\r\nno";
        let answer = send_to(&server(moved).await).await.expect("answer");
        assert_eq!(answer.status(), 307);
        assert_eq!(answer.body().as_ref(), b"no");
        assert_eq!(answer.headers()["location"], "http://169.254.169.254/", "not followed");
    }
}
