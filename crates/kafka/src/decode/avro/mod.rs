//! Avro, written as JSON straight from its bytes.
//!
//! A schema is read once into a plan, and each body is written by it. A union becomes
//! the value that it holds, bytes become base64, decimals keep every digit, times become
//! ISO 8601.

mod names;
mod parse;
mod plan;
mod reader;
#[cfg(test)]
mod tests;
mod times;
mod write;

use tidegate_model::Reason;

use self::plan::{Named, Node};
use self::reader::Reader;
use self::write::Writer;
use super::fields::{Fields, Found};

/// A schema, ready to write bodies as JSON.
#[derive(Debug)]
pub(super) struct AvroSchema {
    root: Node,
    named: Vec<Named>,
}

impl AvroSchema {
    /// Reads a schema and the schemas that it refers to.
    pub(super) fn compile(text: &str, references: &[(String, String)]) -> Result<AvroSchema, Reason> {
        let (root, named) = parse::compile(text, references.iter().map(|(_, text)| text.as_str()))?;
        Ok(AvroSchema { root, named })
    }

    /// Appends the JSON of one body. Returns the positions of the wanted fields.
    /// A string that is no UTF-8 is appended as it is. Unless the `whole` value is asked for, values
    /// that no field wants are skipped, and appear as null.
    pub(super) fn write(
        &self,
        body: &[u8],
        fields: &Fields,
        whole: bool,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Found>, Reason> {
        let mut writer = Writer::new(&self.named, Reader::new(body), fields.len(), whole, out);
        writer.value(&self.root, Some(fields.root())).map_err(|reason| *reason)?;
        match writer.left() {
            0 => Ok(writer.found()),
            left => Err(Reason::new(
                "schema_mismatch",
                format!("{left} bytes are left over behind the value: it was written with another schema"),
            )),
        }
    }
}
