//! The calls we make, one function per endpoint.
//!
//! Source: OneSignal REST API reference (custom events, users), OpenAPI document 11.6.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use tidegate_model::{Error, Http, Identity, Secret};

use super::settings::OneSignalSettings;
use tidegate_model::address::encoded;
use tidegate_transport::http::answer::{RequestError, lost, without};

/// The name in sentences for people.
pub(super) const VENDOR: &str = "OneSignal";

/// What comes back from a call: an answer, or what the lack of one means.
pub(super) type Answer = Result<Response<Bytes>, RequestError>;

/// One app, reached with one key.
pub(super) struct Client {
    http: Arc<dyn Http>,
    app: String,
    key: Secret,
    authorization: HeaderValue,
}

impl Client {
    /// Prepares the calls; sends nothing.
    pub(super) fn new(settings: &OneSignalSettings, http: Arc<dyn Http>) -> Result<Client, Error> {
        settings.validate()?;
        let app = format!("{}/apps/{}", settings.base()?, settings.app_id);
        let mut authorization = HeaderValue::from_str(&format!("Key {}", settings.api_key.expose()))
            .map_err(|_| Error::settings("`api_key` holds characters that no key has"))?;
        authorization.set_sensitive(true);
        Ok(Client { http, app, key: settings.api_key.clone(), authorization })
    }

    /// `POST /apps/{app_id}/custom_events`.
    pub(super) async fn create_events(&self, body: Vec<u8>) -> Answer {
        self.send(Method::POST, &format!("{}/custom_events", self.app), body).await
    }

    /// `POST /apps/{app_id}/users`: creates the user, or updates the one it finds.
    pub(super) async fn create_user(&self, body: String) -> Answer {
        self.send(Method::POST, &format!("{}/users", self.app), body).await
    }

    /// `PATCH /apps/{app_id}/users/by/{alias_label}/{alias_id}`.
    pub(super) async fn update_user(&self, user: &Identity, body: String) -> Answer {
        self.send(Method::PATCH, &self.user(user), body).await
    }

    /// `DELETE /apps/{app_id}/users/by/{alias_label}/{alias_id}`.
    pub(super) async fn delete_user(&self, user: &Identity) -> Answer {
        self.send(Method::DELETE, &self.user(user), String::new()).await
    }

    /// `GET /apps/{app_id}/users/by/external_id/{external_id}`.
    pub(super) async fn view_user(&self, external_id: &str) -> Answer {
        self.send(Method::GET, &self.user(&Identity::ExternalId(external_id.into())), String::new()).await
    }

    fn user(&self, user: &Identity) -> String {
        let (label, id) = alias(user);
        format!("{}/users/by/{}/{}", self.app, encoded(label), encoded(id))
    }

    async fn send(&self, method: Method, address: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body)
            // `validate` keeps identifiers out that make an address too long.
            .map_err(|cause| {
                RequestError::NoEffect(Error::internal("an identifier makes no address").caused_by(cause))
            })?;
        let answer = self.http.send(request).await.map_err(|failure| lost(VENDOR, &failure))?;
        Ok(without(&self.key, answer))
    }
}

/// The label and the name under which OneSignal finds the user.
pub(super) fn alias(user: &Identity) -> (&str, &str) {
    match user {
        Identity::ExternalId(id) => ("external_id", id),
        Identity::PlatformId(id) => ("onesignal_id", id),
        Identity::Alias { label, name } => (label, name),
        Identity::Email(id) => ("email", id),
        Identity::Phone(id) => ("phone_number", id),
        Identity::None => ("", ""),
    }
}
