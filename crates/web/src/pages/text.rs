//! The sentences of pages that depend on numbers: each one whole.

use tidegate_engine::service::{Health, Overview, SyncOverview};
use tidegate_model::{Cause, Ending, Run, SyncId};

use super::show::{count, number};

/// The first line of the overview: whether anything is wrong.
pub(super) fn headline(overview: &Overview) -> String {
    let total = overview.syncs.len() as u64;
    let count_of = |health| overview.syncs.iter().filter(|sync| sync.health == health).count() as u64;
    let need = overview.syncs.iter().filter(|sync| sync.health.needs_a_person()).count() as u64;
    let (paused, new, draft) = (count_of(Health::Paused), count_of(Health::New), count_of(Health::Draft));
    match (total, need) {
        (0, _) => "There is no sync yet".to_owned(),
        (1, 1) => "Your sync needs you".to_owned(),
        (_, 1) => format!("1 of {} syncs needs you", number(total)),
        (_, 2..) => format!("{} of {} syncs need you", number(need), number(total)),
        _ if new == total => format!("{}, and none has run yet", count(total, "sync", "syncs")),
        (1, _) if paused + draft == 0 => "Your sync is healthy".to_owned(),
        _ if paused + draft + new == 0 => format!("All {} syncs are healthy", number(total)),
        _ if paused == 1 => "Nothing is wrong; 1 sync is paused".to_owned(),
        _ if paused > 1 => format!("Nothing is wrong; {} syncs are paused", number(paused)),
        _ => "Nothing is wrong".to_owned(),
    }
}

/// The second line of the overview: what moved.
pub(super) fn moved(overview: &Overview) -> String {
    let delivered: u64 = overview.hours.iter().map(|hour| hour.delivered).sum();
    let open = overview.failed_rows;
    let delivered = count(delivered, "row was delivered", "rows were delivered");
    match open {
        0 => format!("In the last 24 hours, {delivered}. No failed row is open."),
        1 => format!("In the last 24 hours, {delivered}. 1 failed row is open."),
        _ => format!("In the last 24 hours, {delivered}. {} failed rows are open.", number(open)),
    }
}

/// What to do about rejected rows.
const CORRECT: &str = "see them, fix the cause, then retry them";

/// The state of a sync, as one sentence.
pub(super) fn state(sync: &SyncOverview) -> String {
    if let Some(why) = &sync.why {
        let why = of_sync(why, &sync.status.sync);
        return match sync.health == Health::NeedsAttention && sync.status.failed_rows > 0 {
            true if !why.contains(". Next: ") => format!("{why}. Next: {CORRECT}"),
            _ => why.to_owned(),
        };
    }
    if let Some(wait) = &sync.status.wait {
        return format!("{wait}.");
    }
    match sync.health {
        Health::New => "It has not run yet.".to_owned(),
        Health::Draft => "It is a draft: it does not run on its schedule until it is activated.".to_owned(),
        _ if is_running(sync) => "It is running, and nothing is wrong.".to_owned(),
        _ => "Nothing is wrong.".to_owned(),
    }
}

/// Returns a message without the name of the sync at its beginning: the page shows it.
pub(super) fn of_sync<'a>(message: &'a str, sync: &SyncId) -> &'a str {
    message.strip_prefix(&format!("sync `{sync}`: ")).unwrap_or(message)
}

/// Whether the last run of a sync is in progress.
pub(super) fn is_running(sync: &SyncOverview) -> bool {
    sync.status.last_run.as_ref().is_some_and(|run| run.ending.is_none())
}

/// What a run did, as one sentence. An export moves events, an import rows.
pub(super) fn run(run: &Run, export: bool) -> String {
    let counts = &run.counts;
    let (one, many) = if export { ("event", "events") } else { ("row", "rows") };
    let delivered = count(counts.delivered, one, many);
    let failed = counts.rejected + counts.in_doubt;
    let tried = counts.delivered + failed;
    match run.ending {
        None if counts.delivered == 1 => format!("It is running: {delivered} was delivered so far."),
        None => format!("It is running: {delivered} were delivered so far."),
        Some(Ending::Succeeded) if tried == 0 && counts.skipped > 0 => {
            format!("Nothing was new: {} had been delivered before.", count(counts.skipped, one, many))
        }
        Some(Ending::Succeeded) if tried == 0 => format!("There were no new {many}."),
        Some(Ending::Succeeded) if tried == 1 => format!("The one {one} was delivered."),
        Some(Ending::Succeeded) => format!("All {delivered} were delivered."),
        Some(Ending::Partial) => format!(
            "{} of {} were delivered, and {} failed.",
            number(counts.delivered),
            count(tried, one, many),
            number(failed)
        ),
        Some(Ending::Failed) if counts.delivered == 0 => {
            format!("It failed before any {one} was delivered. The next run tries again.")
        }
        Some(Ending::Failed) => format!("It failed after {delivered}. The next run continues there."),
        Some(Ending::Interrupted) => {
            format!("It was stopped after {delivered}. The next run continues there.")
        }
    }
}

/// Why a run started.
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Manual => "by hand",
        Cause::Schedule => "by schedule",
        Cause::Retry => "by a retry",
    }
}

/// What a failed row of this code means for the person who looks at it.
pub(super) fn advice(code: &str, in_doubt: bool) -> &'static str {
    if in_doubt {
        return "A request was sent and no response came. The platform may have taken the row or not. \
            Look it up at the platform before you send it again: a second time may count twice.";
    }
    match code {
        "missing" | "missing_value" | "no_identifier" | "missing_identifier" => {
            "The row has no value in a column that the record needs. Nothing was sent. Fill the column at the source, then retry."
        }
        code if code.contains("too_long") || code.contains("too_large") => {
            "A value is larger than the platform takes. Nothing was sent. Shorten it at the source, then retry."
        }
        "not_a_time" => {
            "A value cannot be read as a time. Nothing was sent. Convert it in the query, or where the file is made, then retry."
        }
        _ => {
            "The row was not accepted as it is. Correct it at the source, then retry: it is read again as it is then."
        }
    }
}
