//! The dashboard: pages made here, which ask the service and compute nothing.

mod actions;
mod alerts;
mod chart;
mod confirm;
mod connection_form;
mod connections;
mod edit_connection;
mod events;
mod failed_rows;
pub(crate) mod live;
mod new_connection;
mod new_export;
mod new_sync;
mod overview;
mod people;
mod preview;
mod project;
mod provider;
mod runs;
mod shell;
mod show;
mod sign_in;
mod sync_file;
mod syncs;
mod text;
mod users;
mod views;

use axum::Router;
use axum::routing::{get, post};

use crate::{Serving, assets};

pub(crate) use shell::{ask_again, nothing_here, refused};

/// The routes of the dashboard.
pub(super) fn routes(serving: Serving) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/live", get(overview::live))
        .route("/syncs", get(syncs::list))
        .route("/syncs/new", get(new_sync::page).post(new_sync::send))
        .route("/exports/new", get(new_export::page).post(new_export::send))
        .route("/syncs/{sync}/edit/{part}", get(sync_file::page).post(sync_file::send))
        .route("/syncs/{sync}/activate", post(actions::activate))
        .route("/project", get(project::page).post(project::send))
        .route("/connections/new", get(new_connection::kinds))
        .route("/connections/new/{kind}", get(new_connection::form).post(new_connection::send))
        .route("/connections/{name}/edit", get(edit_connection::form).post(edit_connection::send))
        .route("/connections/new/edit", get(edit_connection::form_of_new).post(edit_connection::send_of_new))
        .route("/syncs/{sync}", get(syncs::page))
        .route("/syncs/{sync}/run", post(actions::run))
        .route("/syncs/{sync}/confirm", get(confirm::page).post(confirm::send))
        .route("/syncs/{sync}/pause", post(actions::pause))
        .route("/syncs/{sync}/resume", post(actions::resume))
        .route("/syncs/{sync}/reset", post(actions::reset))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::page))
        .route("/runs/{run}/live", get(runs::live))
        .route("/failed-rows", get(failed_rows::groups))
        .route("/failed-rows/group", get(failed_rows::group))
        .route("/failed-rows/retry", get(failed_rows::plan).post(actions::retry))
        .route("/failed-rows/{sync}/{row}", get(failed_rows::row))
        .route("/users", get(users::page))
        .route("/events", get(events::page))
        .route("/connections", get(connections::page))
        .route("/failed-rows/dismiss", post(actions::dismiss))
        .route("/people", get(people::page))
        .route("/people/add", post(people::add))
        .route("/people/link", post(people::link))
        .route("/people/remove", post(people::remove))
        .route("/people/tokens/remove", post(people::remove_token))
        .route("/audit", get(people::audit))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-in/provider", get(provider::leave))
        .route("/sign-in/provider/back", get(provider::back))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/welcome", get(sign_in::welcome).post(sign_in::choose))
        .route("/alerts", get(alerts::page))
        .route("/alerts/test", post(alerts::test))
        .route("/about", get(connections::about))
        .route("/display", post(shell::display))
        .route("/assets/{name}", get(assets::get))
        .with_state(serving)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Attributes of htmx that need no `eval`, and that pages use.
    const ALLOWED: &[&str] =
        &["hx-get", "hx-post", "hx-trigger", "hx-target", "hx-select", "hx-swap", "hx-sse"];

    #[test]
    fn templates_use_attributes_that_the_policy_of_the_pages_lets_work() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/templates");
        for entry in fs::read_dir(folder).expect("templates") {
            let path = entry.expect("a template").path();
            let text = fs::read_to_string(&path).expect("text");
            for word in
                text.split([' ', '"', '=', ':', '<', '>', '\n']).filter(|word| word.starts_with("hx-"))
            {
                assert!(ALLOWED.contains(&word), "{}: {word}", path.display());
            }
            for forbidden in [" style=", " onclick=", "javascript:", "<script>", "<style"] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
}
