//! `tidegate plan`

use tidegate_engine::service::Plan;
use tidegate_model::{Ending, Error, SyncId};

use crate::cli::{Output, ProjectArgs};
use crate::output::{self, number};
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
    let plan = engine.plan(sync, requests, super::stop_on_signals(), progress).await?;
    match out {
        Output::Json => output::json(&plan),
        Output::Text => print(&plan),
    }
    Ok(match plan.run.ending {
        Some(Ending::Succeeded) => DONE,
        Some(Ending::Partial) => PARTIAL,
        _ => FAILED,
    })
}

fn print(plan: &Plan) {
    let counts = plan.run.counts;
    output::line(format!("plan of {}: nothing was sent", plan.sync));
    output::line(format!(
        "  {} rows read, {} skipped, {} would be sent, {} would be rejected",
        number(counts.read),
        number(counts.skipped),
        number(counts.delivered),
        number(counts.rejected)
    ));
    if counts.ignored > 0 {
        let message = "changed since they were delivered, and are ignored: `changed: send` sends them";
        output::line(format!("  {} rows {message}", number(counts.ignored)));
    }
    if counts.not_due > 0 {
        output::line(format!("  {} rows are not due: their cursor is in the future", number(counts.not_due)));
    }
    for (kind, (requests, bytes)) in &plan.requests {
        output::line(format!("  {kind}: {} requests, {} bytes", number(*requests), number(*bytes)));
    }
    for rejection in &plan.rejections {
        output::line(format!(
            "  rejected {} × {}: {}",
            number(rejection.rows),
            rejection.code,
            rejection.message
        ));
        output::line(format!("    for example {}", rejection.examples.join(", ")));
    }
    for request in &plan.first {
        output::line(format!("\n{} {}\n{}", request.method, request.path, request.body));
    }
    if let Some(error) = &plan.run.error {
        eprintln!("error: {error}");
    }
}
