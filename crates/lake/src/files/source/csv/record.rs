//! One record of a CSV file: cells by RFC 4180 and a dialect, strictly.

use std::ops::Range;

use tidegate_model::Reason;

use super::super::lines::without_break;
use super::super::settings::CsvOptions;

/// Where the content of a cell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// In the record itself.
    Here(Range<usize>),
    /// In what was unescaped.
    Unescaped(Range<usize>),
}

/// What is known after another line of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The record ends with this line.
    Done,
    /// A quoted cell continues on the next line.
    Open,
    /// The rules are broken.
    Broken(Reason),
}

/// Finds the cells of a record, line by line.
#[derive(Debug, Default)]
pub struct Parser {
    /// The cells that were found.
    pub cells: Vec<Cell>,
    /// Content of cells in which something was escaped.
    pub unescaped: Vec<u8>,
    /// Lines that were looked at.
    lines: usize,
    /// The line, from one, of the open quote.
    pub opened: usize,
    at: usize,
    quoted: Option<Quoted>,
}

/// A quoted cell whose end was not found yet.
#[derive(Debug)]
struct Quoted {
    /// The first byte that was not copied.
    from: usize,
    /// Where its copy begins, if it needs one.
    copy: Option<usize>,
}

impl Parser {
    /// Forgets the record.
    pub fn restart(&mut self) {
        self.cells.clear();
        self.unescaped.clear();
        (self.lines, self.opened, self.at, self.quoted) = (0, 0, 0, None);
    }

    /// Reads on in `record`, which one line was appended to.
    pub fn line(&mut self, record: &[u8], options: &CsvOptions) -> Step {
        self.lines += 1;
        let content = self.at + without_break(&record[self.at..]).len();
        let plain = self.quoted.is_none()
            && options.quote.is_none_or(|quote| memchr::memchr(quote, &record[self.at..content]).is_none());
        if plain {
            return self.plain_line(record, content, options);
        }
        loop {
            if self.quoted.is_some() {
                match self.inside_quotes(record, content, options) {
                    Step::Done => {}
                    other => return other,
                }
                if self.at > content {
                    return Step::Done;
                }
                continue;
            }
            if options.quote.is_some() && record[..content].get(self.at) == options.quote.as_ref() {
                self.at += 1;
                self.quoted = Some(Quoted { from: self.at, copy: None });
                self.opened = self.lines;
                continue;
            }
            let rest = &record[self.at..content];
            let end = self.at + memchr::memchr(options.delimiter, rest).unwrap_or(rest.len());
            if memchr::memchr(b'\r', &record[self.at..end]).is_some() {
                return Step::Broken(lone_return());
            }
            self.cells.push(Cell::Here(self.at..end));
            self.at = end + 1;
            if end == content {
                return Step::Done;
            }
        }
    }

    /// A line without quotes: almost every one.
    fn plain_line(&mut self, record: &[u8], content: usize, options: &CsvOptions) -> Step {
        let line = &record[self.at..content];
        if memchr::memchr(b'\r', line).is_some() {
            return Step::Broken(lone_return());
        }
        let mut start = self.at;
        for found in memchr::memchr_iter(options.delimiter, line) {
            self.cells.push(Cell::Here(start..self.at + found));
            start = self.at + found + 1;
        }
        self.cells.push(Cell::Here(start..content));
        Step::Done
    }

    /// Looks for the end of a quoted cell. `Done` if it was found, `at` after its delimiter.
    fn inside_quotes(&mut self, record: &[u8], content: usize, options: &CsvOptions) -> Step {
        let (Some(quote), Some(cell)) = (options.quote, &mut self.quoted) else { return Step::Done };
        loop {
            let rest = &record[self.at..];
            let found = match options.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest),
                None => memchr::memchr(quote, rest),
            };
            let Some(found) = found.map(|found| self.at + found) else {
                self.at = record.len();
                return Step::Open;
            };
            let next = record.get(found + 1).copied();
            let escapes = match options.escape {
                Some(escape) if record[found] == escape => {
                    if next != Some(quote) && next != Some(escape) {
                        self.at = found + 1;
                        continue;
                    }
                    true
                }
                Some(_) => false,
                None => next == Some(quote),
            };
            if escapes {
                cell.copy.get_or_insert(self.unescaped.len());
                self.unescaped.extend_from_slice(&record[cell.from..found]);
                cell.from = found + 1;
                self.at = found + 2;
                continue;
            }
            if found + 1 < content && next != Some(options.delimiter) {
                return Step::Broken(Reason::new(
                    "invalid_csv",
                    format!(
                        "text follows the quote that closes cell {}: a quote inside quotes is {}",
                        self.cells.len() + 1,
                        if options.escape.is_some() { "escaped" } else { "doubled, or set `escape`" }
                    ),
                ));
            }
            self.cells.push(match cell.copy {
                None => Cell::Here(cell.from..found),
                Some(start) => {
                    self.unescaped.extend_from_slice(&record[cell.from..found]);
                    Cell::Unescaped(start..self.unescaped.len())
                }
            });
            self.quoted = None;
            self.at = found + 2;
            // After a delimiter at the very end one more cell follows, an empty one.
            if found + 1 >= content {
                self.at = content + 1;
            }
            return Step::Done;
        }
    }
}

fn lone_return() -> Reason {
    Reason::new(
        "invalid_csv",
        "a carriage return stands outside quotes and does not end a line: lines end with \\n or \\r\\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(escape: Option<u8>) -> CsvOptions {
        CsvOptions {
            delimiter: b',',
            quote: Some(b'"'),
            escape,
            comment: None,
            header: true,
            nulls: Vec::new(),
            absent_cells: Vec::new(),
        }
    }

    /// The cells of a record, or `open`, or why it is none.
    fn cells(text: &str, escape: Option<u8>) -> Vec<String> {
        let mut parser = Parser::default();
        let mut end = 0;
        let mut last = Step::Open;
        for line in text.split_inclusive('\n') {
            end += line.len();
            last = parser.line(&text.as_bytes()[..end], &options(escape));
            if last != Step::Open {
                break;
            }
        }
        match last {
            Step::Open => return vec!["open".to_owned()],
            Step::Broken(reason) => return vec![reason.code.to_string()],
            Step::Done => assert_eq!(end, text.len(), "all of {text:?}"),
        }
        let cell = |cell: &Cell| match cell {
            Cell::Here(range) => text[range.clone()].to_owned(),
            Cell::Unescaped(range) => String::from_utf8(parser.unescaped[range.clone()].to_vec()).unwrap(),
        };
        parser.cells.iter().map(cell).collect()
    }

    #[test]
    fn cells_are_those_of_rfc_4180() {
        for (text, expected) in [
            ("a,b\n", vec!["a", "b"]),
            ("a,b\r\n", vec!["a", "b"]),
            ("a,b", vec!["a", "b"]),
            (",\n", vec!["", ""]),
            ("\"\",\n", vec!["", ""]),
            ("a,\"b\"", vec!["a", "b"]),
            ("\"a\",\"b\"\r\n", vec!["a", "b"]),
            ("\"a,b\",c\n", vec!["a,b", "c"]),
            ("\"say \"\"hi\"\"\",c\n", vec!["say \"hi\"", "c"]),
            ("\"\"\"\",\"\"\"a\"\n", vec!["\"", "\"a"]),
            ("1,\"two\r\nlines\",x\n", vec!["1", "two\r\nlines", "x"]),
            ("1,\"a\n\nb\"\n", vec!["1", "a\n\nb"]),
            ("1,\"a\n\"\n", vec!["1", "a\n"]),
            // A quote inside a cell that is not quoted is text, as an inch is.
            ("1,5\" pipe\n", vec!["1", "5\" pipe"]),
            ("1,a\"b\"c\"d\n", vec!["1", "a\"b\"c\"d"]),
            ("1,\"C:\\dir\\\"\n", vec!["1", "C:\\dir\\"]),
        ] {
            assert_eq!(cells(text, None), expected, "{text:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_no_record() {
        for text in [
            "1,\"say \\\"hi\\\" now\"\n",
            "2,\"Issue \"Witho\" x\"\n",
            "\"abc\"def\n",
            "\"a\" ,b\n",
            "a\rb,c\n",
        ] {
            assert_eq!(cells(text, None), ["invalid_csv"], "{text:?}");
        }
        for text in ["1,\"abc\n", "1,\"abc", "1,\"abc\"\"\n"] {
            assert_eq!(cells(text, None), ["open"], "{text:?}");
        }
    }

    #[test]
    fn an_escape_stands_before_quotes_and_itself() {
        for (text, expected) in [
            ("1,\"say \\\"hi\\\" now\"\n", vec!["1", "say \"hi\" now"]),
            ("\"a\\\\b\\n\"\n", vec!["a\\b\\n"]),
            ("\"C:\\\\\",x\n", vec!["C:\\", "x"]),
            ("a\\b,c\n", vec!["a\\b", "c"]),
        ] {
            assert_eq!(cells(text, Some(b'\\')), expected, "{text:?}");
        }
        assert_eq!(cells("\"a\"\"b\"\n", Some(b'\\')), ["invalid_csv"]);
        assert_eq!(cells("\"C:\\dir\\\"\n", Some(b'\\')), ["open"]);
    }
}
