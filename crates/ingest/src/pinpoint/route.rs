//! Which call a request makes.

use http::Method;

use super::answer::ErrorResponse;
use tidegate_model::address::segments;

/// A call about an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The application id.
    pub(super) app: String,
    /// What is asked for.
    pub(super) action: Action,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `POST …/events`, and `POST …/events/legacy` of browsers that leave a page.
    PutEvents,
    /// `POST …/eventstream`.
    PutEventStream,
    /// `GET …/eventstream`.
    GetEventStream,
    /// `DELETE …/eventstream`.
    DeleteEventStream,
    /// `PUT …/endpoints`.
    UpdateEndpointsBatch,
    /// `PUT …/endpoints/{id}`.
    UpdateEndpoint(String),
    /// `GET …/endpoints/{id}`.
    GetEndpoint(String),
    /// `DELETE …/endpoints/{id}`.
    DeleteEndpoint(String),
    /// `GET …/users/{id}`.
    GetUserEndpoints(String),
    /// `DELETE …/users/{id}`.
    DeleteUserEndpoints(String),
}

impl Action {
    /// Whether a sender without a signature may ask for it, where any may send: it
    /// adds something, and neither shows what is there nor takes it away.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Action::PutEvents | Action::UpdateEndpoint(_) | Action::UpdateEndpointsBatch)
    }
}

impl Call {
    /// The call that a request makes.
    pub(super) fn of(method: &Method, path: &str) -> Result<Call, ErrorResponse> {
        let unknown = || ErrorResponse::missing("There is no such resource in the data plane");
        let segments = segments(path).ok_or_else(unknown)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["v1", "apps", app, rest @ ..] = segments.as_slice() else { return Err(unknown()) };
        if app.is_empty() || rest.iter().any(|segment| segment.is_empty()) {
            return Err(unknown());
        }
        let id = |id: &str| id.to_owned();
        let action = match (method, rest) {
            (&Method::POST, ["events"] | ["events", "legacy"]) => Action::PutEvents,
            (&Method::POST, ["eventstream"]) => Action::PutEventStream,
            (&Method::GET, ["eventstream"]) => Action::GetEventStream,
            (&Method::DELETE, ["eventstream"]) => Action::DeleteEventStream,
            (&Method::PUT, ["endpoints"]) => Action::UpdateEndpointsBatch,
            (&Method::PUT, ["endpoints", endpoint]) => Action::UpdateEndpoint(id(endpoint)),
            (&Method::GET, ["endpoints", endpoint]) => Action::GetEndpoint(id(endpoint)),
            (&Method::DELETE, ["endpoints", endpoint]) => Action::DeleteEndpoint(id(endpoint)),
            (&Method::GET, ["users", user]) => Action::GetUserEndpoints(id(user)),
            (&Method::DELETE, ["users", user]) => Action::DeleteUserEndpoints(id(user)),
            (
                _,
                ["events" | "eventstream" | "endpoints"] | ["events", "legacy"] | ["endpoints" | "users", _],
            ) => {
                return Err(ErrorResponse::method());
            }
            _ => return Err(unknown()),
        };
        Ok(Call { app: (*app).to_owned(), action })
    }
}
