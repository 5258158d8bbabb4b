//! From a body to JSON text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate_model::{Reason, json};

use super::plan::{Named, Node};
use super::reader::{Reader, mismatch};
use crate::decode::decimal;

/// How deep values may lie inside each other.
const DEPTH_MAX: usize = 100;
/// How many items of no bytes (`null`) arrays may have: a few bytes could say
/// that there are billions.
const EMPTY_ITEMS_MAX: usize = 10_000;

/// Writes one body.
pub(super) struct Writer<'a> {
    named: &'a [Named],
    reader: Reader<'a>,
    out: &'a mut String,
    depth: usize,
    empty_items: usize,
}

impl<'a> Writer<'a> {
    /// Prepares to write what `reader` holds.
    pub(super) fn new(named: &'a [Named], reader: Reader<'a>, out: &'a mut String) -> Writer<'a> {
        Writer { named, reader, out, depth: 0, empty_items: 0 }
    }

    /// How many bytes were not read.
    pub(super) fn left(&self) -> usize {
        self.reader.left()
    }

    /// Writes the value of one node.
    pub(super) fn value(&mut self, node: &Node) -> Result<(), Reason> {
        match node {
            Node::Null => self.out.push_str("null"),
            Node::Boolean => self.out.push_str(match self.reader.array::<1>()? {
                [0] => "false",
                [1] => "true",
                _ => return Err(mismatch("a boolean is neither 0 nor 1")),
            }),
            Node::Int => {
                let number = self.reader.int()?;
                self.number(number.into());
            }
            Node::Long => {
                let number = self.reader.long()?;
                self.number(number);
            }
            Node::Float => {
                let number = f32::from_le_bytes(self.reader.array()?);
                // Shortest digits of the float itself, not of a wider one.
                self.float(number.into(), |out| write!(out, "{number:?}"));
            }
            Node::Double => {
                let number = f64::from_le_bytes(self.reader.array()?);
                self.float(number, |out| write!(out, "{number:?}"));
            }
            Node::String => json::write_string(self.reader.string()?, self.out),
            Node::Bytes => {
                let bytes = self.reader.bytes()?;
                self.base64(bytes);
            }
            Node::Fixed(size) => {
                let bytes = self.reader.fixed(*size)?;
                self.base64(bytes);
            }
            Node::Decimal(scale, size) => {
                let bytes = match size {
                    Some(size) => self.reader.fixed(*size)?,
                    None => self.reader.bytes()?,
                };
                decimal::write(bytes, *scale as i64, self.out)?;
            }
            Node::BigDecimal => {
                let mut inner = Reader::new(self.reader.bytes()?);
                let unscaled = inner.bytes()?;
                decimal::write(unscaled, inner.long()?, self.out)?;
            }
            Node::UuidBytes { fixed } => self.uuid(*fixed)?,
            Node::Time(time) => {
                let number = if time.is_int() { self.reader.int()?.into() } else { self.reader.long()? };
                time.write(number, self.out);
            }
            Node::Duration => {
                let [months, days, millis] =
                    [self.reader.array()?, self.reader.array()?, self.reader.array()?]
                        .map(u32::from_le_bytes);
                let _ = write!(self.out, "{{\"months\":{months},\"days\":{days},\"milliseconds\":{millis}}}");
            }
            Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Named(_) => self.inside(node)?,
        }
        Ok(())
    }

    /// Writes what holds other values, unless it lies too deep.
    fn inside(&mut self, node: &Node) -> Result<(), Reason> {
        if self.depth == DEPTH_MAX {
            return Err(Reason::new(
                "too_deep",
                format!("more than {DEPTH_MAX} values lie inside each other"),
            ));
        }
        self.depth += 1;
        match node {
            Node::Array(items) => {
                self.out.push('[');
                self.blocks(|writer| writer.value(items))?;
                self.out.push(']');
            }
            Node::Map(values) => {
                self.out.push('{');
                self.blocks(|writer| {
                    json::write_string(writer.reader.string()?, writer.out);
                    writer.out.push(':');
                    writer.value(values)
                })?;
                self.out.push('}');
            }
            Node::Union(variants) => {
                let index = self.reader.long()?;
                let variant = usize::try_from(index).ok().and_then(|index| variants.get(index));
                self.value(variant.ok_or_else(|| mismatch("a union has no such branch"))?)?;
            }
            Node::Named(place) => match &self.named[*place] {
                Named::Record(fields) => {
                    self.out.push('{');
                    for (before, field) in fields {
                        self.out.push_str(before);
                        self.value(field)?;
                    }
                    self.out.push('}');
                }
                Named::Enum(symbols) => {
                    let index = self.reader.int()?;
                    let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
                    self.out.push_str(symbol.ok_or_else(|| mismatch("an enum has no such symbol"))?);
                }
                Named::Other(node) => self.value(node)?,
            },
            scalar => self.value(scalar)?,
        }
        self.depth -= 1;
        Ok(())
    }

    /// Writes the items of an array or a map: blocks of a count and as many
    /// items, until the count is 0. A negative count has its bytes behind it.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Reason>) -> Result<(), Reason> {
        let mut first = true;
        loop {
            let count = self.reader.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.reader.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                if !first {
                    self.out.push(',');
                }
                first = false;
                let before = self.reader.left();
                item(self)?;
                if self.reader.left() == before {
                    self.empty_items += 1;
                    if self.empty_items > EMPTY_ITEMS_MAX {
                        return Err(mismatch("an array has more empty items than is believable"));
                    }
                }
            }
        }
    }

    fn number(&mut self, number: i64) {
        let _ = write!(self.out, "{number}");
    }

    /// JSON has no word for what is no number: text as in Protobuf's JSON mapping.
    fn float(&mut self, number: f64, digits: impl FnOnce(&mut String) -> std::fmt::Result) {
        if number.is_finite() {
            let _ = digits(self.out);
        } else if number.is_nan() {
            self.out.push_str("\"NaN\"");
        } else {
            self.out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
        }
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.out.push('"');
        STANDARD.encode_string(bytes, self.out);
        self.out.push('"');
    }

    fn uuid(&mut self, fixed: bool) -> Result<(), Reason> {
        let bytes = if fixed { self.reader.fixed(16)? } else { self.reader.bytes()? };
        if bytes.len() != 16 {
            return Err(mismatch("a UUID has not 16 bytes"));
        }
        self.out.push('"');
        for (at, byte) in bytes.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            let _ = write!(self.out, "{dash}{byte:02x}");
        }
        self.out.push('"');
        Ok(())
    }
}
