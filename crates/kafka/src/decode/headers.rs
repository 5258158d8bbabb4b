//! Headers as one JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate_model::{Json, json};

/// The headers: text as it is, other bytes as base64. A name that occurs
/// several times has an array of its values, in order.
pub(super) fn object(headers: &[(&str, Option<&[u8]>)]) -> Json {
    if headers.is_empty() {
        return Json::empty_object();
    }
    let mut out = String::from("{");
    for (at, (name, value)) in headers.iter().enumerate() {
        let same = |header: &&(&str, Option<&[u8]>)| header.0 == *name;
        if headers[..at].iter().any(|header| same(&header)) {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        json::write_string(name, &mut out);
        out.push(':');
        let mut others = headers[at + 1..].iter().filter(same).peekable();
        if others.peek().is_none() {
            write(*value, &mut out);
            continue;
        }
        out.push('[');
        write(*value, &mut out);
        for (_, value) in others {
            out.push(',');
            write(*value, &mut out);
        }
        out.push(']');
    }
    out.push('}');
    Json::trusted(out)
}

fn write(value: Option<&[u8]>, out: &mut String) {
    match value.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => out.push_str("null"),
        Some(Ok(text)) => json::write_string(text, out),
        Some(Err(bytes)) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_stands_twice_keeps_both_values() {
        let headers: [(&str, Option<&[u8]>); 5] = [
            ("trace", Some(b"a")),
            ("kind", Some(b"say \"hi\"")),
            ("trace", Some(&[0xff])),
            ("none", None),
            ("trace", None),
        ];

        let json = object(&headers);

        assert_eq!(json.as_str(), r#"{"trace":["a","/w==",null],"kind":"say \"hi\"","none":null}"#);
    }
}
