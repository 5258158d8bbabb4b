//! `/sign-in/provider`: signing in at the identity provider, and coming back.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use tidegate_engine::service::{Engine, FromProvider};
use tidegate_model::ErrorKind;
use tidegate_model::address::{decoded, encoded};

use super::shell::{self, Failure};
use super::sign_in::{Next, own_path};
use crate::access::{away, away_cookie, cookie, origin};
use crate::server::Peer;

/// The address to which the provider leads back, as the browser reaches this server.
fn redirect(headers: &HeaderMap) -> String {
    format!("{}/sign-in/provider/back", origin(headers))
}

/// Leads to the page of the provider. A link and not a form: the policy of the pages lets no form lead elsewhere.
pub(super) async fn leave(
    State(engine): State<Arc<Engine>>,
    asked: Result<Query<Next>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Next { next }) = asked?;
    let there = engine.begin_sign_in(&redirect(&headers)).await.map_err(Failure::forbidden)?;
    let kept = format!("{}.{}", there.secret, encoded(&own_path(&next)));
    Ok(([(header::SET_COOKIE, away_cookie(&headers, Some(&kept)))], Redirect::to(&there.address))
        .into_response())
}

/// What the provider sends along.
#[derive(Deserialize)]
pub(super) struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

pub(super) async fn back(
    State(engine): State<Arc<Engine>>,
    Extension(Peer(peer)): Extension<Peer>,
    answer: Result<Query<Answer>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Answer { code, state, iss, error, error_description }) = answer?;
    let back = FromProvider { code, state, issuer: iss, error, error_description };
    let (secret, next) = match away(&headers).and_then(|kept| kept.split_once('.')) {
        Some((secret, next)) => (Some(secret), own_path(&decoded(next).unwrap_or_default())),
        None => (None, "/".to_owned()),
    };
    let from = peer.to_string();
    let person = match engine.finish_sign_in(&back, secret, &redirect(&headers)).await {
        Ok(person) => person,
        Err(error) => {
            // The name is the provider's word, and stands in the answer: it may be one that is unknown here.
            engine.audit("unknown", "oidc", "sign_in_failed", &from).await;
            return Err(match error.kind() {
                ErrorKind::Denied => Failure::forbidden(error),
                _ => {
                    tracing::warn!(
                        error = error.chain(),
                        "a person could not sign in at the identity provider"
                    );
                    error.into()
                }
            });
        }
    };
    if let Some(role) = &person.new_role {
        engine.audit(&person.name, "oidc", "add_person", &format!("{}, {role}", person.name)).await;
    }
    engine.audit(&person.name, "oidc", "sign_in", &from).await;
    let cookies = AppendHeaders([
        (header::SET_COOKIE, cookie(&headers, Some(&person.session))),
        (header::SET_COOKIE, away_cookie(&headers, None)),
    ]);
    // The browser comes from another site, and sends the cookie of a session only to a page that this site led to.
    Ok((cookies, shell::ask_again(&next)).into_response())
}
