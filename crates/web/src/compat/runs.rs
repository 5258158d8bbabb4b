//! The names under which runs are asked for, and how far they are.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_engine::service::{BegunRun, Engine};
use tidegate_model::{Error, Run, RunId, SyncId};

/// How long a request waits for the id of its run.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run that was asked for.
pub(super) enum Asked {
    /// It has not begun: its limits are being checked.
    Waiting(SyncId),
    /// It has begun.
    Begun(Box<Run>),
}

/// Starts a run of a sync. Returns the name under which [`find`] finds it.
///
/// # Errors
/// If the run cannot begin.
pub(super) async fn start(engine: &Arc<Engine>, sync: &SyncId) -> Result<String, Error> {
    Ok(match engine.begin_run(sync, PATIENCE).await? {
        BegunRun::Run(run) => run.to_string(),
        BegunRun::Waiting { after } => waiting_name(sync, after.as_ref()),
    })
}

/// Returns the run of this name, if there is one.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn find(engine: &Engine, name: &str) -> Result<Option<Asked>, Error> {
    let Some((before, sync)) = waiting_parts(name) else {
        let run = engine.find_run(&RunId::new(name)).await?;
        return Ok(run.map(|run| Asked::Begun(Box::new(run))));
    };
    if engine.sync(&sync).is_err() {
        return Ok(None);
    }
    let run = engine.first_run_after(&sync, before.as_ref()).await?;
    Ok(Some(run.map_or(Asked::Waiting(sync), |run| Asked::Begun(Box::new(run)))))
}

/// Returns the name of a run that has no id yet: the run before it, and its sync.
fn waiting_name(sync: &SyncId, after: Option<&RunId>) -> String {
    format!("{}@{sync}", after.map(ToString::to_string).unwrap_or_default())
}

fn waiting_parts(name: &str) -> Option<(Option<RunId>, SyncId)> {
    let (before, sync) = name.split_once('@')?;
    Some(((!before.is_empty()).then(|| RunId::new(before)), SyncId::new(sync)))
}

/// Returns a time with six digits of a second. Python before 3.11 reads no other number of digits, and a
/// client that compares the time with its own clock needs more than whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_no_id_yet_is_named_by_the_run_before_it() {
        let sync = SyncId::new("orders@night");
        for before in [None, Some(RunId::new("20261122T034501-f7a0b1"))] {
            let name = waiting_name(&sync, before.as_ref());
            assert_eq!(waiting_parts(&name), Some((before, sync.clone())), "{name}");
        }
        assert_eq!(waiting_parts("20261122T034501-f7a0b1"), None);
    }

    #[test]
    fn a_time_has_six_digits_of_a_second() {
        let at = |text: &str| time(text.parse().expect("a time"));
        assert_eq!(at("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05.000000Z");
        assert_eq!(at("2026-01-02T03:04:05.123456789Z"), "2026-01-02T03:04:05.123456Z");
    }
}
