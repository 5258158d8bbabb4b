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
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
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

use bytes::Bytes;
use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Error, Http, Json, Reason, Row, Value};

pub(crate) use self::settings::FormatSettings;

use self::codec::{Codec, Decoded};
use self::fields::{Fields, Unreadable};
use self::parts::{FIXED, MessagePart};
use crate::message::Message;
use crate::registry::{Registry, RegistrySettings};

/// The index of the value among the columns that every message has.
const VALUE: usize = 1;

/// A message of which something could not be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Damaged {
    /// Why the first unreadable value could not be read.
    pub(crate) reason: Reason,
    /// The row; unreadable values are kept as their bytes.
    pub(crate) row: Row,
    /// The indexes of the values that could not be read.
    pub(crate) unreadable: Vec<usize>,
}

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

    /// Returns the row of a message, or what could be read of it and why not all.
    ///
    /// # Errors
    /// Only errors of the whole feed: the registry cannot be reached or denies
    /// access. The message is untouched then; try again later.
    pub(crate) async fn row(&self, message: &Message<'_>) -> Result<Result<Row, Box<Damaged>>, Error> {
        let value = match message.payload {
            None => None,
            Some(payload) => Some(self.value.text(payload, message, &self.fields).await?),
        };
        let key = match message.key {
            None => Ok(Value::Null),
            Some(key) => self.key.cell(key, message).await?,
        };
        Ok(self.assemble(message, key, value))
    }

    fn assemble(
        &self,
        message: &Message<'_>,
        key: Result<Value, Reason>,
        value: Option<Result<Decoded, Reason>>,
    ) -> Result<Row, Box<Damaged>> {
        let tombstone = value.is_none();
        let mut values = Vec::with_capacity(self.columns.len());
        let (value, mut unreadable) = match value.transpose() {
            Ok(None) => {
                values.resize(self.fields.len(), Value::Absent);
                (Value::Null, Vec::new())
            }
            Ok(Some(Decoded { text, .. })) if self.value.is_text() => (Value::Text(text), Vec::new()),
            Ok(Some(Decoded { text, found })) => {
                let read = match found {
                    Some(found) => Ok(self.fields.read(&text, &found, &mut values)),
                    None => self.fields.find(&text, &mut values),
                };
                match read {
                    Ok(unreadable) => (Value::Json(Json::trusted(text)), unreadable),
                    Err(reason) => self.nothing_of(message, &reason, &mut values),
                }
            }
            Err(reason) => self.nothing_of(message, &reason, &mut values),
        };
        // One after the other: a list of them would be made first and copied then.
        values.push(key.unwrap_or_else(|reason| {
            let reason = Reason::new(reason.code, format!("the key: {}", reason.message));
            unreadable.push((values.len(), reason));
            Value::Bytes(Bytes::copy_from_slice(message.key.unwrap_or_default()))
        }));
        values.push(value);
        values.push(Value::Json(headers::object(&message.headers)));
        values.push(Value::Text(message.topic.clone()));
        values.push(Value::Int(message.partition.into()));
        values.push(Value::Int(message.offset));
        values.push(message.timestamp.map_or(Value::Null, Value::Timestamp));
        values.push(Value::Bool(tombstone));
        let row = Row { columns: Arc::clone(&self.columns), values };
        match unreadable.first() {
            None => Ok(row),
            Some((_, reason)) => {
                let reason = reason.clone();
                let unreadable = unreadable.into_iter().map(|(at, _)| at).collect();
                Err(Box::new(Damaged { reason, row, unreadable }))
            }
        }
    }

    /// Appends the fields of a value of which nothing could be read. Returns the value, its bytes
    /// so that different ones stay different, and the columns that could not be read.
    fn nothing_of(
        &self,
        message: &Message<'_>,
        reason: &Reason,
        values: &mut Vec<Value>,
    ) -> (Value, Vec<Unreadable>) {
        values.clear();
        values.resize(self.fields.len(), Value::Null);
        let value = Value::Bytes(Bytes::copy_from_slice(message.payload.unwrap_or_default()));
        let columns = (0..self.fields.len()).chain([self.fields.len() + VALUE]);
        (value, columns.map(|at| (at, reason.clone())).collect())
    }
}
