//! JSON Lines: one object a line, kept digit for digit.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Json, Reason, Row, Text, Value};

use super::offsets::FileOffset;
use super::reading::{Open, Output, Stop};
use super::shape::{excerpt, merge, text};

/// Lines of a file that its columns are taken from.
const SAMPLE_LINES: usize = 1_000;

/// The members of the first lines of a file.
///
/// # Errors
/// What keeps it from being read.
pub fn columns(file: &mut File) -> io::Result<Vec<Column>> {
    file.seek(SeekFrom::Start(0))?;
    let (mut reader, mut line, mut columns) = (BufReader::new(file), Vec::new(), Vec::new());
    for _ in 0..SAMPLE_LINES {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        // A broken line is reported when it is read.
        if let Ok(Members(members)) = serde_json::from_slice(without_mark(&line)) {
            let json = |name| Column { name, data_type: DataType::Any, type_name: "json".to_owned() };
            merge(&mut columns, members.into_iter().map(|(name, _)| json(name)));
        }
    }
    Ok(columns)
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read as a whole; a broken line does not.
pub fn read(mut open: Open<'_>, output: &mut Output) -> Result<(), Stop> {
    let known = open.mark.clone();
    let mut content = open.content()?;
    content.seek(SeekFrom::Start(known.offset)).map_err(|cause| open.failed(&cause))?;
    let mut reader = BufReader::with_capacity(64 * 1024, content);
    let mut rows = Rows::new(open.columns);
    let (mut offset, mut line) = (known.offset, known.line);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(|cause| open.failed(&cause))? as u64;
        if length == 0 {
            break;
        }
        let finished = bytes.ends_with(b"\n");
        let trimmed = without_mark(&bytes).trim_ascii();
        // A line that was read before its line break came is not read again.
        let seen = offset == known.offset && known.torn > 0 && {
            let before = &bytes[..bytes.len().min(known.torn as usize)];
            without_mark(before).trim_ascii() == trimmed
        };
        if !seen && !trimmed.is_empty() {
            match rows.parse(Bytes::copy_from_slice(trimmed)) {
                Ok(row) => output.row(row),
                Err(reason) => {
                    output.malformed(format!("{}:{}", open.found.name, line + 1), excerpt(trimmed), reason);
                }
            }
        }
        let torn = if finished { 0 } else { length };
        (offset, line) = (offset + length - torn, line + u64::from(finished));
        let last = reader.fill_buf().map_err(|cause| open.failed(&cause))?.is_empty();
        if last || output.is_full() {
            let mark = FileOffset { offset, torn, line, covered: offset + torn, done: last, ..known.clone() };
            output.reached(&mut open, mark)?;
        }
        if torn > 0 {
            break;
        }
    }
    Ok(())
}

/// A text without the byte order mark that some editors put in front.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Makes rows of lines.
struct Rows {
    columns: Arc<Columns>,
    indexes: HashMap<String, usize>,
    /// The last column list that had more than the described columns.
    longer: Arc<Columns>,
}

impl Rows {
    fn new(columns: &Arc<Columns>) -> Rows {
        let indexes = columns.names().iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        Rows { columns: Arc::clone(columns), indexes, longer: Arc::clone(columns) }
    }

    fn parse(&mut self, line: Bytes) -> Result<Row, Reason> {
        let line = text(line).ok_or_else(|| Reason::new("invalid_utf8", "not valid UTF-8"))?;
        let Members(members) = serde_json::from_str(&line).map_err(|cause| {
            let message = if cause.is_data() {
                "not a JSON object".to_owned()
            } else {
                format!("not valid JSON at column {}", cause.column())
            };
            Reason::new("invalid_json", message)
        })?;
        let mut values = vec![Value::Null; self.columns.len()];
        let mut more: Vec<(String, Value)> = Vec::new();
        for (name, raw) in members {
            let value = value(&line, raw)?;
            match self.indexes.get(&name) {
                Some(target) => values[*target] = value,
                // The last of two members with one name counts, as everywhere in JSON.
                None => match more.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = value,
                    None => more.push((name, value)),
                },
            }
        }
        if more.is_empty() {
            return Ok(Row { columns: Arc::clone(&self.columns), values });
        }
        let known = self.longer.names().get(self.columns.len()..).unwrap_or_default();
        if !known.iter().eq(more.iter().map(|(name, _)| name)) {
            let names = self.columns.names().iter().chain(more.iter().map(|(name, _)| name));
            self.longer = Columns::new(names.map(String::as_str));
        }
        values.extend(more.into_iter().map(|(_, value)| value));
        Ok(Row { columns: Arc::clone(&self.longer), values })
    }
}

/// A member's value, sharing the bytes of its line where it can.
fn value(line: &Text, raw: &RawValue) -> Result<Value, Reason> {
    let raw = raw.get();
    Ok(match raw.as_bytes().first() {
        Some(b'n') | None => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'{' | b'[') => Value::Json(Json::trusted(line.slice_ref(raw))),
        Some(b'"') if !raw.contains('\\') => Value::Text(line.slice_ref(&raw[1..raw.len() - 1])),
        Some(b'"') => Value::Text(
            serde_json::from_str::<String>(raw)
                .map_err(|_| Reason::new("invalid_json", "a text with half of a surrogate pair"))?
                .into(),
        ),
        Some(_) => match raw.parse() {
            Ok(number) if raw != "-0" => Value::Int(number),
            _ => Value::Decimal(line.slice_ref(raw)),
        },
    })
}

/// The members of an object in order, their values as written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
