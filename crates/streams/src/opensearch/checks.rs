//! What `tidegate check` looks at.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tidegate_model::{Checks, ErrorKind, Outcome, Result};
use tidegate_transport::http::answer::RequestError;

use super::errors::request_error;
use super::outcome;
use super::settings::AwsService;
use super::sink::OpenSearch;
use super::target::{Indices, Payload};

/// A document has at most this sequence number: one that asks for it is never written.
///
/// Source: OpenSearch docs, Index document, `if_seq_no`; 2^53 - 1 is read exactly everywhere.
const NO_SEQUENCE: u64 = (1 << 53) - 1;

/// Looks at the cluster, the template, the index, and the right to write.
pub(super) async fn all(sink: &OpenSearch) -> Result<Checks> {
    let mut checks = Checks::default();
    // Serverless has no such page.
    if sink.service == AwsService::Es {
        cluster(sink, &mut checks).await?;
    }
    if checks.passed() && sink.target.template {
        template(sink, &mut checks).await?;
    }
    if checks.passed() {
        index(sink, &mut checks).await?;
    }
    Ok(checks)
}

async fn cluster(sink: &OpenSearch, checks: &mut Checks) -> Result<()> {
    #[derive(Deserialize)]
    struct Answer {
        version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        number: String,
        #[serde(default)]
        distribution: Option<String>,
    }
    const NAME: &str = "cluster";
    let answer = match sink.client.call(Method::GET, "/", None).await {
        Ok(answer) if answer.status().is_success() => answer,
        // Whoever may write documents need not be allowed to see the cluster.
        Ok(answer) if answer.status() == StatusCode::FORBIDDEN => {
            checks.pass(NAME, "answers");
            return Ok(());
        }
        Ok(answer) => return failed(checks, NAME, sink.error(&answer)),
        Err(request_error) => return failed(checks, NAME, request_error),
    };
    let Ok(Answer { version }) = serde_json::from_slice(answer.body()) else {
        checks.fail(NAME, "what answers there is no OpenSearch", "correct `endpoint`");
        return Ok(());
    };
    let title = version.distribution.as_deref().map_or("Elasticsearch", |_| super::TITLE);
    let detail = format!("{title} {}", version.number);
    let wants_flat = sink.target.template && sink.target.payload == Payload::Flat;
    match wants_flat && !has_flat_objects(version.distribution.is_some(), &version.number) {
        true => checks.fail(
            NAME,
            format!("{detail} has no field type flat_object"),
            "set `payload: dynamic` under `destination`, or `template: false` with a template of your own",
        ),
        false => checks.pass(NAME, detail),
    }
    Ok(())
}

/// Source: OpenSearch docs, "Flat object field type": introduced in 2.7.
fn has_flat_objects(is_opensearch: bool, version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    is_opensearch && version >= (2, 7)
}

async fn template(sink: &OpenSearch, checks: &mut Checks) -> Result<()> {
    let name = format!("index template {}", sink.indices.name());
    match sink.has_template().await {
        Ok(true) => checks.pass(name, "is there and left as it is"),
        Ok(false) => checks.pass(name, "is created with the first events"),
        Err(request_error) => return failed(checks, &name, request_error),
    }
    Ok(())
}

async fn index(sink: &OpenSearch, checks: &mut Checks) -> Result<()> {
    let name = sink.indices.title(sink.layout);
    let index = sink.indices.index(sink.client.clock().now());
    let answer = match sink.client.call(Method::HEAD, &format!("/{index}"), None).await {
        Ok(answer) => answer,
        Err(request_error) => return failed(checks, &name, request_error),
    };
    match answer.status() {
        status if status.is_success() => writing(sink, checks, &name, &index).await,
        StatusCode::NOT_FOUND => {
            checks.pass(name, "is created with the first events");
            Ok(())
        }
        // It may be written to without being looked at.
        StatusCode::FORBIDDEN => {
            checks.pass(name, "cannot be looked at; the first event proves the right to write");
            Ok(())
        }
        _ => failed(checks, &name, sink.error(&answer)),
    }
}

/// Sends a document that cannot be written, for it asks for a version that no document has.
async fn writing(sink: &OpenSearch, checks: &mut Checks, name: &str, index: &str) -> Result<()> {
    if matches!(sink.indices, Indices::DataStream(_)) {
        checks.pass(name, "is there; the first event proves the right to write");
        return Ok(());
    }
    let action = json!({ "index": {
        "_index": index, "_id": "tidegate-check", "if_seq_no": NO_SEQUENCE, "if_primary_term": 1,
    } });
    let body = format!("{action}\n{}\n", json!({}));
    let answer = match sink.bulk(body.into()).await {
        Ok(answer) => answer,
        Err(request_error) => return failed(checks, name, request_error),
    };
    match outcome::receipt(&answer, 1, &sink.denied, sink.client.clock().now()) {
        Ok(receipt) => match receipt.outcomes.into_iter().next() {
            Some(Outcome::Rejected(reason)) => {
                checks.fail(name, reason.message, "name an index that documents can be written to");
            }
            _ => checks.pass(name, "is there and can be written to"),
        },
        Err(error) => return failed(checks, name, RequestError::NoEffect(error)),
    }
    Ok(())
}

/// Notes errors that the user can fix as failed checks; returns all others.
fn failed(checks: &mut Checks, name: &str, request_error: RequestError) -> Result<()> {
    let error = request_error.into_error();
    match error.kind() {
        ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Settings | ErrorKind::Rejected => {
            checks.fail(name, error.with_words(), error.next_step());
            Ok(())
        }
        _ => Err(error),
    }
}

impl OpenSearch {
    /// Returns the error of an unsuccessful response.
    pub(super) fn error(&self, answer: &http::Response<bytes::Bytes>) -> RequestError {
        request_error(answer, &self.denied, self.client.clock().now())
    }
}
