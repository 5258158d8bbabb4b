//! Errors of the API: `application/problem+json`, RFC 9457.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidegate_engine::service::Finding;
use tidegate_model::{Error, ErrorKind};
use utoipa::ToSchema;

use super::words;

/// What failed, why, and what to do next.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The phrase of the HTTP status.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable name of the problem.
    code: &'static str,
    /// What failed and why.
    detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Everything that is wrong with a project, in the order of its file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// The version that is there, if another one was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// One thing that is wrong with a project, or worth knowing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// The line in the file, from 1.
    line: usize,
    /// The column, from 1.
    column: usize,
    /// The path of the key, such as `syncs.orders.source`.
    path: String,
    /// What is wrong.
    message: String,
    /// What to do.
    next: String,
}

impl From<Finding> for Fault {
    fn from(Finding { at, path, message, next }: Finding) -> Fault {
        Fault { line: at.line, column: at.column, path, message, next }
    }
}

impl Problem {
    /// Creates one from its status, its name and its sentence.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            remedy: None,
            errors: Vec::new(),
            version: None,
        }
    }

    /// Adds what is wrong with a project.
    pub(super) fn errors(mut self, errors: Vec<Fault>) -> Problem {
        self.errors = errors;
        self
    }

    /// Adds the version that is there.
    pub(super) fn version(mut self, version: String) -> Problem {
        self.version = Some(version);
        self
    }

    /// Creates the answer to a request for something that is not there.
    pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// Creates the answer to a request that cannot be read.
    pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
            .remedy("send what /api/openapi.json describes for this path")
    }

    /// Adds what to do next.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.remedy = Some(remedy.into());
        self
    }

    /// Returns what failed, and what to do next.
    pub(crate) fn sentences(&self) -> (String, String) {
        (self.detail.clone(), self.remedy.clone().unwrap_or_default())
    }

    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let (status, code) = match error.kind() {
            ErrorKind::Settings => (StatusCode::UNPROCESSABLE_ENTITY, "settings"),
            ErrorKind::Denied => (StatusCode::CONFLICT, "denied"),
            ErrorKind::Unconfirmed => (StatusCode::CONFLICT, "unconfirmed"),
            ErrorKind::Missing => (StatusCode::CONFLICT, "missing"),
            ErrorKind::Throttled(_) => (StatusCode::SERVICE_UNAVAILABLE, "throttled"),
            ErrorKind::Unavailable => (StatusCode::CONFLICT, "unavailable"),
            ErrorKind::Held => (StatusCode::CONFLICT, "running"),
            ErrorKind::Storage => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
            ErrorKind::TooLarge | ErrorKind::Rejected | ErrorKind::Unexpected => {
                (StatusCode::BAD_GATEWAY, "unexpected")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        if status.is_server_error() {
            tracing::warn!(error = error.chain(), "a request could not be answered");
        }
        Problem::new(status, code, error.chain()).remedy(error.next_step())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        let why = rejection.body_text();
        let why = why.strip_prefix("Failed to deserialize query string: ").unwrap_or(&why);
        Problem::invalid(format!("the query cannot be read: {}", words::plain(why)))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::invalid(format!("the path cannot be read: {}", words::plain(&rejection.body_text())))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let problem = Problem::invalid(match &rejection {
            JsonRejection::MissingJsonContentType(_) => {
                "the body is not declared as JSON: send `Content-Type: application/json`".to_owned()
            }
            JsonRejection::JsonSyntaxError(_) => "the body is not JSON".to_owned(),
            _ => {
                let why = rejection.body_text();
                let why = why.rsplit_once("target type: ").map_or(why.as_str(), |(_, why)| why);
                format!("the body cannot be read: {}", words::plain(why))
            }
        });
        let title = rejection.status().canonical_reason().unwrap_or("Error");
        Problem { status: rejection.status().as_u16(), title, ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_runs_elsewhere_is_a_conflict_and_no_fault_of_the_server() {
        let held = Error::new(ErrorKind::Held, "the sync `orders` is running in web-1, process 7");
        let problem = Problem::from(held.hint("wait for it to end"));
        assert_eq!((problem.status(), problem.code), (StatusCode::CONFLICT, "running"));
        assert_eq!(problem.remedy.as_deref(), Some("wait for it to end"));
    }
}
