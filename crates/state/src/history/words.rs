//! A column of a few words, each of which stands in many rows one after the other: it is
//! written as runs, so that a row costs nothing. `ArrowWriter` would look up every row's
//! word in a dictionary to come to the same bytes.
//!
//! Source: Apache Parquet, "Encodings", dictionary encoding and RLE / bit-packing hybrid.

use std::fs::File;

use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::pages;

/// Rows that make up one unit of the bit-packed form.
const PACKED_ROWS: usize = 8;

/// The words of a row group in one column that is never null.
#[derive(Default)]
pub(super) struct Words {
    /// The different ones; so few that looking through them is quick.
    words: Vec<String>,
    /// Places in that list, and in how many rows each stands.
    runs: Vec<(u8, usize)>,
}

impl Words {
    /// Adds so many rows with a word.
    pub(super) fn add(&mut self, word: &str, rows: usize) {
        let place = self.words.iter().position(|known| known == word).unwrap_or_else(|| {
            self.words.push(word.to_owned());
            self.words.len() - 1
        });
        match self.runs.last_mut() {
            Some((last, count)) if usize::from(*last) == place => *count += rows,
            _ => self.runs.push((place as u8, rows)),
        }
    }

    /// Writes the column as the next one of a row group.
    pub(super) fn append(
        &self,
        column: &ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, File>,
    ) -> Result<(), ParquetError> {
        pages::append(column, Some(self.dictionary()), self.values(), group)
    }

    fn dictionary(&self) -> CompressedPage {
        let mut plain = Vec::new();
        for word in &self.words {
            plain.extend_from_slice(&(word.len() as u32).to_le_bytes());
            plain.extend_from_slice(word.as_bytes());
        }
        let (size, num_values) = (plain.len(), self.words.len() as u32);
        let encoding = Encoding::PLAIN;
        let page = Page::DictionaryPage { buf: plain.into(), num_values, encoding, is_sorted: false };
        CompressedPage::new(page, size)
    }

    fn values(&self) -> CompressedPage {
        let rows = self.runs.iter().map(|(_, rows)| rows).sum();
        let width = u8::BITS - (self.words.len().saturating_sub(1) as u8).leading_zeros();
        let mut body = vec![width as u8];
        hybrid(&self.runs, width, &mut body);
        pages::values(body, rows, Encoding::RLE_DICTIONARY)
    }
}

/// Long runs as a count and a place, shorter ones as places of `width` bits.
fn hybrid(runs: &[(u8, usize)], width: u32, out: &mut Vec<u8>) {
    let mut short = Vec::new();
    for &(place, mut rows) in runs {
        // Bit-packed places come in eights.
        let filling = rows.min(short.len().next_multiple_of(PACKED_ROWS) - short.len());
        short.resize(short.len() + filling, place);
        rows -= filling;
        if rows < PACKED_ROWS {
            short.resize(short.len() + rows, place);
        } else {
            pack(&mut short, width, out);
            number(rows << 1, out);
            out.resize(out.len() + width.div_ceil(u8::BITS) as usize, place);
        }
    }
    pack(&mut short, width, out);
}

/// Places bit by bit, lowest bits first, filled up to whole eights.
fn pack(places: &mut Vec<u8>, width: u32, out: &mut Vec<u8>) {
    if places.is_empty() {
        return;
    }
    places.resize(places.len().next_multiple_of(PACKED_ROWS), 0);
    number((places.len() / PACKED_ROWS) << 1 | 1, out);
    for eight in places.chunks(PACKED_ROWS) {
        let bits = eight.iter().rev().fold(0_u64, |bits, place| bits << width | u64::from(*place));
        out.extend_from_slice(&bits.to_le_bytes()[..width as usize]);
    }
    places.clear();
}

/// Seven bits a byte, low ones first.
fn number(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(runs: &[(u8, usize)], width: u32) -> Vec<u8> {
        let mut out = Vec::new();
        hybrid(runs, width, &mut out);
        out
    }

    #[test]
    fn long_runs_are_counted_and_short_ones_are_packed() {
        assert_eq!(written(&[(0, 300)], 0), [0xd8, 0x04]);
        assert_eq!(written(&[(1, 8)], 1), [16, 1]);
        // Three and five rows fill eight; the eight behind them are a run.
        assert_eq!(written(&[(0, 3), (1, 5), (2, 8)], 2), [3, 0b0100_0000, 0b0101_0101, 16, 2]);
        assert_eq!(written(&[(0, 3), (1, 14)], 1), [3, 0b1111_1000, 18, 1]);
        // What is missing in the last eight is made up.
        assert_eq!(written(&[(1, 1), (0, 1), (1, 1)], 1), [3, 0b0000_0101]);
    }
}
