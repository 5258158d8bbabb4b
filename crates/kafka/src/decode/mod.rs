//! From the bytes of a message to a row.
//!
//! Whatever the format, a value becomes JSON text once: JSON is shared as it
//! came, Avro and Protobuf are written as JSON straight from their bytes.
//! Fields are found in that text in one pass, those of Avro while it is written,
//! and the rest is only copied. A message that cannot be decoded has a reason and
//! stops nothing; only a registry that cannot be asked ends the feed.

mod avro;
mod codec;
mod convert;
mod decimal;
mod fields;
mod headers;
mod parts;
mod protobuf;
mod schemas;
mod scratch;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

use std::path::Path;
use std::sync::Arc;

use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Error, Http, Json, Reason, Row, Value};

pub(crate) use self::settings::FormatSettings;

use self::codec::{Codec, Decoded};
use self::fields::Fields;
use self::parts::{FIXED, MessagePart};
use crate::message::Message;
use crate::registry::{Registry, RegistrySettings};

/// Converts messages to rows.
pub(crate) struct Decoder {
    columns: Arc<Columns>,
    fields: Fields,
    key: Codec,
    value: Codec,
}

impl Decoder {
    /// Reads schema files, relative ones from the folder `project`; asks the
    /// registry nothing yet.
    ///
    /// # Errors
    /// Settings that cannot work together, and schemas that cannot be read.
    pub(crate) fn new(
        settings: &FormatSettings,
        registry: Option<&RegistrySettings>,
        http: Arc<dyn Http>,
        project: &Path,
    ) -> Result<Decoder, Error> {
        settings.check()?;
        let registry = registry.map(|registry| Registry::new(registry, http)).transpose()?.map(Arc::new);
        let codec = |part| Codec::new(settings, part, registry.as_ref(), project);
        let names = settings.fields.keys().map(String::as_str).chain(FIXED.map(|(name, _)| name));
        Ok(Decoder {
            columns: Columns::new(names),
            fields: Fields::new(&settings.fields),
            key: codec(MessagePart::Key)?,
            value: codec(MessagePart::Value)?,
        })
    }

    /// The columns of every row: the fields asked for, then what every message has.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let own = self.columns.names().iter().zip(self.fields.data_types());
        let fixed = FIXED.map(|(name, data_type)| match name {
            "value" if self.value.is_text() => (name, DataType::Text),
            _ => (name, data_type),
        });
        own.map(|(name, data_type)| (name.as_str(), data_type))
            .chain(fixed)
            .map(|(name, data_type)| Column {
                name: name.to_owned(),
                type_name: data_type.to_string(),
                data_type,
            })
            .collect()
    }

    /// The row of a message, or the reason why it is none.
    ///
    /// # Errors
    /// Only errors of the whole feed: the registry cannot be reached or denies
    /// access. The message is untouched then; try again later.
    pub(crate) async fn row(&self, message: &Message<'_>) -> Result<Result<Row, Reason>, Error> {
        let value = match message.payload {
            None => None,
            Some(payload) => match self.value.text(payload, message, &self.fields).await? {
                Ok(decoded) => Some(decoded),
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let key = match message.key {
            None => Value::Null,
            Some(key) => match self.key.cell(key, message).await? {
                Ok(key) => key,
                Err(reason) => {
                    return Ok(Err(Reason::new(reason.code, format!("the key: {}", reason.message))));
                }
            },
        };
        Ok(self.assemble(message, key, value))
    }

    fn assemble(&self, message: &Message<'_>, key: Value, value: Option<Decoded>) -> Result<Row, Reason> {
        let tombstone = value.is_none();
        let mut values = Vec::with_capacity(self.columns.len());
        let value = match value {
            None => {
                values.resize(self.fields.len(), Value::Null);
                Value::Null
            }
            Some(Decoded { text, .. }) if self.value.is_text() => Value::Text(text),
            Some(Decoded { text, found }) => {
                match found {
                    Some(found) => self.fields.read(&text, &found, &mut values)?,
                    None => self.fields.find(&text, &mut values)?,
                }
                Value::Json(Json::trusted(text))
            }
        };
        // One after the other: a list of them would be made first and copied then.
        values.push(key);
        values.push(value);
        values.push(Value::Json(headers::object(&message.headers)));
        values.push(Value::Text(message.topic.clone()));
        values.push(Value::Int(message.partition.into()));
        values.push(Value::Int(message.offset));
        values.push(message.timestamp.map_or(Value::Null, Value::Timestamp));
        values.push(Value::Bool(tombstone));
        Ok(Row { columns: Arc::clone(&self.columns), values })
    }
}
