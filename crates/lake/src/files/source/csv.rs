//! CSV: cells between delimiters.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use csv::{ByteRecord, Reader, ReaderBuilder};
use tidegate_model::source::Column;
use tidegate_model::{DataType, Error, Reason, Row, Value};

use super::offsets::FileOffset;
use super::reading::{Open, Output, Stop};
use super::settings::CsvOptions;
use super::shape::{Layout, excerpt, text};

/// The names of the columns and where the rows begin.
struct Head {
    names: Vec<String>,
    bytes: u64,
    lines: u64,
}

/// The columns of a file.
///
/// # Errors
/// A header that cannot be one.
pub fn columns(file: &mut File, path: &Path, options: &CsvOptions) -> Result<Vec<Column>, Error> {
    let head = head(file, path, options)?;
    let text = |name| Column { name, data_type: DataType::Text, type_name: "text".to_owned() };
    Ok(head.names.into_iter().map(text).collect())
}

fn reader<R: Read>(options: &CsvOptions, content: R) -> Reader<R> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(options.delimiter)
        .buffer_capacity(64 * 1024)
        .from_reader(content)
}

fn head(file: &mut File, path: &Path, options: &CsvOptions) -> Result<Head, Error> {
    let malformed = |cause: &dyn std::fmt::Display| {
        Error::new(
            tidegate_model::ErrorKind::Unavailable,
            format!("{} cannot be read: {cause}", path.display()),
        )
    };
    file.seek(SeekFrom::Start(0)).map_err(|cause| malformed(&cause))?;
    let mut reader = reader(options, file);
    let mut first = ByteRecord::new();
    reader.read_byte_record(&mut first).map_err(|cause| malformed(&cause))?;
    if !options.header {
        let names = (1..=first.len()).map(|at| format!("column_{at}")).collect();
        return Ok(Head { names, bytes: 0, lines: 0 });
    }
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    for (at, cell) in first.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| {
            Error::settings(format!("the header of {} is not valid UTF-8", path.display()))
                .hint("store the file as UTF-8")
        })?;
        let name = if name.is_empty() { format!("column_{}", at + 1) } else { name.to_owned() };
        if names.contains(&name) {
            return Err(Error::settings(format!("{} has two columns `{name}`", path.display()))
                .hint("rename one of them, or set `header: false` to name them by number"));
        }
        names.push(name);
    }
    Ok(Head { names, bytes: reader.position().byte(), lines: reader.position().line() - 1 })
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read as a whole; a broken line does not.
pub fn read(mut open: Open<'_>, options: &CsvOptions, output: &mut Output) -> Result<(), Stop> {
    let mut content = open.content()?;
    let head = head(&mut content, &open.found.path, options)?;
    let layout = Layout::new(open.columns, &head.names);
    let known = open.mark.clone();
    let fresh = known.offset == 0 && known.torn == 0;
    let (start, lines) = if fresh { (head.bytes, head.lines) } else { (known.offset, known.line) };
    content.seek(SeekFrom::Start(start)).map_err(|cause| open.failed(&cause))?;

    let mut reader = reader(options, content);
    let (mut record, mut next) = (ByteRecord::new(), ByteRecord::new());
    let mut more = advance(&mut reader, &mut record, &open)?;
    let mut first = true;
    while more {
        more = advance(&mut reader, &mut next, &open)?;
        let begin = start + record.position().map_or(0, csv::Position::byte);
        let end = start + reader_end(&reader, &next, more);
        let line = lines + record.position().map_or(1, csv::Position::line);
        let seen = first && known.torn > 0 && only_a_line_break(&mut open, &known, end)?;
        first = false;
        if !seen {
            match row(&record, &layout, options, head.names.len()) {
                Ok(values) => output.row(Row { columns: Arc::clone(&layout.columns), values }),
                Err(reason) => {
                    let place = format!("{}:{line}", open.found.name);
                    output.malformed(place, excerpt(record.as_slice()), reason);
                }
            }
        }
        if !more || output.is_full() {
            let torn = if more || is_finished(&mut open, begin, end)? { 0 } else { end - begin };
            let mark = FileOffset {
                offset: end - torn,
                torn,
                // The line of a torn record is counted when it is read again.
                line: if torn > 0 { line - 1 } else { line_after(lines, &reader, &next, more) },
                covered: end,
                done: !more,
                ..known.clone()
            };
            output.reached(&mut open, mark)?;
        }
        std::mem::swap(&mut record, &mut next);
    }
    Ok(())
}

fn advance(reader: &mut Reader<File>, record: &mut ByteRecord, open: &Open<'_>) -> Result<bool, Stop> {
    reader.read_byte_record(record).map_err(|cause| open.failed(&io::Error::other(cause)))
}

fn reader_end(reader: &Reader<File>, next: &ByteRecord, more: bool) -> u64 {
    let position = if more { next.position() } else { None };
    position.unwrap_or_else(|| reader.position()).byte()
}

fn line_after(lines: u64, reader: &Reader<File>, next: &ByteRecord, more: bool) -> u64 {
    let position = if more { next.position() } else { None };
    lines + position.unwrap_or_else(|| reader.position()).line() - 1
}

/// Whether all that came after a torn line is its line break: then it was read.
fn only_a_line_break(open: &mut Open<'_>, known: &FileOffset, end: u64) -> Result<bool, Stop> {
    let added = end.saturating_sub(known.covered);
    if !(1..=2).contains(&added) {
        return Ok(false);
    }
    let bytes = bytes_between(open, known.covered, end)?;
    Ok(bytes.iter().all(|byte| matches!(byte, b'\n' | b'\r')))
}

/// Whether the last record has its line break, and its quotes are closed.
fn is_finished(open: &mut Open<'_>, begin: u64, end: u64) -> Result<bool, Stop> {
    let bytes = bytes_between(open, begin, end)?;
    let quotes = bytes.iter().filter(|byte| **byte == b'"').count();
    Ok(quotes % 2 == 0 && matches!(bytes.last(), Some(b'\n' | b'\r')))
}

fn bytes_between(open: &mut Open<'_>, begin: u64, end: u64) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    (open.file.seek(SeekFrom::Start(begin)))
        .and_then(|_| open.file.by_ref().take(end - begin).read_to_end(&mut bytes))
        .map_err(|cause| open.failed(&cause))?;
    Ok(bytes)
}

fn row(
    record: &ByteRecord,
    layout: &Layout,
    options: &CsvOptions,
    expected: usize,
) -> Result<Vec<Value>, Reason> {
    if record.len() != expected {
        return Err(Reason::new(
            "wrong_cell_count",
            format!("{} cells where the file has {expected} columns", record.len()),
        ));
    }
    let cells = Bytes::copy_from_slice(record.as_slice());
    let mut values = layout.empty_row();
    for (at, target) in layout.indexes.iter().enumerate() {
        let cell = cells.slice(record.range(at).unwrap_or_default());
        if options.nulls.iter().any(|null| null.as_bytes() == cell) {
            continue;
        }
        let cell = text(cell)
            .ok_or_else(|| Reason::new("invalid_utf8", format!("cell {} is not valid UTF-8", at + 1)))?;
        values[*target] = Value::Text(cell);
    }
    Ok(values)
}
