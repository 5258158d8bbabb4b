//! `tidegate run` and `tidegate retry`

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use tidegate_engine::service::{Engine, RetryFilter, RetryResult};
use tidegate_model::{Cause, Ending, Error, ErrorKind, Run, SyncId};
use tidegate_project::Schedule;

use crate::cli::{Output, ProjectArgs};
use crate::output::{self, number};
use crate::progress::Lines;
use crate::{DONE, FAILED, MISCONFIGURED, PARTIAL};

pub(super) async fn run(
    args: &ProjectArgs,
    names: Vec<String>,
    all: bool,
    parallel: u8,
    out: Output,
) -> Result<u8, Error> {
    let engine = Arc::new(args.engine().await?);
    let syncs: Vec<SyncId> = match all {
        // What runs all the time belongs to `tidegate serve`.
        true => (engine.project().syncs.iter())
            .filter(|(id, sync)| {
                if !sync.options().enabled {
                    eprintln!("{id}: skipped, it is a draft (`enabled: false`)");
                }
                sync.options().enabled && sync.schedule() != Some(&Schedule::Continuous)
            })
            .map(|(id, _)| id.clone())
            .collect(),
        false => names.iter().map(SyncId::new).collect(),
    };
    if syncs.is_empty() && !engine.project().syncs.is_empty() {
        eprintln!("nothing to run: every sync is a draft or runs continuously");
        return Ok(DONE);
    }
    if syncs.is_empty() {
        return Err(Error::settings("the project has no syncs yet").hint("add one under `syncs`"));
    }
    for sync in &syncs {
        engine.sync(sync)?;
    }
    let stop = super::stop_on_signals();
    let lines = Lines::default();
    let mut ended = futures_util::stream::iter(syncs)
        .map(|sync| {
            let (engine, stop, progress) = (engine.clone(), stop.clone(), lines.follow(&sync));
            async move {
                let run = match stop.is_cancelled() {
                    true => Err(Error::new(ErrorKind::Unavailable, "stopped before it began")),
                    false => engine.run(&sync, Cause::Manual, stop, progress).await,
                };
                (sync, run)
            }
        })
        .buffered(usize::from(parallel));
    let mut code = DONE;
    let mut runs = Vec::new();
    while let Some((sync, run)) = ended.next().await {
        match run {
            Ok(run) => {
                code = worse(code, code_of(&run));
                if out == Output::Text {
                    print(&run);
                }
                runs.push(json!(run));
            }
            Err(error) => {
                code = worse(code, if error.kind() == ErrorKind::Settings { MISCONFIGURED } else { FAILED });
                eprintln!("{sync}:");
                output::error(&error);
                let message = format!("{}. Next: {}", error.chain(), error.next_step());
                runs.push(json!({ "sync": sync, "ending": Ending::Failed, "error": message }));
            }
        }
    }
    engine.quiesce().await;
    if out == Output::Json {
        output::json(&runs);
    }
    Ok(code)
}

pub(super) async fn retry(
    args: &ProjectArgs,
    sync: &SyncId,
    user: Option<String>,
    in_doubt: bool,
    out: Output,
) -> Result<u8, Error> {
    let engine: Engine = args.engine().await?;
    let progress = Lines::default().follow(sync);
    let filter = RetryFilter { user, in_doubt, ..RetryFilter::default() };
    let result = engine.retry(sync, &filter, super::stop_on_signals(), progress).await?;
    engine.quiesce().await;
    match out {
        Output::Json => output::json(&result),
        Output::Text => print_retry(sync, &result),
    }
    Ok(result.run.as_ref().map_or(DONE, code_of))
}

fn print_retry(sync: &SyncId, result: &RetryResult) {
    match &result.run {
        Some(run) => print(run),
        None => output::line(format!("{sync}: nothing to send again")),
    }
    if result.gone > 0 {
        eprintln!("  {} rows are no longer at the source", number(result.gone));
    }
    if result.malformed > 0 {
        eprintln!(
            "  {} inputs could not be parsed: fix them, then run the sync again",
            number(result.malformed)
        );
    }
}

/// One line for a run, and what to do next where there is something to do.
fn print(run: &Run) {
    let counts = run.counts;
    let ending = run.ending.map_or("running", Ending::as_str);
    let mut text = format!("{}: {ending} · {} read", run.sync, number(counts.read));
    for (count, word) in [
        (counts.delivered, "delivered"),
        (counts.skipped, "skipped"),
        (counts.ignored, "changed and ignored"),
        (counts.rejected, "rejected"),
        (counts.in_doubt, "in doubt"),
        (counts.not_due, "not due"),
    ] {
        if count > 0 {
            text.push_str(&format!(" · {} {word}", number(count)));
        }
    }
    if let Some(finished_at) = run.finished_at {
        let seconds = finished_at.duration_since(run.started_at).as_secs_f64();
        text.push_str(&format!(" · {seconds:.1} s"));
    }
    output::line(text);
    if let Some(error) = &run.error {
        eprintln!("  error: {error}");
    }
    if counts.rejected > 0 {
        eprintln!("  see `tidegate rows --rejected --run {}`", run.id);
    }
    if counts.in_doubt > 0 {
        eprintln!("  see `tidegate rows --in-doubt --run {}`", run.id);
    }
}

fn code_of(run: &Run) -> u8 {
    match run.ending {
        Some(Ending::Succeeded) => DONE,
        Some(Ending::Partial) => PARTIAL,
        _ => FAILED,
    }
}

/// The code to end with: a failure counts more than a partial success.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| [DONE, PARTIAL, MISCONFIGURED, FAILED].iter().position(|known| *known == code);
    if rank(b) > rank(a) { b } else { a }
}
