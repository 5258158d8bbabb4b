//! The steps of an administrator.

use tidegate_model::{ConnectionId, Result, Settings};

use super::settings::Target;
use tidegate_transport::aws::{AwsSettings, Grant};

/// `aws kinesis create-stream …`.
pub(super) fn create(settings: &AwsSettings, target: &Target) -> String {
    format!(
        "aws kinesis create-stream --stream-name {} --stream-mode-details StreamMode=ON_DEMAND --region {}",
        target.name(),
        settings.region
    )
}

/// What writing to the stream needs.
pub(super) fn grant(settings: &AwsSettings, target: &Target) -> Grant {
    grant_on(settings, &target.stream)
}

fn grant_on(settings: &AwsSettings, stream: &str) -> Grant {
    const ACTIONS: &[&str] = &["kinesis:PutRecords", "kinesis:DescribeStreamSummary"];
    Grant::new(settings, ACTIONS, "kinesis", "stream", stream)
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
    let (grant, create) = match &target {
        Some(target) => {
            target.validate(&settings)?;
            (grant(&settings, target), create(&settings, target))
        }
        None => {
            let create = format!(
                "aws kinesis create-stream --stream-name <stream> --stream-mode-details StreamMode=ON_DEMAND --region {}",
                settings.region
            );
            (grant_on(&settings, "<stream>"), create)
        }
    };
    Ok(grant.setup(connection, &settings, &create))
}
