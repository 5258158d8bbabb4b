//! Paths, segment by segment.

/// The segments of a path, percent-decoded once; `None` where one is not UTF-8.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').skip(1).map(decoded).collect()
}

/// Returns a percent-encoded text decoded once; `None` if it is not UTF-8.
pub fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decoded("u%2F1%20%C3%A9").as_deref(), Some("u/1 é"));
        assert_eq!(decoded("%2525%").as_deref(), Some("%25%"));
        assert_eq!(decoded("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(decoded("%ff"), None);
    }
}
