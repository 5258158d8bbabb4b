//! Values of Parquet and JSON, whatever the type.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type, Int96,
    Int96Type,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;
use tidegate_model::{Json, Source, Value};

use super::{place_of, read, rejected, select, source, told};

/// Writes a Parquet file with a column `id`.
pub(super) fn write_ids(path: &Path, ids: &[i64]) {
    write(path, "id", Arc::new(Int64Array::from(ids.to_vec())));
}

fn write(path: &Path, name: &str, column: ArrayRef) {
    let batch = RecordBatch::try_from_iter([(name, column)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// What is stored, without anything that Arrow would add.
enum Stored {
    Bytes(Vec<u8>),
    Fixed(Vec<u8>),
    Int(i32),
    Long(i64),
    Int96(i32, u64),
}

/// Writes a Parquet file of one column that only Parquet describes; each value is a row.
fn write_plain(path: &Path, column: &str, values: &[Stored], levels: Option<(&[i16], &[i16])>) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {column} }}")).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let (definitions, repetitions) = levels.unzip();
    macro_rules! write {
        ($kind:ty, $value:expr) => {{
            let values: Vec<_> = values.iter().map($value).collect();
            column.typed::<$kind>().write_batch(&values, definitions, repetitions).unwrap();
        }};
    }
    match &values[0] {
        Stored::Bytes(_) => write!(ByteArrayType, |value| match value {
            Stored::Bytes(bytes) => ByteArray::from(bytes.clone()),
            _ => panic!("one kind"),
        }),
        Stored::Fixed(_) => write!(FixedLenByteArrayType, |value| match value {
            Stored::Fixed(bytes) => FixedLenByteArray::from(bytes.clone()),
            _ => panic!("one kind"),
        }),
        Stored::Int(_) => write!(Int32Type, |value| match value {
            Stored::Int(number) => *number,
            _ => panic!("one kind"),
        }),
        Stored::Long(_) => write!(Int64Type, |value| match value {
            Stored::Long(number) => *number,
            _ => panic!("one kind"),
        }),
        Stored::Int96(..) => write!(Int96Type, |value| match value {
            Stored::Int96(day, nanos) => {
                let mut stored = Int96::new();
                stored.set_data(*nanos as u32, (*nanos >> 32) as u32, day.cast_unsigned());
                stored
            }
            _ => panic!("one kind"),
        }),
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

async fn values_of(column: &str, values: &[Stored], levels: Option<(&[i16], &[i16])>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    write_plain(&folder.path().join("a.parquet"), column, values, levels);
    let selection = select(json!({ "path": "*.parquet" }));
    let batches = read(folder.path(), &selection, None, 100).await;
    assert!(rejected(&batches).is_empty(), "{column}: {:?}", rejected(&batches));
    let described = source(folder.path()).describe(&selection).await.unwrap();
    let values: Vec<Value> =
        batches.into_iter().flat_map(|batch| batch.items).map(|row| row.values[0].clone()).collect();
    let text = values.iter().filter(|value| !matches!(value, Value::Text(_)));
    for value in text {
        assert!(described.columns[0].data_type.holds(value), "{} holds {value:?}", described.columns[0]);
    }
    values
}

const UUID: [u8; 16] =
    [0x0f, 0x8f, 0xad, 0x5b, 0xd9, 0xcb, 0x46, 0x9f, 0xa1, 0x65, 0x70, 0x86, 0x77, 0x28, 0x95, 0x0e];

#[tokio::test]
async fn every_logical_type_of_parquet_is_what_it_says() {
    let fixed = |bytes: &[u8]| vec![Stored::Fixed(bytes.to_vec())];
    let bytes = |text: &str| vec![Stored::Bytes(text.as_bytes().to_vec())];
    let int = |number| vec![Stored::Int(number)];
    let long = |number| vec![Stored::Long(number)];
    let text = |text: &str| Value::Text(text.into());
    let decimal = |text: &str| Value::Decimal(text.into());
    let table: Vec<(&str, Vec<Stored>, Value)> = vec![
        ("required binary c (STRING)", bytes("é"), text("é")),
        ("required binary c (ENUM)", bytes("red"), text("red")),
        ("required binary c (JSON)", bytes("{\"a\":1}"), text("{\"a\":1}")),
        ("required binary c", bytes("\u{0}a"), Value::Bytes("\u{0}a".into())),
        ("required binary c (BSON)", bytes("b"), Value::Bytes("b".into())),
        (
            "required fixed_len_byte_array(16) c (UUID)",
            fixed(&UUID),
            text("0f8fad5b-d9cb-469f-a165-70867728950e"),
        ),
        ("required fixed_len_byte_array(16) c", fixed(&UUID), Value::Bytes(UUID.to_vec().into())),
        ("required fixed_len_byte_array(2) c (FLOAT16)", fixed(&[0x00, 0x3e]), Value::Float(1.5)),
        (
            "required fixed_len_byte_array(5) c (DECIMAL(10,2))",
            fixed(&[0xff, 0xff, 0xff, 0xff, 0x85]),
            decimal("-1.23"),
        ),
        ("required binary c (DECIMAL(10,2))", vec![Stored::Bytes(vec![0x04, 0xd2])], decimal("12.34")),
        ("required int32 c (DECIMAL(9,4))", int(-5), decimal("-0.0005")),
        ("required int64 c (DECIMAL(18,0))", long(7), decimal("7")),
        ("required int32 c (INTEGER(8,true))", int(-8), Value::Int(-8)),
        ("required int32 c (INTEGER(32,false))", int(-1), Value::Int(4_294_967_295)),
        ("required int64 c (INTEGER(64,false))", long(-1), decimal("18446744073709551615")),
        ("required int32 c (DATE)", int(20_000), Value::Date("2024-10-04".parse().unwrap())),
        ("required int32 c (DATE)", int(2_932_896), Value::Date("9999-12-31".parse().unwrap())),
        ("required int32 c (DATE)", int(2_932_897), text("+010000-01-01")),
        ("required int32 c (TIME(MILLIS,true))", int(1), Value::Time("00:00:00.001".parse().unwrap())),
        ("required int64 c (TIME(NANOS,false))", long(1), Value::Time("00:00:00.000000001".parse().unwrap())),
        ("required int64 c (TIME(MICROS,false))", long(86_400_000_000), text("24:00:00")),
        (
            "required int64 c (TIMESTAMP(MILLIS,true))",
            long(1),
            Value::Timestamp("1970-01-01T00:00:00.001Z".parse().unwrap()),
        ),
        (
            "required int64 c (TIMESTAMP(MICROS,true))",
            long(253_402_300_799_000_000),
            text("9999-12-31T23:59:59Z"),
        ),
        (
            "required int64 c (TIMESTAMP(MICROS,false))",
            long(253_402_300_799_000_000),
            Value::DateTime("9999-12-31T23:59:59".parse().unwrap()),
        ),
        (
            "required int64 c (TIMESTAMP(NANOS,false))",
            long(-1),
            Value::DateTime("1969-12-31T23:59:59.999999999".parse().unwrap()),
        ),
        (
            "required int64 c (TIMESTAMP(MILLIS,false))",
            long(253_402_300_800_000),
            text("+010000-01-01T00:00:00"),
        ),
        (
            "required fixed_len_byte_array(12) c (INTERVAL)",
            fixed(&[14, 0, 0, 0, 3, 0, 0, 0, 0xd2, 0x0f, 0, 0]),
            text("P1Y2M3DT4.05S"),
        ),
    ];
    for (column, stored, expected) in table {
        assert_eq!(values_of(&format!("{column};"), &stored, None).await, [expected], "{column}");
    }
}

#[tokio::test]
async fn uuids_in_lists_are_text_too() {
    let list = "required group ids (LIST) { repeated group list { optional fixed_len_byte_array(16) element (UUID); } }";
    let stored = [Stored::Fixed(UUID.to_vec()), Stored::Fixed(UUID.to_vec())];
    let values = values_of(list, &stored, Some((&[2, 1, 2], &[0, 1, 1]))).await;
    let id = "\"0f8fad5b-d9cb-469f-a165-70867728950e\"";
    assert_eq!(values, [Value::Json(Json::trusted(format!("[{id},null,{id}]")))]);
}

#[tokio::test]
async fn int96_is_the_day_that_it_is() {
    /// The Julian day of 1970-01-01.
    const EPOCH: i32 = 2_440_588;
    const DAY: u64 = 86_400_000_000_000;
    let at = |text: &str| Value::DateTime(text.parse().unwrap());
    let days = [2_932_896, 106_752, -106_753, -135_140, -719_162, 20_758];
    let stored: Vec<Stored> = days.iter().map(|day| Stored::Int96(EPOCH + day, 0)).collect();
    let expected = ["9999-12-31", "2262-04-12", "1677-09-20", "1600-01-01", "0001-01-01", "2026-11-01"];
    let values = values_of("required int96 t;", &stored, None).await;
    assert_eq!(values, expected.map(|day| at(&format!("{day}T00:00:00"))));

    // All digits of those within the range, and of those beside one that is not.
    let inside = [Stored::Int96(EPOCH + 20_758, DAY - 1)];
    let values = values_of("required int96 t;", &inside, None).await;
    assert_eq!(values, [at("2026-11-01T23:59:59.999999999")]);
    let mixed = [Stored::Int96(EPOCH + 20_758, DAY - 1), Stored::Int96(EPOCH + 2_932_896, 0)];
    let values = values_of("required int96 t;", &mixed, None).await;
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(values, [text("2026-11-01T23:59:59.999999999"), text("9999-12-31T00:00:00")]);

    let list = "required group ts (LIST) { repeated group list { required int96 element; } }";
    let values = values_of(list, &[Stored::Int96(EPOCH + 2_932_896, 0)], Some((&[1], &[0]))).await;
    assert_eq!(values, [Value::Json(Json::trusted("[\"9999-12-31T00:00:00\"]"))]);
}

#[tokio::test]
async fn a_category_column_is_unpacked_once_and_not_for_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let notes: Vec<String> = (0..40_000).map(|at| format!("n{}", at % 20_000)).collect();
    let text: StringArray = notes.iter().map(Some).collect();
    let category: DictionaryArray<arrow_array::types::Int32Type> = notes.iter().map(String::as_str).collect();
    write(&folder.path().join("text.parquet"), "note", Arc::new(text));
    write(&folder.path().join("category.parquet"), "note", Arc::new(category));
    let mut times = Vec::new();
    for path in ["text.parquet", "category.parquet"] {
        let started = std::time::Instant::now();
        let batches = read(folder.path(), &select(json!({ "path": path })), None, 1_000).await;
        times.push(started.elapsed());
        assert_eq!(told(&batches), notes, "{path}");
    }
    assert!(times[1] < times[0] * 4 + std::time::Duration::from_secs(1), "{times:?}");
}

#[tokio::test]
async fn a_batch_holds_a_few_wide_rows_instead_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let wide = "x".repeat(1_000_000);
    let column: StringArray = (0..40).map(|at| Some(format!("{at}{wide}"))).collect();
    write(&folder.path().join("a.parquet"), "note", Arc::new(column));
    fs::write(folder.path().join("a.csv"), format!("note\n{}", format!("{wide}\n").repeat(40))).unwrap();
    fs::write(folder.path().join("a.jsonl"), format!("{{\"note\":\"{wide}\"}}\n").repeat(40)).unwrap();
    for path in ["a.parquet", "a.csv", "a.jsonl"] {
        let batches = read(folder.path(), &select(json!({ "path": path })), None, 2_400).await;
        assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), 40, "{path}");
        assert!(batches.iter().all(|batch| batch.items.len() <= 6), "{path}");
        let rest =
            read(folder.path(), &select(json!({ "path": path })), batches[2].checkpoint.clone(), 2_400).await;
        let before = batches[..3].iter().map(|batch| batch.items.len()).sum::<usize>();
        assert_eq!(told(&rest).len(), 40 - before, "{path}");
    }
}

#[tokio::test]
async fn a_member_that_comes_after_the_first_thousand_lines_is_a_column() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = "{\"id\":\"u\"}\n".repeat(5_000);
    lines += "{\"id\":\"v\",\"late\":5}\n";
    fs::write(folder.path().join("a.jsonl"), &lines).unwrap();
    let selection = select(json!({ "path": "*.jsonl" }));
    let described = source(folder.path()).describe(&selection).await.unwrap();
    assert_eq!(described.columns[1].name, "late");
    let batches = read(folder.path(), &selection, None, 10_000).await;
    assert_eq!(batches[0].items[5_000].get("late"), Some(&Value::Int(5)));
    assert!(place_of(&batches).is_some());

    // After what is looked at, others may come: the description says so.
    let long = format!("{{\"id\":\"{}\"}}\n", "u".repeat(1_000)).repeat(20_000);
    fs::write(folder.path().join("a.jsonl"), long).unwrap();
    assert!(source(folder.path()).describe(&selection).await.unwrap().open);
}
