//! What all pages share: the frame, the headers, errors.

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_engine::service::{Engine, Simulated};
use tidegate_model::people::Role;
use tidegate_model::{Error, ErrorKind, SyncId};

use super::show;
use crate::api::Problem;
use crate::assets;
use crate::reader::{self, Reader, Theme};

/// What a page may load and run: its own files, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types tidegate";

/// The frame of a page.
pub(super) struct Shell {
    /// The title in the browser's tab.
    pub(super) title: String,
    /// The entry of the navigation that is current.
    pub(super) section: &'static str,
    /// Open failed rows of all syncs.
    pub(super) failed_rows: u64,
    /// Open alerts.
    pub(super) alerts: u64,
    /// Which connections are simulated, for the mark at the top; empty if none is.
    pub(super) sandbox: &'static str,
    /// The time at which the page was made.
    pub(super) now: Timestamp,
    /// Whether there are people, so that someone signed in.
    pub(super) signed_in: bool,
    /// Who reads it.
    reader: Reader,
}

/// An entry of the navigation.
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) icon: &'static str,
    pub(super) name: &'static str,
}

const LINKS: &[Link] = &[
    Link { path: "/", icon: "overview", name: "Overview" },
    Link { path: "/syncs", icon: "syncs", name: "Syncs" },
    Link { path: "/runs", icon: "runs", name: "Runs" },
    Link { path: "/failed-rows", icon: "failed", name: "Failed rows" },
    Link { path: "/users", icon: "user", name: "Users" },
    Link { path: "/events", icon: "events", name: "Events" },
    Link { path: "/connections", icon: "connections", name: "Connections" },
    Link { path: "/alerts", icon: "bell", name: "Alerts" },
];

impl Shell {
    /// Makes the frame of a page.
    pub(super) async fn new(
        engine: &Engine,
        title: impl Into<String>,
        section: &'static str,
    ) -> Result<Shell, Failure> {
        Ok(Shell {
            title: title.into(),
            section,
            failed_rows: engine.all_open_failed_rows().await?,
            alerts: engine.open_alerts().await?,
            sandbox: match engine.simulated() {
                Simulated::Nothing => "",
                Simulated::Some => "some connections are simulated",
                Simulated::All => "every destination is simulated",
            },
            now: engine.now(),
            signed_in: engine.has_people().await?,
            reader: Reader::current(),
        })
    }

    /// The frame of a page that needs nothing of the engine.
    pub(super) fn bare(title: &str) -> Shell {
        Shell {
            title: title.to_owned(),
            section: "",
            failed_rows: 0,
            alerts: 0,
            sandbox: "",
            now: Timestamp::UNIX_EPOCH,
            signed_in: false,
            reader: Reader::current(),
        }
    }

    pub(super) fn may_edit(&self) -> bool {
        self.reader.visitor.as_ref().is_none_or(|visitor| visitor.role >= Role::Editor)
    }

    pub(super) fn may_manage(&self) -> bool {
        self.reader.visitor.as_ref().is_none_or(|visitor| visitor.role >= Role::Admin)
    }

    pub(super) fn sees_rows(&self) -> bool {
        self.reader.visitor.as_ref().is_none_or(|visitor| visitor.rows)
    }

    /// The entries of the navigation that the reader may open.
    pub(super) fn links(&self) -> impl Iterator<Item = &'static Link> {
        let may_open = |link: &&Link| link.path != "/users" || self.sees_rows();
        LINKS.iter().filter(move |link| !self.reader.is_outside && may_open(link))
    }

    /// Whether the reader sees nothing but this page.
    pub(super) fn is_outside(&self) -> bool {
        self.reader.is_outside
    }

    /// The number beside an entry of the navigation, empty if there is none.
    pub(super) fn count_of(&self, link: &Link) -> String {
        match link.path {
            "/failed-rows" if self.failed_rows > 0 => show::number(self.failed_rows),
            "/alerts" if self.alerts > 0 => show::number(self.alerts),
            _ => String::new(),
        }
    }

    pub(super) fn theme(&self) -> Theme {
        self.reader.theme
    }

    /// The colors that a browser begins with, before the stylesheet is there.
    pub(super) fn color_scheme(&self) -> &'static str {
        self.reader.theme.color_scheme()
    }

    pub(super) fn exact_times(&self) -> bool {
        self.reader.exact_times
    }

    pub(super) fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }

    pub(super) fn is_current(&self, link: &Link) -> bool {
        link.path == self.section
    }

    pub(super) fn symbols(&self) -> &'static str {
        assets::SYMBOLS
    }

    pub(super) fn style(&self) -> &'static str {
        assets::style()
    }

    pub(super) fn script(&self) -> &'static str {
        assets::script()
    }

    pub(super) fn favicon(&self) -> &'static str {
        assets::icon()
    }

    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    pub(super) fn icon(&self, name: &str) -> String {
        show::icon(name)
    }

    pub(super) fn made_at(&self) -> String {
        show::exact(self.now)
    }
}

/// Answers with a page.
pub(super) fn page(asked: &HeaderMap, template: &impl Template) -> Result<Response, Failure> {
    respond(asked, StatusCode::OK, template)
}

/// Answers with a page that says that something was not done.
pub(super) fn page_of_failure(asked: &HeaderMap, template: &impl Template) -> Result<Response, Failure> {
    respond(asked, StatusCode::UNPROCESSABLE_ENTITY, template)
}

fn respond(asked: &HeaderMap, status: StatusCode, template: &impl Template) -> Result<Response, Failure> {
    let text = template
        .render()
        .map_err(|cause| Failure::from(Error::internal("a page could not be made").caused_by(cause)))?;
    let compressed = assets::takes_gzip(asked);
    let body =
        if compressed { assets::gzip(text.as_bytes(), Compression::new(5)) } else { text.into_bytes() };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::CACHE_CONTROL, "no-store");
    set(header::VARY, "accept-encoding");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()");
    if compressed {
        set(header::CONTENT_ENCODING, "gzip");
    }
    Ok(response)
}

/// A page that could not be shown, as a page.
pub(super) struct Failure {
    status: StatusCode,
    what: String,
    next: String,
}

impl Failure {
    /// Creates the answer to a request for something that is not there.
    pub(super) fn not_found(what: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { status: StatusCode::NOT_FOUND, what: what.into(), next: next.into() }
    }

    /// Creates the answer to an action whose result is a failure.
    pub(super) fn failed(what: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { status: StatusCode::CONFLICT, what: what.into(), next: next.into() }
    }

    /// Creates the answer to a visitor who may not see this.
    pub(super) fn forbidden(error: Error) -> Failure {
        let next = format!("Next: {}", error.next_step());
        match error.kind() {
            ErrorKind::Denied => Failure { status: StatusCode::FORBIDDEN, what: error.chain(), next },
            _ => Failure::from(error),
        }
    }

    /// Creates the answer to a form or an address that cannot be read.
    pub(super) fn invalid(what: impl Into<String>) -> Failure {
        let next = "Go back and correct it.".to_owned();
        Failure { status: StatusCode::UNPROCESSABLE_ENTITY, what: what.into(), next }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let next = format!("Next: {}", error.next_step());
        let what = error.chain();
        Failure { status: Problem::from(error).status(), what, next }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Failure {
        tracing::debug!(reason = rejection.body_text(), "an address could not be read");
        Failure::invalid("The address of this page has a filter that cannot be read.")
    }
}

impl From<FormRejection> for Failure {
    fn from(rejection: FormRejection) -> Failure {
        tracing::debug!(reason = rejection.body_text(), "a form could not be read");
        Failure::invalid("The form cannot be read.")
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    shell: Shell,
    headline: &'static str,
    what: String,
    next: String,
    /// The page that led here.
    back: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let shell = Shell::bare("Not done");
        let headline = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::UNPROCESSABLE_ENTITY => "Nothing was done",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::UNAUTHORIZED => "Sign in first",
            status if status.is_server_error() => "Something went wrong",
            _ => "This is not possible now",
        };
        let what = show::prose(&format!("{}.", self.what.trim_end_matches('.')));
        // Who is not signed in any more would be refused there, too.
        let back = shell.reader.came_from.clone().filter(|_| self.status != StatusCode::UNAUTHORIZED);
        let template = FailurePage { shell, headline, what, next: show::prose(&self.next), back };
        let plain = HeaderMap::new();
        respond(&plain, self.status, &template).unwrap_or_else(|_| self.status.into_response())
    }
}

/// Answers a browser that asks for a page that does not exist.
pub(crate) fn nothing_here() -> Response {
    Failure::not_found("There is no page at this address.", "The overview leads to all of them.")
        .into_response()
}

/// Answers with the page of a request that is refused.
pub(crate) fn refused(problem: &Problem) -> Response {
    let (what, next) = problem.sentences();
    Failure { status: problem.status(), what, next: format!("Next: {next}") }.into_response()
}

#[derive(Template)]
#[template(path = "ask_again.html")]
struct AskAgain<'a> {
    path: &'a str,
}

impl AskAgain<'_> {
    fn style(&self) -> &'static str {
        assets::style()
    }
}

/// Answers with a page that asks for an address again, from this site: then the browser sends its cookie.
pub(crate) fn ask_again(path: &str) -> Response {
    let page = page(&HeaderMap::new(), &AskAgain { path });
    page.unwrap_or_else(IntoResponse::into_response)
}

/// How pages are to look: what was chosen of it.
#[derive(Debug, Deserialize)]
pub(super) struct Display {
    theme: Option<String>,
    times: Option<String>,
}

/// Keeps in a cookie how pages look, and leads back.
pub(super) async fn display(form: Result<Form<Display>, FormRejection>) -> Result<Response, Failure> {
    let Form(Display { theme, times }) = form?;
    let cookie = match (theme.as_deref().map(Theme::named), times) {
        (Some(Some(theme)), _) => theme.cookie(),
        (None, Some(times)) => reader::cookie_of_times(&times),
        _ => return Err(Failure::invalid("There is nothing to choose by this name.")),
    };
    let back = Reader::current().came_from.unwrap_or_else(|| "/".to_owned());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&back)).into_response())
}

/// The sync of this name.
pub(super) fn known(engine: &Engine, name: &str) -> Result<SyncId, Failure> {
    let id = SyncId::new(name);
    match engine.sync(&id) {
        Ok(_) => Ok(id),
        Err(error) => Err(Failure::not_found(error.message(), format!("Next: {}", error.next_step()))),
    }
}
