//! Events as rows of a table: the columns that warehouses and lakes get.

use std::borrow::Cow;
use std::ops::Range;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cell::{Cell, ColumnType, TableColumn};
use super::{LoggedEvent, members};

/// The columns of an event table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A column for each documented member of a message event, and the four columns that Fivetran
    /// adds.
    Messages,
    /// A few columns that all events have, and the whole event as JSON.
    Events,
}

/// The day of the event: tables are partitioned by it.
pub const PARTITION_COLUMN: &str = "event_date";

const fn column(name: &'static str, kind: ColumnType, nullable: bool) -> TableColumn {
    TableColumn { name, kind, nullable }
}

/// Source: OneSignal docs, Databricks integration, "message events" schema;
/// `_created`, `_id`, `_index` and `_fivetran_synced` stand for the columns that
/// Fivetran adds to it, so that queries written for such a table keep working.
const MESSAGES: &[TableColumn] = &[
    column("event_id", ColumnType::Text, false),
    column("event_timestamp", ColumnType::Timestamp, false),
    column("event_kind", ColumnType::Text, false),
    column("subscription_device_type", ColumnType::Text, true),
    column("language", ColumnType::Text, true),
    column("version", ColumnType::Text, true),
    column("device_os", ColumnType::Text, true),
    column("device_type", ColumnType::Int, true),
    column("token", ColumnType::Text, true),
    column("subscription_id", ColumnType::Text, true),
    column("subscribed", ColumnType::Bool, true),
    column("onesignal_id", ColumnType::Text, true),
    column("last_active", ColumnType::Text, true),
    column("sdk", ColumnType::Text, true),
    column("external_id", ColumnType::Text, true),
    column("app_id", ColumnType::Text, true),
    column("template_id", ColumnType::Text, true),
    column("message_id", ColumnType::Text, true),
    column("message_name", ColumnType::Text, true),
    column("message_title", ColumnType::Text, true),
    column("message_contents", ColumnType::Text, true),
    column("failure_reason", ColumnType::Text, true),
    column("_created", ColumnType::Timestamp, false),
    column("_id", ColumnType::Text, false),
    column("_index", ColumnType::Int, false),
    column("_fivetran_synced", ColumnType::Timestamp, false),
    column(PARTITION_COLUMN, ColumnType::Date, false),
];

/// The indexes of the columns that the payload fills.
const MEMBERS: Range<usize> = 3..22;
/// The places of `app_id`, `template_id` and `message_id` among them: the event knows these itself.
const IDS: Range<usize> = 15..18;

const EVENTS: &[TableColumn] = &[
    column("event_id", ColumnType::Text, false),
    column("event_timestamp", ColumnType::Timestamp, false),
    column("event_kind", ColumnType::Text, false),
    column("user_id", ColumnType::Text, true),
    column("app_id", ColumnType::Text, true),
    column("message_id", ColumnType::Text, true),
    column("template_id", ColumnType::Text, true),
    column("payload", ColumnType::Text, false),
    column("logged_at", ColumnType::Timestamp, false),
    column(PARTITION_COLUMN, ColumnType::Date, false),
];

/// Returns the day of a moment in UTC, counted from 1970-01-01.
pub fn days(moment: Timestamp) -> i32 {
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    // No moment is as many days away as do not fit.
    i32::try_from(moment.as_second().div_euclid(DAY_SECONDS)).unwrap_or_default()
}

impl Layout {
    /// Returns the columns in order.
    pub fn columns(self) -> &'static [TableColumn] {
        match self {
            Layout::Messages => MESSAGES,
            Layout::Events => EVENTS,
        }
    }

    /// Appends the event's values in the order of [`Layout::columns`]. `synced`
    /// is the time at which the row is made.
    ///
    /// A payload that does not have the documented shape leaves the columns
    /// empty that it does not fill.
    pub fn cells<'a>(self, logged: &'a LoggedEvent, synced: Timestamp, out: &mut Vec<Cell<'a>>) {
        let event = &logged.event;
        let day = Cell::Date(days(event.at));
        let known = |id: &'a str| if id.is_empty() { Cell::Null } else { Cell::Text(Cow::Borrowed(id)) };
        out.extend([
            Cell::Text(Cow::Borrowed(&event.id)),
            Cell::Timestamp(event.at),
            Cell::Text(Cow::Borrowed(&event.kind)),
        ]);
        match self {
            Layout::Messages => {
                let members = out.len();
                out.resize(members + MEMBERS.len(), Cell::Null);
                members::fill(event.payload.as_str(), &MESSAGES[MEMBERS], &mut out[members..]);
                out[members + IDS.start - MEMBERS.start..][..IDS.len()].clone_from_slice(&[
                    known(&event.app),
                    known(&event.template),
                    known(&event.message),
                ]);
                out.extend([
                    Cell::Timestamp(logged.logged_at),
                    Cell::Text(Cow::Borrowed(&event.id)),
                    Cell::Int(i64::try_from(logged.offset.at).unwrap_or(i64::MAX)),
                    Cell::Timestamp(synced),
                    day,
                ]);
            }
            Layout::Events => out.extend([
                known(&event.user),
                known(&event.app),
                known(&event.message),
                known(&event.template),
                Cell::Text(Cow::Borrowed(event.payload.as_str())),
                Cell::Timestamp(logged.logged_at),
                day,
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Offset};
    use crate::{Json, Text};

    fn logged(payload: &str) -> LoggedEvent {
        let at: Timestamp = "2026-03-01T23:59:59.5Z".parse().expect("timestamp");
        let event = Event {
            id: "e1".into(),
            kind: "message.push.clicked".into(),
            at,
            user: "u1".into(),
            app: "a1".into(),
            message: "m1".into(),
            template: Text::new(),
            payload: Json::parse(payload.into()).expect("JSON"),
        };
        LoggedEvent { offset: Offset::new(0, 7), logged_at: at, event }
    }

    #[test]
    fn a_row_has_a_value_of_the_right_type_for_each_column() {
        let logged =
            logged(r#"{"language":"e\u006e","device_type":1,"subscribed":true,"token":null,"more":[1]}"#);
        for layout in [Layout::Messages, Layout::Events] {
            let mut cells = Vec::new();
            layout.cells(&logged, logged.logged_at, &mut cells);
            assert_eq!(cells.len(), layout.columns().len());
            for (cell, column) in cells.iter().zip(layout.columns()) {
                let fits = match cell {
                    Cell::Null => column.nullable,
                    Cell::Text(_) => column.kind == ColumnType::Text,
                    Cell::Int(_) => column.kind == ColumnType::Int,
                    Cell::Bool(_) => column.kind == ColumnType::Bool,
                    Cell::Timestamp(_) => column.kind == ColumnType::Timestamp,
                    Cell::Date(_) => column.kind == ColumnType::Date,
                };
                assert!(fits, "{}: {cell:?}", column.name);
            }
            let at = |name: &str| layout.columns().iter().position(|column| column.name == name);
            assert_eq!(cells[at("event_date").expect("column")], Cell::Date(20_513));
            if let Some(language) = at("language") {
                assert_eq!(cells[language], Cell::Text("en".into()));
            }
        }
    }

    fn filled(payload: &str) -> Vec<(&'static str, String)> {
        let logged = logged(payload);
        let mut cells = Vec::new();
        Layout::Messages.cells(&logged, logged.logged_at, &mut cells);
        let cells = cells.iter().zip(MESSAGES).take(MEMBERS.end).skip(MEMBERS.start);
        let filled = cells.filter(|(cell, _)| **cell != Cell::Null);
        filled.map(|(cell, column)| (column.name, format!("{cell:?}"))).collect()
    }

    #[test]
    fn members_come_into_their_columns_in_any_order_and_ids_only_from_the_event() {
        let payload = r#"{"failure_reason":"no","app_id":"other","event_id":"x","device_type":-1,
            "template_id":"other","subscribed":false,"subscription_device_type":"iOSPush"}"#;
        let expected = [
            ("subscription_device_type", "Text(\"iOSPush\")"),
            ("device_type", "Int(-1)"),
            ("subscribed", "Bool(false)"),
            ("app_id", "Text(\"a1\")"),
            ("message_id", "Text(\"m1\")"),
            ("failure_reason", "Text(\"no\")"),
        ];
        assert_eq!(filled(payload), expected.map(|(name, cell)| (name, cell.to_owned())));
    }

    #[test]
    fn a_member_of_another_type_leaves_only_its_own_column_empty() {
        let payload = r#"{"language":5,"device_type":18446744073709551615,"subscribed":"yes","token":{"a":[1]},
            "sdk":[{"b":null}],"device_os":1.5,"version":null,"message_name":"Spring"}"#;
        let own = [
            ("app_id", "Text(\"a1\")"),
            ("message_id", "Text(\"m1\")"),
            ("message_name", "Text(\"Spring\")"),
        ];
        assert_eq!(filled(payload), own.map(|(name, cell)| (name, cell.to_owned())));
    }

    #[test]
    fn a_payload_of_another_shape_leaves_columns_empty() {
        let logged = logged(r#"{"language":5}"#);
        let mut cells = Vec::new();
        Layout::Messages.cells(&logged, logged.logged_at, &mut cells);
        assert_eq!(cells[4], Cell::Null);
        assert_eq!(cells[0], Cell::Text("e1".into()));
    }
}
