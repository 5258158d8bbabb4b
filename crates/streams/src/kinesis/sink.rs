//! Events to a stream.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tidegate_model::{
    Checks, ConnectorContext, Destination, ErrorKind, Limits, LoggedEvent, Outcome, Reason, Receipt, Result,
    Settings, Sink, SinkTarget,
};

use super::settings::{Order, Target};
use super::{encode, setup};
use crate::shape::Writer;
use tidegate_transport::aws::{self, AwsClient, AwsSettings, ErrorHints, Service};
use tidegate_transport::http::answer::{self, RequestError};

pub(super) const SERVICE: Service = Service { title: "Kinesis", name: "kinesis", target: "Kinesis_20131202" };

/// Records in a request. Source: AWS docs, PutRecords.
const RECORDS_MAX: usize = 500;

/// Opens a stream for one export.
pub(super) fn open(
    settings: &Settings,
    target: &SinkTarget,
    context: &ConnectorContext,
) -> Result<Arc<Sink>> {
    let settings: AwsSettings = settings.parse()?;
    let target: Target = target.settings.parse()?;
    target.validate(&settings)?;
    let writer = Writer::new(target.shape, target.account_id.as_deref(), &target.stream, &settings)?;
    let hints = ErrorHints {
        missing: format!("create the stream: {}", setup::create(&settings, &target)),
        denied: setup::grant(&settings, &target).denied(),
    };
    let client = AwsClient::open(&settings, &SERVICE, hints, context)?;
    Ok(Arc::new(Kinesis { client, target, writer, dry_run: context.dry_run }))
}

struct Kinesis {
    client: AwsClient,
    target: Target,
    writer: Writer,
    dry_run: bool,
}

#[async_trait]
impl Destination<LoggedEvent> for Kinesis {
    async fn check(&self) -> Result<Checks> {
        let mut checks = Checks::default();
        self.check_stream(&mut checks).await?;
        if checks.passed() {
            self.check_writing(&mut checks).await?;
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: RECORDS_MAX,
            max_bytes: self.target.limits.request_max(),
            linger: Duration::from_millis(100),
            max_in_flight: 8,
            // It is by the shard, and shards come and go; the responses show it.
            rate: None,
            bucket: "kinesis.PutRecords",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, logged: &LoggedEvent) -> usize {
        encode::estimated_size(&self.target, &self.writer, logged)
    }

    fn validate(&self, logged: &LoggedEvent) -> Result<(), Reason> {
        self.writer.validate(logged)?;
        let (size, max) = (encode::size(&self.target, &self.writer, logged), self.target.limits.record_max());
        if size <= max {
            return Ok(());
        }
        let message = format!("the record has {size} bytes with its partition key; Kinesis takes {max}");
        Err(Reason::new("record_too_large", message))
    }

    /// Records that Kinesis did not take are `Deferred`, and only these.
    async fn deliver(&self, events: &[LoggedEvent]) -> Result<Receipt> {
        if events.is_empty() || self.dry_run {
            return Ok(Receipt::delivered(events.len()));
        }
        match self.target.order {
            Order::Relaxed => {
                self.put(events.len(), encode::put_records(&self.target, &self.writer, events.iter())).await
            }
            Order::Strict => self.deliver_one_of_each_user(events).await,
        }
    }
}

impl Kinesis {
    /// The first event of each user; the rest is deferred, in order.
    async fn deliver_one_of_each_user(&self, events: &[LoggedEvent]) -> Result<Receipt> {
        let mut seen = HashSet::with_capacity(events.len());
        let chosen: Vec<bool> =
            events.iter().map(|logged| seen.insert(encode::key(self.target.partition_by, logged))).collect();
        let taken = events.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(logged, _)| logged);
        let receipt =
            self.put(taken.clone().count(), encode::put_records(&self.target, &self.writer, taken)).await?;
        let mut outcomes = receipt.outcomes.into_iter();
        let later = Reason::new("next_request", "an earlier event of the same user goes first");
        let outcomes = chosen
            .iter()
            .map(|chosen| {
                chosen.then(|| outcomes.next()).flatten().unwrap_or_else(|| Outcome::Deferred(later.clone()))
            })
            .collect();
        Ok(Receipt { outcomes, rate_limit: receipt.rate_limit })
    }

    async fn put(&self, records: usize, body: Bytes) -> Result<Receipt> {
        match self.client.call("PutRecords", body).await {
            Ok(answer) => aws::receipt(SERVICE.title, &answer, records, self.client.clock().now()),
            Err(request_error) => request_error.into_receipt(records),
        }
    }

    /// Whether the stream is there and takes records.
    async fn check_stream(&self, checks: &mut Checks) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            stream_description_summary: Summary,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Summary {
            stream_status: String,
            #[serde(default)]
            open_shard_count: u32,
        }
        let name = format!("stream {}", self.target.name());
        let (member, stream) = self.target.addressed();
        let answer = match self
            .client
            .call("DescribeStreamSummary", json!({ member: stream }).to_string().into())
            .await
        {
            Ok(answer) => answer,
            Err(request_error) => return aws::failed(checks, &name, request_error),
        };
        let Ok(Answer { stream_description_summary: summary }) = serde_json::from_slice(answer.body()) else {
            return Err(answer::unreadable(SERVICE.title, &answer).into_error());
        };
        let detail = format!("{}, {} open shards", summary.stream_status, summary.open_shard_count);
        // A stream that is being resharded takes records, too.
        match &*summary.stream_status {
            "ACTIVE" | "UPDATING" => checks.pass(name, detail),
            _ => {
                checks.fail(name, detail, "wait until the stream is active, then run `tidegate check` again");
            }
        }
        Ok(())
    }

    /// Whether we may write: a dry run of a request without records, so that
    /// even a service that does not know dry runs writes nothing.
    async fn check_writing(&self, checks: &mut Checks) -> Result<()> {
        let (member, stream) = self.target.addressed();
        let body = json!({ member: stream, "Records": [], "DryRun": true }).to_string();
        match self.client.call("PutRecords", body.into()).await {
            Ok(_) => checks.pass("kinesis:PutRecords", "allowed"),
            // What is wrong with a request is looked at by those who may send it.
            Err(RequestError::NoEffect(error)) if error.kind() == ErrorKind::Rejected => {
                checks.pass("kinesis:PutRecords", "not refused; the first event proves it");
            }
            Err(request_error) => return aws::failed(checks, "kinesis:PutRecords", request_error),
        }
        Ok(())
    }
}
