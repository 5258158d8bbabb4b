//! `tidegate apply`

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Http as _, HttpFailure};
use tidegate_project::{Finding, Invalid, Mark};
use tidegate_transport::http::RealHttp;

use super::documents::{Applied, AppliedNames};
use crate::cli::{Output, ProjectArgs};
use crate::output::{self, note};
use crate::{CHANGED, DONE};

/// The variable that holds the token of the server.
const TOKEN: &str = "TIDEGATE_TOKEN";
/// The resource that is read and replaced.
const PROJECT: &str = "/api/v1/project";

/// What the command line asks for.
pub(super) struct Wanted {
    pub(super) server: String,
    pub(super) dry_run: bool,
    pub(super) exit_code: bool,
}

/// Makes the project of this folder the one of a running server: reads the version that the server has, and
/// replaces just that one. What anyone changed in between is not overwritten.
pub(super) async fn apply(args: &ProjectArgs, wanted: Wanted, out: Output) -> Result<u8, Error> {
    let text = tidegate_project::read_text(&args.project)?;
    let server = Server::new(&wanted.server)?;
    let known = server.ask(Request::get(server.address("")?).body(Bytes::new())).await?;
    let version = match (known.status(), known.headers().get(header::ETAG).cloned()) {
        // Without the text, if it holds a secret that only admins see.
        (StatusCode::OK | StatusCode::FORBIDDEN, Some(version)) => version,
        (StatusCode::OK, None) => return Err(server.foreign()),
        _ => return Err(server.refusal(args, &known)),
    };
    let query = if wanted.dry_run { "?dry_run=true" } else { "" };
    let put = Request::builder().method(Method::PUT).uri(server.address(query)?);
    let put = put.header(header::IF_MATCH, version).header(header::CONTENT_TYPE, "application/yaml");
    let answer = server.ask(put.body(Bytes::from(text))).await?;
    if answer.status() != StatusCode::OK {
        return Err(server.refusal(args, &answer));
    }
    let applied: Applied = serde_json::from_slice(answer.body()).map_err(|_| server.foreign())?;
    match out {
        Output::Text => print(&applied),
        _ => output::document(out, &applied),
    }
    Ok(if wanted.exit_code && applied.changed { CHANGED } else { DONE })
}

fn print(applied: &Applied) {
    let names = |thing: &str, names: &AppliedNames| {
        for (sign, names) in [("+", &names.added), ("~", &names.changed), ("-", &names.removed)] {
            names.iter().for_each(|name| output::line(format!("  {sign} {thing} {name}")));
        }
    };
    output::line(match (applied.applied, applied.changed) {
        (true, true) => "applied:",
        (true, false) => "applied: no connection, sync or setting changed",
        (false, true) => "would change:",
        (false, false) => "nothing would change",
    });
    names("connection", &applied.connections);
    names("sync", &applied.syncs);
    applied.settings.iter().for_each(|key| output::line(format!("  ~ {key}")));
    for Finding { at, path, message, next } in &applied.notes {
        note(format!("  {}: line {}, `{path}`: {message}", output::toned("note"), at.line));
        note(format!("    → {next}"));
    }
    for key in &applied.after_restart {
        note(format!("  {}: `{key}` counts from the next start of the server", output::toned("note")));
    }
}

/// A running server.
struct Server {
    url: String,
    token: Option<String>,
    http: RealHttp,
}

/// A problem as the API describes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    remedy: Option<String>,
    errors: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    line: usize,
    column: usize,
    path: String,
    message: String,
    next: String,
}

impl Server {
    fn new(url: &str) -> Result<Server, Error> {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        Ok(Server { url: url.trim_end_matches('/').to_owned(), token, http: RealHttp::new()? })
    }

    fn address(&self, query: &str) -> Result<Uri, Error> {
        let address: Result<Uri, _> = format!("{}{PROJECT}{query}", self.url).parse();
        address.ok().filter(|address| address.scheme().is_some() && address.host().is_some()).ok_or_else(
            || {
                Error::settings(format!("`{}` is not the address of a server", self.url))
                    .hint("write it as `--server https://HOST` or `--server http://127.0.0.1:8080`")
            },
        )
    }

    async fn ask(&self, request: http::Result<Request<Bytes>>) -> Result<Response<Bytes>, Error> {
        let mut request =
            request.map_err(|cause| Error::internal("a request cannot be made").caused_by(cause))?;
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Error::settings(format!("{TOKEN} holds no token"))
                    .hint("`tidegate tokens add NAME --role editor` prints one at the server")
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        self.http.send(request).await.map_err(|failure| {
            let error =
                Error::new(ErrorKind::Unavailable, format!("the server does not answer: {}", failure.why()));
            match failure {
                HttpFailure::Untrusted { remedy, .. } => error.hint(remedy),
                _ => error.hint("check that `tidegate serve` runs there; `apply` again is safe"),
            }
        })
    }

    /// The error of an answer that is no success.
    fn refusal(&self, args: &ProjectArgs, answer: &Response<Bytes>) -> Error {
        let Ok(problem) = serde_json::from_slice::<Problem>(answer.body()) else { return self.foreign() };
        if !problem.errors.is_empty() {
            let file = tidegate_project::locate(&args.project).unwrap_or_default().display().to_string();
            let finding = |fault: Fault| Finding {
                at: Mark { line: fault.line, column: fault.column },
                path: fault.path,
                message: fault.message,
                next: fault.next,
            };
            return Invalid { file, errors: problem.errors.into_iter().map(finding).collect() }.into();
        }
        if problem.detail.is_empty() {
            return self.foreign();
        }
        let kind = match answer.status() {
            StatusCode::UNPROCESSABLE_ENTITY => ErrorKind::Settings,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
            _ => ErrorKind::Rejected,
        };
        let next = match (answer.status(), problem.code.as_str()) {
            (StatusCode::UNAUTHORIZED, _) => {
                format!(
                    "export {TOKEN}=…; `tidegate tokens add NAME --role editor` prints a token at the server"
                )
            }
            (_, "stale") => {
                "look at what changed with `tidegate apply --dry-run`, then apply again".to_owned()
            }
            _ => problem.remedy.unwrap_or_default(),
        };
        Error::new(kind, format!("{} refused the project: {}", self.url, problem.detail)).hint(next)
    }

    /// The error of an answer that no Tidegate gives.
    fn foreign(&self) -> Error {
        Error::new(ErrorKind::Unexpected, format!("{} does not answer as `tidegate serve` does", self.url))
            .hint("check the address, and that both have the same version")
    }
}
