//! Error responses.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Reason};

use crate::http::answer::{self, RequestError};
use crate::http::retry_after::retry_at;

/// The class of an error code, of a call or of one record.
///
/// Source: the services' API references, "Errors" and "Common Errors".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// The credentials have expired; new ones may work.
    Expired,
    /// The credentials are not accepted.
    Credentials,
    /// The credentials are accepted and lack a permission.
    Permission,
    /// The key that encrypts the stream cannot be used.
    EncryptionKey,
    /// The resource does not exist.
    Missing,
    /// Too fast.
    Throttled,
    /// Not now.
    Unavailable,
    /// The service failed, maybe after the call took effect.
    Broken,
    /// The stream does not accept records by API.
    WrongKind,
    /// The request or the record is invalid.
    Bad,
}

/// Returns the class of a code; `None` if it is unknown.
pub(crate) fn class_of(code: &str) -> Option<ErrorClass> {
    let name = code.strip_suffix("Exception").unwrap_or(code);
    Some(match name {
        "ExpiredToken" | "TokenRefreshRequired" => ErrorClass::Expired,
        "UnrecognizedClient"
        | "InvalidSignature"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "NotAuthorized"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "OptInRequired" => ErrorClass::Credentials,
        "AccessDenied" | "UnauthorizedOperation" => ErrorClass::Permission,
        "KMSThrottling"
        | "ProvisionedThroughputExceeded"
        | "Throttling"
        | "ThrottledRequest"
        | "LimitExceeded"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "SlowDown" => ErrorClass::Throttled,
        "InvalidKMSResource" => ErrorClass::EncryptionKey,
        name if name.starts_with("KMS") => ErrorClass::EncryptionKey,
        "ResourceNotFound" | "ClusterNotFound" => ErrorClass::Missing,
        "ResourceInUse" | "IDPCommunicationError" => ErrorClass::Unavailable,
        "InternalFailure" | "InternalServerError" | "InternalError" => ErrorClass::Broken,
        "InvalidSource" => ErrorClass::WrongKind,
        "InvalidArgument" | "Validation" | "ValidationError" | "Serialization" | "InvalidParameterValue" => {
            ErrorClass::Bad
        }
        _ => return None,
    })
}

/// An error response of a service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    /// The error code, for example `ResourceNotFoundException`.
    pub(crate) code: String,
    /// Its message, without account numbers and values.
    pub(crate) message: String,
}

impl ErrorResponse {
    /// Reads JSON as the streaming services write it and XML as the token service does.
    pub(crate) fn read(answer: &Response<Bytes>) -> Option<ErrorResponse> {
        #[derive(Deserialize)]
        struct Json {
            #[serde(rename = "__type")]
            code: String,
            // Some services write it twice.
            message: Option<String>,
            #[serde(rename = "Message")]
            message_too: Option<String>,
        }
        let (code, message) = match serde_json::from_slice::<Json>(answer.body()) {
            Ok(Json { code, message, message_too }) => (code, message.or(message_too).unwrap_or_default()),
            Err(_) => {
                let text = std::str::from_utf8(answer.body()).ok()?;
                (element(text, "Code")?.to_owned(), element(text, "Message").unwrap_or_default().to_owned())
            }
        };
        // `com.amazonaws.kinesis.v20131202#ResourceNotFoundException:http://…` is also seen.
        let code = code.rsplit('#').next()?.split(':').next()?.to_owned();
        let word =
            !code.is_empty() && code.len() < 80 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        word.then(|| ErrorResponse { code, message: answer::excerpt(message.as_bytes()) })
    }
}

/// Returns the text of the first element with this name.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let length = xml[from..].find(&format!("</{name}>"))?;
    Some(xml[from..from + length].trim())
}

/// Returns the text of the first element with this name in an answer of XML.
pub fn xml_text(body: &[u8], name: &str) -> Option<String> {
    let text = element(std::str::from_utf8(body).ok()?, name)?;
    quick_xml::escape::unescape(text).ok().map(|text| text.into_owned())
}

/// Converts an error response. `title` is the service, `missing` and `denied` are the next steps for
/// these reasons. `Retry-After` is obeyed, if the answer has it.
pub(crate) fn request_error(
    title: &str,
    answer: &Response<Bytes>,
    missing: &str,
    denied: &str,
    now: Timestamp,
) -> RequestError {
    let until = retry_at(answer.headers(), now);
    let Some(ErrorResponse { code, message }) = ErrorResponse::read(answer) else {
        return answer::request_error(title, answer, until);
    };
    let Some(class) = class_of(&code) else {
        return with_message(answer::request_error(title, answer, until), &sentence(title, &code), &message);
    };
    let failed = |kind| Error::new(kind, sentence(title, &code)).words(&message);
    let hinted = |kind, hint: &str| RequestError::NoEffect(failed(kind).hint(hint));
    match class {
        ErrorClass::Expired => hinted(
            ErrorKind::Denied,
            "the credentials have expired and renewing them gave the same ones: renew them at their source, then run `tidegate check`",
        ),
        ErrorClass::Credentials => hinted(
            ErrorKind::Denied,
            "correct the access key, its secret and the region, check this machine's clock, \
             then run `tidegate check`",
        ),
        ErrorClass::Permission => hinted(ErrorKind::Denied, denied),
        ErrorClass::EncryptionKey => hinted(
            ErrorKind::Denied,
            "enable the KMS key that encrypts the stream, and allow kms:GenerateDataKey on it \
             to who sends the events",
        ),
        ErrorClass::Missing => hinted(ErrorKind::Missing, missing),
        ErrorClass::Throttled => {
            RequestError::NoEffect(failed(ErrorKind::Throttled(until)).not_before(until))
        }
        ErrorClass::Unavailable => RequestError::NoEffect(failed(ErrorKind::Unavailable).not_before(until)),
        ErrorClass::Broken => RequestError::Unknown(Reason::new(
            "response_uncertain",
            failed(ErrorKind::Unavailable).with_words(),
        )),
        ErrorClass::WrongKind => hinted(
            ErrorKind::Settings,
            "name a Firehose stream whose source is Direct PUT; one that reads from Kinesis takes no records",
        ),
        ErrorClass::Bad => RequestError::NoEffect(failed(ErrorKind::Rejected)),
    }
}

/// `Kinesis answered ResourceNotFoundException`.
fn sentence(title: &str, code: &str) -> String {
    format!("{title} answered {code}")
}

/// Returns the same with another message.
fn with_message(error: RequestError, sentence: &str, said: &str) -> RequestError {
    match error {
        RequestError::NoEffect(cause) => {
            let until = cause.acceptable_at();
            RequestError::NoEffect(Error::new(cause.kind(), sentence).words(said).not_before(until))
        }
        RequestError::Unknown(reason) => {
            let words = Error::new(ErrorKind::Unavailable, sentence).words(said).with_words();
            RequestError::Unknown(Reason::new(reason.code, words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from(body.to_owned())).expect("an answer")
    }

    fn kind(code: &str) -> Option<ErrorKind> {
        let body = format!(r#"{{"__type":"{code}","message":"for account 123456789012"}}"#);
        match request_error("Kinesis", &answer(400, &body), "create it", "grant it", Timestamp::UNIX_EPOCH) {
            RequestError::NoEffect(error) => {
                assert!(error.message().contains(code), "{error:?}");
                assert!(!error.message().contains("123456789012"), "{error:?}");
                Some(error.kind())
            }
            RequestError::Unknown(_) => None,
        }
    }

    #[test]
    fn a_code_decides_the_kind() {
        for (code, expected) in [
            ("ResourceNotFoundException", Some(ErrorKind::Missing)),
            ("AccessDeniedException", Some(ErrorKind::Denied)),
            ("UnrecognizedClientException", Some(ErrorKind::Denied)),
            ("InvalidSignatureException", Some(ErrorKind::Denied)),
            ("ExpiredTokenException", Some(ErrorKind::Denied)),
            ("KMSAccessDeniedException", Some(ErrorKind::Denied)),
            ("KMSOptInRequired", Some(ErrorKind::Denied)),
            ("KMSThrottlingException", Some(ErrorKind::Throttled(None))),
            ("ProvisionedThroughputExceededException", Some(ErrorKind::Throttled(None))),
            ("ServiceUnavailableException", Some(ErrorKind::Throttled(None))),
            ("InvalidArgumentException", Some(ErrorKind::Rejected)),
            ("InvalidSourceException", Some(ErrorKind::Settings)),
            ("ResourceInUseException", Some(ErrorKind::Unavailable)),
            ("SomethingNewException", Some(ErrorKind::Rejected)),
            ("InternalFailure", None),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_service_that_says_when_it_takes_requests_again_is_obeyed() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("time");
        for (status, body, kind) in [
            (429, "", "throttled"),
            (503, "<html>", "unavailable"),
            (400, r#"{"__type":"ProvisionedThroughputExceededException"}"#, "throttled"),
            (503, r#"{"__type":"ServiceUnavailableException"}"#, "throttled"),
            (400, r#"{"__type":"ResourceInUseException"}"#, "unavailable"),
            (503, r#"{"__type":"SomethingNewException"}"#, "unavailable"),
        ] {
            let mut answer = answer(status, body);
            answer.headers_mut().insert("retry-after", http::HeaderValue::from_static("90"));
            let RequestError::NoEffect(error) = request_error("Kinesis", &answer, "", "", now) else {
                panic!("{status} {body}: no effect")
            };
            assert_eq!(error.acceptable_at(), Some("2026-03-01T12:01:30Z".parse().expect("time")), "{body}");
            assert_eq!(matches!(error.kind(), ErrorKind::Throttled(_)), kind == "throttled", "{body}");
        }
    }

    #[test]
    fn codes_are_read_in_every_form_they_have() {
        for body in [
            r#"{"__type":"com.amazonaws.kinesis.v20131202#ResourceNotFoundException","Message":"no"}"#,
            r#"{"__type":"ResourceNotFoundException:http://internal.amazon.com/","message":"no"}"#,
            r#"{"__type":"ResourceNotFoundException","message":"no","Message":"no"}"#,
            "<ErrorResponse><Error><Type>Sender</Type><Code>ResourceNotFoundException</Code>\
             <Message>no</Message></Error></ErrorResponse>",
        ] {
            let expected = ErrorResponse { code: "ResourceNotFoundException".into(), message: "no".into() };
            assert_eq!(ErrorResponse::read(&answer(400, body)), Some(expected), "{body}");
        }
        for none in ["", "{}", "<html>", r#"{"__type":"a b"}"#, r##"{"__type":"#"}"##, "<Code></Code>"] {
            assert_eq!(ErrorResponse::read(&answer(400, none)), None, "{none}");
        }
    }

    #[test]
    fn a_next_step_names_what_is_lacking() {
        let of = |code: &str| {
            let body = format!(r#"{{"__type":"{code}"}}"#);
            match request_error(
                "Kinesis",
                &answer(400, &body),
                "create it",
                "grant it",
                Timestamp::UNIX_EPOCH,
            ) {
                RequestError::NoEffect(error) => error.next_step().to_owned(),
                RequestError::Unknown(reason) => panic!("{reason:?}"),
            }
        };
        assert_eq!(of("ResourceNotFoundException"), "create it");
        assert_eq!(of("AccessDeniedException"), "grant it");
        assert!(of("KMSDisabledException").contains("kms:GenerateDataKey"));
        assert!(of("InvalidSignatureException").contains("clock"));
    }
}
