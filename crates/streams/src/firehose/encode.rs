//! Bodies of requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tidegate_model::LoggedEvent;
use tidegate_model::json::{write_on_one_line, write_string};

use super::settings::Target;
use crate::shape::{Writer, base64_len};

/// Bytes of a record before base64. Source: AWS docs, PutRecordBatch: 1,000 KiB.
pub(super) const RECORD_MAX: usize = 1_000 << 10;
/// Bytes around a record: `{"Data":""},`.
const AROUND: usize = 12;

/// Bytes of a record as the service counts them, before base64.
pub(super) fn size(target: &Target, writer: &Writer, logged: &LoggedEvent) -> usize {
    writer.size(logged, RECORD_MAX) + usize::from(target.newline)
}

/// About how many bytes a record takes in a request.
pub(super) fn estimated_size(target: &Target, writer: &Writer, logged: &LoggedEvent) -> usize {
    AROUND + base64_len(writer.estimated_size(logged) + usize::from(target.newline))
}

/// `PutRecordBatch`. Source: AWS docs, Firehose API reference, PutRecordBatch.
pub(super) fn put_record_batch(target: &Target, writer: &Writer, events: &[LoggedEvent]) -> Bytes {
    let bytes: usize = events.iter().map(|logged| estimated_size(target, writer, logged)).sum();
    let mut body = String::with_capacity(bytes + 256);
    body.push_str("{\"DeliveryStreamName\":");
    write_string(&target.delivery_stream, &mut body);
    body.push_str(",\"Records\":[");
    let mut line = String::new();
    for (at, logged) in events.iter().enumerate() {
        body.push_str(if at == 0 { "{\"Data\":\"" } else { ",{\"Data\":\"" });
        let text = writer.write(logged);
        if target.newline {
            line.clear();
            write_on_one_line(&text, &mut line);
            line.push('\n');
            STANDARD.encode_string(&line, &mut body);
        } else {
            STANDARD.encode_string(text.as_bytes(), &mut body);
        }
        body.push_str("\"}");
    }
    body.push_str("]}");
    body.into()
}
