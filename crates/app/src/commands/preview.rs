//! `tidegate preview`

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::service::{Preview, PreviewInput, ShownRecord};
use tidegate_model::{Error, Json, Mode, Reason, SyncId};

use crate::cli::{Output, ProjectArgs};
use crate::{DONE, output};

pub(super) async fn preview(
    args: &ProjectArgs,
    sync: &SyncId,
    rows: usize,
    out: Output,
) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let previews = engine.preview(sync, rows).await?;
    match out {
        Output::Json | Output::Jsonl => {
            let rows = previews.iter().map(Line::of).collect();
            let previewed = Previewed { sync: sync.clone(), rows };
            output::listing(out, &previewed, &previewed.rows);
        }
        Output::Text => {
            for preview in &previews {
                match &preview.input {
                    PreviewInput::Row(row) => output::line(format!("row     {}", row.to_json().as_str())),
                    PreviewInput::Unreadable(location) => output::line(format!("at      {location}")),
                }
                match &preview.record {
                    Ok(record) => {
                        let shown = serde_json::to_string(&ShownRecord::of(record)).unwrap_or_default();
                        output::line(format!("becomes {shown}"));
                    }
                    Err(reason) => {
                        let word = output::toned("rejected");
                        output::line(format!("{word} {}: {}", reason.code, reason.message));
                    }
                }
            }
            if previews.is_empty() {
                let reads_on =
                    engine.sync(sync)?.as_import().is_some_and(|import| import.mode == Mode::Stream);
                output::note(match reads_on {
                    true => "nothing is new: `mode: stream` begins after what its consumer group has read",
                    false => "the source has no rows",
                });
            }
        }
    }
    Ok(DONE)
}

type Raw = Option<Box<RawValue>>;

fn raw(json: &Json) -> Raw {
    output::raw(json.as_str())
}

/// What `preview` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Previewed<L> {
    /// The sync.
    sync: SyncId,
    /// The rows: each has `row` (its columns), `record` (what it becomes) and `rejected`
    /// (`code` and `message` of the reason); one of the last two is `null`. What cannot be read as a row
    /// has its `location` instead of a `row`.
    rows: Vec<L>,
}

#[derive(Serialize)]
struct Line<'a> {
    row: Raw,
    location: Option<&'a str>,
    record: Option<ShownRecord<'a>>,
    rejected: Option<&'a Reason>,
}

impl Line<'_> {
    fn of(preview: &Preview) -> Line<'_> {
        let (row, location) = match &preview.input {
            PreviewInput::Row(row) => (raw(&row.to_json()), None),
            PreviewInput::Unreadable(location) => (None, Some(location.as_str())),
        };
        Line {
            row,
            location,
            record: preview.record.as_ref().ok().map(ShownRecord::of),
            rejected: preview.record.as_ref().err(),
        }
    }
}
