//! A column of few distinct values, each repeated in many consecutive rows: it is written as runs, so
//! that a row costs nothing. `ArrowWriter` would look up every row's value in a dictionary to write the
//! same bytes.
//!
//! Source: Apache Parquet, "Encodings", dictionary encoding and RLE / bit-packing hybrid.

use std::fs::File;

use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;
use tidegate_model::varint;

use super::pages;

/// Rows that make up one unit of the bit-packed form.
const PACKED_ROWS: usize = 8;

/// The values of a row group in one column that is never null.
#[derive(Default)]
pub(super) struct DictionaryColumn {
    /// The distinct values; so few that a linear search is fast.
    distinct: Vec<String>,
    /// Indexes into that list, and the number of rows of each.
    runs: Vec<(u8, usize)>,
}

impl DictionaryColumn {
    /// Distinct values that a column takes.
    const DISTINCT_MAX: usize = 1 << u8::BITS;

    /// Whether the column takes rows with this value.
    pub(super) fn takes(&self, word: &str) -> bool {
        self.distinct.len() < Self::DISTINCT_MAX || self.distinct.iter().any(|known| known == word)
    }

    /// Adds this many rows with a value.
    pub(super) fn add(&mut self, word: &str, rows: usize) {
        let index = self.distinct.iter().position(|known| known == word).unwrap_or_else(|| {
            self.distinct.push(word.to_owned());
            self.distinct.len() - 1
        });
        match self.runs.last_mut() {
            Some((last, count)) if usize::from(*last) == index => *count += rows,
            _ => self.runs.push((index as u8, rows)),
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
        for word in &self.distinct {
            plain.extend_from_slice(&(word.len() as u32).to_le_bytes());
            plain.extend_from_slice(word.as_bytes());
        }
        let (size, num_values) = (plain.len(), self.distinct.len() as u32);
        let encoding = Encoding::PLAIN;
        let page = Page::DictionaryPage { buf: plain.into(), num_values, encoding, is_sorted: false };
        CompressedPage::new(page, size)
    }

    fn values(&self) -> CompressedPage {
        let rows = self.runs.iter().map(|(_, rows)| rows).sum();
        let width = u8::BITS - (self.distinct.len().saturating_sub(1) as u8).leading_zeros();
        let mut body = vec![width as u8];
        hybrid(&self.runs, width, &mut body);
        pages::values(body, rows, Encoding::RLE_DICTIONARY)
    }
}

/// Writes long runs as a count and an index, shorter ones as indexes of `width` bits.
fn hybrid(runs: &[(u8, usize)], width: u32, out: &mut Vec<u8>) {
    let mut short = Vec::new();
    for &(index, mut rows) in runs {
        // Bit-packed indexes come in eights.
        let filling = rows.min(short.len().next_multiple_of(PACKED_ROWS) - short.len());
        short.resize(short.len() + filling, index);
        rows -= filling;
        if rows < PACKED_ROWS {
            short.resize(short.len() + rows, index);
        } else {
            pack(&mut short, width, out);
            varint::put((rows as u64) << 1, out);
            out.resize(out.len() + width.div_ceil(u8::BITS) as usize, index);
        }
    }
    pack(&mut short, width, out);
}

/// Writes indexes bit by bit, lowest bits first, padded to whole eights.
fn pack(indexes: &mut Vec<u8>, width: u32, out: &mut Vec<u8>) {
    if indexes.is_empty() {
        return;
    }
    indexes.resize(indexes.len().next_multiple_of(PACKED_ROWS), 0);
    varint::put(((indexes.len() / PACKED_ROWS) as u64) << 1 | 1, out);
    for eight in indexes.chunks(PACKED_ROWS) {
        let bits = eight.iter().rev().fold(0_u64, |bits, index| bits << width | u64::from(*index));
        out.extend_from_slice(&bits.to_le_bytes()[..width as usize]);
    }
    indexes.clear();
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
        // Three and five rows fill eight; the eight after them are a run.
        assert_eq!(written(&[(0, 3), (1, 5), (2, 8)], 2), [3, 0b0100_0000, 0b0101_0101, 16, 2]);
        assert_eq!(written(&[(0, 3), (1, 14)], 1), [3, 0b1111_1000, 18, 1]);
        // What is missing in the last eight is made up.
        assert_eq!(written(&[(1, 1), (0, 1), (1, 1)], 1), [3, 0b0000_0101]);
    }
}
