//! CSV: cells between delimiters.

mod record;
mod records;

use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::source::Column;
use tidegate_model::{DataType, Reason, Row, Value};

use super::content::{Broken, Content};
use super::lines::Lines;
use super::open::{Open, Stop};
use super::output::Output;
use super::settings::{CsvOptions, Encoding, Files};
use super::shape::{Layout, decoded, excerpt};
use record::Cell;
use records::{Outcome, Piece, Records};

/// The names of the columns and where the rows begin.
struct Header {
    names: Vec<String>,
    bytes: u64,
    lines: u64,
    /// Whether all of it is there: its line break, or what it begins with without one.
    finished: bool,
}

/// Returns the columns of a file, none as long as its header may not be finished.
///
/// # Errors
/// If the header cannot be one.
pub fn columns(content: Content, files: &Files, still: bool) -> Result<Vec<Column>, Broken> {
    let header = header(content, &files.csv)?;
    let text = |name| Column { name, data_type: DataType::Text, type_name: "text".to_owned() };
    let names = if header.finished || still { header.names } else { Vec::new() };
    Ok(names.into_iter().map(text).collect())
}

fn header(content: Content, options: &CsvOptions) -> Result<Header, Broken> {
    let mut records = Records::new(Lines::new(content), options);
    let (mut bytes, mut lines) = (0, 0);
    let broken =
        |why: &str| Broken::Content(Reason::new("invalid_header", format!("it has no valid header: {why}")));
    let piece = loop {
        let Some(piece) = records.next(lines + 1)? else {
            return Ok(Header { names: Vec::new(), bytes, lines, finished: true });
        };
        (bytes, lines) = (bytes + piece.stored, lines + piece.lines);
        match &piece.outcome {
            Outcome::Cells => break piece,
            Outcome::Rejected(reason) | Outcome::OpenAtEnd(reason) if options.header => {
                return Err(broken(&reason.message));
            }
            // Without a header, the first good record says how many columns there are.
            Outcome::Nothing | Outcome::Rejected(_) | Outcome::OpenAtEnd(_) => {}
        }
    };
    let finished = piece.ending > 0;
    if !options.header {
        let names = (1..=records.parser.cells.len()).map(|at| format!("column_{at}")).collect();
        return Ok(Header { names, bytes: 0, lines: 0, finished });
    }
    let cells = Cells::of(&records);
    let mut names: Vec<String> = Vec::with_capacity(records.parser.cells.len());
    for (at, cell) in records.parser.cells.iter().enumerate() {
        let name = decoded(records.encoding(), cells.bytes(cell))
            .ok_or_else(|| broken("it is not valid UTF-8; store it as UTF-8 or set `encoding`"))?;
        let name = if name.is_empty() { format!("column_{}", at + 1) } else { name.to_string() };
        if let Some(first) = names.iter().position(|other| *other == name) {
            return Err(broken(&format!(
                "columns {} and {} have one name; rename one, or set `header: false` to number them",
                first + 1,
                at + 1
            )));
        }
        names.push(name);
    }
    Ok(Header { names, bytes, lines, finished })
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read as a whole; a broken line does not.
pub fn read(open: &mut Open<'_>, files: &Files, output: &mut Output) -> Result<(), Stop> {
    let options = &files.csv;
    let header = header(open.content(files, 0)?, options)?;
    if !header.finished && options.header && !open.is_still() {
        output.not_due += 1;
        return Ok(());
    }
    let layout = Layout::new(open.columns, &open.with_folders(header.names.clone()));
    let known = open.mark.clone();
    if known.offset == 0 && known.torn == 0 {
        (open.mark.offset, open.mark.line) = (header.bytes, header.lines);
    }
    let content = open.content(files, open.mark.offset)?;
    let compressed = content.compressed;
    let mut records = Records::new(Lines::new(content), options);
    let mut first = true;
    while let Some(piece) = records.next(open.mark.line + 1)? {
        let over = records.is_over()?;
        let unfinished = piece.ending == 0 || matches!(piece.outcome, Outcome::OpenAtEnd(_));
        if unfinished && !open.is_still() {
            output.not_due += 1;
            open.mark.done = false;
            return output.reached(open, compressed);
        }
        let seen = first && known.torn > 0 && piece.stored - piece.ending <= known.torn;
        first = false;
        if !seen {
            deliver(&records, &piece, &layout, &header, options, open, output);
        }
        open.mark.torn = if piece.ending > 0 { 0 } else { piece.stored };
        if piece.ending > 0 {
            open.mark.offset += piece.stored;
            open.mark.line += piece.lines;
        }
        open.mark.done = over;
        if over || output.is_full() {
            output.reached(open, compressed)?;
        }
    }
    Ok(())
}

/// Makes a row of a piece, or reports why it is none.
fn deliver(
    records: &Records<'_>,
    piece: &Piece,
    layout: &Layout,
    header: &Header,
    options: &CsvOptions,
    open: &mut Open<'_>,
    output: &mut Output,
) {
    let reason = match &piece.outcome {
        Outcome::Nothing => return,
        Outcome::Rejected(reason) | Outcome::OpenAtEnd(reason) => reason.clone(),
        Outcome::Cells => match row(records, layout, options, header.names.len(), open) {
            Ok(values) => {
                let columns = Arc::clone(&layout.columns);
                let row = Row { columns, values };
                return output.row(open, open.mark.line + 1, row, records.text().len());
            }
            Err(reason) if piece.lines > 1 => {
                let (from, to) = (open.mark.line + 1, open.mark.line + piece.lines);
                let message = format!("{}; the record goes from line {from} to line {to}", reason.message);
                Reason::new(reason.code, message)
            }
            Err(reason) => reason,
        },
    };
    output.rejected(open, open.mark.line + 1, excerpt(records.encoding(), records.text()), reason);
}

/// The bytes of a record, shared by the cells of its row.
struct Cells {
    here: Bytes,
    unescaped: Bytes,
}

impl Cells {
    fn of(records: &Records<'_>) -> Cells {
        Cells {
            here: Bytes::copy_from_slice(records.text()),
            unescaped: Bytes::copy_from_slice(&records.parser.unescaped),
        }
    }

    fn bytes(&self, cell: &Cell) -> Bytes {
        match cell {
            Cell::Here(range) => self.here.slice(range.clone()),
            Cell::Unescaped(range) => self.unescaped.slice(range.clone()),
        }
    }
}

/// Returns a number with its word: `1 cell`, `3 cells`.
fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

fn row(
    records: &Records<'_>,
    layout: &Layout,
    options: &CsvOptions,
    expected: usize,
    open: &Open<'_>,
) -> Result<Vec<Value>, Reason> {
    let found = records.parser.cells.len();
    if found != expected {
        return Err(Reason::new(
            "wrong_cell_count",
            format!("{}, and the file has {}", counted(found, "cell"), counted(expected, "column")),
        ));
    }
    let cells = Cells::of(records);
    let mut values = layout.empty_row();
    for (at, (cell, target)) in records.parser.cells.iter().zip(&layout.indexes).enumerate() {
        let cell = cells.bytes(cell);
        let is_one_of = |listed: &[String]| listed.iter().any(|listed| listed.as_bytes() == cell);
        if is_one_of(&options.absent_cells) {
            continue;
        }
        if is_one_of(&options.nulls) {
            values[*target] = Value::Null;
            continue;
        }
        let text = decoded(records.encoding(), cell).ok_or_else(|| not_text(records.encoding(), at))?;
        values[*target] = Value::Text(text);
    }
    open.write_folders(&mut values, &layout.indexes[expected..]);
    Ok(values)
}

fn not_text(encoding: Encoding, at: usize) -> Reason {
    let name = match encoding {
        Encoding::Utf8 => "UTF-8",
        Encoding::Utf16 => "UTF-16",
        Encoding::Latin1 | Encoding::Windows1252 => "Windows-1252",
    };
    Reason::new(
        "invalid_encoding",
        format!("cell {} is not valid {name}; `encoding` says how it is stored", at + 1),
    )
}
