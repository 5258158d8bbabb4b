//! Columns as bytes: small, quick to write, checked when read.
//!
//! A frame is a version, a checksum and a snappy-compressed body. Whatever a
//! frame holds, reading it gives values or an error: no panic, and no more
//! memory than its body can unfold to.

use arrow_array::StringArray;
use arrow_buffer::OffsetBuffer;
use arrow_schema::ArrowError;
use bytes::{Buf, Bytes};
use tidegate_model::store::TextColumn;
use tidegate_model::{Error, ErrorKind, RowHash, Text, varint};
use xxhash_rust::xxh3::xxh3_64;

const HEADER_BYTES: usize = 9;
/// Snappy's densest element makes 64 bytes of 3.
const EXPANSION_MAX: usize = 32;

/// A body under construction.
#[derive(Default)]
pub(crate) struct Writer {
    body: Vec<u8>,
}

impl Writer {
    /// A body of about `bytes` bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer { body: Vec::with_capacity(bytes) }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.body.extend_from_slice(value);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.body.push(value);
    }

    /// The same byte this many times.
    pub(crate) fn repeated(&mut self, value: u8, count: usize) {
        self.body.resize(self.body.len() + count, value);
    }

    /// A number, seven bits a byte, low ones first.
    pub(crate) fn number(&mut self, value: usize) {
        varint::put(value as u64, &mut self.body);
    }

    pub(crate) fn hash(&mut self, value: RowHash) {
        self.body.extend_from_slice(&value.0.to_le_bytes());
    }

    /// A column of texts: all lengths, then all characters.
    pub(crate) fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str> + Clone) {
        self.columns(std::iter::empty(), texts);
    }

    /// The same for texts of which the first ones lie in columns.
    pub(crate) fn columns<'a>(
        &mut self,
        columns: impl Iterator<Item = &'a TextColumn> + Clone,
        texts: impl Iterator<Item = &'a str> + Clone,
    ) {
        columns.clone().flat_map(TextColumn::lengths).for_each(|length| self.number(length));
        texts.clone().for_each(|text| self.number(text.len()));
        columns.for_each(|column| self.body.extend_from_slice(column.joined().as_bytes()));
        texts.for_each(|text| self.body.extend_from_slice(text.as_bytes()));
    }

    /// Closes the body into a frame.
    pub(crate) fn finish(self, version: u8) -> Result<Vec<u8>, Error> {
        let mut frame = vec![0; HEADER_BYTES + snap::raw::max_compress_len(self.body.len())];
        let written = snap::raw::Encoder::new()
            .compress(&self.body, &mut frame[HEADER_BYTES..])
            .map_err(|cause| Error::internal("a block of rows does not fit into a frame").caused_by(cause))?;
        frame.truncate(HEADER_BYTES + written);
        let checksum = xxh3_64(&frame[HEADER_BYTES..]);
        frame[0] = version;
        frame[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        Ok(frame)
    }
}

/// A column of texts.
pub(crate) struct Texts {
    /// Where the first text begins and each one ends among the characters; always between
    /// two of them. Arrow wants them like that.
    bounds: Vec<i32>,
    characters: Text,
}

impl Texts {
    /// The text at a place; `None` after the last one.
    pub(crate) fn get(&self, at: usize) -> Option<&str> {
        let end = *self.bounds.get(at + 1)?;
        self.characters.get(self.bounds[at] as usize..end as usize)
    }

    /// The texts in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.bounds.len() - 1).filter_map(|at| self.get(at))
    }

    /// The same memory as a column of Arrow.
    pub(crate) fn into_array(self) -> Result<StringArray, ArrowError> {
        let bounds = OffsetBuffer::new(self.bounds.into());
        StringArray::try_new(bounds, self.characters.into_bytes().into(), None)
    }
}

/// Reads what [`Writer`] wrote.
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Opens a frame of the given version.
    pub(crate) fn open(frame: &[u8], version: u8) -> Result<Reader, Error> {
        let (header, body) = frame.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        if header[0] != version {
            return Err(Error::new(ErrorKind::Storage, "a block of rows was written by another version"));
        }
        if header[1..] != xxh3_64(body).to_le_bytes() {
            return Err(damaged());
        }
        Reader::unfold(body)
    }

    /// Decompresses a body that its checksum vouches for, or that a test made up.
    fn unfold(body: &[u8]) -> Result<Reader, Error> {
        let length = snap::raw::decompress_len(body).map_err(|cause| damaged().caused_by(cause))?;
        if length > body.len().saturating_mul(EXPANSION_MAX) {
            return Err(damaged());
        }
        let plain = snap::raw::Decoder::new().decompress_vec(body);
        Ok(Reader { rest: plain.map_err(|cause| damaged().caused_by(cause))?.into() })
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, Error> {
        if bytes > self.rest.len() {
            return Err(damaged());
        }
        Ok(self.rest.split_to(bytes))
    }

    pub(crate) fn number(&mut self) -> Result<usize, Error> {
        let mut rest = &self.rest[..];
        let value = number(&mut rest)?;
        self.rest.advance(self.rest.len() - rest.len());
        Ok(value)
    }

    /// How many items of at least `bytes_each` follow; never more than there is room for.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, Error> {
        let count = self.number()?;
        if count.saturating_mul(bytes_each) > self.rest.len() {
            return Err(damaged());
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<Bytes, Error> {
        self.take(count)
    }

    pub(crate) fn hashes(&mut self, count: usize) -> Result<Vec<RowHash>, Error> {
        let bytes = self.take(count.saturating_mul(16))?;
        let (words, _) = bytes.as_chunks::<16>();
        Ok(words.iter().map(|word| RowHash(u128::from_le_bytes(*word))).collect())
    }

    /// A column of texts; they share the body's memory.
    pub(crate) fn texts(&mut self, count: usize) -> Result<Texts, Error> {
        if count > self.rest.len() {
            return Err(damaged());
        }
        let mut bounds = Vec::with_capacity(count + 1);
        let mut end = 0_i32;
        bounds.push(end);
        let mut rest = &self.rest[..];
        for _ in 0..count {
            let length = i32::try_from(number(&mut rest)?).map_err(|_| damaged())?;
            end = end.checked_add(length).ok_or_else(damaged)?;
            bounds.push(end);
        }
        self.rest.advance(self.rest.len() - rest.len());
        let characters = self.take(end as usize)?;
        let characters = Text::try_from(characters).map_err(|cause| damaged().caused_by(cause))?;
        if characters.is_ascii() || bounds.iter().all(|end| characters.is_char_boundary(*end as usize)) {
            Ok(Texts { bounds, characters })
        } else {
            Err(damaged())
        }
    }

    /// Makes sure that nothing is left over.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged()) }
    }
}

fn number(rest: &mut &[u8]) -> Result<usize, Error> {
    varint::take(rest).ok().and_then(|number| usize::try_from(number).ok()).ok_or_else(damaged)
}

pub(crate) fn damaged() -> Error {
    Error::new(ErrorKind::Storage, "a block of rows is damaged")
        .hint("restore the data folder from a copy, or remove the history of that run")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frame around made-up content, so that tests get past the checksum.
    pub(crate) fn frame_of(version: u8, content: &[u8]) -> Vec<u8> {
        Writer { body: content.to_vec() }.finish(version).expect("small")
    }

    #[test]
    fn a_body_that_claims_to_unfold_to_gigabytes_is_refused() {
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
        assert!(Reader::unfold(&bomb).is_err());
    }
}
