//! What Parquet knows of its columns and Arrow does not say: UUIDs, the whole range of
//! INT96, all parts of an interval. And dictionaries, unpacked once for all rows.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    IntervalDayTimeType, IntervalYearMonthType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StringArray,
    StructArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow_schema::{
    ArrowError, DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use tidegate_model::DataType as ColumnType;
use tidegate_transport::arrow::{self, wide};
use uuid::Uuid;

/// What a column without columns inside is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    /// What Arrow says.
    Plain,
    /// Sixteen bytes that are a UUID.
    Uuid,
    /// Bytes that are the name of a value.
    Enum,
    /// A moment in days and nanoseconds; as nanoseconds alone it wraps around.
    Int96,
    /// Months, days and milliseconds; read as months, or as the rest.
    Interval,
}

/// The leaves of each column of a file.
pub struct Leaves {
    columns: Vec<(Vec<Leaf>, bool)>,
}

impl Leaves {
    /// Finds the leaves of a file.
    pub fn of(schema: &Schema, parquet: &SchemaDescriptor) -> Leaves {
        let mut next = 0;
        let column = |field: &FieldRef| {
            let mut leaves = Vec::new();
            let mut dictionaries = false;
            walk(field, &mut |field: &Field| {
                dictionaries |= matches!(field.data_type(), DataType::Dictionary(..));
                leaves.push(if next < parquet.num_columns() {
                    leaf(field, &parquet.column(next))
                } else {
                    Leaf::Plain
                });
                next += 1;
            });
            (leaves, dictionaries)
        };
        Leaves { columns: schema.fields().iter().map(column).collect() }
    }

    /// Returns whether any column has to be read in two ways.
    pub fn need_two(&self) -> bool {
        (0..self.columns.len()).any(|at| self.is_read_twice(at))
    }

    /// Returns whether a column has to be read in two ways.
    pub fn is_read_twice(&self, at: usize) -> bool {
        self.columns[at].0.iter().any(|leaf| matches!(leaf, Leaf::Int96 | Leaf::Interval))
    }

    /// Returns the columns that have to be read in two ways.
    pub fn twice(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|at| self.is_read_twice(*at))
    }

    /// Returns how the file is read first: nanoseconds, days and milliseconds.
    pub fn first(&self, schema: &Schema) -> SchemaRef {
        self.retyped(schema, TimeUnit::Nanosecond, IntervalUnit::DayTime)
    }

    /// Returns how the file is read a second time: seconds, months.
    pub fn second(&self, schema: &Schema) -> SchemaRef {
        self.retyped(schema, TimeUnit::Second, IntervalUnit::YearMonth)
    }

    fn retyped(&self, schema: &Schema, time: TimeUnit, interval: IntervalUnit) -> SchemaRef {
        let leaf_type = |leaf: Leaf, data_type: &DataType| match (leaf, data_type) {
            (Leaf::Int96, DataType::Timestamp(_, zone)) => DataType::Timestamp(time, zone.clone()),
            (Leaf::Int96, _) => DataType::Timestamp(time, None),
            (Leaf::Interval, _) => DataType::Interval(interval),
            _ => data_type.clone(),
        };
        let fields = schema
            .fields()
            .iter()
            .zip(&self.columns)
            .map(|(field, (leaves, _))| retype(field, &mut leaves.iter().copied(), &leaf_type));
        Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone()))
    }

    /// Returns the type of the values of a column.
    pub fn data_type(&self, at: usize, field: &Field) -> ColumnType {
        match (self.columns[at].0.as_slice(), field.data_type()) {
            ([Leaf::Uuid | Leaf::Interval], DataType::FixedSizeBinary(_) | DataType::Interval(_)) => {
                ColumnType::Text
            }
            ([Leaf::Enum], DataType::Binary) => ColumnType::Text,
            ([Leaf::Uuid], DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => {
                ColumnType::List(Box::new(ColumnType::Text))
            }
            (_, data_type) => arrow::data_type(data_type),
        }
    }

    /// Returns a column as values are taken from it.
    ///
    /// # Errors
    /// If its parts do not fit together, as in a damaged file.
    pub fn prepared(
        &self,
        at: usize,
        column: &ArrayRef,
        twin: Option<&ArrayRef>,
    ) -> Result<ArrayRef, ArrowError> {
        let (leaves, dictionaries) = &self.columns[at];
        if !dictionaries && leaves.iter().all(|leaf| *leaf == Leaf::Plain) {
            return Ok(Arc::clone(column));
        }
        prepare(column, twin, &mut leaves.iter().copied())
    }
}

fn leaf(field: &Field, column: &ColumnDescriptor) -> Leaf {
    let uuid = matches!(column.logical_type_ref(), Some(LogicalType::Uuid))
        || field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.uuid");
    match column.physical_type() {
        Physical::INT96 => Leaf::Int96,
        Physical::BYTE_ARRAY if column.converted_type() == ConvertedType::ENUM => Leaf::Enum,
        Physical::FIXED_LEN_BYTE_ARRAY if uuid && column.type_length() == 16 => Leaf::Uuid,
        _ if column.converted_type() == ConvertedType::INTERVAL => Leaf::Interval,
        _ => Leaf::Plain,
    }
}

/// Visits the leaves of a column in the order in which Parquet numbers them.
fn walk(field: &Field, visit: &mut dyn FnMut(&Field)) {
    match field.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            walk(inner, visit);
        }
        DataType::Map(inner, _) => walk(inner, visit),
        DataType::Struct(fields) => fields.iter().for_each(|field| walk(field, visit)),
        _ => visit(field),
    }
}

fn retype(
    field: &FieldRef,
    leaves: &mut dyn Iterator<Item = Leaf>,
    leaf_type: &dyn Fn(Leaf, &DataType) -> DataType,
) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::List(inner) => DataType::List(retype(inner, leaves, leaf_type)),
        DataType::LargeList(inner) => DataType::LargeList(retype(inner, leaves, leaf_type)),
        DataType::FixedSizeList(inner, length) => {
            DataType::FixedSizeList(retype(inner, leaves, leaf_type), *length)
        }
        DataType::Map(inner, sorted) => DataType::Map(retype(inner, leaves, leaf_type), *sorted),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| retype(field, leaves, leaf_type)).collect())
        }
        other => leaf_type(leaves.next().unwrap_or(Leaf::Plain), other),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn prepare(
    array: &ArrayRef,
    twin: Option<&ArrayRef>,
    leaves: &mut dyn Iterator<Item = Leaf>,
) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::List(field) => list::<i32>(array, twin, field, leaves),
        DataType::LargeList(field) => list::<i64>(array, twin, field, leaves),
        DataType::FixedSizeList(field, length) => {
            let twin = twin.map(|twin| twin.as_fixed_size_list().values());
            let values = prepare(array.as_fixed_size_list().values(), twin, leaves)?;
            let nulls = array.nulls().cloned();
            Ok(Arc::new(FixedSizeListArray::try_new(typed(field, &values), *length, values, nulls)?))
        }
        DataType::Struct(_) => {
            Ok(Arc::new(members(array.as_struct(), twin.map(|twin| twin.as_struct()), leaves)?))
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries = members(map.entries(), twin.map(|twin| twin.as_map().entries()), leaves)?;
            let field = Arc::new(field.as_ref().clone().with_data_type(entries.data_type().clone()));
            let nulls = map.nulls().cloned();
            Ok(Arc::new(MapArray::try_new(field, map.offsets().clone(), entries, nulls, *sorted)?))
        }
        DataType::Dictionary(_, element) => {
            let unpacked = arrow_cast::cast(array, element)?;
            prepare(&unpacked, twin, leaves)
        }
        _ => match (leaves.next().unwrap_or(Leaf::Plain), twin) {
            (Leaf::Uuid, _) => Ok(uuids(array)),
            (Leaf::Enum, _) if *array.data_type() == DataType::Binary => {
                Ok(Arc::new(StringArray::try_from_binary(array.as_binary::<i32>().clone())?))
            }
            (Leaf::Int96, Some(seconds)) => Ok(moments(array, seconds)),
            (Leaf::Interval, Some(months)) => Ok(intervals(array, months)),
            _ => Ok(Arc::clone(array)),
        },
    }
}

fn typed(field: &FieldRef, values: &ArrayRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(values.data_type().clone()))
}

fn list<O: OffsetSizeTrait>(
    array: &ArrayRef,
    twin: Option<&ArrayRef>,
    field: &FieldRef,
    leaves: &mut dyn Iterator<Item = Leaf>,
) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let values = prepare(list.values(), twin.map(|twin| twin.as_list::<O>().values()), leaves)?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    Ok(Arc::new(GenericListArray::<O>::try_new(typed(field, &values), offsets, values, nulls)?))
}

fn members(
    members: &StructArray,
    twin: Option<&StructArray>,
    leaves: &mut dyn Iterator<Item = Leaf>,
) -> Result<StructArray, ArrowError> {
    let mut columns = Vec::with_capacity(members.num_columns());
    let mut fields = Vec::with_capacity(members.num_columns());
    for (at, (field, column)) in members.fields().iter().zip(members.columns()).enumerate() {
        let column = prepare(column, twin.map(|twin| twin.column(at)), leaves)?;
        fields.push(typed(field, &column));
        columns.push(column);
    }
    StructArray::try_new_with_length(fields.into(), columns, members.nulls().cloned(), members.len())
}

fn uuids(array: &ArrayRef) -> ArrayRef {
    let bytes = array.as_fixed_size_binary();
    let text = |bytes: Option<&[u8]>| Some(Uuid::from_slice(bytes?).ok()?.hyphenated().to_string());
    Arc::new(bytes.iter().map(text).collect::<StringArray>())
}

/// Moments of which the nanoseconds wrapped around, by their seconds.
fn moments(nanoseconds: &ArrayRef, seconds: &ArrayRef) -> ArrayRef {
    const NANOS: i64 = 1_000_000_000;
    let (wrapped, seconds) = (
        nanoseconds.as_primitive::<TimestampNanosecondType>(),
        seconds.as_primitive::<TimestampSecondType>(),
    );
    let zone = match nanoseconds.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let whole = |at: usize| -> Option<i128> {
        let second = (!wrapped.is_null(at)).then(|| seconds.value(at))?;
        let below = wrapped.value(at).wrapping_sub(second.wrapping_mul(NANOS));
        Some(i128::from(second) * i128::from(NANOS) + i128::from(below))
    };
    let all: Vec<Option<i128>> = (0..wrapped.len()).map(whole).collect();
    if all.iter().flatten().all(|at| i64::try_from(*at).is_ok()) {
        let exact = all.iter().map(|at| at.and_then(|at| i64::try_from(at).ok()));
        return Arc::new(exact.collect::<TimestampNanosecondArray>().with_timezone_opt(zone));
    }
    let micros = |at: i128| i64::try_from(at / 1_000).ok().filter(|_| at % 1_000 == 0);
    if all.iter().flatten().all(|at| micros(*at).is_some()) {
        let exact = all.iter().map(|at| at.and_then(micros));
        return Arc::new(exact.collect::<TimestampMicrosecondArray>().with_timezone_opt(zone));
    }
    let text = |at: &Option<i128>| at.map(|at| wide::moment(at, zone.is_some()));
    Arc::new(all.iter().map(text).collect::<StringArray>())
}

/// Intervals in ISO 8601: the months apart from days, and both from the time.
fn intervals(rest: &ArrayRef, months: &ArrayRef) -> ArrayRef {
    let (rest, months) =
        (rest.as_primitive::<IntervalDayTimeType>(), months.as_primitive::<IntervalYearMonthType>());
    let text = |at: usize| {
        let parts = (!rest.is_null(at)).then(|| rest.value(at))?;
        // Parquet counts without signs.
        Some(wide::interval(
            months.value(at).cast_unsigned(),
            parts.days.cast_unsigned(),
            parts.milliseconds.cast_unsigned(),
        ))
    };
    Arc::new((0..rest.len()).map(text).collect::<StringArray>())
}
