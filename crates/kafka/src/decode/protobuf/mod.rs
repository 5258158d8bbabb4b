//! Protobuf, decoded by its schema at run time and written as JSON.
//!
//! The JSON is the canonical mapping with two differences, both so that paths
//! and numbers are what a person sees in the `.proto` file: fields keep the
//! names that the schema has, and 64-bit integers are numbers with every digit.
//! Fields without presence are always there, with their default where unset. A value
//! that the mapping has no form for is written as it is and rejects nothing.

mod compile;
mod editions;
mod googletypes;
mod lenient;
mod pruned;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;

use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions};
use tidegate_model::{Error, Reason};

use super::fields::Node;
use super::wire::Indexes;

/// How messages are written as JSON.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(false)
    .use_proto_field_name(true)
    .skip_default_fields(false);

/// A schema, ready to write bodies as JSON.
#[derive(Debug)]
pub(super) struct ProtobufSchema {
    file: FileDescriptor,
    /// The message that is meant if the framing names none.
    default: Option<MessageDescriptor>,
}

impl ProtobufSchema {
    /// Compiles what a registry gave.
    pub(super) fn compile(text: &str, references: &[(String, String)]) -> Result<ProtobufSchema, Reason> {
        let file = compile::registered(text, references).map_err(|cause| {
            Reason::new("invalid_schema", format!("the Protobuf schema cannot be compiled: {cause}"))
        })?;
        let default = file.messages().next();
        Ok(ProtobufSchema { file, default })
    }

    /// Compiles what a sync gave: a file, or its text, and the message's name.
    ///
    /// # Errors
    /// The schema cannot be compiled or has no such message.
    pub(super) fn given(
        file: Option<&Path>,
        text: &str,
        message: Option<&str>,
    ) -> Result<ProtobufSchema, Error> {
        let compiled = match file {
            Some(path) => compile::file(path),
            None => compile::registered(text, &[]),
        };
        let file = compiled
            .map_err(|cause| Error::settings(format!("the Protobuf schema cannot be compiled: {cause}")))?;
        let default = match message {
            None => file.messages().next(),
            Some(name) => file.parent_pool().get_message_by_name(name),
        };
        if default.is_none() {
            let named = message.map_or("any message".to_owned(), |name| format!("a message `{name}`"));
            let known: Vec<_> = file.messages().map(|message| message.full_name().to_owned()).collect();
            return Err(Error::settings(format!("the Protobuf schema does not have {named}"))
                .hint(format!("`message` may be: {}", known.join(", "))));
        }
        Ok(ProtobufSchema { file, default })
    }

    /// Appends the JSON of one body; of the fields on the way to `only` if that is given.
    pub(super) fn write(
        &self,
        indexes: &Indexes,
        body: &[u8],
        only: Option<&Node>,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let descriptor = self.message(indexes).ok_or_else(|| {
            Reason::new("schema_mismatch", "the message indexes lead to no message of the schema")
        })?;
        let kept = only.and_then(|node| pruned::pruned(&descriptor, node, body));
        let message =
            DynamicMessage::decode(descriptor, kept.as_deref().unwrap_or(body)).map_err(|cause| {
                Reason::new("schema_mismatch", format!("the Protobuf message cannot be decoded: {cause}"))
            })?;
        let from = out.len();
        let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut *out), &OPTIONS);
        if written.is_err() {
            out.truncate(from);
            lenient::write(&message, out);
        }
        Ok(())
    }

    fn message(&self, indexes: &Indexes) -> Option<MessageDescriptor> {
        match indexes {
            Indexes::None | Indexes::Top(0) => self.default.clone(),
            Indexes::Top(index) => self.file.messages().nth(*index as usize),
            Indexes::Nested(indexes) => {
                let (first, rest) = indexes.split_first()?;
                let first = self.file.messages().nth(*first as usize)?;
                rest.iter().try_fold(first, |outer, index| outer.child_messages().nth(*index as usize))
            }
        }
    }
}
