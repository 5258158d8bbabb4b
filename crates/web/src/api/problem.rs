//! Errors of the API: `application/problem+json`, RFC 9457.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidegate_model::{Error, ErrorKind};
use utoipa::ToSchema;

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
        }
    }

    /// Creates the answer to a request for something that is not there.
    pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// Creates the answer to a request that cannot be read.
    pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
    }

    /// Adds what to do next.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.remedy = Some(remedy.into());
        self
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
            ErrorKind::Missing => (StatusCode::CONFLICT, "missing"),
            ErrorKind::Throttled(_) => (StatusCode::SERVICE_UNAVAILABLE, "throttled"),
            ErrorKind::Unavailable => (StatusCode::CONFLICT, "unavailable"),
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
        Problem::invalid(format!("the query cannot be read: {}", rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::invalid(format!("the path cannot be read: {}", rejection.body_text()))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let problem = Problem::invalid(format!("the body cannot be read: {}", rejection.body_text()));
        Problem { status: rejection.status().as_u16(), ..problem }
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
