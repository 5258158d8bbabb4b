//! A webhook, signed as Standard Webhooks has it.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tidegate_model::alert::{Channel, ChannelType, Message};
use tidegate_model::settings::schema_of;
use tidegate_model::{ConnectorContext, Error, Http, Secret, Settings};

use crate::post;

/// What a secret begins with; the key follows in base64.
const PREFIX: &str = "whsec_";

/// The type `webhook`.
pub(crate) const TYPE: ChannelType = ChannelType {
    kind: "webhook",
    title: "Webhook",
    reaches_contacts: false,
    settings: schema_of::<Webhook>,
    open,
};

/// A POST of JSON to an address of your own, signed as Standard Webhooks has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Webhook {
    /// The address. It is not shown, since it may hold a token.
    url: Secret,
    /// The key of the signature: `whsec_` and 24 bytes or more in base64, for example of
    /// `echo "whsec_$(openssl rand -base64 32)"`.
    secret: Secret,
    /// The key before it. While the receiver changes over, both sign.
    previous_secret: Option<Secret>,
    /// Headers to add.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// A PEM file of certificate authorities to trust besides the system's.
    ca_file: Option<PathBuf>,
}

struct Open {
    settings: Webhook,
    keys: Vec<Vec<u8>>,
    http: Arc<dyn Http>,
}

fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Channel>, Error> {
    let settings: Webhook = settings.parse()?;
    post::check_address(&settings.url, "write for example `https://alerts.example.com/tidegate`")?;
    let mut keys = vec![key("secret", &settings.secret)?];
    if let Some(previous) = &settings.previous_secret {
        keys.push(key("previous_secret", previous)?);
    }
    let http = context.trusting(settings.ca_file.as_deref())?.http;
    Ok(Arc::new(Open { settings, keys, http }))
}

fn key(setting: &str, secret: &Secret) -> Result<Vec<u8>, Error> {
    /// The shortest key that the specification allows.
    const SHORTEST: usize = 24;
    let wrong = || {
        Error::settings(format!("`{setting}`: expected `{PREFIX}` and a key of 24 bytes or more in base64"))
            .hint("make one: echo \"whsec_$(openssl rand -base64 32)\"")
    };
    let encoded = secret.expose().trim().strip_prefix(PREFIX).ok_or_else(wrong)?;
    let key = BASE64_STANDARD.decode(encoded).map_err(|_| wrong())?;
    if key.len() < SHORTEST { Err(wrong()) } else { Ok(key) }
}

/// Returns the signature of one key.
fn signature(key: &[u8], signed: &str) -> Result<String, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|cause| Error::internal("a webhook cannot be signed").caused_by(cause))?;
    mac.update(signed.as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[async_trait]
impl Channel for Open {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        let alert = &message.alert;
        let body = json!({
            "type": format!("alert.{}", message.change.as_str()),
            "timestamp": message.at,
            "data": {
                "alert": alert.id,
                "trigger": alert.trigger,
                "severity": alert.trigger.severity(),
                "subject": alert.subject,
                "title": alert.title(),
                "summary": alert.summary,
                "opened_at": alert.opened_at,
                "resolved_at": alert.resolved_at,
                "url": message.link,
            },
        })
        .to_string();
        let at = message.at.as_second();
        let signed = format!("{}.{at}.{body}", message.id);
        let signatures: Vec<String> =
            self.keys.iter().map(|key| signature(key, &signed)).collect::<Result<_, _>>()?;
        let mut request = post::to(self.settings.url.expose())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signatures.join(" "));
        for (name, value) in &self.settings.headers {
            request = request.header(name, value.expose());
        }
        post::send(&self.http, "the webhook", request, body.into()).await
    }
}
