//! What an answer that is no success means.

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Reason};

use crate::http::answer::{self, Miss};

/// What a code means, whichever service says it, of a call or of one record.
///
/// Source: the services' API references, "Errors" and "Common Errors".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The credentials have run out; new ones may do.
    Expired,
    /// The credentials are not accepted.
    Credentials,
    /// The credentials are accepted and lack a permission.
    Permission,
    /// The key that encrypts the stream cannot be used.
    EncryptionKey,
    /// What was asked for is not there.
    Missing,
    /// Too fast.
    Throttled,
    /// Not now.
    Unavailable,
    /// Something broke at their side, maybe after it took effect.
    Broken,
    /// The stream takes no records from us.
    WrongKind,
    /// What was sent is not acceptable.
    Bad,
}

/// The meaning of a code; `None` where we do not know it.
pub(crate) fn meaning(code: &str) -> Option<Meaning> {
    let name = code.strip_suffix("Exception").unwrap_or(code);
    Some(match name {
        "ExpiredToken" | "TokenRefreshRequired" => Meaning::Expired,
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
        | "OptInRequired" => Meaning::Credentials,
        "AccessDenied" | "UnauthorizedOperation" => Meaning::Permission,
        "KMSThrottling"
        | "ProvisionedThroughputExceeded"
        | "Throttling"
        | "ThrottledRequest"
        | "LimitExceeded"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "SlowDown" => Meaning::Throttled,
        "InvalidKMSResource" => Meaning::EncryptionKey,
        name if name.starts_with("KMS") => Meaning::EncryptionKey,
        "ResourceNotFound" => Meaning::Missing,
        "ResourceInUse" | "IDPCommunicationError" => Meaning::Unavailable,
        "InternalFailure" | "InternalServerError" | "InternalError" => Meaning::Broken,
        "InvalidSource" => Meaning::WrongKind,
        "InvalidArgument" | "Validation" | "ValidationError" | "Serialization" | "InvalidParameterValue" => {
            Meaning::Bad
        }
        _ => return None,
    })
}

/// What a service said instead of doing it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its own name for the reason, for example `ResourceNotFoundException`.
    pub(crate) code: String,
    /// Its sentence, without account numbers and values.
    pub(crate) message: String,
}

impl Refusal {
    /// Reads JSON as the streaming services write it and XML as the token service does.
    pub(crate) fn read(answer: &Response<Bytes>) -> Option<Refusal> {
        #[derive(Deserialize)]
        struct Json {
            #[serde(rename = "__type")]
            code: String,
            // Some write it twice.
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
        word.then(|| Refusal { code, message: answer::excerpt(message.as_bytes()) })
    }
}

/// The text of the first element of this name, as it is written.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let length = xml[from..].find(&format!("</{name}>"))?;
    Some(xml[from..from + length].trim())
}

/// Reads an answer that is no success. `title` is the service, `missing` and
/// `denied` are the next steps where these are the reason.
pub(crate) fn miss(title: &str, answer: &Response<Bytes>, missing: &str, denied: &str) -> Miss {
    let Some(Refusal { code, message }) = Refusal::read(answer) else {
        return answer::miss(title, answer, None);
    };
    let Some(meaning) = meaning(&code) else {
        return answer::miss(title, answer, None).saying(&format!("{title} answered {code}: {message}"));
    };
    let sentence = if message.is_empty() {
        format!("{title} answered {code}")
    } else {
        format!("{title} answered {code}: {message}")
    };
    let hinted = |kind, hint: &str| Miss::NoEffect(Error::new(kind, &sentence).hint(hint));
    match meaning {
        Meaning::Expired => hinted(
            ErrorKind::Denied,
            "the credentials have expired and looking for new ones gave the same: \
             renew them where they come from, then run `tidegate check`",
        ),
        Meaning::Credentials => hinted(
            ErrorKind::Denied,
            "correct the access key, its secret and the region, look whether this machine's clock is right, \
             then run `tidegate check`",
        ),
        Meaning::Permission => hinted(ErrorKind::Denied, denied),
        Meaning::EncryptionKey => hinted(
            ErrorKind::Denied,
            "enable the KMS key that encrypts the stream, and allow kms:GenerateDataKey on it \
             to who sends the events",
        ),
        Meaning::Missing => hinted(ErrorKind::Missing, missing),
        Meaning::Throttled => Miss::NoEffect(Error::new(ErrorKind::Throttled(None), sentence)),
        Meaning::Unavailable => Miss::NoEffect(Error::new(ErrorKind::Unavailable, sentence)),
        Meaning::Broken => Miss::Unknown(Reason::new("answer_uncertain", sentence)),
        Meaning::WrongKind => hinted(
            ErrorKind::Settings,
            "name a Firehose stream whose source is Direct PUT; one that reads from Kinesis takes no records",
        ),
        Meaning::Bad => Miss::NoEffect(Error::new(ErrorKind::Refused, sentence)),
    }
}

trait Saying {
    /// The same with another sentence.
    fn saying(self, sentence: &str) -> Miss;
}

impl Saying for Miss {
    fn saying(self, sentence: &str) -> Miss {
        match self {
            Miss::NoEffect(error) => Miss::NoEffect(Error::new(error.kind(), sentence)),
            Miss::Unknown(reason) => Miss::Unknown(Reason::new(reason.code, sentence)),
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
        match miss("Kinesis", &answer(400, &body), "create it", "grant it") {
            Miss::NoEffect(error) => {
                assert!(error.message().contains(code), "{error:?}");
                assert!(!error.message().contains("123456789012"), "{error:?}");
                Some(error.kind())
            }
            Miss::Unknown(_) => None,
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
            ("InvalidArgumentException", Some(ErrorKind::Refused)),
            ("InvalidSourceException", Some(ErrorKind::Settings)),
            ("ResourceInUseException", Some(ErrorKind::Unavailable)),
            ("SomethingNewException", Some(ErrorKind::Refused)),
            ("InternalFailure", None),
        ] {
            assert_eq!(kind(code), expected, "{code}");
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
            let expected = Refusal { code: "ResourceNotFoundException".into(), message: "no".into() };
            assert_eq!(Refusal::read(&answer(400, body)), Some(expected), "{body}");
        }
        for none in ["", "{}", "<html>", r#"{"__type":"a b"}"#, r##"{"__type":"#"}"##, "<Code></Code>"] {
            assert_eq!(Refusal::read(&answer(400, none)), None, "{none}");
        }
    }

    #[test]
    fn a_next_step_names_what_is_lacking() {
        let of = |code: &str| {
            let body = format!(r#"{{"__type":"{code}"}}"#);
            match miss("Kinesis", &answer(400, &body), "create it", "grant it") {
                Miss::NoEffect(error) => error.next_step().to_owned(),
                Miss::Unknown(reason) => panic!("{reason:?}"),
            }
        };
        assert_eq!(of("ResourceNotFoundException"), "create it");
        assert_eq!(of("AccessDeniedException"), "grant it");
        assert!(of("KMSDisabledException").contains("kms:GenerateDataKey"));
        assert!(of("InvalidSignatureException").contains("clock"));
    }
}
