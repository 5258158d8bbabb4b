//! Text in the addresses of requests: paths segment by segment, values of a query.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the segments of a path, percent-decoded once; `None` if one is not UTF-8.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').skip(1).map(decoded).collect()
}

/// Returns a percent-encoded text decoded once; `None` if it is not UTF-8.
pub fn decoded(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

/// Returns a text as one segment of a path, one value of a query or one field of a form.
pub fn encoded(segment: &str) -> impl Display + '_ {
    utf8_percent_encode(segment, RESERVED)
}

/// Returns a path whose segments are percent-encoded; `/` separates them.
pub fn encoded_path(path: &str) -> String {
    const BETWEEN: &AsciiSet = &RESERVED.remove(b'/');
    utf8_percent_encode(path, BETWEEN).to_string()
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

    #[test]
    fn characters_with_a_meaning_in_an_address_are_encoded() {
        assert_eq!(encoded("a/b c?é~-._").to_string(), "a%2Fb%20c%3F%C3%A9~-._");
        assert_eq!(encoded_path("/a b/c+d"), "/a%20b/c%2Bd");
    }
}
