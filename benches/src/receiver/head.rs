//! What the receiver needs to know of a request.

use memchr::memmem;

/// A body larger than this is no request of ours.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where the body begins.
    pub(super) bytes: usize,
    /// How long the body is.
    pub(super) body_bytes: usize,
    /// What is asked for.
    pub(super) asks_for: Ask,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// That its body is taken.
    Take,
    /// What was counted.
    Counts,
    /// What a Kinesis stream looks like.
    Stream,
}

/// A request that the receiver cannot count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uncountable;

impl Head {
    /// Reads the head, if all of it is there.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Head>, Uncountable> {
        let Some(end) = memmem::find(input, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&input[..end]).map_err(|_| Uncountable)?;
        let mut lines = text.split("\r\n");
        let mut asks_for = match lines.next() {
            Some(line) if line.starts_with("GET /counts ") => Ask::Counts,
            _ => Ask::Take,
        };
        let mut body_bytes = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body_bytes = value.trim().parse().map_err(|_| Uncountable)?;
            } else if name.eq_ignore_ascii_case("x-amz-target") && value.contains(".Describe") {
                asks_for = Ask::Stream;
            } else if name.eq_ignore_ascii_case("transfer-encoding")
                || name.eq_ignore_ascii_case("content-encoding")
            {
                return Err(Uncountable);
            }
        }
        if body_bytes > BODY_BYTES_MAX {
            return Err(Uncountable);
        }
        Ok(Some(Head { bytes: end + 4, body_bytes, asks_for }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_how_long_the_body_is_and_what_is_asked_for() {
        let put =
            b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\ncontent-length: 7\r\n\r\n";
        let head = Head { bytes: put.len(), body_bytes: 7, asks_for: Ask::Take };
        assert_eq!(Head::parse(&put[..20]), Ok(None));
        assert_eq!(Head::parse(put), Ok(Some(head)));
        let describe = b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.DescribeStreamSummary\r\n\r\n";
        assert_eq!(Head::parse(describe).unwrap().unwrap().asks_for, Ask::Stream);
    }
}
