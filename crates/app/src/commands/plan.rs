//! `tidegate plan`

use tidegate_engine::service::{Billed, ExceededLimit, Pace, Plan, PlannedRows};
use tidegate_model::{Ending, Error, SyncId};

use crate::cli::{Output, ProjectArgs};
use crate::output::{self, counted, number, toned};
use crate::progress::Lines;
use crate::{DONE, FAILED, PARTIAL};

pub(super) async fn plan(
    args: &ProjectArgs,
    sync: &SyncId,
    requests: usize,
    out: Output,
) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let progress = Lines::default().follow(sync);
    let plan = engine.plan(sync, requests, super::signals::stop_on_signals(), progress).await?;
    match out {
        Output::Text => print(&plan, requests),
        _ => output::document(out, &plan),
    }
    Ok(match plan.run.ending {
        Some(Ending::Succeeded) => DONE,
        Some(Ending::Partial) => PARTIAL,
        _ => FAILED,
    })
}

fn print(plan: &Plan, requests: usize) {
    let counts = plan.run.counts;
    if let Some(error) = plan.run.error.as_deref().filter(|_| counts.read == 0) {
        return failed(error);
    }
    output::line(format!("plan of {}: nothing was sent", plan.sync));
    output::line(format!(
        "  {} read, {} skipped, {} would be sent, {} would be rejected",
        counted(counts.read, "row"),
        number(counts.skipped),
        number(counts.delivered),
        number(counts.rejected)
    ));
    if let Some(PlannedRows { added, changed, removed, unchanged }) = plan.rows {
        let removed = removed.map(|removed| format!("{} removed, ", number(removed))).unwrap_or_default();
        output::line(format!(
            "  {} added, {} changed, {removed}{} unchanged",
            number(added),
            number(changed),
            number(unchanged)
        ));
    }
    if counts.ignored > 0 {
        let message = "changed since they were delivered, and are ignored: `changed: send` sends them";
        output::line(format!("  {} rows {message}", number(counts.ignored)));
    }
    if counts.not_due > 0 {
        output::line(format!(
            "  {} not due yet: a cursor value in the future, or a last line that may not be finished",
            counted(counts.not_due, "row")
        ));
    }
    if let Some(cost) = &plan.cost {
        output::line(format!("  {cost}; a run costs as much"));
    }
    for (kind, sent) in &plan.requests {
        output::line(format!(
            "  {kind}: {}, {}",
            counted(sent.count, "request"),
            counted(sent.bytes, "byte")
        ));
    }
    if let Some(pace) = plan.pace.as_ref().filter(|_| !plan.requests.is_empty()) {
        output::line(format!("  {}", paced(pace)));
    }
    if let Some(Billed { unit, units }) = plan.billed.as_ref().filter(|billed| billed.units > 0) {
        output::line(format!("  {}, if the contract bills them", counted(*units, unit)));
    }
    for line in super::run::reasons(&plan.rejections, &toned("rejected")) {
        output::line(line);
    }
    if let Some(ExceededLimit { limit, allowed, effect, .. }) = &plan.exceeds {
        output::line(format!(
            "  {}: a run would {effect}, and `limits: {{ {limit} }}` allows {}: it sends nothing",
            toned("warning"),
            number(*allowed)
        ));
        output::line(format!("  → `tidegate run {} --yes` does it", plan.sync));
    }
    for caveat in &plan.caveats {
        output::line(format!("  {}: {}", toned("warning"), caveat.message));
        output::line(format!("  → {}", caveat.next_step));
    }
    for request in &plan.first {
        output::line(format!("\n{} {}\n{}", request.method, request.path, request.body));
    }
    if let Some(error) = &plan.run.error {
        failed(error);
    } else if requests == 0 && counts.delivered > 0 {
        output::note(format!(
            "  → `tidegate plan {} --requests 1` shows the first request of each kind",
            plan.sync
        ));
    }
    if let Some(id) = plan.id.filter(|id| id.rows.total() > 0) {
        output::note(format!(
            "  → `tidegate run {} --plan {id}` sends this, or nothing if the source has changed",
            plan.sync
        ));
    }
}

/// How long the requests take, as a sentence.
fn paced(pace: &Pace) -> String {
    let Pace { requests, per_seconds, takes_seconds } = *pace;
    let takes = match takes_seconds {
        ..60 => "less than a minute".to_owned(),
        60..7_200 => format!("about {} minutes", number(takes_seconds.div_ceil(60))),
        _ => format!("about {} hours", number(takes_seconds.div_ceil(3_600))),
    };
    let span = match per_seconds {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3_600 => "an hour".to_owned(),
        seconds => format!("in {} seconds", number(seconds)),
    };
    format!("{takes} at the documented limit of {} requests {span}", number(u64::from(requests)))
}

/// Prints why a plan could not be made, and its next step apart.
fn failed(error: &str) {
    let (what, next) = error.rsplit_once(". Next: ").unwrap_or((error, "see `tidegate check`"));
    output::failure(what, next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_plan_reads_as_a_sentence() {
        let pace =
            |requests, per_seconds, takes_seconds| paced(&Pace { requests, per_seconds, takes_seconds });
        assert_eq!(pace(250, 60, 0), "less than a minute at the documented limit of 250 requests a minute");
        assert_eq!(
            pace(250_000, 3_600, 4_000),
            "about 67 minutes at the documented limit of 250,000 requests an hour"
        );
        assert_eq!(
            pace(3_000, 3, 9_000),
            "about 3 hours at the documented limit of 3,000 requests in 3 seconds"
        );
    }
}
