//! What Amazon Kinesis answers when it takes everything.
//!
//! Source: AWS docs, Kinesis API reference, PutRecords, DescribeStream and DescribeStreamSummary.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// The text before the data of a record.
const DATA: &[u8] = b"\"Data\":";

/// The data of the records of a body, in base64.
pub(super) fn records(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(body, DATA).filter_map(|at| {
        let rest = &body[at + DATA.len()..];
        // Python writes a space after the colon.
        let start = rest.iter().position(|byte| *byte == b'"')? + 1;
        let end = start + memchr::memchr(b'"', &rest[start..])?;
        Some(&rest[start..end])
    })
}

/// The data of a record as it was sent; nothing for what is no base64.
pub(super) fn data(record: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if STANDARD.decode_vec(record, out).is_err() {
        out.clear();
    }
}

/// The answer to this many records.
pub(super) fn taken(records: usize, out: &mut Vec<u8>) {
    const RECORD: &str = r#"{"SequenceNumber":"49543463076548007577105092703039560359975228518395012686","ShardId":"shardId-000000000000"},"#;
    let body = r#"{"FailedRecordCount":0,"EncryptionType":"NONE","Records":["#;
    let listed = (records * RECORD.len()).saturating_sub(1);
    head(body.len() + listed + 2, out);
    out.extend_from_slice(body.as_bytes());
    for _ in 0..records {
        out.extend_from_slice(RECORD.as_bytes());
    }
    if records > 0 {
        out.pop();
    }
    out.extend_from_slice(b"]}");
}

/// A stream that is active: members for both questions about it.
pub(super) fn described(out: &mut Vec<u8>) {
    let about = r#""StreamName":"bench","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/bench","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1772323200,"EnhancedMonitoring":[]"#;
    let body = format!(
        r#"{{"StreamDescription":{{{about},"HasMoreShards":false,"Shards":[]}},"StreamDescriptionSummary":{{{about},"OpenShardCount":1}}}}"#
    );
    head(body.len(), out);
    out.extend_from_slice(body.as_bytes());
}

fn head(body_bytes: usize, out: &mut Vec<u8>) {
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {body_bytes}\r\n\
         x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n\r\n"
    )
    .expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_one_entry_for_each_record() {
        for records in [0, 1, 500] {
            let mut answer = Vec::new();
            taken(records, &mut answer);

            let body = memmem::find(&answer, b"\r\n\r\n").unwrap() + 4;
            let length = format!("Content-Length: {}\r\n", answer.len() - body);
            assert!(memmem::find(&answer[..body], length.as_bytes()).is_some());
            let body: serde_json::Value = serde_json::from_slice(&answer[body..]).unwrap();
            assert_eq!(body["Records"].as_array().unwrap().len(), records);
        }
    }

    #[test]
    fn records_are_found_however_the_json_is_spaced() {
        let body =
            br#"{"Records":[{"Data":"YQ==","PartitionKey":"k"},{"PartitionKey": "k", "Data": "Yg=="}]}"#;
        let mut out = Vec::new();
        let found: Vec<Vec<u8>> = records(body)
            .map(|record| {
                data(record, &mut out);
                out.clone()
            })
            .collect();
        assert_eq!(found, [b"a", b"b"]);
    }
}
