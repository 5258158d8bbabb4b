//! Lines of a text file, one after the other, none longer than a cap.

use std::io::{self, BufRead, BufReader, Read};

use super::content::Content;
use super::encoding::stored_bytes;
use super::settings::Encoding;

/// Bytes of the longest line that is kept.
pub const LINE_MAX: usize = 16 << 20;

/// What was read of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes in the file, line break included.
    pub stored: u64,
    /// Bytes of its line break in the file; none at the end of an unfinished one.
    pub ending: u64,
    /// Whether it was longer than the cap: only its beginning was kept.
    pub cut: bool,
}

impl Line {
    /// Returns whether the line has its line break.
    pub fn is_finished(&self) -> bool {
        self.ending > 0
    }
}

/// Reads lines.
pub struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    encoding: Encoding,
    /// Bytes in front of the first line that belong to none.
    before: u64,
}

impl Lines {
    /// Reads the lines of `content`.
    pub fn new(content: Content) -> Lines {
        Lines {
            reader: BufReader::with_capacity(64 * 1024, content.reader),
            encoding: content.encoding,
            before: content.mark_bytes,
        }
    }

    /// Returns how the bytes of lines are to be understood.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns whether there is no further line.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.reader.fill_buf()?.is_empty())
    }

    /// Appends the next line with its line break; `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self, into: &mut Vec<u8>) -> io::Result<Option<Line>> {
        let start = into.len();
        let mut stored = 0;
        let (mut finished, mut cut, mut last) = (false, false, [0; 2]);
        while !finished {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let found = memchr::memchr(b'\n', buffer);
            finished = found.is_some();
            let piece = &buffer[..found.map_or(buffer.len(), |at| at + 1)];
            stored += stored_bytes(self.encoding, piece);
            for &byte in &piece[piece.len().saturating_sub(2)..] {
                last = [last[1], byte];
            }
            let room = LINE_MAX.saturating_sub(into.len() - start);
            cut |= piece.len() > room;
            into.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len();
            self.reader.consume(used);
        }
        if stored == 0 {
            return Ok(None);
        }
        let characters = match (finished, last) {
            (false, _) => 0,
            (true, [b'\r', _]) => 2,
            (true, _) => 1,
        };
        let ending = if self.encoding == Encoding::Utf16 { 2 * characters } else { characters };
        stored += std::mem::take(&mut self.before);
        Ok(Some(Line { stored, ending, cut }))
    }
}

/// Returns the content of a line, without its line break.
pub fn without_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8]) -> Lines {
        Lines::new(Content {
            reader: Box::new(bytes),
            encoding: Encoding::Utf8,
            mark_bytes: 0,
            compressed: false,
        })
    }

    #[test]
    fn each_line_says_how_it_ends() {
        let mut lines = lines(b"a\r\nb\n\nc\r");
        let mut seen = Vec::new();
        let mut line = Vec::new();
        while let Some(read) = lines.next(&mut line).unwrap() {
            seen.push((without_break(&line).to_vec(), read.stored, read.ending));
            line.clear();
        }
        let expected = [("a", 3, 2), ("b", 2, 1), ("", 1, 1), ("c", 2, 0)];
        assert_eq!(seen, expected.map(|(text, stored, ending)| (text.as_bytes().to_vec(), stored, ending)));
    }

    #[test]
    fn a_line_beyond_the_cap_is_cut_and_the_next_one_is_whole() {
        let endless: &'static [u8] = Vec::leak([vec![b'x'; LINE_MAX + 5], b"\nnext\n".to_vec()].concat());
        let mut lines = lines(endless);
        let mut line = Vec::new();
        let read = lines.next(&mut line).unwrap().unwrap();
        assert_eq!((read.cut, line.len(), read.stored), (true, LINE_MAX, LINE_MAX as u64 + 6));
        line.clear();
        assert!(!lines.next(&mut line).unwrap().unwrap().cut);
        assert_eq!(line, b"next\n");
    }
}
