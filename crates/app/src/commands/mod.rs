//! One file per verb.

mod alerts;
mod apply;
mod backup;
mod check;
mod connectors;
mod demo;
mod doctor;
mod doctor_bucket;
pub(crate) mod documents;
mod events;
pub(crate) mod exposures;
mod init;
mod mcp;
mod people;
mod plan;
mod preview;
mod reset;
mod restore;
mod rows;
mod run;
mod sandbox;
mod secret;
mod serve;
mod setup;
mod signals;
mod status;
mod unconnected;
mod users;
mod validate;

use run::Wanted;
use tidegate_engine::service::RetryFilter;
use tidegate_model::{Error, SyncId};

use crate::cli::{Cli, Command, complete};

/// Does what the command line asks for. Returns the exit code.
pub(crate) async fn execute(cli: Cli) -> Result<u8, Error> {
    let Cli { args, output, command, .. } = cli;
    match command {
        Command::Demo { folder, once, listen } => {
            demo::demo(args, demo::Wanted { folder, once, listen }, output).await
        }
        Command::Init { folder, template } => init::init(&folder.unwrap_or(args.project), template, output),
        Command::Validate => validate::validate(&args, output),
        Command::Schema { verb } => validate::schema(&verb),
        Command::Plan { sync, requests } => plan::plan(&args, &SyncId::new(sync), requests, output).await,
        Command::Check { names } => check::check(&args, &names, output).await,
        Command::Doctor { listen } => doctor::doctor(&args, listen, output).await,
        Command::Setup { name, set } => setup::setup(&args, &name, &set, output),
        Command::Preview { sync, rows } => preview::preview(&args, &SyncId::new(sync), rows, output).await,
        Command::Run { syncs, all, parallel, yes, full, plan, backfill } => {
            let task = run::task(yes, full, plan.as_deref(), backfill)?;
            run::run(&args, Wanted { syncs, all, parallel, task }, output).await
        }
        Command::Serve(options) => serve::serve(&args, *options).await,
        Command::Exposures => exposures::exposures(&args, output),
        Command::Mcp { write, rows } => mcp::mcp(&args, write, rows).await,
        Command::Apply { server, dry_run, exit_code } => {
            apply::apply(&args, apply::Wanted { server, dry_run, exit_code }, output).await
        }
        Command::Status { sync } => status::status(&args, sync.map(SyncId::new), output).await,
        Command::Events(query) => events::events(&args, query, output).await,
        Command::Runs { sync, limit } => status::runs(&args, sync.map(SyncId::new), limit, output).await,
        Command::Rows(query) => rows::rows(&args, query, output).await,
        Command::Retry { sync, user, in_doubt } => {
            run::retry(&args, &SyncId::new(sync), user, in_doubt, output).await
        }
        Command::Dismiss { sync, note, user, reason, in_doubt } => {
            let filter = RetryFilter { user, in_doubt, reason, key: None };
            run::dismiss(&args, &SyncId::new(sync), &filter, &note, output).await
        }
        Command::Pause { sync, why } => status::pause(&args, &SyncId::new(sync), &why, output).await,
        Command::Resume { sync } => status::resume(&args, &SyncId::new(sync), output).await,
        Command::Reset { sync, yes } => reset::reset(&args, &SyncId::new(sync), yes, output).await,
        Command::Alerts { action } => alerts::alerts(&args, action, output).await,
        Command::People { action } => people::people(&args, action, output).await,
        Command::Tokens { action } => people::tokens(&args, action, output).await,
        Command::Audit { action } => people::audit(&args, action, output).await,
        Command::Users { action } => users::users(&args, action, output).await,
        Command::Secret { action } => secret::secret(&args, action, output).await,
        Command::Backup { folder, without_key } => backup::backup(&args, &folder, !without_key, output).await,
        Command::Restore { folder, replace, erased } => {
            restore::restore(&args, &folder, replace, erased.as_deref(), output).await
        }
        Command::Sandbox(options) => sandbox::sandbox(&args, options, output).await,
        Command::Connectors { kind } => connectors::connectors(kind.as_deref(), output),
        Command::Completions { shell } => {
            let script = complete::script(&shell.to_string())
                .ok_or_else(|| Error::internal(format!("there are no completions for {shell}")))?;
            crate::output::line(script.trim_end());
            Ok(crate::DONE)
        }
    }
}
