//! One pass over the containers of a checked JSON object: what they hold, without building anything.

use std::ops::ControlFlow;

use super::scan::{JsonContext, end_of_string, is_name};

/// What the pass meets, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A member's name as it is written.
    Name(&'a str),
    /// A value in a member or an array; of containers their beginning.
    Value(Kind<'a>),
    /// The end of a container.
    End(Contents),
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A text as it is written.
    Text(&'a str),
    /// `null`.
    Null,
    /// A number.
    Number,
    /// True or false.
    Plain,
    /// An object, of which the steps follow.
    Object,
    /// An array, of which the steps follow.
    Array,
}

/// The contents of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Whether it is an array.
    pub(super) array: bool,
    /// How many values it holds.
    pub(super) values: usize,
    /// How many of the values are texts.
    pub(super) texts: usize,
    /// How many of the values are containers.
    pub(super) containers: usize,
    /// Its length as JSON, in bytes.
    pub(super) bytes: usize,
}

/// Shows the steps of `json`, each with the place of the container that it is in.
///
/// `json` is well-formed; anything else is shown somehow, and nothing panics.
pub(super) fn walk<'a, B>(
    json: &'a str,
    mut see: impl FnMut(JsonContext<'a>, Step<'a>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let bytes = json.as_bytes();
    let mut place = JsonContext { depth: 0, member: "" };
    let mut open: Vec<Contents> = Vec::with_capacity(8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let kind = match byte {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'}' | b']' => {
                let Some(mut ended) = open.pop() else { continue };
                ended.bytes = at.saturating_sub(ended.bytes);
                place.depth = open.len();
                see(place, Step::End(ended))?;
                continue;
            }
            b'"' => {
                at = end_of_string(bytes, at);
                let text = json.get(start + 1..at).unwrap_or_default();
                at += 1;
                if is_name(bytes, at) {
                    if place.depth == 1 {
                        place.member = text;
                    }
                    see(place, Step::Name(text))?;
                    continue;
                }
                Kind::Text(text)
            }
            b'n' | b't' | b'f' | b'-' | b'0'..=b'9' => {
                let more = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                at += bytes[at..].iter().take_while(more).count();
                match byte {
                    b'n' => Kind::Null,
                    b't' | b'f' => Kind::Plain,
                    _ => Kind::Number,
                }
            }
            _ => continue,
        };
        let container = matches!(kind, Kind::Object | Kind::Array);
        if let Some(around) = open.last_mut() {
            around.values += 1;
            around.texts += usize::from(matches!(kind, Kind::Text(_)));
            around.containers += usize::from(container);
            see(place, Step::Value(kind))?;
        }
        if container {
            // Its beginning is kept in `bytes` until it ends.
            open.push(Contents { array: byte == b'[', bytes: start, ..Contents::default() });
            place.depth = open.len();
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(json: &str) -> Vec<(usize, &str, Step<'_>)> {
        let mut seen = Vec::new();
        let _ = walk(json, |place, step| {
            seen.push((place.depth, place.member, step));
            ControlFlow::<()>::Continue(())
        });
        seen
    }

    #[test]
    fn containers_end_with_what_they_held() {
        let end = |array, values, texts, containers, bytes| {
            Step::End(Contents { array, values, texts, containers, bytes })
        };
        assert_eq!(
            steps(r#"{"a":[1,"x", -2.5e3,{"b":null}],"c":true}"#),
            [
                (1, "a", Step::Name("a")),
                (1, "a", Step::Value(Kind::Array)),
                (2, "a", Step::Value(Kind::Number)),
                (2, "a", Step::Value(Kind::Text("x"))),
                (2, "a", Step::Value(Kind::Number)),
                (2, "a", Step::Value(Kind::Object)),
                (3, "a", Step::Name("b")),
                (3, "a", Step::Value(Kind::Null)),
                (2, "a", end(false, 1, 0, 0, 10)),
                (1, "a", end(true, 4, 1, 1, 26)),
                (1, "c", Step::Name("c")),
                (1, "c", Step::Value(Kind::Plain)),
                (0, "c", end(false, 2, 0, 1, 41)),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\PC\"\\\\{}\\[\\]:,n0]*") {
            steps(&text);
        }
    }
}
