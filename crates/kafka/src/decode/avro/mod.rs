//! Avro, written as JSON straight from its bytes.
//!
//! `apache-avro` reads the schemas; its values are not used: they allocate for
//! every field. A union becomes the value that it holds, bytes become base64,
//! decimals keep every digit, times become ISO 8601.

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

/// A schema, ready to write bodies as JSON.
#[derive(Debug)]
pub(super) struct AvroSchema {
    root: Node,
    named: Vec<Named>,
}

impl AvroSchema {
    /// Reads a schema and the schemas that it refers to.
    pub(super) fn compile(text: &str, references: &[(String, String)]) -> Result<AvroSchema, Reason> {
        plan::compile(text, references.iter().map(|(_, text)| text.as_str()))
    }

    /// Appends the JSON of one body.
    pub(super) fn write(&self, body: &[u8], out: &mut String) -> Result<(), Reason> {
        let mut writer = Writer::new(&self.named, Reader::new(body), out);
        writer.value(&self.root)?;
        match writer.left() {
            0 => Ok(()),
            left => Err(Reason::new(
                "schema_mismatch",
                format!("{left} bytes are left over behind the value: it was written with another schema"),
            )),
        }
    }
}
