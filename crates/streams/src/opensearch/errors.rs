//! What a cluster says when it refuses.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Reason};
use tidegate_transport::http::answer::{self, RequestError};
use tidegate_transport::http::retry_after::retry_at;

use super::TITLE;

/// Phrases of reasons that are followed by a value of the document.
///
/// Source: OpenSearch, `FieldMapper.parse` and `DocumentsWriterPerThread`.
const BEFORE_VALUES: [&str; 2] = ["Preview of field's value", "The prefix of the first immense term"];

/// An error of a request or of one item. Source: OpenSearch docs, Bulk API, "Response".
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fault {
    /// A name such as `mapper_parsing_exception`.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    /// A sentence.
    #[serde(default)]
    reason: Option<String>,
}

impl Fault {
    /// Reads the body of an answer: `{"error": {"type": …, "reason": …}}`; of AWS in front of a
    /// domain `{"message": …}`.
    pub(super) fn read(body: &[u8]) -> Fault {
        #[derive(Deserialize)]
        struct Answer {
            error: Fault,
        }
        match serde_json::from_slice::<Answer>(body) {
            Ok(Answer { error }) => error,
            Err(_) => Fault { kind: String::new(), reason: Some(answer::excerpt(body)) },
        }
    }

    /// Returns the reason, as far as it holds no value of a document.
    pub(super) fn said(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        let end = BEFORE_VALUES.iter().filter_map(|words| reason.find(words)).min();
        answer::excerpt(&reason.as_bytes()[..end.unwrap_or(reason.len())])
            .trim_end_matches(['.', ' '])
            .to_owned()
    }

    /// Returns the kind as a name to group by.
    pub(super) fn code(&self) -> String {
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        match self.kind.as_str() {
            kind if !kind.is_empty() && kind.len() < 80 && word(kind) => kind.to_owned(),
            _ => "rejected".to_owned(),
        }
    }
}

/// Converts an unsuccessful response. `denied` is the next step if a permission is missing.
pub(super) fn request_error(answer: &Response<Bytes>, denied: &str, now: Timestamp) -> RequestError {
    let fault = Fault::read(answer.body());
    let said = fault.said();
    let status = answer.status().as_u16();
    let sentence = match fault.kind.as_str() {
        "" => format!("{TITLE} answered {status}"),
        _ => format!("{TITLE} answered {status} {}", fault.code()),
    };
    match answer::request_error(TITLE, answer, retry_at(answer.headers(), now)) {
        RequestError::Unknown(reason) => {
            let words = Error::new(ErrorKind::Unavailable, sentence).words(said).with_words();
            RequestError::Unknown(Reason::new(reason.code, words))
        }
        RequestError::NoEffect(cause) => {
            let until = cause.acceptable_at();
            let error = Error::new(cause.kind(), sentence).words(said).not_before(until);
            RequestError::NoEffect(match (cause.kind(), status) {
                (ErrorKind::Denied, 401) => error.hint(SIGN_IN),
                (ErrorKind::Denied, _) => error.hint(denied),
                _ => error,
            })
        }
    }
}

const SIGN_IN: &str = "correct `user` and `password`, or set `region` if the domain asks for signed requests, \
     then run `tidegate check`";
