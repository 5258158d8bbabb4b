//! The records of a CSV file in order, each with its lines.

use std::collections::VecDeque;

use tidegate_model::Reason;

use super::super::content::Broken;
use super::super::lines::{LINE_MAX, Line, Lines, without_break};
use super::super::settings::{CsvOptions, Encoding};
use super::record::{Parser, Step};

/// Lines of the longest record.
const RECORD_LINES_MAX: usize = 100_000;
/// Bytes that may be looked at again after quotes that are not closed, beside a number of
/// times those that were read since: one look takes a time, all together not its square.
const AGAIN_MAX: usize = 64 << 20;
const AGAIN_TIMES: usize = 16;

/// What a piece of a CSV file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A record: its cells are those of the parser.
    Cells,
    /// An empty line or a comment.
    Nothing,
    /// One line that breaks the rules. Lines after it are read as if it did not exist.
    Rejected(Reason),
    /// The same, but the end of the file may not be written yet.
    OpenAtEnd(Reason),
}

/// A piece of a CSV file: one or more whole lines.
#[derive(Debug)]
pub struct Piece {
    /// What it is.
    pub outcome: Outcome,
    /// Its lines.
    pub lines: u64,
    /// Its bytes in the file.
    pub stored: u64,
    /// Bytes of its last line break in the file.
    pub ending: u64,
}

/// Reads records.
pub struct Records<'a> {
    lines: Lines,
    options: &'a CsvOptions,
    /// The cells of the last piece.
    pub parser: Parser,
    text: Vec<u8>,
    /// Where the piece begins in `text`, and where it ends.
    start: usize,
    end: usize,
    /// Lines in `text` from `start` on: each with its end.
    held: VecDeque<(usize, Line)>,
    again: usize,
}

impl<'a> Records<'a> {
    /// Reads the records of `lines`.
    pub fn new(lines: Lines, options: &'a CsvOptions) -> Records<'a> {
        let parser = Parser::default();
        Records {
            lines,
            options,
            parser,
            text: Vec::new(),
            start: 0,
            end: 0,
            held: VecDeque::new(),
            again: 0,
        }
    }

    /// Returns the bytes of the last piece.
    pub fn text(&self) -> &[u8] {
        &self.text[self.start..self.end]
    }

    /// Returns how the bytes are to be understood.
    pub fn encoding(&self) -> Encoding {
        self.lines.encoding()
    }

    /// Returns whether nothing follows the last piece.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_over(&mut self) -> Result<bool, Broken> {
        Ok(self.held.is_empty() && self.lines.is_over()?)
    }

    /// Returns the next piece, which begins in line `number`; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read, or has more unclosed quotes than a CSV file can have.
    pub fn next(&mut self, number: u64) -> Result<Option<Piece>, Broken> {
        self.forget();
        self.parser.restart();
        let mut lines = 0;
        loop {
            if lines == self.held.len() && !self.hold()? {
                if lines == 0 {
                    return Ok(None);
                }
                let reason = self.not_closed(number, "");
                return self.first_alone(Outcome::OpenAtEnd(reason)).map(Some);
            }
            let (end, line) = self.held[lines];
            let whole = &self.text[self.start..end];
            if lines == 0
                && (without_break(whole).is_empty() || whole.first() == self.options.comment.as_ref())
            {
                return Ok(Some(self.take(1, Outcome::Nothing)));
            }
            if lines == 0 && line.cut {
                let reason = Reason::new(
                    "line_too_long",
                    format!("a line of {} bytes; the longest is 16 MiB", line.stored),
                );
                return Ok(Some(self.take(1, Outcome::Rejected(reason))));
            }
            lines += 1;
            match self.parser.line(&self.text[self.start..end], self.options) {
                Step::Done => return Ok(Some(self.take(lines, Outcome::Cells))),
                Step::Broken(reason) => {
                    let reason = if lines > 1 { self.not_closed(number, "") } else { reason };
                    return self.first_alone(Outcome::Rejected(reason)).map(Some);
                }
                Step::Open if lines >= RECORD_LINES_MAX || end - self.start > LINE_MAX || line.cut => {
                    let reason = self.not_closed(number, " within 16 MiB or 100,000 lines");
                    return self.first_alone(Outcome::Rejected(reason)).map(Some);
                }
                Step::Open => {}
            }
        }
    }

    fn not_closed(&self, number: u64, within: &str) -> Reason {
        let line = number + (self.parser.opened.max(1) - 1) as u64;
        Reason::new("invalid_csv", format!("a quote that begins in line {line} is not closed{within}"))
    }

    /// Takes the first line alone: those after it are looked at again.
    fn first_alone(&mut self, outcome: Outcome) -> Result<Piece, Broken> {
        let first = self.held.front().map_or(self.start, |(end, _)| *end);
        self.again += self.text.len() - first;
        if self.again > AGAIN_MAX {
            return Err(Broken::Content(Reason::new(
                "broken_file",
                "too many quotes are not closed: this is no CSV of the dialect that `quote` and `escape` say",
            )));
        }
        Ok(self.take(1, outcome))
    }

    fn take(&mut self, lines: usize, outcome: Outcome) -> Piece {
        let mut piece = Piece { outcome, lines: lines as u64, stored: 0, ending: 0 };
        for (end, line) in self.held.drain(..lines) {
            piece.stored += line.stored;
            piece.ending = line.ending;
            self.end = end;
        }
        self.again = self.again.saturating_sub(AGAIN_TIMES * (self.end - self.start));
        piece
    }

    /// Reads another line. Returns whether there was one.
    fn hold(&mut self) -> Result<bool, Broken> {
        let Some(line) = self.lines.next(&mut self.text)? else { return Ok(false) };
        self.held.push_back((self.text.len(), line));
        Ok(true)
    }

    /// Forgets the piece before.
    fn forget(&mut self) {
        if self.held.is_empty() {
            self.text.clear();
            (self.start, self.end) = (0, 0);
            return;
        }
        self.start = self.end;
        if self.start > LINE_MAX {
            self.text.drain(..self.start);
            for (end, _) in &mut self.held {
                *end -= self.start;
            }
            (self.start, self.end) = (0, 0);
        }
    }
}
