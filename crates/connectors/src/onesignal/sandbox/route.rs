//! Which call a request makes.

use bytes::Bytes;
use http::{Method, Request};
use tidegate_model::Identity;

/// One of the calls that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /apps/{app_id}/custom_events`.
    CreateEvents,
    /// `POST /apps/{app_id}/users`.
    CreateUser,
    /// `GET /apps/{app_id}/users/by/{alias_label}/{alias_id}`.
    ViewUser(Identity),
    /// `PATCH` of the same.
    UpdateUser(Identity),
    /// `DELETE` of the same.
    DeleteUser(Identity),
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
        let segments: Option<Vec<String>> = request.uri().path().split('/').skip(1).map(decoded).collect();
        let Some(segments) = segments else { return Route::Unknown };
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let method = request.method();
        match segments.as_slice() {
            ["_sandbox", what] if *method == Method::GET => Route::Inspect((*what).to_owned()),
            ["notifications"] if *method == Method::POST => Route::Notify,
            ["apps", app, ..] if uuid::Uuid::try_parse(app).is_err() => Route::BadApp,
            ["apps", _, "custom_events"] if *method == Method::POST => Route::CreateEvents,
            ["apps", _, "users"] if *method == Method::POST => Route::CreateUser,
            ["apps", _, "users", "by", label, id, rest @ ..] => {
                Route::of_user(method, identity(label, id), rest)
            }
            _ => Route::Unknown,
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

/// A percent-encoded segment; `None` where it is not UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decoded("u%2F1%20%C3%A9").as_deref(), Some("u/1 é"));
        assert_eq!(decoded("%2525%").as_deref(), Some("%25%"));
        assert_eq!(decoded("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(decoded("%ff"), None);
    }
}
