//! One part of a message, key or value, to text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::{Error, Json, Reason, Text, Value};

use super::avro::AvroSchema;
use super::fields::{Fields, Found};
use super::parts::MessagePart;
use super::protobuf::ProtobufSchema;
use super::schemas::Schemas;
use super::settings::{Format, FormatSettings, SchemaSource};
use super::wire::{self, Indexes};
use super::{convert, scratch};
use crate::message::Message;
use crate::registry::Registry;

/// How one part is read.
pub(super) enum Codec {
    /// As text.
    Text,
    /// As JSON without framing.
    Json,
    /// As JSON after Confluent's framing.
    JsonSchema(MessagePart),
    /// As Avro after Confluent's framing.
    Avro(MessagePart, Schemas<AvroSchema>),
    /// As Avro alone, all with one schema.
    PlainAvro(AvroSchema),
    /// As Protobuf after Confluent's framing.
    Protobuf(MessagePart, Schemas<ProtobufSchema>),
    /// As Protobuf alone, all with one schema.
    PlainProtobuf(ProtobufSchema),
}

/// A part as text.
pub(super) struct Decoded {
    pub(super) text: Text,
    /// Where the fields are, if that is known already.
    pub(super) found: Option<Vec<Found>>,
    /// Why parts of the text stand as U+FFFD, if some do.
    pub(super) lossy: Option<Reason>,
}

impl Decoded {
    fn plain(text: Text) -> Decoded {
        Decoded { text, found: None, lossy: None }
    }
}

impl Codec {
    /// Prepares the codec of a part.
    ///
    /// # Errors
    /// A format that needs a schema has neither a registry nor a schema, or a
    /// schema that cannot be used.
    pub(super) fn new(
        settings: &FormatSettings,
        part: MessagePart,
        registry: Option<&Arc<Registry>>,
        project: &Path,
    ) -> Result<Codec, Error> {
        let (format, source, setting, schema) = match part {
            MessagePart::Key => (settings.key_format, &settings.key_schema, "key_format", "key_schema"),
            MessagePart::Value => (settings.format, &settings.schema, "format", "schema"),
        };
        if source.is_some() && !format.needs_schema() {
            return Err(Error::settings(format!(
                "`{schema}`: `{setting}: {}` needs no schema",
                format.name()
            )));
        }
        let missing = || {
            Error::settings(format!("`{setting}: {}` needs a schema", format.name()))
                .hint(format!("give the connection a `registry`, or the sync a `{schema}`"))
        };
        let strategy = settings.subject;
        Ok(match (format, source, registry) {
            (Format::Text, ..) => Codec::Text,
            (Format::Json, ..) => Codec::Json,
            (Format::JsonSchema, ..) => Codec::JsonSchema(part),
            (Format::Avro, Some(source), _) => {
                let (_, text) = read(source, schema, project)?;
                let compiled = AvroSchema::compile(&text, &[]);
                Codec::PlainAvro(
                    compiled.map_err(|reason| Error::settings(format!("`{schema}`: {}", reason.message)))?,
                )
            }
            (Format::Protobuf, Some(source), _) => {
                let (file, text) = read(source, schema, project)?;
                Codec::PlainProtobuf(
                    ProtobufSchema::given(file.as_deref(), &text, source.message.as_deref())
                        .map_err(|error| error.context(format_args!("`{schema}`")))?,
                )
            }
            (Format::Avro, None, Some(registry)) => {
                Codec::Avro(part, Schemas::new(registry, "AVRO", AvroSchema::compile, strategy, part))
            }
            (Format::Protobuf, None, Some(registry)) => Codec::Protobuf(
                part,
                Schemas::new(registry, "PROTOBUF", ProtobufSchema::compile, strategy, part),
            ),
            (Format::Avro | Format::Protobuf, None, None) => return Err(missing()),
        })
    }

    /// Whether the text is text and not JSON.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Codec::Text)
    }

    /// The text of `bytes`. Plain JSON is not checked yet: whoever looks into
    /// it does that in the same pass. What is written as JSON here is not looked
    /// through again: the positions of the fields are given. Unless the `whole` value is asked for,
    /// what no field wants may be anything.
    pub(super) async fn text(
        &self,
        bytes: &[u8],
        message: &Message<'_>,
        fields: &Fields,
        whole: bool,
    ) -> Result<Result<Decoded, Reason>, Error> {
        let avro = |schema: &AvroSchema, body: &[u8]| {
            let written = scratch::text(|out| schema.write(body, fields, whole, out));
            written.map(|(text, found)| Decoded { text, found: Some(found), lossy: None })
        };
        let protobuf = |schema: &ProtobufSchema, indexes: &Indexes, body: &[u8]| {
            let only = (!whole).then(|| fields.root());
            scratch::text(|out| schema.write(indexes, body, only, out)).map(|(text, ())| Decoded::plain(text))
        };
        match self {
            Codec::Text => Ok(utf8(bytes, "invalid_text").map(Decoded::plain)),
            Codec::Json => Ok(plain_json(bytes).and_then(|bytes| json(bytes, whole))),
            Codec::JsonSchema(part) => {
                Ok(wire::framed(bytes, message, *part, false).and_then(|framed| json(framed.body, whole)))
            }
            Codec::PlainAvro(schema) => Ok(avro(schema, bytes)),
            Codec::PlainProtobuf(schema) => Ok(protobuf(schema, &Indexes::None, bytes)),
            Codec::Avro(part, schemas) => {
                let framed = match wire::framed(bytes, message, *part, false) {
                    Ok(framed) => framed,
                    Err(reason) => return Ok(Err(reason)),
                };
                let schema = schemas.get(framed.id, message.topic).await?;
                Ok(schema.and_then(|schema| avro(&schema, framed.body)))
            }
            Codec::Protobuf(part, schemas) => {
                let framed = match wire::framed(bytes, message, *part, true) {
                    Ok(framed) => framed,
                    Err(reason) => return Ok(Err(reason)),
                };
                let schema = schemas.get(framed.id, message.topic).await?;
                Ok(schema.and_then(|schema| protobuf(&schema, &framed.indexes, framed.body)))
            }
        }
    }

    /// `bytes` as one cell, as a key is wanted.
    pub(super) async fn cell(
        &self,
        bytes: &[u8],
        message: &Message<'_>,
    ) -> Result<Result<Value, Reason>, Error> {
        // Nothing says that a key is text: other bytes are as good a key.
        if self.is_text() {
            let kept = scratch::keep(bytes);
            return Ok(Ok(match Text::try_from(kept.clone()) {
                Ok(text) => Value::Text(text),
                Err(_) => Value::Bytes(kept),
            }));
        }
        let decoded = self.text(bytes, message, &Fields::default(), true).await?;
        Ok(decoded
            .and_then(|decoded| Json::parse(decoded.text))
            .and_then(|json| convert::scalar(json.as_str().trim_ascii(), json.text())))
    }
}

/// The text of a schema that was given, and its file if it has one.
fn read(source: &SchemaSource, name: &str, project: &Path) -> Result<(Option<PathBuf>, String), Error> {
    match (&source.file, &source.text) {
        (None, Some(text)) => Ok((None, text.clone())),
        (Some(file), None) => {
            let path = project.join(file);
            let text = std::fs::read_to_string(&path).map_err(|cause| {
                Error::settings(format!("`{name}.file`: {} cannot be read", path.display())).caused_by(cause)
            })?;
            Ok((Some(path), text))
        }
        _ => Err(Error::settings(format!("`{name}` needs either `file` or `text`"))),
    }
}

fn plain_json(bytes: &[u8]) -> Result<&[u8], Reason> {
    if bytes.first() == Some(&0) {
        return Err(Reason::new(
            "schema_header",
            "has a schema registry header: set `format` to `avro`, `protobuf` or `json_schema`",
        ));
    }
    Ok(bytes)
}

fn json(bytes: &[u8], whole: bool) -> Result<Decoded, Reason> {
    match utf8(bytes, "invalid_json") {
        Ok(text) => Ok(Decoded::plain(text)),
        Err(reason) if whole => Err(reason),
        // Perhaps only in what no field wants.
        Err(reason) => Ok(Decoded {
            lossy: Some(reason),
            ..Decoded::plain(String::from_utf8_lossy(bytes).into_owned().into())
        }),
    }
}

/// The one copy of the bytes, shared by all that is taken out of them.
fn utf8(bytes: &[u8], code: &'static str) -> Result<Text, Reason> {
    Text::try_from(scratch::keep(bytes))
        .map_err(|cause| Reason::new(code, format!("not UTF-8 at byte {}", cause.valid_up_to())))
}
