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
}
