//! Who may see pages and the API.
//!
//! While there are no people, programs and browsers of this machine, and those who open the link of an
//! invitation: the address that a connection
//! comes from says whether it is this machine, and the `Host` header keeps out web pages whose name
//! was made to lead here (DNS rebinding). Once there are people, everyone signs in: browsers by a
//! cookie, programs by a token. In both cases `Origin` and `Sec-Fetch-Site` keep out pages of other
//! sites that post here, and [`rules`](crate::rules) says what each address asks for.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::{StreamExt as _, stream};
use tidegate_engine::service::{Engine, Visitor, without_row_values};
use tidegate_model::Error;
use tidegate_model::address::encoded;
use tidegate_model::people::Role;
use tokio_util::task::TaskTracker;

use crate::api::Problem;
use crate::ingest::finished;
use crate::reader::Reader;
use crate::rules::{self, Right, Rule};
use crate::server::Peer;

/// The cookie of a session, over `http` and over `https`: with the prefix a browser takes it from this server
/// only, and from none of the same domain (RFC 6265bis, 4.1.3.2).
const COOKIE: [&str; 2] = ["tidegate_session", "__Host-tidegate_session"];
/// The cookie of a browser whose person is at the identity provider, likewise. It is sent when that provider's
/// page leads back, which a cookie of a session is not.
const AWAY: [&str; 2] = ["tidegate_sign_in", "__Host-tidegate_sign_in"];
/// The header by which a proxy, or the server if it has a certificate, says how a browser reaches it.
pub(crate) const SCHEME: &str = "x-forwarded-proto";
/// The name of those who ask while there are no people, by page and by API.
const LOCAL: [&str; 2] = ["a person (dashboard)", "the API"];

/// Headers that proxies add: the request comes from another machine.
const FORWARDED: &[&str] = &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// The thing that a request was about, for the audit log: in the extensions of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) String);

/// What was done changed nothing, and is not noted: in the extensions of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotNoted;

/// Why a request is not answered.
enum Refused {
    /// Not to this machine, or to a page of another site.
    Forbidden(&'static str, &'static str),
    /// There is no visitor.
    SignIn,
    /// The visitor lacks a right.
    Lacks(Right, Visitor),
    /// It could not be found out.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Failed(error)
    }
}

/// Passes on what may be asked, with the [`Visitor`] among the extensions, and notes what was done, also if the
/// client hangs up before it is answered.
pub(crate) async fn guard(
    State(engine): State<Arc<Engine>>,
    State(tasks): State<TaskTracker>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_api = rules::is_for_programs(parts.uri.path());
    let is_route = parts.extensions.get::<MatchedPath>().is_some();
    let rule = rules::of(&parts.method, parts.uri.path(), is_route);
    let visitor = match admit(&engine, &parts, rule, is_api).await {
        Ok(visitor) => visitor,
        Err(refused) => return refused.answer(&parts, is_api),
    };
    let subject = subject_of(parts.uri.path(), rule);
    let rows = visitor.as_ref().is_none_or(|visitor| visitor.rows);
    if let Some(visitor) = visitor.clone() {
        parts.extensions.insert(visitor);
    }
    let reader = Reader { visitor: visitor.clone(), ..Reader::of(&parts.headers) };
    let is_finished = rule.is_finished(&parts.method);
    let body = if is_finished { received(body).await } else { body };
    let request = Request::from_parts(parts, body);
    let work = async move {
        let answer = match rows {
            true => reader.reads(next.run(request)).await,
            false => without_row_values(reader.reads(next.run(request))).await,
        };
        let done = (answer.status().is_success() || answer.status().is_redirection())
            && answer.extensions().get::<NotNoted>().is_none();
        if let Some(visitor) = visitor.filter(|_| done && !rule.action.is_empty()) {
            let subject = answer.extensions().get::<Subject>().map_or(subject, |subject| subject.0.clone());
            let via = if is_api { "api" } else { "page" };
            engine.audit(&visitor.name, via, rule.action, &subject).await;
        }
        answer
    };
    match is_finished {
        true => finished(&tasks, work).await,
        false => work.await,
    }
}

/// Reads a body before its request is answered, so that a client that hangs up or is slow leaves no answer that waits
/// for it. What is longer than any handler takes is left to read.
async fn received(body: Body) -> Body {
    /// As much as axum's extractors take by default.
    const BYTES_MAX: usize = 2 << 20;
    let (mut rest, mut pieces, mut length) = (body.into_data_stream(), Vec::new(), 0);
    while length <= BYTES_MAX
        && let Some(piece) = rest.next().await
    {
        length += piece.as_ref().map_or(0, Bytes::len);
        pieces.push(piece);
    }
    Body::from_stream(stream::iter(pieces).chain(rest))
}

/// Returns who asks; `None` for what anyone may ask.
async fn admit(
    engine: &Engine,
    request: &Parts,
    rule: Rule,
    is_api: bool,
) -> Result<Option<Visitor>, Refused> {
    let headers = &request.headers;
    if !engine.has_people().await? {
        let peer = request.extensions.get::<Peer>().map(|peer| peer.0);
        if let Err((why, remedy)) = judge_local(peer, &request.method, headers) {
            return match is_of_invitation(request, rule) {
                true => Ok(None),
                false => Err(Refused::Forbidden(why, remedy)),
            };
        }
        let name = LOCAL[usize::from(is_api)].to_owned();
        return Ok(Some(Visitor { name, role: Role::Admin, rows: true }));
    }
    // A token is nothing that a browser sends along: it needs no look at where the request is from.
    let token = if is_api { bearer(headers) } else { None };
    if token.is_none() && !request.method.is_safe() && !is_of_own_page(headers) {
        return Err(Refused::Forbidden(
            "a page of another site asked for this: only pages of the dashboard may",
            "use the dashboard, or call the API with a token",
        ));
    }
    if rule.right == Right::Open {
        return Ok(None);
    }
    let visitor = match (token, session(headers)) {
        (Some(token), _) => engine.visitor_by_token(token).await?,
        (None, Some(session)) => engine.visitor_by_session(session).await?,
        (None, None) => None,
    };
    let visitor = visitor.ok_or(Refused::SignIn)?;
    match rule.right.is_had_by(&visitor) {
        true => Ok(Some(visitor)),
        false => Err(Refused::Lacks(rule.right, visitor)),
    }
}

impl Refused {
    fn answer(self, request: &Parts, is_api: bool) -> Response {
        let mut reader = Reader::of(&request.headers);
        reader.is_outside = matches!(self, Refused::Forbidden(..) | Refused::SignIn);
        let problem = match self {
            Refused::Forbidden(why, remedy) => {
                Problem::new(StatusCode::FORBIDDEN, "forbidden", why).remedy(remedy)
            }
            Refused::Lacks(right, visitor) => {
                reader.visitor = Some(visitor);
                let (why, remedy) = match right {
                    Right::Rows => ("you may not see values of rows", "an admin can give you that right"),
                    _ => ("your role does not allow this", "an admin can give you another role"),
                };
                Problem::new(StatusCode::FORBIDDEN, "forbidden", why).remedy(remedy)
            }
            Refused::Failed(error) => Problem::from(error),
            Refused::SignIn if !is_api && request.method.is_safe() => return to_sign_in(request),
            Refused::SignIn if !is_api => {
                let problem =
                    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "you are not signed in any more");
                let problem = problem.remedy("sign in at `/sign-in`, then do it again");
                return reader.sees(|| crate::pages::refused(&problem));
            }
            Refused::SignIn => {
                let mut answer = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in first")
                    .remedy("send `Authorization: Bearer TOKEN`; `tidegate tokens add NAME` makes a token")
                    .into_response();
                let bearer = header::HeaderValue::from_static("Bearer realm=\"tidegate\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
                return answer;
            }
        };
        match is_api {
            true => problem.into_response(),
            false => reader.sees(|| crate::pages::refused(&problem)),
        }
    }
}

/// Leads to the page of signing in, and from there back. A link in a mail or a chat comes from another
/// site, so the browser leaves the cookie of a person who is signed in at home: that page asks again.
fn to_sign_in(request: &Parts) -> Response {
    let foreign = text(&request.headers, "sec-fetch-site").is_some_and(|site| site == "cross-site");
    let wanted = request.uri.path_and_query().map_or("/", |path| path.as_str());
    // What browsers take for the address of another server leads home.
    let wanted = if wanted.starts_with("//") || wanted.contains('\\') { "/" } else { wanted };
    if foreign {
        return crate::pages::ask_again(wanted);
    }
    Redirect::to(&format!("/sign-in?next={}", encoded(wanted))).into_response()
}

/// What the path of a request names, without the identifier of a user.
fn subject_of(path: &str, rule: Rule) -> String {
    if rule.action == "see_user" {
        return String::new();
    }
    let named = rule.path.split('/').zip(path.split('/')).filter(|(pattern, _)| pattern.starts_with('{'));
    let names: Vec<String> = named.filter_map(|(_, name)| tidegate_model::address::decoded(name)).collect();
    names.join("/")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the secret of the session in a request.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE[usize::from(is_https(headers))])
}

/// Returns the value of a cookie.
pub(crate) fn cookie_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// Returns the `Set-Cookie` of a session; without a secret, the one that removes it.
pub(crate) fn cookie(headers: &HeaderMap, secret: Option<&str>) -> String {
    /// A week, as long as a session lasts at most.
    const SECONDS: u32 = 7 * 86_400;
    let is_https = is_https(headers);
    let (name, secure) = (COOKIE[usize::from(is_https)], if is_https { "; Secure" } else { "" });
    match secret {
        Some(secret) => {
            format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SECONDS}{secure}")
        }
        None => format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}"),
    }
}

/// Returns what a browser keeps while its person is at the identity provider.
pub(crate) fn away(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, AWAY[usize::from(is_https(headers))])
}

/// Returns the `Set-Cookie` of that; without a value, the one that removes it.
pub(crate) fn away_cookie(headers: &HeaderMap, value: Option<&str>) -> String {
    /// As long as a person may take at the provider.
    const SECONDS: u32 = 600;
    let is_https = is_https(headers);
    let (name, secure) = (AWAY[usize::from(is_https)], if is_https { "; Secure" } else { "" });
    let (value, seconds) = value.map_or(("", 0), |value| (value, SECONDS));
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// Whether the browser reaches this server by `https`, here or at a proxy.
pub(crate) fn is_https(headers: &HeaderMap) -> bool {
    text(headers, SCHEME).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// Returns the address of this server as the browser reached it, without a slash at its end.
pub(crate) fn origin(headers: &HeaderMap) -> String {
    let scheme = if is_https(headers) { "https" } else { "http" };
    format!("{scheme}://{}", text(headers, "host").unwrap_or("127.0.0.1:8080"))
}

/// Whether a request that changes something comes from a page of this server. Browsers say so.
fn is_of_own_page(headers: &HeaderMap) -> bool {
    let host = text(headers, "host").unwrap_or_default();
    match (text(headers, "sec-fetch-site"), text(headers, "origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin.split_once("://").is_some_and(|(_, of)| !of.is_empty() && of == host),
        (None, None) => false,
    }
}

/// Whether a request belongs to the link of an invitation, which the first person may open anywhere: its key
/// is judged by the page.
fn is_of_invitation(request: &Parts, rule: Rule) -> bool {
    let is_safe = request.method.is_safe();
    match rule.path {
        "/welcome" => is_safe || is_of_own_page(&request.headers),
        "/assets/{name}" => is_safe,
        _ => false,
    }
}

/// What is refused, and what to do instead.
type Refusal = (&'static str, &'static str);

/// Judges a request while there are no people.
fn judge_local(peer: Option<IpAddr>, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    const PEOPLE: &str = "add a person on the server, with `tidegate people add NAME --role admin`, and open \
        the link that it prints, or open a tunnel: ssh -L 8080:127.0.0.1:8080 HOST";
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Err((
            "the dashboard and its API answer this machine only, until a person can sign in",
            PEOPLE,
        ));
    }
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        let why = "the dashboard and its API do not answer through a proxy until a person can sign in";
        return Err((why, PEOPLE));
    }
    let host = text(headers, "host").unwrap_or_default();
    if !is_local(host) {
        let why = "the dashboard and its API answer to the names of this machine only";
        return Err((why, "open them as http://127.0.0.1 or http://localhost"));
    }
    if method.is_safe() {
        return Ok(());
    }
    let same_site = text(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin");
    let origin = text(headers, "origin");
    let same_origin = origin
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, of)| !of.is_empty() && of == host));
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

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in pairs {
            all.insert(*name, value.parse().expect("a header"));
        }
        all
    }

    fn asked(peer: &str, method: &Method, pairs: &[(&'static str, &str)]) -> bool {
        judge_local(Some(peer.parse().expect("an address")), method, &headers(pairs)).is_ok()
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

    #[test]
    fn a_browser_that_is_signed_in_says_from_which_page_it_posts() {
        let own = |pairs: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "tidegate.example.com")].iter().chain(pairs).copied().collect();
            is_of_own_page(&headers(&all))
        };
        assert!(own(&[("sec-fetch-site", "same-origin"), ("origin", "https://tidegate.example.com")]));
        assert!(own(&[("origin", "https://tidegate.example.com")]), "also behind a proxy that ends TLS");
        assert!(!own(&[("origin", "https://evil.example.com")]));
        assert!(!own(&[("origin", "null")]));
        assert!(!own(&[("sec-fetch-site", "same-site"), ("origin", "https://tidegate.example.com")]));
        assert!(!own(&[]), "no browser leaves both out");
    }

    #[test]
    fn the_cookie_is_closed_to_scripts_and_other_sites() {
        let plain = cookie(&HeaderMap::new(), Some("secret"));
        assert!(plain.contains("HttpOnly") && plain.contains("SameSite=Strict"), "{plain}");
        let behind_tls = cookie(&headers(&[("x-forwarded-proto", "https")]), Some("secret"));
        assert!(behind_tls.ends_with("; Secure") && behind_tls.starts_with("__Host-"), "{behind_tls}");
        let from_tls = |cookie: &'static str| {
            session(&headers(&[("x-forwarded-proto", "https"), ("cookie", cookie)])).map(str::to_owned)
        };
        assert_eq!(from_tls("__Host-tidegate_session=secret").as_deref(), Some("secret"));
        assert_eq!(from_tls("tidegate_session=planted"), None, "another host of the domain may have set it");
        assert_eq!(session(&headers(&[("cookie", "a=b; tidegate_session=secret; c=d")])), Some("secret"));
        assert_eq!(session(&headers(&[("cookie", "xtidegate_session=secret")])), None);
    }

    #[test]
    fn the_subject_of_the_audit_log_is_never_a_user() {
        let of = |path: &str, pattern: &str| {
            let rule = rules::of(&Method::GET, path, true);
            assert_eq!(rule.path, pattern);
            subject_of(path, rule)
        };
        assert_eq!(of("/failed-rows/orders%20x/ab12", "/failed-rows/{sync}/{row}"), "orders x/ab12");
        assert_eq!(of("/api/v1/users/ada%40x.com/timeline", "/api/v1/users/{user}/timeline"), "");
    }
}
