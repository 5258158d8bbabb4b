//! Messages with a value that has no form in Protobuf's JSON mapping: an `Any` of an
//! unknown type, a `Timestamp` or `Duration` out of its range, a `NaN` in a `Struct`.
//!
//! Such a value becomes its plain fields, an `Any` its type and its bytes in base64, so
//! that one of them does not reject the message around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use tidegate_model::json;

use super::OPTIONS;

/// Appends the JSON of a message.
pub(super) fn write(message: &DynamicMessage, out: &mut Vec<u8>) {
    let descriptor = message.descriptor();
    if descriptor.full_name().starts_with("google.protobuf.") {
        let from = out.len();
        let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut *out), &OPTIONS);
        if written.is_ok() {
            return;
        }
        out.truncate(from);
        if descriptor.full_name() == "google.protobuf.Any" {
            return any(message, out);
        }
    }
    out.push(b'{');
    let from = out.len();
    for field in descriptor.fields() {
        if !field.supports_presence() || message.has_field(&field) {
            name(field.name(), from, out);
            value(&message.get_field(&field), &field.kind(), out);
        }
    }
    for (extension, found) in message.extensions() {
        name(extension.json_name(), from, out);
        value(found, &extension.kind(), out);
    }
    out.push(b'}');
}

/// Appends an `Any` whose type is not known: its name and its bytes, as far as there are any.
fn any(message: &DynamicMessage, out: &mut Vec<u8>) {
    out.push(b'{');
    let from = out.len();
    if let Some(Value::String(url)) = message.get_field_by_name("type_url").as_deref()
        && !url.is_empty()
    {
        name("@type", from, out);
        json::write_bytes(url.as_bytes(), out);
    }
    if let Some(Value::Bytes(bytes)) = message.get_field_by_name("value").as_deref()
        && !bytes.is_empty()
    {
        name("value", from, out);
        base64(bytes, out);
    }
    out.push(b'}');
}

/// Appends the name of a member of the object that begins at `from`.
fn name(name: &str, from: usize, out: &mut Vec<u8>) {
    if out.len() > from {
        out.push(b',');
    }
    json::write_bytes(name.as_bytes(), out);
    out.push(b':');
}

fn value(value: &Value, kind: &Kind, out: &mut Vec<u8>) {
    match value {
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::I32(number) => digits(itoa::Buffer::new().format(*number), out),
        Value::I64(number) => digits(itoa::Buffer::new().format(*number), out),
        Value::U32(number) => digits(itoa::Buffer::new().format(*number), out),
        Value::U64(number) => digits(itoa::Buffer::new().format(*number), out),
        Value::F32(number) => float((*number).into(), zmij::Buffer::new().format(*number), out),
        Value::F64(number) => float(*number, zmij::Buffer::new().format(*number), out),
        Value::String(text) => json::write_bytes(text.as_bytes(), out),
        Value::Bytes(bytes) => base64(bytes, out),
        Value::EnumNumber(number) => {
            let named = kind.as_enum().and_then(|kind| kind.get_value(*number));
            match named {
                Some(named) => json::write_bytes(named.name().as_bytes(), out),
                None => digits(itoa::Buffer::new().format(*number), out),
            }
        }
        Value::Message(message) => write(message, out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self::value(item, kind, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            let of_values = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            out.push(b'{');
            let from = out.len();
            for (key, entry) in entries {
                name(&text_of(key), from, out);
                self::value(entry, of_values.as_ref().unwrap_or(kind), out);
            }
            out.push(b'}');
        }
    }
}

fn text_of(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn digits(digits: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(digits.as_bytes());
}

fn float(number: f64, text: &str, out: &mut Vec<u8>) {
    digits(
        match number {
            _ if number.is_finite() => text,
            _ if number.is_nan() => "\"NaN\"",
            _ if number > 0.0 => "\"Infinity\"",
            _ => "\"-Infinity\"",
        },
        out,
    );
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    json::write_bytes(STANDARD.encode(bytes).as_bytes(), out);
}
