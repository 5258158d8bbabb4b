//! What an answer of the registry means.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidegate_model::{Error, ErrorKind, HttpFailure};

/// A schema as `GET /schemas/ids/{id}` and `GET /subjects/{s}/versions/{v}` answer it.
#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    /// The text of the schema.
    pub(super) schema: String,
    /// The type; left out for Avro.
    #[serde(rename = "schemaType", default = "avro")]
    pub(super) kind: String,
    /// What it refers to.
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

fn avro() -> String {
    "AVRO".to_owned()
}

/// A schema that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Reference {
    /// How the other one calls it: a full name in Avro, an import in Protobuf.
    pub(super) name: String,
    /// Where it is registered.
    pub(super) subject: String,
    /// Which version.
    pub(super) version: i64,
}

/// The body of an error response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorResponse {
    error_code: Option<u32>,
}

/// Reads an answer; `None` if it says that there is no such schema,
/// subject or version (40401, 40402, 40403).
pub(super) fn read<T: DeserializeOwned>(
    url: &str,
    answer: Result<http::Response<Bytes>, HttpFailure>,
) -> Result<Option<T>, Error> {
    let fault = |kind, what: &str| Error::new(kind, format!("the schema registry at {url} {what}"));
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            return Err(failure
                .untrusted()
                .map(|error| error.context(format!("the schema registry at {url}")))
                .unwrap_or_else(|| {
                    fault(ErrorKind::Unavailable, &format!("does not answer: {}", failure.why()))
                }));
        }
    };
    let status = answer.status();
    match status.as_u16() {
        200 => serde_json::from_slice(answer.body()).map(Some).map_err(|cause| {
            let position = format!("at line {}, column {}", cause.line(), cause.column());
            fault(ErrorKind::Unexpected, &format!("answered with something that is not a schema, {position}"))
        }),
        401 => Err(fault(ErrorKind::Denied, "rejected the credentials")
            .hint("correct `registry.username` and `registry.password`, then run `tidegate check`")),
        403 => Err(fault(ErrorKind::Denied, "denies reading schemas")
            .hint("grant the role DeveloperRead on the subjects, then run `tidegate check`")),
        404 => {
            let response: ErrorResponse = serde_json::from_slice(answer.body()).unwrap_or_default();
            match response.error_code {
                Some(40_401..=40_403) => Ok(None),
                _ => Err(fault(ErrorKind::Missing, "answers 404 like no schema registry does")
                    .hint("correct `registry.url`, then run `tidegate check`")),
            }
        }
        408 | 500..=599 => Err(fault(ErrorKind::Unavailable, &format!("answered {status}"))),
        429 => Err(fault(ErrorKind::Throttled(None), "is asked too often")),
        _ => Err(fault(ErrorKind::Unexpected, &format!("answered {status}"))),
    }
}
