//! Events to indices and data streams.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use tidegate_model::{
    Checks, ConnectorContext, Destination, Error, ErrorKind, Layout, Limits, LoggedEvent, Reason, Receipt,
    Result, Settings, Sink, SinkTarget,
};
use tidegate_transport::http::answer::RequestError;
use tokio::sync::OnceCell;

use super::client::Client;
use super::settings::{AwsService, OpenSearchSettings};
use super::target::{Indices, Target};
use super::{checks, document, outcome, setup, template};

/// Documents in a request.
const DOCUMENTS_MAX: usize = 2_000;
/// Bytes of a request. The smallest instances of AWS take 10 MiB, the others 100.
///
/// Source: AWS docs, OpenSearch Service quotas, "Maximum size of HTTP request payloads".
const BYTES_MAX: usize = 8 << 20;
/// Bytes of an id. Source: OpenSearch docs, Index document.
const ID_BYTES_MAX: usize = 512;

/// Opens the indices of one export.
pub(super) fn open(
    settings: &Settings,
    target: &SinkTarget,
    context: &ConnectorContext,
) -> Result<Arc<Sink>> {
    let settings: OpenSearchSettings = settings.parse()?;
    let options: Target = target.settings.parse()?;
    let indices = options.indices(target)?;
    Ok(Arc::new(OpenSearch {
        client: Client::open(&settings, context)?,
        denied: setup::denied(&settings, &indices),
        service: settings.service,
        indices,
        target: options,
        layout: target.layout,
        template: OnceCell::new(),
        dry_run: context.dry_run,
    }))
}

/// The indices of an export, in a cluster.
pub(super) struct OpenSearch {
    pub(super) client: Client,
    pub(super) indices: Indices,
    pub(super) target: Target,
    pub(super) layout: Layout,
    pub(super) service: AwsService,
    /// The next step if a permission is missing.
    pub(super) denied: String,
    /// Set once the template is known to be there.
    template: OnceCell<()>,
    dry_run: bool,
}

#[async_trait]
impl Destination<LoggedEvent> for OpenSearch {
    async fn check(&self) -> Result<Checks> {
        checks::all(self).await
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: DOCUMENTS_MAX,
            max_bytes: BYTES_MAX,
            linger: Duration::from_millis(200),
            max_in_flight: 4,
            rate: None,
            bucket: "opensearch.bulk",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, logged: &LoggedEvent) -> usize {
        document::estimated_size(logged)
    }

    fn validate(&self, logged: &LoggedEvent) -> Result<(), Reason> {
        let id = logged.event.id.len();
        if !(1..=ID_BYTES_MAX).contains(&id) {
            let message = format!("the id has {id} bytes; a document's id has 1 to {ID_BYTES_MAX}");
            return Err(Reason::new("id_too_long", message));
        }
        match document::estimated_size(logged) {
            size if size > BYTES_MAX => {
                let message = format!("the document has {size} bytes; a request takes {BYTES_MAX}");
                Err(Reason::new("record_too_large", message))
            }
            _ => Ok(()),
        }
    }

    /// Documents that the cluster did not take for now are `Deferred`, and only these.
    async fn deliver(&self, events: &[LoggedEvent]) -> Result<Receipt> {
        if events.is_empty() || self.dry_run {
            return Ok(Receipt::delivered(events.len()));
        }
        if self.target.template {
            self.template.get_or_try_init(|| self.make_template()).await?;
        }
        match self.bulk(document::bulk(&self.indices, self.layout, events)).await {
            Ok(answer) => outcome::receipt(&answer, events.len(), &self.denied, self.client.clock().now()),
            Err(request_error) => request_error.into_receipt(events.len()),
        }
    }
}

impl OpenSearch {
    /// Sends a bulk request. Success says nothing about its documents yet.
    pub(super) async fn bulk(&self, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        let answer = self.client.send(Method::POST, "/_bulk", "application/x-ndjson", body).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.error(&answer)) }
    }

    /// Returns whether there is an index template of the name of the indices.
    pub(super) async fn has_template(&self) -> Result<bool, RequestError> {
        let answer = self.client.call(Method::GET, &self.template_path(), None).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.error(&answer)),
        }
    }

    /// Creates the template if there is none. Two processes that do so at once write the same.
    async fn make_template(&self) -> Result<()> {
        if self.has_template().await.map_err(|it| self.without_template(it))? {
            return Ok(());
        }
        let body = template::body(&self.indices, self.layout, self.target.payload);
        let answer = self.client.call(Method::PUT, &self.template_path(), Some(&body)).await;
        let answer = answer.map_err(|it| self.without_template(it))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.without_template(self.error(&answer))),
        }
    }

    /// Events are not at fault for a template that cannot be created: none of them is rejected.
    fn without_template(&self, request_error: RequestError) -> Error {
        let error = request_error.into_error();
        if error.kind() != ErrorKind::Rejected {
            return error;
        }
        Error::settings(format!("the index template {}: {}", self.indices.name(), error.message()))
            .words(error.said().unwrap_or_default())
            .hint("set `payload: dynamic` under `destination`, or `template: false` with a template of your own")
    }

    fn template_path(&self) -> String {
        format!("/_index_template/{}", self.indices.name())
    }
}
