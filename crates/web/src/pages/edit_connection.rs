//! `/connections/{name}/edit`: a connection is changed, proved and saved.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use tidegate_engine::service::{ActiveProject, ConnectionForm, WrittenConnection};
use tidegate_model::address::encoded;

use super::connection_form::{FormPage, Given, Sent, of};
use super::shell::{self, Failure};
use crate::access::{NotNoted, Subject};

pub(super) async fn form(
    State(project): State<Arc<ActiveProject>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let before = known(&project, &name)?;
    shell::page(&headers, &FormPage::changed(&project, &before, None).await?)
}

fn known(project: &ActiveProject, name: &str) -> Result<WrittenConnection, Failure> {
    project.written_connection(name)?.ok_or_else(|| {
        Failure::not_found(
            format!("There is no connection `{name}` in the project file."),
            "Next: the page of connections lists them.",
        )
    })
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, Failure> {
    let Form(given) = given?;
    let before = known(&project, &name)?;
    let page = FormPage::changed(&project, &before, Some(&given)).await?;
    let form = ConnectionForm::changed(&project, before, &given, of(&given, "stored")).await;
    match page.take(&project, form, of(&given, "act")).await? {
        Sent::Saved(unused) => {
            let unused = unused.join(" ");
            let there = format!("/connections?saved={0}&unused={1}#{0}", encoded(&name), encoded(&unused));
            Ok((Extension(Subject(format!("~ connection {name}"))), Redirect::to(&there)).into_response())
        }
        Sent::Again(page) => Ok((Extension(NotNoted), shell::page(&headers, page.as_ref())?).into_response()),
    }
}

/// A connection may have the name of the page of new ones.
const NEW: &str = "new";

pub(super) async fn form_of_new(
    project: State<Arc<ActiveProject>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    form(project, Path(NEW.to_owned()), headers).await
}

pub(super) async fn send_of_new(
    project: State<Arc<ActiveProject>>,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, Failure> {
    send(project, Path(NEW.to_owned()), headers, given).await
}
