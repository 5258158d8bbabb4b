//! JSON Lines: one object a line, kept digit for digit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Json, Members, Reason, Row, Text, Value};

use super::content::{Broken, Content};
use super::lines::Lines;
use super::open::{Open, Stop};
use super::output::Output;
use super::settings::{Encoding, Files};
use super::shape::{Layout, decoded, excerpt, merge};

/// The members of the first lines of a file.
pub struct Sample {
    /// One column for each.
    pub columns: Vec<Column>,
    /// Whether these are the members of all lines.
    pub complete: bool,
}

/// Returns the members of about the first `bytes` of a file.
///
/// # Errors
/// If the file cannot be read.
pub fn columns(content: Content, bytes: &mut u64) -> Result<Sample, Broken> {
    let mut lines = Lines::new(content);
    let (mut line, mut columns) = (Vec::new(), Vec::new());
    let json = |name| Column { name, data_type: DataType::Any, type_name: "json".to_owned() };
    while *bytes > 0 {
        line.clear();
        let Some(read) = lines.next(&mut line)? else { return Ok(Sample { columns, complete: true }) };
        *bytes = bytes.saturating_sub(read.stored);
        // A broken line is reported when it is read.
        let Some(text) = decoded(lines.encoding(), Bytes::copy_from_slice(without_mark(&line))) else {
            continue;
        };
        if let Ok(Members(members)) = serde_json::from_str(&text) {
            let known = |(at, (name, _)): (usize, &(Cow<'_, str>, _))| {
                columns.get(at).is_some_and(|column: &Column| column.name == *name)
            };
            if !members.iter().enumerate().all(known) {
                merge(&mut columns, members.into_iter().map(|(name, _)| json(name.into_owned())));
            }
        }
    }
    let complete = lines.is_over()?;
    Ok(Sample { columns, complete })
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read as a whole; a broken line does not.
pub fn read(open: &mut Open<'_>, files: &Files, output: &mut Output) -> Result<(), Stop> {
    let known = open.mark.clone();
    let content = open.content(files, known.offset)?;
    let compressed = content.compressed;
    let mut lines = Lines::new(content);
    let encoding = lines.encoding();
    let mut rows = Rows::new(&mut *open);
    let mut bytes = Vec::new();
    let mut first = true;
    loop {
        bytes.clear();
        let Some(line) = lines.next(&mut bytes)? else { break };
        let over = lines.is_over()?;
        if !line.is_finished() && !open.is_still() {
            output.not_due += 1;
            open.mark.done = false;
            return output.reached(open, compressed);
        }
        // A line that was read before its line break came is not read again.
        let seen = first && known.torn > 0 && line.stored - line.ending <= known.torn;
        first = false;
        let trimmed = without_mark(&bytes).trim_ascii();
        if !seen && !trimmed.is_empty() {
            let row = match line.cut {
                true => Err(Reason::new(
                    "line_too_long",
                    format!("a line of {} bytes; the longest is 16 MiB", line.stored),
                )),
                false => rows.parse(encoding, Bytes::copy_from_slice(trimmed), open),
            };
            match row {
                Ok(row) => output.row(open, open.mark.line + 1, row, trimmed.len()),
                Err(reason) => {
                    output.rejected(open, open.mark.line + 1, excerpt(encoding, trimmed), reason);
                }
            }
        }
        open.mark.torn = if line.is_finished() { 0 } else { line.stored };
        if line.is_finished() {
            open.mark.offset += line.stored;
            open.mark.line += 1;
        }
        open.mark.done = over;
        if over || output.is_full() {
            output.reached(open, compressed)?;
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
    /// Where the names of the file's folders go.
    folders: Vec<usize>,
}

impl Rows {
    fn new(open: &mut Open<'_>) -> Rows {
        let layout = Layout::new(open.columns, &open.with_folders(Vec::new()));
        let columns = layout.columns;
        let indexes = columns.names().iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        Rows { longer: Arc::clone(&columns), columns, indexes, folders: layout.indexes }
    }

    fn parse(&mut self, encoding: Encoding, line: Bytes, open: &Open<'_>) -> Result<Row, Reason> {
        let line = decoded(encoding, line).ok_or_else(|| {
            Reason::new("invalid_encoding", "not valid UTF-8; `encoding` says how it is stored")
        })?;
        let Members(members) = serde_json::from_str(&line).map_err(|cause| {
            let message = if cause.is_data() {
                "not a JSON object".to_owned()
            } else {
                format!("not valid JSON at column {}", cause.column())
            };
            Reason::new("invalid_json", message)
        })?;
        let mut values = vec![Value::Absent; self.columns.len()];
        open.write_folders(&mut values, &self.folders);
        let mut more: Vec<(String, Value)> = Vec::new();
        for (name, raw) in members {
            let value = value(&line, raw)?;
            match self.indexes.get(&*name) {
                Some(target) => values[*target] = value,
                // The last of two members with one name counts, as everywhere in JSON.
                None => match more.iter_mut().find(|(known, _)| *known == *name) {
                    Some((_, known)) => *known = value,
                    None => more.push((name.into_owned(), value)),
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
