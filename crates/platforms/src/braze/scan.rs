//! One pass over the bytes of a checked JSON object, without building anything.

use std::ops::ControlFlow;

/// What the pass meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A member's name as it is written, escapes and all.
    Name(&'a str),
    /// A string that is a value, as it is written.
    Text(&'a str),
}

/// Where the pass is.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonContext<'a> {
    /// How many containers are open; 1 inside the outer object.
    pub(super) depth: usize,
    /// The member of the outer object.
    pub(super) member: &'a str,
}

/// Shows every name and every string value of `json` to `see`, in order. Continues with how many
/// containers are inside one another.
///
/// `json` is well-formed; of anything else some pieces are shown and none twice.
pub(super) fn scan<'a, B>(
    json: &'a str,
    mut see: impl FnMut(JsonContext<'a>, Piece<'a>) -> ControlFlow<B>,
) -> ControlFlow<B, usize> {
    let bytes = json.as_bytes();
    let mut context = JsonContext { depth: 0, member: "" };
    let mut deepest = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                context.depth += 1;
                deepest = deepest.max(context.depth);
            }
            b'}' | b']' => context.depth = context.depth.saturating_sub(1),
            b'"' => {
                let start = at;
                at = end_of_string(bytes, at);
                let text = json.get(start..at).unwrap_or_default();
                at += 1;
                if is_name(bytes, at) {
                    if context.depth == 1 {
                        context.member = text;
                    }
                    see(context, Piece::Name(text))?;
                } else {
                    see(context, Piece::Text(text))?;
                }
            }
            _ => {}
        }
    }
    ControlFlow::Continue(deepest)
}

/// The place of the quote that ends the string.
pub(super) fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a colon follows.
pub(super) fn is_name(bytes: &[u8], mut at: usize) -> bool {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    bytes.get(at) == Some(&b':')
}

/// How many characters a string has that is written like this.
pub(super) fn chars(written: &str) -> usize {
    if !written.as_bytes().contains(&b'\\') {
        return written.chars().count();
    }
    let mut count = 0;
    let mut rest = written.chars();
    while let Some(char) = rest.next() {
        count += 1;
        if char == '\\' && rest.next() == Some('u') {
            let digits: String = rest.by_ref().take(4).collect();
            // The second half of a pair belongs to the character before.
            if u16::from_str_radix(&digits, 16).is_ok_and(|unit| (0xdc00..0xe000).contains(&unit)) {
                count -= 1;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(json: &str) -> Vec<(usize, &str, Piece<'_>)> {
        let mut seen = Vec::new();
        let _ = scan(json, |context, piece| {
            seen.push((context.depth, context.member, piece));
            ControlFlow::<()>::Continue(())
        });
        seen
    }

    #[test]
    fn names_and_texts_are_told_apart_at_every_depth() {
        let seen = pieces(r#"{"a" : {"b\"c": ["x", 1, {"d":"y"}]}, "e": "z:"}"#);
        assert_eq!(
            scan(r#"{"a":[{}],"b":[]}"#, |_, _| ControlFlow::<()>::Continue(())),
            ControlFlow::Continue(3)
        );
        assert_eq!(
            seen,
            [
                (1, "a", Piece::Name("a")),
                (2, "a", Piece::Name("b\\\"c")),
                (3, "a", Piece::Text("x")),
                (4, "a", Piece::Name("d")),
                (4, "a", Piece::Text("y")),
                (1, "e", Piece::Name("e")),
                (1, "e", Piece::Text("z:")),
            ]
        );
    }

    #[test]
    fn escapes_count_as_the_characters_they_stand_for() {
        assert_eq!(chars("plain é"), 7);
        assert_eq!(chars(r#"a\nb"#), 3);
        assert_eq!(chars(r"\u00e9\ud83c\udf88"), 2);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\PC\"\\\\{}\\[\\]:]*") {
            pieces(&text);
            chars(&text);
        }

        #[test]
        fn counts_agree_with_serde_json(text in "\\PC*") {
            let written = serde_json::to_string(&text).expect("text");
            prop_assert_eq!(chars(&written[1..written.len() - 1]), text.chars().count());
        }
    }
}
