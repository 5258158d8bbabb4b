//! Repairs bodies that a quote in a value has broken.
//!
//! OneSignal puts values into the template as they are: the author of the
//! stream writes the quotes. A title such as `Say "hi"` then makes a body that is not JSON, and
//! rejecting it would lose the event, and eventually the whole stream. The template has one member per
//! line, so the members can still be told apart.

use serde_json::{Map, Value};

use super::template::{Shape, member};

/// Returns the members of a body that was made from our template and is not JSON; `None` if it was not
/// made from it.
pub(super) fn repair_body(body: &str) -> Option<Map<String, Value>> {
    let inner = body.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut parts: Vec<(&str, Shape, String)> = Vec::new();
    for line in inner.trim_matches(['\r', '\n']).split('\n').map(|line| line.trim_end_matches('\r')) {
        match start(line) {
            Some((name, shape, value)) => {
                if parts.iter().any(|(other, ..)| *other == name) {
                    return None;
                }
                parts.push((name, shape, value.to_owned()));
            }
            // A value that spans several lines.
            None => {
                let (.., value) = parts.last_mut()?;
                value.push('\n');
                value.push_str(line);
            }
        }
    }
    let count = parts.len();
    let mut members = Map::new();
    for (at, (name, shape, value)) in parts.into_iter().enumerate() {
        let value = value.trim();
        let value = if at + 1 < count { value.strip_suffix(',')? } else { value };
        members.insert(name.to_owned(), read(shape, value)?);
    }
    Some(members)
}

/// Returns the member that a line starts, and the text after its colon.
fn start(line: &str) -> Option<(&'static str, Shape, &str)> {
    let (name, value) = line.trim_start().strip_prefix('"')?.split_once("\": ")?;
    let member = member(name).filter(|member| member.name == name)?;
    Some((member.name, member.shape, value))
}

fn read(shape: Shape, value: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(value) {
        return Some(value);
    }
    // Tags are kept as the text that they are.
    if shape == Shape::Object {
        return Some(Value::from(value));
    }
    Some(Value::from(value.strip_prefix('"')?.strip_suffix('"')?))
}

/// The value of a body in another layout than ours whose texts hold quotes or line
/// breaks that were not escaped.
///
/// A quote ends a text if what follows it could follow: a comma with the next
/// name, or the end of what it is in.
pub(super) fn requoted(body: &str) -> Option<Value> {
    let mut out = String::with_capacity(body.len() + 16);
    let mut inside = Vec::new();
    let mut name_next = false;
    let mut rest = body;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        if letter == '"' {
            let end = if name_next { after.find('"')? } else { end_of_text(after, inside.last().copied()?)? };
            out.push('"');
            escape(&after[..end], &mut out);
            out.push('"');
            rest = &after[end + 1..];
            name_next = false;
            continue;
        }
        match letter {
            '{' | '[' => inside.push(letter),
            '}' | ']' => drop(inside.pop()?),
            _ => {}
        }
        if matches!(letter, '{' | ',' | '[') {
            name_next = inside.last() == Some(&'{');
        }
        out.push(letter);
        rest = after;
    }
    serde_json::from_str(&out).ok()
}

/// Where the text ends that starts `text`: its closing quote.
fn end_of_text(text: &str, inside: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if letter == '"' && !escaped && closes(text[at + 1..].trim_start(), inside) {
            return Some(at);
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

/// Whether this can follow the end of a text.
fn closes(rest: &str, inside: char) -> bool {
    if let Some(next) = rest.strip_prefix(',') {
        let next = next.trim_start();
        let named = next.strip_prefix('"').and_then(|name| name.split_once('"'));
        return inside == '[' || named.is_some_and(|(_, rest)| rest.trim_start().starts_with(':'));
    }
    let end = if inside == '{' { '}' } else { ']' };
    rest.strip_prefix(end).is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with([',', '}', ']'])
    })
}

/// Writes the inside of a text, with escapes if there are none.
fn escape(text: &str, out: &mut String) {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => {
                out.push('\\');
                match letters
                    .next_if(|next| matches!(next, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u'))
                {
                    Some(next) => out.push(next),
                    None => out.push('\\'),
                }
            }
            _ => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_line_breaks_in_values_stay_in_them() {
        let body = "{\r\n  \"event_id\": \"e1\",\r\n  \"message_title\": \"Say \"hi\", Bob\",\r\n  \
                    \"message_contents\": \"one\ntwo \\ three\",\n  \"tags\": {\"a\"=>\"b\"},\n  \"url\": \"é\\n\"\n}\n";
        let members = repair_body(body).expect("made from the template");
        let expected = serde_json::json!({
            "event_id": "e1",
            "message_title": "Say \"hi\", Bob",
            "message_contents": "one\ntwo \\ three",
            "tags": "{\"a\"=>\"b\"}",
            "url": "é\n",
        });
        assert_eq!(Value::Object(members), expected);
    }

    #[test]
    fn a_body_that_was_not_made_from_the_template_is_left_alone() {
        for body in
            ["", "{", "{}", "[\"a\"", "{\"event_id\": e1}", "{\n\"event_id\": \"a\",\n\"event_id\": \"b\"\n}"]
        {
            assert_eq!(repair_body(body), None, "{body}");
        }
    }

    #[test]
    fn quotes_in_bodies_of_another_layout_stay_in_their_texts() {
        for (body, expected) in [
            (
                r#"{"event":{"id":"e1","kind":"k"},"message":{"title":"Flash "Sale", today","n":1}}"#,
                serde_json::json!({ "event": { "id": "e1", "kind": "k" }, "message": { "title": "Flash \"Sale\", today", "n": 1 } }),
            ),
            (
                "{\"a\":\"\"quoted\"\",\n \"b\" : \"two\nlines\", \"c\": \"C:\\dir\\x\"}",
                serde_json::json!({ "a": "\"quoted\"", "b": "two\nlines", "c": "C:\\dir\\x" }),
            ),
            (
                r#"[{"tags":["a "b"","c"],"note":"already \"escaped\" and "not""}]"#,
                serde_json::json!([{ "tags": ["a \"b\"", "c"], "note": "already \"escaped\" and \"not\"" }]),
            ),
        ] {
            assert_eq!(requoted(body), Some(expected), "{body}");
        }
        for body in ["", "{", "\"", "{\"a\":\"b", "{\"a\":}", "]", "{\"a\":\"b\"}}"] {
            assert_eq!(requoted(body), None, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "[\\[\\]{}\"\\\\,: a\n\u{e9}]{0,40}") {
            let _ = requoted(&body);
            let _ = repair_body(&body);
        }

        #[test]
        fn any_text_between_quotes_is_found_again(text in "[a-z \"',.!\u{e9}]{0,30}") {
            // A text that looks like the end of one cannot be told from it.
            proptest::prop_assume!(!text.trim_end().ends_with(','));
            let body = format!("{{\"id\":\"1\",\"title\":\"{text}\",\"kind\":\"k\"}}");
            let found = requoted(&body).expect("read");
            proptest::prop_assert_eq!(&found["title"], &Value::from(text));
        }
    }
}
