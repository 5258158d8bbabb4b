//! Streams as names of topics.

use tidegate_model::StreamId;

/// Returns the topic of a stream. Kafka takes letters, digits, hyphens, dots and
/// underscores; the underscore makes room for the rest: `__` is one, `_20` a space.
pub(super) fn topic(prefix: &str, stream: &StreamId) -> String {
    let mut name = prefix.to_owned();
    for byte in stream.as_str().bytes() {
        match byte {
            b'_' => name.push_str("__"),
            b'-' | b'.' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("_{byte:02X}")),
        }
    }
    name
}

/// Returns the stream of a topic; `None` if no stream has this topic.
pub(super) fn stream(prefix: &str, topic: &str) -> Option<StreamId> {
    let mut bytes = topic.strip_prefix(prefix)?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'_' => match bytes.next()? {
                b'_' => b'_',
                high => hex(high)? << 4 | hex(bytes.next()?)?,
            },
            _ => byte,
        });
    }
    let stream = StreamId::new(String::from_utf8(name).ok()?);
    // A topic of another program may start with the same prefix.
    (self::topic(prefix, &stream) == topic).then_some(stream)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_a_topic_of_its_own_and_is_found_by_it() {
        for (name, expected) in
            [("shop", "t.shop"), ("Shop_2", "t.Shop__2"), ("../é b", "t..._2F_C3_A9_20b"), ("_20", "t.__20")]
        {
            let named = topic("t.", &StreamId::new(name));
            assert_eq!(named, expected);
            assert_eq!(stream("t.", &named), Some(StreamId::new(name)));
        }
        for foreign in ["shop", "t.a_b", "t._2f", "t._", "t._C3", "t._+1"] {
            assert_eq!(stream("t.", foreign), None, "{foreign}");
        }
    }
}
