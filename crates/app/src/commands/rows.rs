//! `tidegate rows`

use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_model::store::{RowEntry, RowQuery, StatusKind};
use tidegate_model::{Error, ObjectKind, Reason, RunId, SyncId};

use crate::DONE;
use crate::cli::{Output, ProjectArgs, Rows};
use crate::output::{self, moment};

pub(super) async fn rows(args: &ProjectArgs, asked: Rows, out: Output) -> Result<u8, Error> {
    let status = match (asked.rejected, asked.in_doubt, asked.delivered) {
        (true, ..) => Some(StatusKind::Rejected),
        (_, true, _) => Some(StatusKind::InDoubt),
        (.., true) => Some(StatusKind::Delivered),
        _ => None,
    };
    let query = RowQuery {
        sync: asked.sync.map(SyncId::new),
        run: asked.run.map(RunId::new),
        user: asked.user,
        status,
        limit: asked.limit,
    };
    let entries = args.engine().await?.rows(&query).await?;
    match out {
        Output::Json => output::json(&entries.iter().map(to_json).collect::<Vec<_>>()),
        Output::Text => output::line(table(&entries).to_string()),
    }
    Ok(DONE)
}

/// The status of a row, in JSON.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    sync: &'a SyncId,
    run: &'a RunId,
    object: ObjectKind,
    user: &'a str,
    key: &'a str,
    status: StatusKind,
    reason: Option<&'a Reason>,
    row: Option<Box<RawValue>>,
}

fn to_json(entry: &RowEntry) -> Line<'_> {
    Line {
        at: entry.at,
        sync: &entry.sync,
        run: &entry.run,
        object: entry.object,
        user: &entry.user,
        key: &entry.key,
        status: entry.status,
        reason: entry.reason.as_ref(),
        row: entry.payload.as_ref().and_then(|row| output::raw(row.to_json().as_str())),
    }
}

fn table(entries: &[RowEntry]) -> Table {
    let mut table = output::table(&["at", "sync", "user", "key", "status", "reason"]);
    for entry in entries {
        let reason = entry.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
        table.add_row([
            moment(entry.at),
            entry.sync.to_string(),
            entry.user.clone(),
            entry.key.clone(),
            entry.status.as_str().to_owned(),
            reason.unwrap_or_default(),
        ]);
    }
    table
}
