//! Events to a Firehose stream.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tidegate_model::{
    Checks, ConnectorContext, Destination, ErrorKind, Limits, LoggedEvent, Reason, Receipt, Result, Settings,
    Sink, SinkTarget,
};

use super::settings::Target;
use super::{encode, setup};
use crate::shape::Writer;
use tidegate_transport::aws::{self, AwsClient, AwsSettings, ErrorHints, Service};
use tidegate_transport::http::answer::{self, RequestError};

pub(super) const SERVICE: Service =
    Service { title: "Firehose", name: "firehose", target: "Firehose_20150804" };

/// Records in a request. Source: AWS docs, PutRecordBatch.
const RECORDS_MAX: usize = 500;
/// Bytes of a request. Source: AWS docs, PutRecordBatch: 4 MB.
const REQUEST_MAX: usize = 4_000_000;

/// Opens a Firehose stream for one export.
pub(super) fn open(
    settings: &Settings,
    target: &SinkTarget,
    context: &ConnectorContext,
) -> Result<Arc<Sink>> {
    let settings: AwsSettings = settings.parse()?;
    let target: Target = target.settings.parse()?;
    target.validate()?;
    let writer = Writer::new(target.shape, target.account_id.as_deref(), "", &settings)?;
    let hints = ErrorHints {
        missing: format!("create the stream: {}", setup::create(&settings, &target.delivery_stream)),
        denied: setup::grant(&settings, &target.delivery_stream).denied(),
    };
    let client = AwsClient::open(&settings, &SERVICE, hints, context)?;
    Ok(Arc::new(Firehose { client, target, writer, dry_run: context.dry_run }))
}

struct Firehose {
    client: AwsClient,
    target: Target,
    writer: Writer,
    dry_run: bool,
}

#[async_trait]
impl Destination<LoggedEvent> for Firehose {
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
            max_bytes: REQUEST_MAX,
            linger: Duration::from_millis(100),
            max_in_flight: 8,
            // It differs by region and can be raised; the responses show it.
            rate: None,
            bucket: "firehose.PutRecordBatch",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, logged: &LoggedEvent) -> usize {
        encode::estimated_size(&self.target, &self.writer, logged)
    }

    fn validate(&self, logged: &LoggedEvent) -> Result<(), Reason> {
        self.writer.validate(logged)?;
        let size = encode::size(&self.target, &self.writer, logged);
        if size <= encode::RECORD_MAX {
            return Ok(());
        }
        let message = format!("the record has {size} bytes; Firehose takes {}", encode::RECORD_MAX);
        Err(Reason::new("record_too_large", message))
    }

    /// Records that Firehose did not take are `Deferred`, and only these.
    async fn deliver(&self, events: &[LoggedEvent]) -> Result<Receipt> {
        if events.is_empty() || self.dry_run {
            return Ok(Receipt::delivered(events.len()));
        }
        let body = encode::put_record_batch(&self.target, &self.writer, events);
        match self.client.call("PutRecordBatch", body).await {
            Ok(answer) => aws::receipt(SERVICE.title, &answer, events.len(), self.client.clock().now()),
            Err(request_error) => request_error.into_receipt(events.len()),
        }
    }
}

impl Firehose {
    /// Whether the stream is there and takes records from us.
    async fn check_stream(&self, checks: &mut Checks) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            delivery_stream_description: Description,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Description {
            delivery_stream_status: String,
            #[serde(default)]
            delivery_stream_type: String,
        }
        let name = format!("stream {}", self.target.delivery_stream);
        let body = json!({ "DeliveryStreamName": self.target.delivery_stream }).to_string();
        let answer = match self.client.call("DescribeDeliveryStream", body.into()).await {
            Ok(answer) => answer,
            Err(request_error) => return aws::failed(checks, &name, request_error),
        };
        let Ok(Answer { delivery_stream_description: found }) = serde_json::from_slice(answer.body()) else {
            return Err(answer::unreadable(SERVICE.title, &answer).into_error());
        };
        let detail = format!("{}, {}", found.delivery_stream_status, found.delivery_stream_type);
        if found.delivery_stream_status != "ACTIVE" {
            checks.fail(name, detail, "wait until the stream is active, then run `tidegate check` again");
        } else if !matches!(&*found.delivery_stream_type, "DirectPut" | "") {
            checks.fail(
                name,
                detail,
                "name a stream whose source is Direct PUT: this one reads from elsewhere",
            );
        } else {
            checks.pass(name, detail);
        }
        Ok(())
    }

    /// Whether we may write, by a request without records.
    async fn check_writing(&self, checks: &mut Checks) -> Result<()> {
        let body = json!({ "DeliveryStreamName": self.target.delivery_stream, "Records": [] }).to_string();
        match self.client.call("PutRecordBatch", body.into()).await {
            Ok(_) => checks.pass("firehose:PutRecordBatch", "allowed"),
            // What is wrong with a request is looked at by those who may send it.
            Err(RequestError::NoEffect(error)) if error.kind() == ErrorKind::Rejected => {
                checks.pass("firehose:PutRecordBatch", "not refused; the first event proves it");
            }
            Err(request_error) => return aws::failed(checks, "firehose:PutRecordBatch", request_error),
        }
        Ok(())
    }
}
