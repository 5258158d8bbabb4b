//! The rules of exports: events of a stream go to a table, topic, stream or files.

use serde_json::json;

use super::sheet::{End, Sheet};
use super::spec::{EventDestination, EventSource, ExportSpec};

/// Keys of a sync that belong to imports.
const OF_ROWS: &[&str] = &[
    "mode",
    "cursor",
    "lookback",
    "primary_key",
    "changed",
    "removed",
    "state",
    "compare",
    "mapping",
    "contract",
    "in_doubt",
    "absent",
    "limits",
];

pub(super) fn read(sheet: &mut Sheet<'_>, source: End, destination: End) -> Option<ExportSpec> {
    let why = format!("`{}` is an export: its source {} gives events", sheet.id, source.shown());
    sheet.foreign(OF_ROWS, "import", &why);
    sheet.foreign_in("source", &["time_zone"], "import", &why);
    sheet.foreign_in("destination", &["object"], "import", &why);
    let lists = ["connection", "kinds", "apps", "messages", "templates"];
    let selection = sheet.settings("source", &lists, json!({}));
    let Some(sink) = destination.connector.sink else {
        let hint = match destination.connector.platform {
            Some(_) => "events go to a table, topic, stream or files; rows go to a platform",
            None => "name a connection that takes events; `tidegate connectors` lists them",
        };
        sheet.tell("destination", format!("{} takes no events, and {why}", destination.shown()), hint);
        return None;
    };
    let target = sheet.settings("destination", &["connection", "layout"], json!((sink.target)()));
    let layout = sheet.entry("destination").and_then(|entry| entry.value.entry("layout"));
    let layout = layout.and_then(|layout| serde_json::from_value(layout.value.to_member()).ok());
    let mut options = sheet.options();
    options.schedule.get_or_insert_default();
    Some(ExportSpec {
        source: EventSource { connection: source.connection, selection: selection? },
        destination: EventDestination { connection: destination.connection, layout, target: target? },
        options,
    })
}
