//! From a body to JSON text.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tidegate_model::{Reason, json};

use super::plan::{Named, Node};
use super::reader::{Reader, mismatch};
use crate::decode::decimal;
use crate::decode::fields::{self, Found};

/// How deep values may lie inside each other.
const DEPTH_MAX: usize = 100;
/// How many items of no bytes (`null`) arrays may have: a few bytes could say
/// that there are billions.
const EMPTY_ITEMS_MAX: usize = 10_000;

/// Writes one body.
pub(super) struct Writer<'a> {
    named: &'a [Named],
    reader: Reader<'a>,
    out: &'a mut Vec<u8>,
    /// The positions of the wanted fields.
    found: Vec<Found>,
    /// The instant that was written last.
    instant: Option<Timestamp>,
    depth: usize,
    empty_items: usize,
    /// Whether everything is asked for, and not only what fields want.
    whole: bool,
    /// Whether nothing wants what is read: it only has to end.
    skips: bool,
}

impl<'a> Writer<'a> {
    /// Prepares to write what `reader` holds; this many fields are wanted of it.
    pub(super) fn new(
        named: &'a [Named],
        reader: Reader<'a>,
        fields: usize,
        whole: bool,
        out: &'a mut Vec<u8>,
    ) -> Writer<'a> {
        Writer {
            named,
            reader,
            out,
            found: vec![Found::default(); fields],
            instant: None,
            depth: 0,
            empty_items: 0,
            whole,
            skips: false,
        }
    }

    /// How many bytes were not read.
    pub(super) fn left(&self) -> usize {
        self.reader.left()
    }

    /// The positions of the fields.
    pub(super) fn found(self) -> Vec<Found> {
        self.found
    }

    /// Writes the value of one node, and notes its position if it is wanted.
    pub(super) fn value(&mut self, node: &Node, wanted: Option<&fields::Node>) -> Result<(), Box<Reason>> {
        let from = self.out.len();
        let Some(wanted) = wanted else {
            if self.whole || self.skips {
                return self.plain(node, None);
            }
            self.skips = true;
            self.plain(node, None)?;
            self.skips = false;
            self.out.truncate(from);
            self.text("null");
            return Ok(());
        };
        // A field that holds others is wanted with all of them.
        let whole = self.whole;
        self.whole |= wanted.is_wanted();
        self.instant = None;
        self.plain(node, Some(wanted))?;
        // An instant inside an object or a list is not this value.
        let instant = self.instant.filter(|_| self.out.get(from) == Some(&b'"'));
        wanted.mark(Found { at: Some((from, self.out.len())), instant }, &mut self.found);
        self.whole = whole;
        Ok(())
    }

    fn plain(&mut self, node: &Node, wanted: Option<&fields::Node>) -> Result<(), Box<Reason>> {
        match node {
            Node::Null => self.text("null"),
            Node::Boolean => match self.reader.array::<1>()? {
                [0] => self.text("false"),
                [1] => self.text("true"),
                _ if self.skips => {}
                _ => return Err(mismatch("a boolean is neither 0 nor 1")),
            },
            Node::Int => {
                let number = self.reader.int()?;
                self.number(number);
            }
            Node::Long => {
                let number = self.reader.long()?;
                self.number(number);
            }
            Node::Double => {
                let number = f64::from_le_bytes(self.reader.array()?);
                self.float(number, zmij::Buffer::new().format(number));
            }
            Node::String => json::write_bytes(self.reader.bytes()?, self.out),
            Node::Time(time) => {
                let number = if time.is_int() { self.reader.int()?.into() } else { self.reader.long()? };
                self.instant = time.write(number, self.out);
            }
            Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Named(_) => self.inside(node, wanted)?,
            Node::Float
            | Node::Bytes
            | Node::Fixed(_)
            | Node::Decimal(..)
            | Node::BigDecimal
            | Node::UuidBytes { .. }
            | Node::Duration => self.rare(node, wanted)?,
        }
        Ok(())
    }

    /// Writes a scalar that few values have: what all of them pass through stays small.
    #[inline(never)]
    fn rare(&mut self, node: &Node, wanted: Option<&fields::Node>) -> Result<(), Box<Reason>> {
        match node {
            Node::Float => {
                let number = f32::from_le_bytes(self.reader.array()?);
                // Shortest digits of the float itself, not of a wider one.
                self.float(number.into(), zmij::Buffer::new().format(number));
            }
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
                self.decimal(bytes, *scale as i64)?;
            }
            Node::BigDecimal => {
                let mut inner = Reader::new(self.reader.bytes()?);
                if self.skips {
                    return Ok(());
                }
                let unscaled = inner.bytes()?;
                self.decimal(unscaled, inner.long()?)?;
            }
            Node::UuidBytes { fixed } => self.uuid(*fixed)?,
            Node::Duration => self.duration(wanted)?,
            // All named, so that a new type must be added to one of the two.
            Node::Null
            | Node::Boolean
            | Node::Int
            | Node::Long
            | Node::Double
            | Node::String
            | Node::Time(_)
            | Node::Array(_)
            | Node::Map(_)
            | Node::Union(_)
            | Node::Named(_) => self.plain(node, wanted)?,
        }
        Ok(())
    }

    /// Writes what holds other values, unless it lies too deep.
    #[inline(never)]
    fn inside(&mut self, node: &Node, wanted: Option<&fields::Node>) -> Result<(), Box<Reason>> {
        if self.depth == DEPTH_MAX {
            return Err(Reason::new(
                "too_deep",
                format!("more than {DEPTH_MAX} values lie inside each other"),
            )
            .into());
        }
        self.depth += 1;
        match node {
            Node::Array(items) => {
                self.text("[");
                self.blocks(|writer, index| {
                    writer.value(items, wanted.and_then(|wanted| wanted.item(index)))
                })?;
                self.text("]");
            }
            Node::Map(values) => {
                self.text("{");
                self.blocks(|writer, _| {
                    let key = writer.reader.bytes()?;
                    json::write_bytes(key, writer.out);
                    writer.text(":");
                    writer.value(values, wanted.and_then(|wanted| wanted.member(key)))
                })?;
                self.text("}");
            }
            Node::Union(variants) => {
                let index = self.reader.long()?;
                let variant = usize::try_from(index).ok().and_then(|index| variants.get(index));
                self.plain(variant.ok_or_else(|| mismatch("a union has no such branch"))?, wanted)?;
            }
            Node::Named(index) => match &self.named[*index] {
                Named::Record(fields) => {
                    self.text("{");
                    for field in fields {
                        self.text(&field.before);
                        let wanted = wanted.and_then(|wanted| wanted.member(field.name.as_bytes()));
                        self.value(&field.node, wanted)?;
                    }
                    self.text("}");
                }
                Named::Enum(symbols) => {
                    let index = self.reader.int()?;
                    let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
                    match symbol {
                        Some(symbol) => self.text(symbol),
                        None if self.skips => {}
                        None => return Err(mismatch("an enum has no such symbol")),
                    }
                }
                Named::Other(node) => self.plain(node, wanted)?,
            },
            scalar => self.plain(scalar, wanted)?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn duration(&mut self, wanted: Option<&fields::Node>) -> Result<(), Box<Reason>> {
        for (before, name) in [("{", "months"), (",", "days"), (",", "milliseconds")] {
            let number = u32::from_le_bytes(self.reader.array()?);
            self.text(before);
            json::write_bytes(name.as_bytes(), self.out);
            self.text(":");
            let from = self.out.len();
            self.number(number);
            if let Some(wanted) = wanted.and_then(|wanted| wanted.member(name.as_bytes())) {
                wanted.mark(Found { at: Some((from, self.out.len())), instant: None }, &mut self.found);
            }
        }
        self.text("}");
        Ok(())
    }

    /// Writes the items of an array or a map: blocks of a count and as many
    /// items, until the count is 0. A negative count has its bytes after it.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Box<Reason>>,
    ) -> Result<(), Box<Reason>> {
        let mut index = 0;
        loop {
            let count = self.reader.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.reader.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                if index > 0 {
                    self.text(",");
                }
                let before = self.reader.left();
                item(self, index)?;
                index += 1;
                if self.reader.left() == before {
                    self.empty_items += 1;
                    if self.empty_items > EMPTY_ITEMS_MAX {
                        return Err(mismatch("an array has more empty items than is believable"));
                    }
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.text(itoa::Buffer::new().format(number));
    }

    /// JSON has no word for what is no number: text as in Protobuf's JSON mapping.
    fn float(&mut self, number: f64, digits: &str) {
        self.text(if number.is_finite() {
            digits
        } else if number.is_nan() {
            "\"NaN\""
        } else if number > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }

    fn decimal(&mut self, unscaled: &[u8], scale: i64) -> Result<(), Box<Reason>> {
        if self.skips {
            return Ok(());
        }
        let mut digits = String::new();
        decimal::write(unscaled, scale, &mut digits)?;
        self.text(&digits);
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) {
        let text = STANDARD.encode(bytes);
        json::write_bytes(text.as_bytes(), self.out);
    }

    fn uuid(&mut self, fixed: bool) -> Result<(), Box<Reason>> {
        let bytes = if fixed { self.reader.fixed(16)? } else { self.reader.bytes()? };
        if self.skips {
            return Ok(());
        }
        if bytes.len() != 16 {
            return Err(mismatch("a UUID has not 16 bytes"));
        }
        self.text("\"");
        for (at, byte) in bytes.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Writing to memory cannot fail.
            let _ = write!(self.out, "{dash}{byte:02x}");
        }
        self.text("\"");
        Ok(())
    }
}
