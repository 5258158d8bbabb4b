//! Keys that stand twice in one mapping.
//!
//! Read as data, the second would silently take the place of the first, and
//! with it a whole sync.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::yaml::Place;

/// A node that is open.
enum Level {
    /// A mapping, its keys so far, and whether a key comes next.
    Mapping { keys: HashMap<String, usize>, key_next: bool },
    /// A list.
    Sequence,
}

/// The first key that stands twice: its second place, itself and the line of its first place.
pub(super) fn repeated(text: &str) -> Option<(Place, String, usize)> {
    let mut open: Vec<Level> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return None };
        let begins = matches!(
            event,
            Event::Scalar(..) | Event::Alias(..) | Event::MappingStart(..) | Event::SequenceStart(..)
        );
        if begins && let Some(Level::Mapping { keys, key_next }) = open.last_mut() {
            if *key_next
                && let Event::Scalar(key, ..) = &event
                && let Some(first) = keys.insert(key.to_string(), span.start.line())
            {
                return Some(((span.start.line(), span.start.col() + 1), key.to_string(), first));
            }
            *key_next = !*key_next;
        }
        match event {
            Event::MappingStart(..) => open.push(Level::Mapping { keys: HashMap::new(), key_next: true }),
            Event::SequenceStart(..) => open.push(Level::Sequence),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::repeated;

    #[test]
    fn a_key_may_stand_once_in_each_mapping() {
        for text in ["a: 1\nb: 1", "a: { a: 1 }\nb: { a: 1 }", "- a: 1\n- a: 1", "a: a\nb: a", "a: [a, a]"] {
            assert_eq!(repeated(text), None, "{text}");
        }
        assert_eq!(repeated("a: 1\nb: 1\na: 2"), Some(((3, 1), "a".to_owned(), 1)));
        assert_eq!(repeated("a: { b: 1, c: [x], b: 2 }"), Some(((1, 20), "b".to_owned(), 1)));
    }
}
