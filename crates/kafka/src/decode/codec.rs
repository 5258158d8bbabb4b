//! One part of a message, key or value, to text.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::{Error, Json, Reason, Text, Value};

use super::settings::{Format, FormatSettings};
use super::{Part, convert, wire};
use crate::message::Message;
use crate::registry::Registry;

/// How one part is read.
pub(super) enum Codec {
    /// As text.
    Text,
    /// As JSON without framing.
    Json,
    /// As JSON behind Confluent's framing.
    JsonSchema(Part),
}

impl Codec {
    /// Prepares the codec of a part.
    ///
    /// # Errors
    /// A format that needs a schema has neither a registry nor a schema, or a
    /// schema that cannot be used.
    pub(super) fn new(
        settings: &FormatSettings,
        part: Part,
        registry: Option<&Arc<Registry>>,
        project: &Path,
    ) -> Result<Codec, Error> {
        let _ = (registry, project);
        let format = match part {
            Part::Key => settings.key_format,
            Part::Value => settings.format,
        };
        Ok(match format {
            Format::Text => Codec::Text,
            Format::Json => Codec::Json,
            Format::JsonSchema => Codec::JsonSchema(part),
            Format::Avro | Format::Protobuf => {
                return Err(Error::settings("`format`: not yet"));
            }
        })
    }

    /// Whether the text is text and not JSON.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Codec::Text)
    }

    /// The text of `bytes`. Plain JSON is not checked yet: whoever looks into
    /// it does that in the same pass.
    pub(super) async fn text(
        &self,
        bytes: &[u8],
        message: &Message<'_>,
    ) -> Result<Result<Text, Reason>, Error> {
        match self {
            Codec::Text => Ok(utf8(bytes, "invalid_text")),
            Codec::Json => Ok(plain_json(bytes)),
            Codec::JsonSchema(part) => Ok(wire::framed(bytes, message, *part, false)
                .and_then(|framed| utf8(framed.body, "invalid_json"))),
        }
    }

    /// `bytes` as one cell, as a key is wanted.
    pub(super) async fn cell(
        &self,
        bytes: &[u8],
        message: &Message<'_>,
    ) -> Result<Result<Value, Reason>, Error> {
        // Nothing says that a key is text: other bytes are as good a key.
        if let Codec::Text = self {
            return Ok(Ok(match std::str::from_utf8(bytes) {
                Ok(text) => Value::Text(text.into()),
                Err(_) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            }));
        }
        let text = self.text(bytes, message).await?;
        Ok(text
            .and_then(Json::parse)
            .and_then(|json| convert::scalar(json.as_str().trim_ascii(), json.text())))
    }
}

fn plain_json(bytes: &[u8]) -> Result<Text, Reason> {
    if bytes.first() == Some(&0) {
        return Err(Reason::new(
            "schema_header",
            "has a schema registry header: set `format` to `avro`, `protobuf` or `json_schema`",
        ));
    }
    utf8(bytes, "invalid_json")
}

/// The one copy of the bytes, shared by all that is taken out of them.
fn utf8(bytes: &[u8], code: &'static str) -> Result<Text, Reason> {
    std::str::from_utf8(bytes)
        .map(Text::from)
        .map_err(|cause| Reason::new(code, format!("not UTF-8 at byte {}", cause.valid_up_to())))
}
