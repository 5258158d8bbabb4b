//! Error responses.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
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
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    /// The error code, for example `ResourceNotFoundException`.
    pub(crate) code: String,
    /// Its message, without account numbers and values.
    pub(crate) message: String,
    /// Who lacks which permission, if the message says so.
    pub(crate) lacks: Option<Lacks>,
}

/// A permission, and who lacks it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// The ARN of the user or role, without its account number.
    principal: String,
    /// For example `kinesis:PutRecords`.
    action: String,
}

impl Lacks {
    /// Reads `User: ARN is not authorized to perform: ACTION on resource: …`.
    ///
    /// Source: IAM User Guide, "Troubleshoot access denied error messages".
    fn read(message: &str) -> Option<Lacks> {
        let (_, rest) = message.split_once("User: ")?;
        let (principal, rest) = rest.split_once(" is not authorized to perform: ")?;
        let action = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() < 200
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/-_+=,.@*".contains(&byte))
        };
        let parts: Vec<&str> = principal.split(':').collect();
        let [arn @ "arn", partition, service, region, _, name] = parts.as_slice() else { return None };
        let principal = [*arn, *partition, *service, *region, "…", *name].join(":");
        (is_name(&parts.concat()) && is_name(action)).then(|| Lacks { principal, action: action.to_owned() })
    }
}

impl ErrorResponse {
    /// Reads JSON as the streaming services write it and XML as the token service does. Some services name the
    /// code in a header only.
    ///
    /// Source: Smithy, "AWS JSON 1.1 protocol" and "AWS restJson1 protocol", operation error serialization.
    pub(crate) fn read(answer: &Response<Bytes>) -> Option<ErrorResponse> {
        let header = answer.headers().get("x-amzn-errortype").and_then(|code| code.to_str().ok());
        let json: Option<serde_json::Value> = serde_json::from_slice(answer.body()).ok();
        let (code, message) = match &json {
            Some(body) => {
                let text = |name: &str| body[name].as_str().or_else(|| body["Error"][name].as_str());
                let code = text("__type").or(header).or_else(|| text("code")).or_else(|| text("Code"))?;
                (code, text("message").or_else(|| text("Message")).unwrap_or_default())
            }
            None => {
                let text = std::str::from_utf8(answer.body()).ok()?;
                (element(text, "Code").or(header)?, element(text, "Message").unwrap_or_default())
            }
        };
        // `com.amazonaws.kinesis.v20131202#ResourceNotFoundException:http://…` is also seen.
        let code = code.rsplit('#').next()?.split(':').next()?.to_owned();
        let word =
            !code.is_empty() && code.len() < 80 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        word.then(|| ErrorResponse {
            code,
            message: answer::excerpt(message.as_bytes()),
            lacks: Lacks::read(message),
        })
    }

    /// `Kinesis answered AccessDeniedException`, and who lacks what if it says so.
    fn sentence(&self, title: &str) -> String {
        let said = format!("{title} answered {}", self.code);
        match &self.lacks {
            Some(Lacks { principal, action }) => {
                format!("{said}: `{principal}` lacks the permission `{action}`")
            }
            None => said,
        }
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
    let Some(response) = ErrorResponse::read(answer) else {
        return hinted_if_denied(answer::request_error(title, answer, until), denied);
    };
    let (sentence, message) = (response.sentence(title), &response.message);
    let Some(class) = class_of(&response.code) else {
        let error = with_message(answer::request_error(title, answer, until), &sentence, message);
        return hinted_if_denied(error, denied);
    };
    let failed = |kind| Error::new(kind, &sentence).words(message);
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

/// Adds the next step to a refusal whose code says nothing.
fn hinted_if_denied(error: RequestError, denied: &str) -> RequestError {
    match error {
        RequestError::NoEffect(error) if error.kind() == ErrorKind::Denied => {
            RequestError::NoEffect(error.hint(denied))
        }
        other => other,
    }
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
            let code = "ResourceNotFoundException".to_owned();
            let expected = ErrorResponse { code, message: "no".into(), lacks: None };
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

    #[test]
    fn a_refusal_names_who_lacks_which_permission_and_no_account() {
        let message = "User: arn:aws:sts::123456789012:assumed-role/events/tidegate is not authorized to perform: \
            kinesis:PutRecords on resource: arn:aws:kinesis:eu-central-1:123456789012:stream/app because no \
            identity-based policy allows the kinesis:PutRecords action";
        let body = format!(r#"{{"__type":"AccessDeniedException","Message":"{message}"}}"#);
        let error = request_error("Kinesis", &answer(400, &body), "", "grant it", Timestamp::UNIX_EPOCH);
        let RequestError::NoEffect(error) = error else { panic!("it had no effect") };
        assert_eq!(
            error.message(),
            "Kinesis answered AccessDeniedException: `arn:aws:sts::…:assumed-role/events/tidegate` lacks the \
             permission `kinesis:PutRecords`"
        );
        for foreign in ["User: ann@example.com is not authorized to perform: x", "User: arn:aws:x", ""] {
            assert_eq!(Lacks::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_403_without_a_code_has_the_next_step_and_a_code_in_a_header_is_read() {
        let refused = |answer: &Response<Bytes>| match request_error(
            "Kinesis",
            answer,
            "create it",
            "grant it",
            Timestamp::UNIX_EPOCH,
        ) {
            RequestError::NoEffect(error) => (error.message().to_owned(), error.next_step().to_owned()),
            RequestError::Unknown(reason) => panic!("{reason:?}"),
        };
        let (said, next) = refused(&answer(403, "<html>"));
        assert_eq!((&*said, &*next), ("Kinesis denied the request: it answered 403", "grant it"));
        let mut in_header = answer(403, r#"{"message":"no"}"#);
        let code = http::HeaderValue::from_static("AccessDeniedException:http://internal.amazon.com/");
        in_header.headers_mut().insert("x-amzn-errortype", code);
        let (said, next) = refused(&in_header);
        assert_eq!((&*said, &*next), ("Kinesis answered AccessDeniedException", "grant it"));
    }
}
