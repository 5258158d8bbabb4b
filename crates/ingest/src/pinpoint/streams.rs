//! Event streams: where an app's events are to go, and the export that takes them there.
//!
//! Source: Amazon Pinpoint API reference, `PutEventStream`, `EventStream`.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{EventSelection, ExportRequest, Settings};

use super::answer::ErrorResponse;
use super::endpoints::date;
use super::settings::StreamAccess;
use super::store::Object;

/// A stream, as its ARN names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The kind of sink.
    kind: &'static str,
    region: String,
    name: String,
}

/// The event stream that a `PutEventStream` asks for.
pub(super) fn requested(app: &str, body: &Object, by: &str, now: Timestamp) -> Result<Object, ErrorResponse> {
    let required = |name: &str| {
        let value = body.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| ErrorResponse::bad(format!("{name} is required")))
    };
    let (stream, role) = (required("DestinationStreamArn")?, required("RoleArn")?);
    Target::parse(stream).ok_or_else(|| {
        ErrorResponse::bad(
            "DestinationStreamArn must be arn:aws:kinesis:REGION:ACCOUNT:stream/NAME \
             or arn:aws:firehose:REGION:ACCOUNT:deliverystream/NAME",
        )
    })?;
    let is_role = |arn: &str| {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", _, "iam", "", account, role] if !account.is_empty() && role.len() > "role/".len() && role.starts_with("role/"))
    };
    if !is_role(role) {
        return Err(ErrorResponse::bad("RoleArn must be arn:aws:iam::ACCOUNT:role/NAME"));
    }
    let stream = json!({
        "ApplicationId": app,
        "DestinationStreamArn": stream,
        "LastModifiedDate": date(now),
        "LastUpdatedBy": by,
        "RoleArn": role,
    });
    Ok(stream.as_object().cloned().unwrap_or_default())
}

/// The export of an event stream; `None` if it is not one of ours.
pub(super) fn export(stream: &Object, access: &StreamAccess) -> Option<ExportRequest> {
    let text = |name: &str| stream.get(name).and_then(Value::as_str);
    let (app, role) = (text("ApplicationId")?, text("RoleArn")?);
    let target = Target::parse(text("DestinationStreamArn")?)?;
    let mut settings = Object::new();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            settings.insert(name.to_owned(), value.into());
        }
    };
    set("region", Some(&target.region));
    let (endpoint, setting) = match target.kind {
        "kinesis" => (&access.kinesis_endpoint, "stream"),
        _ => (&access.firehose_endpoint, "delivery_stream"),
    };
    set("endpoint", endpoint.as_deref());
    set("access_key_id", access.access_key_id.as_deref());
    set("secret_access_key", access.secret_access_key.as_ref().map(|secret| secret.expose()));
    set("session_token", access.session_token.as_ref().map(|secret| secret.expose()));
    set("profile", access.profile.as_deref());
    if access.assume_role {
        set("role_arn", Some(role));
        set("external_id", access.external_id.as_deref());
    }
    let target_settings = json!({ setting: target.name, "shape": "pinpoint" });
    Some(ExportRequest {
        name: format!("eventstream-{app}"),
        selection: EventSelection { apps: vec![app.to_owned()], ..EventSelection::default() },
        since: text("Since").and_then(|since| since.parse().ok()).unwrap_or(Timestamp::MIN),
        kind: target.kind.to_owned(),
        settings: Settings::new(settings),
        target: Settings::new(target_settings.as_object().cloned().unwrap_or_default()),
    })
}

impl Target {
    fn parse(arn: &str) -> Option<Target> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, service, region, account, resource] = parts.as_slice() else { return None };
        let (kind, name) = match *service {
            "kinesis" => ("kinesis", resource.strip_prefix("stream/")?),
            "firehose" => ("firehose", resource.strip_prefix("deliverystream/")?),
            _ => return None,
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let named = !name.is_empty() && name.bytes().all(allowed);
        let placed = !region.is_empty() && region.bytes().all(allowed) && !account.is_empty();
        (named && placed).then(|| Target { kind, region: (*region).to_owned(), name: name.to_owned() })
    }
}
