//! Who may see pages and the API: programs and browsers of this machine, until people exist.
//!
//! The address that a connection comes from says whether it is this machine. The `Host` header
//! keeps out web pages whose name was made to lead here (DNS rebinding), and `Origin` keeps
//! out those that post here from elsewhere.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Problem;
use crate::server::Peer;

/// Headers that proxies add: the request comes from another machine.
const FORWARDED: &[&str] = &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Passes on what comes from this machine, and answers everything else with 403.
pub(super) async fn local_only(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    match judge(peer, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((why, remedy)) => {
            Problem::new(StatusCode::FORBIDDEN, "forbidden", why).remedy(remedy).into_response()
        }
    }
}

/// What is refused, and what to do instead.
type Refusal = (&'static str, &'static str);

fn judge(peer: Option<IpAddr>, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    const TUNNEL: &str = "open a tunnel from the other machine: ssh -L 8080:127.0.0.1:8080 HOST";
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Err(("the dashboard and its API answer this machine only", TUNNEL));
    }
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        let why = "the dashboard and its API do not answer through a proxy: they have no sign-in yet";
        return Err((why, TUNNEL));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_local(host) {
        let why = "the dashboard and its API answer to the names of this machine only";
        return Err((why, "open them as http://127.0.0.1 or http://localhost"));
    }
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let same_site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let same_origin = text("origin").is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    match same_site && same_origin {
        true => Ok(()),
        false => Err((
            "a page of another site asked for this: only pages of the dashboard may",
            "call the API from a program, or use the dashboard",
        )),
    }
}

/// Whether a `Host` header names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: &str, method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().expect("a header"));
        }
        judge(Some(peer.parse().expect("an address")), method, &all).is_ok()
    }

    #[test]
    fn another_machine_another_name_and_a_proxy_are_refused() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"] {
            assert!(asked("127.0.0.1", &Method::GET, &[("host", host)]), "{host}");
        }
        assert!(asked("::1", &Method::GET, &[("host", "localhost")]));
        assert!(asked("::ffff:127.0.0.1", &Method::GET, &[("host", "localhost")]));
        assert!(!asked("10.0.0.7", &Method::GET, &[("host", "localhost:8080")]));
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert!(!asked("127.0.0.1", &Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!asked("127.0.0.1", &Method::GET, &[]));
        let proxied = [("host", "localhost"), ("x-forwarded-for", "10.0.0.7")];
        assert!(!asked("127.0.0.1", &Method::GET, &proxied));
    }

    #[test]
    fn a_page_of_another_site_cannot_post() {
        let post = |headers: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "localhost:8080")].iter().chain(headers).copied().collect();
            asked("127.0.0.1", &Method::POST, &all)
        };
        assert!(post(&[]), "a program of this machine");
        assert!(post(&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[("origin", "http://localhost:9090")]));
        assert!(!post(&[("origin", "https://evil.example")]));
        assert!(!post(&[("origin", "null")]));
        assert!(!post(&[("sec-fetch-site", "cross-site")]));
        assert!(!post(&[("sec-fetch-site", "same-site")]));
    }
}
