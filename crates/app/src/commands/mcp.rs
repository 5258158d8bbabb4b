//! `tidegate mcp`

use std::sync::Arc;

use tidegate_engine::service::{Visitor, every_variable_is_set};
use tidegate_model::Error;
use tidegate_model::people::Role;

use super::people::user_of_machine;
use crate::DONE;
use crate::cli::ProjectArgs;

/// Answers the agent that started this program, by the rights that the command line gives it.
pub(super) async fn mcp(args: &ProjectArgs, write: bool, rows: bool) -> Result<u8, Error> {
    let engine = Arc::new(args.engine().await?);
    if write {
        every_variable_is_set(engine.project())?;
    }
    let role = if write { Role::Editor } else { Role::Viewer };
    let visitor = Visitor { name: format!("agent of {}", user_of_machine()), role, rows };
    let stop = super::signals::stop_on_signals();
    let done = tidegate_web::serve_agent(engine.clone(), visitor, stop).await;
    // A run that it started ends as it would after a request.
    engine.stop_background().await;
    done.map(|()| DONE)
}
