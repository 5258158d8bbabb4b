//! `/sign-in`, `/sign-out` and `/welcome`: how a browser becomes that of a person.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{Engine, SignIn};
use tidegate_model::ErrorKind;
use tidegate_model::address::encoded;

use super::shell::{self, Failure};
use crate::access::{cookie, session};
use crate::assets;
use crate::reader::Reader;
use crate::server::Peer;

/// The page of signing in, and that of choosing a password.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    title: &'static str,
    lead: &'static str,
    action: &'static str,
    button: &'static str,
    /// The address to return to, or the secret of an invitation.
    hidden: (&'static str, String),
    /// The name, unless it is to be typed.
    fixed_name: Option<String>,
    name: String,
    /// Whether a password is chosen here.
    is_new: bool,
    wrong: Option<String>,
    /// The host of the identity provider, and the address that leads there.
    provider: Option<(String, String)>,
}

impl SignInPage {
    fn style(&self) -> &'static str {
        assets::style()
    }

    fn favicon(&self) -> &'static str {
        assets::icon()
    }

    /// The colors that a browser begins with.
    fn color_scheme(&self) -> &'static str {
        Reader::current().theme.color_scheme()
    }

    fn sign_in(engine: &Engine, next: String) -> SignInPage {
        let provider = engine.identity_provider().map(|host| {
            let leave = format!("/sign-in/provider?next={}", encoded(&next));
            (host.to_owned(), leave)
        });
        SignInPage {
            provider,
            title: "Sign in",
            lead: "",
            action: "/sign-in",
            button: "Sign in",
            hidden: ("next", next),
            fixed_name: None,
            name: String::new(),
            is_new: false,
            wrong: None,
        }
    }

    fn welcome(key: String, person: Option<String>) -> SignInPage {
        SignInPage {
            provider: None,
            title: "Choose a password",
            lead: match person {
                Some(_) => {
                    "It needs 12 characters or more. Four words that have nothing to do with each other do well."
                }
                None => {
                    "You become the first admin of this server: from then on everyone signs in. The password needs 12 characters or more."
                }
            },
            action: "/welcome",
            button: "Save and sign in",
            hidden: ("key", key),
            fixed_name: person,
            name: String::new(),
            is_new: true,
            wrong: None,
        }
    }
}

/// Where to go after signing in.
#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    asked: Result<Query<Next>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Next { next }) = asked?;
    shell::page(&headers, &SignInPage::sign_in(&engine, own_path(&next)))
}

/// A name and a password.
#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(
    State(engine): State<Arc<Engine>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Credentials { name, password, next }) = form?;
    let (name, next) = (name.trim(), own_path(&next));
    let wrong = match engine.sign_in(name, &password, peer).await? {
        SignIn::Done(secret) => {
            engine.audit(name, "page", "sign_in", &peer.to_string()).await;
            return Ok(entered(&headers, &secret, &next));
        }
        SignIn::Wrong => {
            // An unknown name is not noted: it may be a password in the wrong field.
            let known = engine.people().await?.iter().any(|person| person.name == name);
            let actor = if known { name } else { "unknown" };
            engine.audit(actor, "page", "sign_in_failed", &peer.to_string()).await;
            "The name or the password is wrong.".to_owned()
        }
        SignIn::Wait(1) => "Too many attempts failed. Try again in a second.".to_owned(),
        SignIn::Wait(seconds) => format!("Too many attempts failed. Try again in {seconds} seconds."),
    };
    let page = SignInPage { wrong: Some(wrong), name: name.to_owned(), ..SignInPage::sign_in(&engine, next) };
    refused(&headers, &page)
}

pub(super) async fn sign_out(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if let Some(secret) = session(&headers) {
        engine.sign_out(secret).await?;
    }
    Ok(([(header::SET_COOKIE, cookie(&headers, None))], Redirect::to("/sign-in")).into_response())
}

/// The secret of an invitation.
#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(default)]
    key: String,
}

pub(super) async fn welcome(
    State(engine): State<Arc<Engine>>,
    asked: Result<Query<Key>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Key { key }) = asked?;
    let invitation = engine.invitation(&key).await?.ok_or_else(|| {
        Failure::not_found(
            "This link was used, or is older than a day.",
            "An admin makes a new one with `tidegate people link NAME`.",
        )
    })?;
    shell::page(&headers, &SignInPage::welcome(key, invitation.person))
}

/// A password that was chosen.
#[derive(Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    key: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
}

pub(super) async fn choose(
    State(engine): State<Arc<Engine>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<Chosen>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Chosen { key, name, password }) = form?;
    match engine.accept(&key, &name, &password).await {
        Ok((person, secret)) => {
            engine.audit(&person, "page", "accept_invitation", &peer.to_string()).await;
            Ok(entered(&headers, &secret, "/"))
        }
        Err(error) if error.kind() == ErrorKind::Settings => {
            let invitation = engine.invitation(&key).await?;
            let wrong = format!("{}. {}.", capital(error.message()), capital(error.next_step()));
            let person = invitation.and_then(|invitation| invitation.person);
            let page = SignInPage { wrong: Some(wrong), name, ..SignInPage::welcome(key, person) };
            shell::page_of_failure(&headers, &page)
        }
        Err(error) => Err(error.into()),
    }
}

/// Leads on, with the cookie of a new session.
fn entered(headers: &HeaderMap, secret: &str, next: &str) -> Response {
    ([(header::SET_COOKIE, cookie(headers, Some(secret)))], Redirect::to(next)).into_response()
}

fn refused(headers: &HeaderMap, page: &SignInPage) -> Result<Response, Failure> {
    let mut answer = shell::page(headers, page)?;
    *answer.status_mut() = StatusCode::FORBIDDEN;
    Ok(answer)
}

/// An address of this server: a link to elsewhere would lead people there with a page of ours before it.
pub(super) fn own_path(next: &str) -> String {
    let is_own = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r']);
    if is_own && !next.starts_with("/sign-in") { next.to_owned() } else { "/".to_owned() }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn signing_in_leads_to_pages_of_this_server_only() {
        assert_eq!(own_path("/syncs/orders?done=paused"), "/syncs/orders?done=paused");
        for foreign in ["https://evil.example", "//evil.example", "/\\evil.example", "", "javascript:x"] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }
}
