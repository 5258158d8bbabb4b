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

use crate::stream::Shape;

/// Bytes that a text takes on average; a column grows where that is too few.
const TEXT_BYTES: usize = 24;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i32);

impl Day {
    /// The day of a moment.
    pub(crate) fn of(moment: Timestamp) -> Day {
        Day(table::days(moment))
    }

    /// The day, for people and paths.
    pub(crate) fn date(self) -> civil::Date {
        let moment = Timestamp::from_second(i64::from(self.0) * DAY_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH);
        jiff::tz::Offset::UTC.to_datetime(moment).date()
    }
}

/// The Arrow schema of a layout.
pub(crate) fn schema(layout: Layout) -> SchemaRef {
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

/// Events of one step as columns, by day.
pub(crate) struct Days<'a> {
    shape: Shape,
    expected: usize,
    days: BTreeMap<Day, Rows>,
    /// The values of one event.
    cells: Vec<Cell<'a>>,
}

impl<'a> Days<'a> {
    /// No events yet; about as many are expected.
    pub(crate) fn new(shape: Shape, expected: usize) -> Days<'a> {
        let cells = Vec::with_capacity(shape.layout.columns().len());
        Days { shape, expected, days: BTreeMap::new(), cells }
    }

    /// Appends an event to its day.
    pub(crate) fn push(&mut self, event: &'a LoggedEvent) {
        let Shape { layout, synced, split } = self.shape;
        self.cells.clear();
        layout.cells(event, synced, &mut self.cells);
        let day = Day::of(event.event.at);
        // Nearly all events of a step happened on one day: that one gets the room.
        let room = if self.days.is_empty() { self.expected } else { 0 };
        let rows = self.days.entry(if split { day } else { Day(0) });
        rows.or_insert_with(|| Rows::with_capacity(layout, room)).push(&self.cells);
    }

    /// The events of each day as one batch, in their order. Without a split all
    /// days are one batch.
    pub(crate) fn finish(self) -> Result<Vec<(Day, RecordBatch)>, Error> {
        let schema = schema(self.shape.layout);
        self.days.into_iter().map(|(day, rows)| Ok((day, rows.finish(schema.clone())?))).collect()
    }
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
    fn with_capacity(layout: Layout, rows: usize) -> Rows {
        let column = |kind| match kind {
            ColumnType::Text => Column::Text(StringBuilder::with_capacity(rows, rows * TEXT_BYTES)),
            ColumnType::Int => Column::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Bool => Column::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Timestamp => {
                Column::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            ColumnType::Date => Column::Date(Date32Builder::with_capacity(rows)),
        };
        Rows(layout.columns().iter().map(|described| column(described.kind)).collect())
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
pub(crate) mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Date32Type, Int64Type};
    use tidegate_model::{Event, Json, Offset, Text};

    use super::*;

    pub(crate) fn logged(at: u64, time: &str) -> LoggedEvent {
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
        LoggedEvent { offset: Offset { partition: 0, at }, logged_at: time, event }
    }

    fn batches(layout: Layout, events: &[LoggedEvent], split: bool) -> Vec<(Day, RecordBatch)> {
        let mut days = Days::new(Shape { layout, synced: Timestamp::UNIX_EPOCH, split }, events.len());
        events.iter().for_each(|event| days.push(event));
        days.finish().expect("batches")
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
}
