//! The steps of an administrator.

use tidegate_model::{ConnectionId, Result, Settings};

use super::settings::Target;
use tidegate_transport::aws::{AwsSettings, Grant};

/// `aws firehose create-delivery-stream …`.
pub(super) fn create(settings: &AwsSettings, stream: &str) -> String {
    format!(
        "aws firehose create-delivery-stream --delivery-stream-name {stream} --delivery-stream-type DirectPut \
         --extended-s3-destination-configuration RoleARN=<role of Firehose>,BucketARN=arn:aws:s3:::<bucket> \
         --region {}",
        settings.region
    )
}

/// What writing to the stream needs.
pub(super) fn grant(settings: &AwsSettings, stream: &str) -> Grant {
    const ACTIONS: &[&str] = &["firehose:PutRecordBatch", "firehose:DescribeDeliveryStream"];
    Grant::new(settings, ACTIONS, "firehose", "deliverystream", stream)
}

/// The steps for the names in the settings; for a placeholder if no stream is named.
pub(super) fn setup(
    connection: &ConnectionId,
    settings: &Settings,
    target: Option<&Settings>,
) -> Result<String> {
    let settings: AwsSettings = settings.parse()?;
    settings.validate()?;
    let target = target.map(Settings::parse::<Target>).transpose()?;
    if let Some(target) = &target {
        target.validate()?;
    }
    let stream = target.as_ref().map_or("<stream>", |target| &target.delivery_stream);
    Ok(grant(&settings, stream).setup(connection, &settings, &create(&settings, stream)))
}
