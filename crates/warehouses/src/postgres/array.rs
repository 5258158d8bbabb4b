//! Arrays become JSON arrays, nested as deep as they have dimensions.

use serde_json::value::RawValue;
use tidegate_model::{Json, Reason, Value, json};

/// Returns the JSON form of an array's binary form; `decode` makes the value of one element.
///
/// Numbers without a JSON form (`NaN`, infinities) become strings, so that
/// nothing is lost.
pub fn to_json(cell: &[u8], mut decode: impl FnMut(&[u8]) -> Result<Value, Reason>) -> Result<Json, Reason> {
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
        write_level(&mut decode, &lengths, &mut reader, &mut out)?;
    }
    Ok(Json::trusted(out))
}

fn write_level(
    decode: &mut impl FnMut(&[u8]) -> Result<Value, Reason>,
    lengths: &[usize],
    reader: &mut Reader<'_>,
    out: &mut String,
) -> Result<(), Reason> {
    let Some((length, inner)) = lengths.split_first() else {
        return write_element(decode, reader, out);
    };
    out.push('[');
    for at in 0..*length {
        if at > 0 {
            out.push(',');
        }
        write_level(decode, inner, reader, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_element(
    decode: &mut impl FnMut(&[u8]) -> Result<Value, Reason>,
    reader: &mut Reader<'_>,
    out: &mut String,
) -> Result<(), Reason> {
    let Ok(length) = usize::try_from(reader.number()?) else {
        out.push_str("null");
        return Ok(());
    };
    let value = decode(reader.bytes(length)?)?;
    let before = out.len();
    if value.write_json(out).is_err() {
        out.truncate(before);
        json::write_string(&value.to_text().unwrap_or_default(), out);
    }
    Ok(())
}

/// Returns the text form of an array, as PostgreSQL reads it, from the JSON that [`to_json`] made;
/// `None` if `array` is not a JSON array.
///
/// `of_documents`: the elements are JSON documents, which may be arrays themselves.
pub fn input_text(array: &str, of_documents: bool) -> Option<String> {
    let mut out = String::with_capacity(array.len());
    write_input(array, of_documents, &mut out)?;
    Some(out)
}

/// A document may be an array itself: arrays of documents count as flat.
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
