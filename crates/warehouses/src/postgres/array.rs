//! Arrays become JSON arrays, nested as deep as they have dimensions.

use serde_json::value::RawValue;
use tidegate_model::{Json, Reason, json};

use super::decode::{Arena, Shape};

/// The JSON form of an array's binary form.
///
/// Numbers without a JSON form (`NaN`, infinities) become strings, so that
/// nothing is lost.
pub fn to_json(element: &Shape, cell: &[u8], arena: &mut Arena) -> Result<Json, Reason> {
    let mut reader = Reader { rest: cell };
    let dimensions = reader.number()?;
    let (_has_nulls, _element_type) = (reader.number()?, reader.number()?);
    let (mut lengths, mut count) = (Vec::new(), 1_usize);
    for _ in 0..dimensions {
        let length = usize::try_from(reader.number()?).map_err(|_| malformed())?;
        let _lower_bound = reader.number()?;
        count = count.saturating_mul(length);
        lengths.push(length);
    }
    // Each element has a length of four bytes at least, and an empty array no dimension.
    if count == 0 || lengths.len() > 6 || (dimensions > 0 && count > cell.len() / 4) {
        return Err(malformed());
    }
    let mut out = String::with_capacity(cell.len());
    if lengths.is_empty() {
        out.push_str("[]");
    } else {
        write_level(element, &lengths, &mut reader, arena, &mut out)?;
    }
    Ok(Json::trusted(out))
}

fn write_level(
    element: &Shape,
    lengths: &[usize],
    reader: &mut Reader<'_>,
    arena: &mut Arena,
    out: &mut String,
) -> Result<(), Reason> {
    let Some((length, inner)) = lengths.split_first() else {
        return write_element(element, reader, arena, out);
    };
    out.push('[');
    for at in 0..*length {
        if at > 0 {
            out.push(',');
        }
        write_level(element, inner, reader, arena, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_element(
    element: &Shape,
    reader: &mut Reader<'_>,
    arena: &mut Arena,
    out: &mut String,
) -> Result<(), Reason> {
    let Ok(length) = usize::try_from(reader.number()?) else {
        out.push_str("null");
        return Ok(());
    };
    let value = element.decode(reader.bytes(length)?, arena)?;
    let before = out.len();
    if value.write_json(out).is_err() {
        out.truncate(before);
        json::write_string(&value.to_text().unwrap_or_default(), out);
    }
    Ok(())
}

/// The text that PostgreSQL reads an array from, of the JSON that [`to_json`] made
/// of it; `None` for what is no JSON array.
pub fn input_text(array: &str, element: &Shape) -> Option<String> {
    let mut out = String::with_capacity(array.len());
    write_input(array, matches!(element, Shape::Json | Shape::Jsonb), &mut out)?;
    Some(out)
}

/// A document may be an array itself: arrays of documents are taken for flat.
fn write_input(array: &str, of_documents: bool, out: &mut String) -> Option<()> {
    out.push('{');
    for (at, item) in serde_json::from_str::<Vec<&RawValue>>(array).ok()?.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match item.get() {
            "null" => out.push_str("NULL"),
            text if of_documents => write_quoted(text, out),
            text if text.starts_with('[') => write_input(text, of_documents, out)?,
            text if text.starts_with('"') => write_quoted(&serde_json::from_str::<String>(text).ok()?, out),
            text => write_quoted(text, out),
        }
    }
    out.push('}');
    Some(())
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<i32, Reason> {
        let (number, rest) = self.rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*number))
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn malformed() -> Reason {
    Reason::new("unknown_form", "an array that cannot be read")
}
