//! Bodies: read in bounded memory and time, decompressed, or thrown away.

use std::io::Write;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use tidegate_model::{Error, ErrorKind};
use tokio::time::timeout;

use crate::budget::Share;

/// The largest body, as it is sent and decompressed. The largest that a vendor documents is 7 MB.
///
/// Source: Amazon Pinpoint developer guide, quotas.
const BODY_BYTES_MAX: usize = 8 << 20;

/// How long a body may pause. A sender that pauses longer is answered 408.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How much of a refused body is read, and for how long: a sender that is still
/// writing when the connection ends never sees the answer.
const THROWN_AWAY_BYTES_MAX: usize = 16 << 20;
const THROWING_AWAY_MAX: Duration = Duration::from_secs(5);

/// Why a body cannot be taken; with the status, if the kind of the error does not decide it.
pub(super) struct BodyError {
    pub(super) error: Box<Error>,
    pub(super) status: Option<StatusCode>,
}

impl From<Error> for BodyError {
    fn from(error: Error) -> BodyError {
        BodyError { error: Box::new(error), status: None }
    }
}

impl BodyError {
    fn of(status: StatusCode, message: &str, hint: &str) -> BodyError {
        let error = Error::new(ErrorKind::Rejected, message).hint(hint);
        BodyError { error: Box::new(error), status: Some(status) }
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    /// The encoding that the headers name.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Encoding>, BodyError> {
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                let encoding = match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Encoding::Gzip,
                    "deflate" => Encoding::Deflate,
                    _ => return Err(unsupported()),
                };
                if found.replace(encoding).is_some() {
                    return Err(unsupported());
                }
            }
        }
        Ok(found)
    }

    /// Decompresses a body, which is at most [`BODY_BYTES_MAX`] long afterwards.
    pub(super) fn decode(self, sent: &[u8], share: &mut Share) -> Result<Bytes, BodyError> {
        let mut out = Bounded { bytes: Vec::new(), share, refused: None };
        let done = match self {
            Encoding::Gzip => {
                let mut decoder = MultiGzDecoder::new(&mut out);
                decoder.write_all(sent).and_then(|()| decoder.try_finish())
            }
            // HTTP means zlib; some senders leave its header out.
            Encoding::Deflate if has_zlib_header(sent) => {
                let mut decoder = ZlibDecoder::new(&mut out);
                decoder.write_all(sent).and_then(|()| decoder.try_finish())
            }
            Encoding::Deflate => {
                let mut decoder = DeflateDecoder::new(&mut out);
                decoder.write_all(sent).and_then(|()| decoder.try_finish())
            }
        };
        if let Some(refused) = out.refused.take() {
            return Err(refused.into());
        }
        match done {
            Ok(()) => Ok(out.bytes.into()),
            Err(_) => Err(BodyError::of(
                StatusCode::BAD_REQUEST,
                "the body is not compressed as its `Content-Encoding` says, or it is cut off",
                "send it without compression, or look at what changes it on the way",
            )),
        }
    }
}

fn has_zlib_header(sent: &[u8]) -> bool {
    matches!(sent, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31))
}

/// What was decompressed so far, each piece of it held before it is kept.
struct Bounded<'a> {
    bytes: Vec<u8>,
    share: &'a mut Share,
    refused: Option<Error>,
}

impl Write for Bounded<'_> {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        let held = if self.bytes.len() + piece.len() > BODY_BYTES_MAX {
            Err(too_large("the body is larger than 8 MiB when it is decompressed"))
        } else {
            self.share.grow(piece.len())
        };
        if let Err(refused) = held {
            self.refused = Some(refused);
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads a body and holds memory for what came of it: a sender that announces
/// much and sends nothing takes nothing from others.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced: Option<u64> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large("the body is larger than 8 MiB").into());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = timeout(PAUSE_MAX, body.frame()).await.map_err(|_| paused())? {
        let frame = frame.map_err(|_| {
            BodyError::of(
                StatusCode::BAD_REQUEST,
                "the request ended before its body did",
                "send the request again",
            )
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        if read.len() + piece.len() > BODY_BYTES_MAX {
            return Err(too_large("the body is larger than 8 MiB").into());
        }
        share.grow(piece.len())?;
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

/// Reads what is still to come of a body whose sender is answered already.
pub(super) fn throw_away(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(THROWING_AWAY_MAX, async move {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > THROWN_AWAY_BYTES_MAX {
                return;
            }
        }
    }));
}

fn too_large(message: &str) -> Error {
    Error::new(ErrorKind::TooLarge, message).hint("send smaller requests")
}

fn paused() -> BodyError {
    let message = format!("the body did not continue for {} seconds", PAUSE_MAX.as_secs());
    BodyError::of(StatusCode::REQUEST_TIMEOUT, &message, "send the request again")
}

fn unsupported() -> BodyError {
    BodyError::of(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body has a `Content-Encoding` that is not supported",
        "compress it with gzip or deflate, once, or not at all",
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::budget::{Budget, Sender};

    fn share(total: usize) -> Share {
        let sender = Sender { connection: 0, address: Ipv4Addr::LOCALHOST.into() };
        Arc::new(Budget::new(total)).share(sender)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    }

    fn decoded(encoding: Encoding, sent: &[u8]) -> Result<Bytes, ErrorKind> {
        encoding.decode(sent, &mut share(64 << 20)).map_err(|bad| bad.error.kind())
    }

    #[test]
    fn a_compressed_body_is_the_one_that_was_compressed() {
        let text = b"{\"kind\":\"order_placed\"}\n".repeat(1_000);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).expect("written");
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text).expect("written");
        let twice = [gzip(&text[..100]), gzip(&text[100..])].concat();
        for (encoding, sent) in [
            (Encoding::Gzip, gzip(&text)),
            (Encoding::Gzip, twice),
            (Encoding::Deflate, zlib.finish().expect("finished")),
            (Encoding::Deflate, raw.finish().expect("finished")),
        ] {
            assert!(decoded(encoding, &sent).expect("decoded") == text, "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_grows() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decoded(Encoding::Gzip, &bomb), Err(ErrorKind::TooLarge));
        let mut small = share(1 << 20);
        let throttled = Encoding::Gzip.decode(&bomb, &mut small).expect_err("no room");
        assert_eq!(throttled.error.kind(), ErrorKind::Throttled(None));
    }

    #[test]
    fn a_body_that_is_cut_off_or_not_compressed_at_all_is_refused() {
        let whole = gzip(b"{\"kind\":\"order_placed\"}");
        for sent in [&whole[..whole.len() - 9], &whole[..5], b"{\"kind\":\"order_placed\"}", b""] {
            assert_eq!(decoded(Encoding::Gzip, sent), Err(ErrorKind::Rejected), "{} bytes", sent.len());
        }
        assert_eq!(decoded(Encoding::Deflate, b"{\"kind\":\"a\"}"), Err(ErrorKind::Rejected));
    }

    #[test]
    fn an_encoding_that_is_not_known_is_named_unsupported() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(value).expect("a header"));
            }
            Encoding::of(&headers).map_err(|bad| bad.status.map(|status| status.as_u16()))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZip"]), Ok(Some(Encoding::Gzip)));
        assert_eq!(of(&["deflate"]), Ok(Some(Encoding::Deflate)));
        for values in [&["br"][..], &["zstd"], &["gzip, gzip"], &["gzip", "deflate"]] {
            assert_eq!(of(values), Err(Some(415)), "{values:?}");
        }
    }
}
