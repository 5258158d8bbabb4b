//! One row as bytes, value for value.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use jiff::{Timestamp, civil};
use tidegate_model::bookkeeping::SourceHashes;
use tidegate_model::held::HeldBatch;
use tidegate_model::{Columns, Json, Origin, Row, RowHash, Text, Value, varint};

/// Writes rows and reads them again. Names of columns stay in memory: all rows of a source have the same.
#[derive(Default)]
pub(super) struct Rows(Vec<Arc<Columns>>);

impl Rows {
    /// Appends the rows of a batch.
    pub(super) fn encode(&mut self, batch: &HeldBatch, out: &mut Vec<u8>) {
        for (at, row) in batch.rows.iter().enumerate() {
            varint::put(self.place_of(&row.columns) as u64, out);
            match batch.origins.get(at) {
                None => out.push(0),
                Some(Origin::Location { name, number }) => {
                    out.push(1);
                    put(name.as_bytes(), out);
                    varint::put(*number, out);
                }
                Some(Origin::Known(hash)) => tagged(2, &hash.0.to_le_bytes(), out),
                Some(Origin::Removed(hash)) => tagged(3, &hash.0.to_le_bytes(), out),
            }
            match batch.hashes.get(at) {
                None => out.push(0),
                Some(SourceHashes { key, row, several }) => {
                    tagged(1 + u8::from(*several), &key.to_le_bytes(), out);
                    out.extend_from_slice(&row.to_le_bytes());
                }
            }
            varint::put(row.values.len() as u64, out);
            row.values.iter().for_each(|value| put_value(value, out));
        }
    }

    fn place_of(&mut self, columns: &Arc<Columns>) -> usize {
        let same = |known: &Arc<Columns>| Arc::ptr_eq(known, columns) || known.names() == columns.names();
        self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push(Arc::clone(columns));
            self.0.len() - 1
        })
    }

    /// Takes a row off the front of `bytes`, and adds it to a batch. Its texts are slices of them.
    pub(super) fn decode(&self, bytes: &mut Bytes, batch: &mut HeldBatch) -> Option<()> {
        let columns = self.0.get(number(bytes)?)?;
        match bytes.try_get_u8().ok()? {
            0 => {}
            1 => {
                let (name, number) = (text(bytes)?, varint(bytes)?);
                batch.origins.push(Origin::Location { name, number });
            }
            2 => batch.origins.push(Origin::Known(RowHash(bytes.try_get_u128_le().ok()?))),
            3 => batch.origins.push(Origin::Removed(RowHash(bytes.try_get_u128_le().ok()?))),
            _ => return None,
        }
        match bytes.try_get_u8().ok()? {
            0 => {}
            tag @ 1..=2 => {
                let (key, row) = (bytes.try_get_u128_le().ok()?, bytes.try_get_u128_le().ok()?);
                batch.hashes.push(SourceHashes { key, row, several: tag == 2 });
            }
            _ => return None,
        }
        let values = (0..number(bytes)?).map(|_| value(bytes)).collect::<Option<Vec<Value>>>()?;
        batch.rows.push(Row { columns: Arc::clone(columns), values });
        Some(())
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    varint::put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Absent => out.push(1),
        Value::Bool(value) => out.push(2 + u8::from(*value)),
        Value::Int(number) => tagged(4, &number.to_le_bytes(), out),
        Value::Float(number) => tagged(5, &number.to_bits().to_le_bytes(), out),
        Value::Decimal(text) => {
            out.push(6);
            put(text.as_bytes(), out);
        }
        Value::Text(text) => {
            out.push(7);
            put(text.as_bytes(), out);
        }
        Value::Json(json) => {
            out.push(8);
            put(json.as_str().as_bytes(), out);
        }
        Value::Bytes(bytes) => {
            out.push(9);
            put(bytes, out);
        }
        Value::Timestamp(at) => {
            tagged(10, &at.as_second().to_le_bytes(), out);
            out.extend_from_slice(&at.subsec_nanosecond().to_le_bytes());
        }
        Value::DateTime(at) => {
            out.push(11);
            put_date(at.date(), out);
            put_time(at.time(), out);
        }
        Value::Date(day) => {
            out.push(12);
            put_date(*day, out);
        }
        Value::Time(time) => {
            out.push(13);
            put_time(*time, out);
        }
    }
}

fn put_date(day: civil::Date, out: &mut Vec<u8>) {
    out.extend_from_slice(&day.year().to_le_bytes());
    out.extend([day.month(), day.day()].map(i8::cast_unsigned));
}

fn put_time(time: civil::Time, out: &mut Vec<u8>) {
    out.extend([time.hour(), time.minute(), time.second()].map(i8::cast_unsigned));
    out.extend_from_slice(&time.subsec_nanosecond().to_le_bytes());
}

/// Takes a value off the front of `bytes`.
fn value(bytes: &mut Bytes) -> Option<Value> {
    Some(match bytes.try_get_u8().ok()? {
        0 => Value::Null,
        1 => Value::Absent,
        2 => Value::Bool(false),
        3 => Value::Bool(true),
        4 => Value::Int(bytes.try_get_i64_le().ok()?),
        5 => Value::Float(f64::from_bits(bytes.try_get_u64_le().ok()?)),
        6 => Value::Decimal(text(bytes)?),
        7 => Value::Text(text(bytes)?),
        8 => Value::Json(Json::trusted(text(bytes)?)),
        9 => Value::Bytes(piece(bytes)?),
        10 => {
            let (second, nanosecond) = (bytes.try_get_i64_le().ok()?, bytes.try_get_i32_le().ok()?);
            Value::Timestamp(Timestamp::new(second, nanosecond).ok()?)
        }
        11 => Value::DateTime(civil::DateTime::from_parts(date(bytes)?, time(bytes)?)),
        12 => Value::Date(date(bytes)?),
        13 => Value::Time(time(bytes)?),
        _ => return None,
    })
}

fn date(bytes: &mut Bytes) -> Option<civil::Date> {
    let year = bytes.try_get_i16_le().ok()?;
    civil::Date::new(year, bytes.try_get_i8().ok()?, bytes.try_get_i8().ok()?).ok()
}

fn time(bytes: &mut Bytes) -> Option<civil::Time> {
    let mut small = || bytes.try_get_i8().ok();
    let (hour, minute, second) = (small()?, small()?, small()?);
    civil::Time::new(hour, minute, second, bytes.try_get_i32_le().ok()?).ok()
}

fn varint(bytes: &mut Bytes) -> Option<u64> {
    let mut rest = &bytes[..];
    let number = varint::take(&mut rest).ok()?;
    bytes.advance(bytes.len() - rest.len());
    Some(number)
}

fn number(bytes: &mut Bytes) -> Option<usize> {
    usize::try_from(varint(bytes)?).ok()
}

fn piece(bytes: &mut Bytes) -> Option<Bytes> {
    let length = number(bytes)?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn text(bytes: &mut Bytes) -> Option<Text> {
    Text::try_from(piece(bytes)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_comes_back_exact_and_a_part_of_a_row_is_none() {
        let values = vec![
            Value::Null,
            Value::Absent,
            Value::Bool(true),
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Float(-0.0),
            Value::Float(f64::INFINITY),
            Value::Float(5e-324),
            Value::Decimal("12345678901234567890.10".into()),
            Value::Text("nul \0 quote \" 日本".into()),
            Value::Json(Json::trusted(r#"{ "a" : 1.0000000000000000001 }"#)),
            Value::Bytes(Bytes::from_static(&[0, 255])),
            Value::Timestamp("2026-03-01T00:00:00.123456789Z".parse().expect("time")),
            Value::Timestamp(Timestamp::MIN),
            Value::Timestamp("1969-12-31T23:59:59.5Z".parse().expect("time")),
            Value::DateTime(civil::date(-4, 3, 1).at(1, 2, 3, 4)),
            Value::Date(civil::date(1969, 12, 31)),
            Value::Time(civil::time(23, 59, 59, 999_999_999)),
        ];
        let columns = Columns::new((0..values.len()).map(|at| format!("column {at}")));
        let batch = HeldBatch { rows: vec![Row { columns, values }], ..HeldBatch::default() };
        let (mut rows, mut bytes) = (Rows::default(), Vec::new());
        rows.encode(&batch, &mut bytes);

        let mut read = HeldBatch::default();
        rows.decode(&mut bytes.clone().into(), &mut read).expect("a row");
        assert_eq!(read, batch);
        let (read, kept) = (&read.rows[0].values, &batch.rows[0].values);
        assert!(
            matches!((&read[5], &kept[5]), (Value::Float(a), Value::Float(b)) if a.to_bits() == b.to_bits())
        );
        for end in 0..bytes.len() {
            let mut part = Bytes::copy_from_slice(&bytes[..end]);
            assert_eq!(rows.decode(&mut part, &mut HeldBatch::default()), None, "{end} bytes");
        }
    }
}
