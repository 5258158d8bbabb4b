//! What OpenSearch answers to a bulk request when it takes everything.
//!
//! Source: OpenSearch docs, Bulk API.

use std::io::Write as _;

use memchr::memmem;

/// The beginning of the line before a document.
const ACTION: &[u8] = b"{\"create\":{";

/// The number of documents of a body.
pub(super) fn documents(body: &[u8]) -> usize {
    memmem::find_iter(body, ACTION).filter(|at| *at == 0 || body[at - 1] == b'\n').count()
}

/// The answer to this many documents.
pub(super) fn taken(documents: usize, out: &mut Vec<u8>) {
    const ITEM: &str = r#"{"create":{"_index":"bench","_id":"00000000000000000000","_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}},"#;
    let body = r#"{"took":1,"errors":false,"items":["#;
    let length = body.len() + (documents * ITEM.len()).saturating_sub(1) + 2;
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("writing to memory cannot fail");
    for _ in 0..documents {
        out.extend_from_slice(ITEM.as_bytes());
    }
    if documents > 0 {
        out.pop();
    }
    out.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_one_entry_for_each_document() {
        let body = b"{\"create\":{\"_id\":\"1\"}}\n{\"a\":\"{\\\"create\\\":{\"}\n{\"create\":{\"_id\":\"2\"}}\n{}\n";
        assert_eq!(documents(body), 2);
        for documents in [0, 1, 500] {
            let mut answer = Vec::new();
            taken(documents, &mut answer);

            let body = memmem::find(&answer, b"\r\n\r\n").unwrap() + 4;
            let length = format!("Content-Length: {}\r\n", answer.len() - body);
            assert!(memmem::find(&answer[..body], length.as_bytes()).is_some());
            let body: serde_json::Value = serde_json::from_slice(&answer[body..]).unwrap();
            assert_eq!(body["items"].as_array().unwrap().len(), documents);
        }
    }
}
