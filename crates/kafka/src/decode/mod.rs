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

/// The indexes of some columns that every message has among them.
const KEY: usize = 0;
const VALUE: usize = 1;
const HEADERS: usize = 2;

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
    /// Which of the columns that every message has are asked for.
    fixed: [bool; FIXED.len()],
    /// The places of the columns that are asked for, if not all of them are.
    kept: Option<Vec<usize>>,
    /// The columns of a row.
    shown: Arc<Columns>,
    /// The columns of a row of which something could not be read: its key and its headers are added.
    shown_damaged: Arc<Columns>,
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
        let columns = Columns::new(names);
        Ok(Decoder {
            shown: Arc::clone(&columns),
            shown_damaged: Arc::clone(&columns),
            columns,
            fields: Fields::new(&settings.fields),
            fixed: [true; FIXED.len()],
            kept: None,
            key: codec(MessagePart::Key)?,
            value: codec(MessagePart::Value)?,
        })
    }

    /// Returns the decoder of rows that have these columns alone, in this order. What none of them needs
    /// is not decoded and rejects no message. A message that is damaged has its key and its headers
    /// too, behind them.
    pub(crate) fn with_only(mut self, columns: &[String]) -> Decoder {
        self.fixed = FIXED.map(|(name, _)| columns.iter().any(|column| column == name));
        let kept: Vec<usize> = columns.iter().filter_map(|name| self.columns.position(name)).collect();
        let mut names: Vec<&str> = kept.iter().map(|&at| self.columns.names()[at].as_str()).collect();
        self.shown = Columns::new(names.iter().copied());
        names.extend([KEY, HEADERS].into_iter().filter(|&at| !self.fixed[at]).map(|at| FIXED[at].0));
        self.shown_damaged = Columns::new(names);
        self.kept = Some(kept);
        self
    }

    /// Whether the value itself is a column.
    fn wants_value(&self) -> bool {
        self.fixed[VALUE]
    }

    /// Returns the columns of every row: the fields asked for, then those that every message has; or
    /// those of them that are asked for.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let own = self.columns.names().iter().zip(self.fields.data_types());
        let fixed = FIXED.map(|(name, data_type)| match name {
            "value" if self.value.is_text() => (name, DataType::Text),
            _ => (name, data_type),
        });
        let all = own.map(|(name, data_type)| (name.as_str(), data_type)).chain(fixed);
        let all: Vec<Column> = all
            .map(|(name, data_type)| Column {
                name: name.to_owned(),
                type_name: data_type.to_string(),
                data_type,
            })
            .collect();
        match &self.kept {
            None => all,
            Some(kept) => kept.iter().map(|&at| all[at].clone()).collect(),
        }
    }

    /// Returns the row of a message, or what could be read of it and why not all.
    ///
    /// # Errors
    /// Only errors of the whole feed: the registry cannot be reached or denies
    /// access. The message is untouched then; try again later.
    pub(crate) async fn row(&self, message: &Message<'_>) -> Result<Result<Row, Box<Damaged>>, Error> {
        let value = match message.payload {
            Some(payload) if self.wants_value() || self.fields.len() > 0 => {
                Some(self.value.text(payload, message, &self.fields, self.wants_value()).await?)
            }
            _ => None,
        };
        let key = match message.key {
            Some(key) if self.fixed[KEY] => self.key.cell(key, message).await?,
            _ => Ok(Value::Null),
        };
        match self.assemble(message, key, value) {
            Ok(row) => Ok(Ok(row)),
            Err(mut damaged) => {
                self.add_key_and_headers(message, &mut damaged.row).await;
                Ok(Err(damaged))
            }
        }
    }

    /// Adds what tells a damaged message from others, unless it is asked for anyway. A key that cannot
    /// be read is added as its bytes.
    async fn add_key_and_headers(&self, message: &Message<'_>, row: &mut Row) {
        row.columns = Arc::clone(&self.shown_damaged);
        if !self.fixed[KEY] {
            row.values.push(match message.key {
                None => Value::Null,
                Some(key) => match self.key.cell(key, message).await {
                    Ok(Ok(value)) => value,
                    // Nor does a registry that is down stop anything here.
                    Ok(Err(_)) | Err(_) => Value::Bytes(Bytes::copy_from_slice(key)),
                },
            });
        }
        if !self.fixed[HEADERS] {
            row.values.push(Value::Json(headers::object(&message.headers)));
        }
    }

    fn assemble(
        &self,
        message: &Message<'_>,
        key: Result<Value, Reason>,
        value: Option<Result<Decoded, Reason>>,
    ) -> Result<Row, Box<Damaged>> {
        let tombstone = message.payload.is_none();
        let mut values = Vec::with_capacity(self.columns.len());
        let (value, mut unreadable) = match value.transpose() {
            Ok(None) => {
                values.resize(self.fields.len(), Value::Absent);
                (Value::Null, Vec::new())
            }
            Ok(Some(Decoded { text, .. })) if self.value.is_text() => (Value::Text(text), Vec::new()),
            Ok(Some(Decoded { text, found, lossy })) => {
                let read = match found {
                    Some(found) => Ok(self.fields.read(&text, &found, &mut values)),
                    None => self.fields.find(&text, &mut values),
                };
                match read {
                    Ok(mut unreadable) => {
                        lossy.iter().for_each(|reason| altered(&values, reason, &mut unreadable));
                        (Value::Json(Json::trusted(text)), unreadable)
                    }
                    // Text that is none at all is the better reason.
                    Err(reason) => self.nothing_of(message, &lossy.unwrap_or(reason), &mut values),
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
        values.push(match self.fixed[HEADERS] {
            true => Value::Json(headers::object(&message.headers)),
            false => Value::Null,
        });
        values.push(Value::Text(message.topic.clone()));
        values.push(Value::Int(message.partition.into()));
        values.push(Value::Int(message.offset));
        values.push(message.timestamp.map_or(Value::Null, Value::Timestamp));
        values.push(Value::Bool(tombstone));
        self.leave_out(&mut values, &mut unreadable);
        let row = Row { columns: Arc::clone(&self.shown), values };
        match unreadable.first() {
            None => Ok(row),
            Some((_, reason)) => {
                let reason = reason.clone();
                let unreadable = unreadable.into_iter().map(|(at, _)| at).collect();
                Err(Box::new(Damaged { reason, row, unreadable }))
            }
        }
    }

    /// Leaves the columns that are asked for, in the order that is asked for.
    fn leave_out(&self, values: &mut Vec<Value>, unreadable: &mut Vec<Unreadable>) {
        let Some(kept) = &self.kept else { return };
        *values = kept.iter().map(|&at| values.get_mut(at).map(std::mem::take).unwrap_or_default()).collect();
        let place = |at: usize| kept.iter().position(|kept| *kept == at);
        let left = unreadable.drain(..).filter_map(|(at, reason)| Some((place(at)?, reason)));
        *unreadable = left.collect();
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

/// Adds the fields of which a part is no text.
fn altered(values: &[Value], reason: &Reason, unreadable: &mut Vec<Unreadable>) {
    for (at, value) in values.iter().enumerate() {
        let text = match value {
            Value::Text(text) => text,
            Value::Json(json) => json.text(),
            _ => continue,
        };
        if text.contains(char::REPLACEMENT_CHARACTER) && !unreadable.iter().any(|(known, _)| *known == at) {
            unreadable.push((at, reason.clone()));
        }
    }
}
