//! Whether events fit a table that is there, and what it lacks.

use std::collections::HashMap;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{Field, Schema as ArrowSchema};
use delta_kernel::engine::arrow_conversion::TryIntoArrow as _;
use delta_kernel::expressions::Scalar;
use delta_kernel::schema::{DataType, SchemaRef, StructField};
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout};

use super::errors::kernel;
use crate::batch::Day;

/// A column as a Delta table has it. All are nullable, as they are where other
/// tools made such tables: a column that comes later has to be.
pub(super) fn field(column: &TableColumn) -> StructField {
    StructField::nullable(column.name, data_type(column.kind))
}

fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Text => DataType::STRING,
        ColumnType::Int => DataType::LONG,
        ColumnType::Bool => DataType::BOOLEAN,
        ColumnType::Timestamp => DataType::TIMESTAMP,
        ColumnType::Date => DataType::DATE,
    }
}

/// The columns of the layout that the table lacks.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] naming a column of another type, or
/// one that is not ours and may not be empty.
pub(super) fn missing(table: &str, schema: &SchemaRef, layout: Layout) -> Result<Vec<StructField>, Error> {
    let mut missing = Vec::new();
    for column in layout.columns() {
        let Some(found) = schema.fields().find(|found| found.name().eq_ignore_ascii_case(column.name)) else {
            missing.push(field(column));
            continue;
        };
        let wanted = data_type(column.kind);
        if *found.data_type() != wanted {
            let message = format!(
                "the column `{}` of the table {table} holds {}, and events need {wanted} there",
                found.name(),
                found.data_type(),
            );
            return Err(Error::settings(message).hint("rename that column, or name another `table`"));
        }
    }
    let ours = |found: &StructField| {
        layout.columns().iter().any(|column| found.name().eq_ignore_ascii_case(column.name))
    };
    match schema.fields().find(|found| !ours(found) && !found.is_nullable()) {
        Some(found) => {
            let message = format!(
                "the column `{}` of the table {table} may not be empty, and events have no value for it",
                found.name()
            );
            Err(Error::settings(message).hint("let the column be empty, or name another `table`"))
        }
        None => Ok(missing),
    }
}

/// Whether the table is partitioned by day.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a table partitioned by anything else.
pub(super) fn by_date(table: &str, partitions: &[String]) -> Result<bool, Error> {
    match partitions {
        [] => Ok(false),
        [only] if only.eq_ignore_ascii_case(PARTITION_COLUMN) => Ok(true),
        others => {
            let message = format!(
                "the table {table} is partitioned by {}, and events are partitioned by {PARTITION_COLUMN}",
                others.join(", ")
            );
            Err(Error::settings(message).hint("name another `table`: a new one is made"))
        }
    }
}

/// The partition of a day.
pub(super) fn partition(partitions: &[String], day: Day) -> HashMap<String, Scalar> {
    partitions.iter().map(|name| (name.clone(), Scalar::Date(day.0))).collect()
}

/// The columns of a batch in the order of the table; those that are not ours are empty.
pub(super) fn arrange(table: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let fault = |cause| Error::internal(format!("events do not fit the table {table}")).caused_by(cause);
    let own = batch.schema();
    let mut fields = Vec::with_capacity(own.fields().len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(own.fields().len());
    for wanted in schema.fields() {
        let field: Field = wanted.try_into_arrow().map_err(fault)?;
        let found = own.fields().iter().position(|column| column.name().eq_ignore_ascii_case(wanted.name()));
        columns.push(match found {
            Some(at) => batch.column(at).clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
        fields.push(field);
    }
    RecordBatch::try_new(ArrowSchema::new(fields).into(), columns).map_err(fault)
}

/// The columns of a new table.
pub(super) fn schema_of(layout: Layout) -> Result<SchemaRef, Error> {
    delta_kernel::schema::StructType::try_new(layout.columns().iter().map(field))
        .map(Into::into)
        .map_err(|cause| kernel("making a table", cause))
}
