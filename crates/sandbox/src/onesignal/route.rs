//! Which call a request makes.

use bytes::Bytes;
use http::{Method, Request};
use tidegate_model::Identity;

use tidegate_model::address::segments;

/// One of the calls that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /apps/{app_id}/custom_events`, and the path of SDKs up to 5.7.
    CreateEvents,
    /// `POST /apps/{app_id}/users`.
    CreateUser,
    /// `GET /apps/{app_id}/users/by/{alias_label}/{alias_id}`.
    ViewUser(Identity),
    /// `PATCH` of the same.
    UpdateUser(Identity),
    /// `DELETE` of the same.
    DeleteUser(Identity),
    /// `PUT /apps/{app_id}/users/{external_id}`, of the time before the Users API.
    EditTags(Identity),
    /// `GET …/identity`.
    ListAliases(Identity),
    /// `PATCH …/identity`.
    AddAliases(Identity),
    /// `DELETE …/identity/{alias_label}`.
    RemoveAlias(Identity, String),
    /// `POST …/subscriptions`.
    CreateSubscription(Identity),
    /// `POST /notifications`.
    Notify,
    /// `GET /_sandbox/{what}`.
    Inspect(String),
    /// An app whose id is no UUID.
    BadApp,
    /// Anything else.
    Unknown,
}

impl Route {
    /// The call that `request` makes.
    pub(super) fn of(request: &Request<Bytes>) -> Route {
        let Some(segments) = segments(request.uri().path()) else { return Route::Unknown };
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let method = request.method();
        // Clients that are older than the host of its own begin with `/api/v1`.
        let path = segments.strip_prefix(&["api", "v1"]).unwrap_or(&segments);
        match path {
            ["_sandbox", what] if *method == Method::GET => Route::Inspect((*what).to_owned()),
            ["notifications"] if *method == Method::POST => Route::Notify,
            ["apps", app, ..] if uuid::Uuid::try_parse(app).is_err() => Route::BadApp,
            ["apps", _, "custom_events"] | ["apps", _, "integrations", "custom_events"]
                if *method == Method::POST =>
            {
                Route::CreateEvents
            }
            ["apps", _, "users"] if *method == Method::POST => Route::CreateUser,
            ["apps", _, "users", id] if *method == Method::PUT => {
                Route::EditTags(Identity::ExternalId((*id).into()))
            }
            ["apps", _, "users", "by", label, id, rest @ ..] => {
                Route::of_user(method, identity(label, id), rest)
            }
            _ => Route::Unknown,
        }
    }

    /// Whether the call is one of the Users API, which has an error of its own for keys.
    pub(super) fn is_about_a_user(&self) -> bool {
        match self {
            Route::CreateEvents | Route::EditTags(_) | Route::Notify => false,
            Route::Inspect(_) | Route::BadApp | Route::Unknown => false,
            Route::CreateUser | Route::ViewUser(_) | Route::UpdateUser(_) | Route::DeleteUser(_) => true,
            Route::ListAliases(_) | Route::AddAliases(_) | Route::RemoveAlias(..) => true,
            Route::CreateSubscription(_) => true,
        }
    }

    fn of_user(method: &Method, who: Identity, rest: &[&str]) -> Route {
        match (method.as_str(), rest) {
            ("GET", []) => Route::ViewUser(who),
            ("PATCH", []) => Route::UpdateUser(who),
            ("DELETE", []) => Route::DeleteUser(who),
            ("GET", ["identity"]) => Route::ListAliases(who),
            ("PATCH", ["identity"]) => Route::AddAliases(who),
            ("DELETE", ["identity", label]) => Route::RemoveAlias(who, (*label).to_owned()),
            ("POST", ["subscriptions"]) => Route::CreateSubscription(who),
            _ => Route::Unknown,
        }
    }
}

/// The user that a label and a name mean.
pub(super) fn identity(label: &str, name: &str) -> Identity {
    match label {
        "external_id" => Identity::ExternalId(name.into()),
        "onesignal_id" => Identity::PlatformId(name.into()),
        _ => Identity::Alias { label: label.into(), name: name.into() },
    }
}
