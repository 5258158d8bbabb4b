//! Events as Arrow columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use jiff::{Timestamp, civil};
use tidegate_model::event::{Cell, ColumnType, table};
use tidegate_model::{Error, Layout, LoggedEvent};

/// Events of one step: enough for columns, few enough that they stay in the cache.
const STEP: usize = 1024;
/// Bytes that a text takes on average, as long as nothing is known of a column.
const TEXT_BYTES: usize = 24;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// Returns the day of a moment.
    pub fn of(moment: Timestamp) -> Day {
        Day(table::days(moment))
    }

    /// Returns the day, for people and paths.
    pub fn date(self) -> civil::Date {
        let moment = Timestamp::from_second(i64::from(self.0) * DAY_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH);
        jiff::tz::Offset::UTC.to_datetime(moment).date()
    }
}

/// Returns the Arrow schema of a layout.
pub fn schema(layout: Layout) -> SchemaRef {
    let field = |column: &tidegate_model::event::TableColumn| {
        let kind = match column.kind {
            ColumnType::Text => DataType::Utf8,
            ColumnType::Int => DataType::Int64,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Date => DataType::Date32,
        };
        Field::new(column.name, kind, column.nullable)
    };
    Arc::new(Schema::new(layout.columns().iter().map(field).collect::<Vec<_>>()))
}

/// How events become rows.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Their columns.
    pub layout: Layout,
    /// The time at which the rows are made.
    pub synced: Timestamp,
    /// Whether each day has rows of its own.
    pub split: bool,
}

/// The rows of one step, by day and in their order. Without a split all days are one.
pub type Step = Vec<(Day, RecordBatch)>;

/// Returns the rows of events, a few at a time.
///
/// # Errors
/// If the cells of an event do not fit their columns, which is a fault of this program.
pub fn steps<'a>(
    events: &'a [&'a LoggedEvent],
    shape: Shape,
) -> impl Iterator<Item = Result<Step, Error>> + 'a {
    let schema = schema(shape.layout);
    let mut cells = Vec::with_capacity(schema.fields().len());
    let mut room = vec![STEP * TEXT_BYTES; schema.fields().len()];
    events.chunks(STEP).map(move |step| {
        let mut days: BTreeMap<Day, Rows> = BTreeMap::new();
        for &event in step {
            cells.clear();
            shape.layout.cells(event, shape.synced, &mut cells);
            let day = if shape.split { Day::of(event.event.at) } else { Day(0) };
            // Almost all events of a step happened on one day: that one gets the room.
            let rows = if days.is_empty() { step.len() } else { 0 };
            days.entry(day).or_insert_with(|| Rows::with_capacity(shape.layout, rows, &room)).push(&cells);
        }
        // The next step is likely to need as much.
        room.fill(0);
        days.values().for_each(|rows| rows.note(&mut room));
        days.into_iter().map(|(day, rows)| Ok((day, rows.finish(schema.clone())?))).collect()
    })
}

/// The columns of a batch while they grow.
struct Rows(Vec<Column>);

enum Column {
    Text(StringBuilder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl Rows {
    /// `room` says how many bytes the texts of each column take, if there are rows.
    fn with_capacity(layout: Layout, rows: usize, room: &[usize]) -> Rows {
        let column = |kind, room: usize| match kind {
            ColumnType::Text => {
                let bytes = if rows == 0 { 0 } else { room + room / 8 };
                Column::Text(StringBuilder::with_capacity(rows, bytes))
            }
            ColumnType::Int => Column::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Bool => Column::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Timestamp => {
                Column::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            ColumnType::Date => Column::Date(Date32Builder::with_capacity(rows)),
        };
        Rows(
            layout
                .columns()
                .iter()
                .zip(room)
                .map(|(described, room)| column(described.kind, *room))
                .collect(),
        )
    }

    /// Raises `room` to what the texts of each column take.
    fn note(&self, room: &mut [usize]) {
        for (column, room) in self.0.iter().zip(room) {
            if let Column::Text(column) = column {
                *room = column.values_slice().len().max(*room);
            }
        }
    }

    /// Appends a row. A cell of another type than its column's is left empty.
    fn push(&mut self, cells: &[Cell<'_>]) {
        for (column, cell) in self.0.iter_mut().zip(cells) {
            match (column, cell) {
                (Column::Text(column), Cell::Text(text)) => column.append_value(text),
                (Column::Int(column), Cell::Int(number)) => column.append_value(*number),
                (Column::Bool(column), Cell::Bool(truth)) => column.append_value(*truth),
                (Column::Timestamp(column), Cell::Timestamp(moment)) => {
                    column.append_value(moment.as_microsecond());
                }
                (Column::Date(column), Cell::Date(day)) => column.append_value(*day),
                (column, _) => column.append_null(),
            }
        }
    }

    fn finish(self, schema: SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.0.into_iter().map(Column::finish).collect();
        RecordBatch::try_new(schema, arrays)
            .map_err(|cause| Error::internal("events do not fit their columns").caused_by(cause))
    }
}

impl Column {
    fn append_null(&mut self) {
        match self {
            Column::Text(column) => column.append_null(),
            Column::Int(column) => column.append_null(),
            Column::Bool(column) => column.append_null(),
            Column::Timestamp(column) => column.append_null(),
            Column::Date(column) => column.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Column::Text(mut column) => Arc::new(column.finish()),
            Column::Int(mut column) => Arc::new(column.finish()),
            Column::Bool(mut column) => Arc::new(column.finish()),
            Column::Timestamp(mut column) => Arc::new(column.finish()),
            Column::Date(mut column) => Arc::new(column.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Date32Type, Int64Type};
    use tidegate_model::{Event, Json, Offset, Text};

    use super::*;

    fn logged(at: u64, time: &str) -> LoggedEvent {
        let time: Timestamp = time.parse().expect("timestamp");
        let event = Event {
            id: format!("e{at}").into(),
            kind: "message.push.clicked".into(),
            at: time,
            user: "u1".into(),
            app: "a1".into(),
            message: Text::new(),
            template: Text::new(),
            payload: Json::parse(r#"{"device_type":1,"language":"en"}"#.into()).expect("JSON"),
        };
        LoggedEvent { offset: Offset::new(0, at), logged_at: time, event }
    }

    fn batches(layout: Layout, events: &[LoggedEvent], split: bool) -> Step {
        let events: Vec<&LoggedEvent> = events.iter().collect();
        let shape = Shape { layout, synced: Timestamp::UNIX_EPOCH, split };
        steps(&events, shape).flat_map(|step| step.expect("rows")).collect()
    }

    #[test]
    fn events_are_split_by_day_and_keep_their_order() {
        let events = [
            logged(1, "2026-03-01T23:59:59Z"),
            logged(2, "2026-03-02T00:00:00Z"),
            logged(3, "2026-03-01T00:00:00Z"),
        ];

        let batches = batches(Layout::Messages, &events, true);

        let days: Vec<String> = batches.iter().map(|(day, _)| day.date().to_string()).collect();
        assert_eq!(days, ["2026-03-01", "2026-03-02"]);
        let first = &batches[0].1;
        let ids = first["event_id"].as_string::<i32>();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["e1", "e3"]);
        assert_eq!(first["device_type"].as_primitive::<Int64Type>().value(0), 1);
        assert_eq!(first["event_date"].as_primitive::<Date32Type>().value(0), 20513);
        assert_eq!(first["message_id"].null_count(), 2);
    }

    #[test]
    fn without_a_split_all_days_are_one_batch() {
        let events = [logged(1, "1969-12-31T23:59:59Z"), logged(2, "2026-03-02T00:00:00Z")];

        let batches = batches(Layout::Events, &events, false);

        assert_eq!(batches.len(), 1);
        let days = batches[0].1["event_date"].as_primitive::<Date32Type>();
        assert_eq!(days.values(), &[-1, 20514]);
        assert_eq!(Day(-1).date().to_string(), "1969-12-31");
    }

    #[test]
    fn steps_keep_the_order_of_the_events() {
        let events: Vec<LoggedEvent> = (0..3_000).map(|at| logged(at, "2026-03-01T00:00:00Z")).collect();

        let batches = batches(Layout::Events, &events, true);

        assert_eq!(batches.len(), 3);
        let ids = batches.iter().flat_map(|(_, rows)| rows["event_id"].as_string::<i32>().iter().flatten());
        assert!(ids.eq(events.iter().map(|logged| &*logged.event.id)));
    }
}
