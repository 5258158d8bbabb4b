//! Avro's binary encoding, value by value.
//!
//! A reason is boxed: hardly any value has one, and what a value returns stays small.
//!
//! Source: Apache Avro 1.12 specification, "Binary encoding".

use tidegate_model::Reason;

use crate::decode::wire;

/// The rest of a body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub(super) fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A `long`: zigzag, variable length.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Box<Reason>> {
        let raw = wire::varint(&mut self.rest)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// An `int`.
    pub(super) fn int(&mut self) -> Result<i32, Box<Reason>> {
        i32::try_from(self.long()?).map_err(|_| mismatch("an int has more than 32 bits"))
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Box<Reason>> {
        Ok(wire::take(&mut self.rest)?)
    }

    /// Exactly `size` bytes.
    pub(super) fn fixed(&mut self, size: usize) -> Result<&'a [u8], Box<Reason>> {
        let Some((head, rest)) = self.rest.split_at_checked(size) else {
            return Err(wire::truncated().into());
        };
        self.rest = rest;
        Ok(head)
    }

    /// `bytes`, or `string`: a length, then as many bytes.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Box<Reason>> {
        let size = self.long()?;
        let size = usize::try_from(size).map_err(|_| mismatch("a length is negative"))?;
        self.fixed(size)
    }
}

/// The bytes are not what the schema says.
pub(super) fn mismatch(what: &str) -> Box<Reason> {
    Reason::new("schema_mismatch", format!("{what}: the message was written with another schema")).into()
}
