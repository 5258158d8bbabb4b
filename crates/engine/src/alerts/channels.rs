//! The channels of a project: whom they reach, and one message by one of them.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tidegate_model::alert::{Channel, Message};
use tidegate_model::{Error, ErrorKind};
use tidegate_project::ChannelSpec;

use crate::pipeline::wait;
use crate::service::Engine;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A channel of the project, without its settings.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChannelDetails {
    /// Its name.
    pub channel: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its type, for people.
    pub title: &'static str,
}

impl Engine {
    /// Returns the channels of the project.
    pub fn channels(&self) -> Vec<ChannelDetails> {
        let title = |kind: &str| {
            let known = self.config.channels.iter().find(|channel| channel.kind == kind);
            known.map_or("", |channel| channel.title)
        };
        let channels = self.config.project.alerts.channels.iter().map(|(name, spec)| ChannelDetails {
            channel: name.clone(),
            kind: spec.kind.clone(),
            title: title(&spec.kind),
        });
        channels.collect()
    }

    /// Whether a channel of this type sends to the contacts of syncs.
    pub(super) fn reaches_contacts(&self, kind: &str) -> bool {
        self.config.channels.iter().any(|channel| channel.kind == kind && channel.reaches_contacts)
    }

    /// Whether a channel sends to other people than the contacts of syncs.
    pub(super) fn has_own_recipients(&self, spec: &ChannelSpec) -> bool {
        let to = spec.settings.shown();
        !self.reaches_contacts(&spec.kind)
            || to.get("recipients").is_some_and(|to| to.as_array().is_none_or(|to| !to.is_empty()))
    }

    /// Returns those whom a channel reaches besides the contacts of syncs: each address alone, so that one that is
    /// refused keeps no message from the others; `None` for all at once.
    pub(super) fn own_recipients(&self, spec: &ChannelSpec) -> Vec<Option<String>> {
        if !self.has_own_recipients(spec) {
            return Vec::new();
        }
        let settings = spec.settings.shown();
        let addresses = settings.get("recipients").and_then(|to| to.as_array());
        let written = |address: &Value| {
            // A reference is resolved when the channel is opened.
            let is_written = |text: &&str| text.contains('@') && !text.contains('$');
            address.as_str().filter(is_written).map(|text| Some(text.to_owned()))
        };
        let each: Option<Vec<_>> = addresses
            .filter(|_| self.reaches_contacts(&spec.kind))
            .and_then(|addresses| addresses.iter().map(written).collect());
        each.unwrap_or_else(|| vec![None])
    }

    /// Opens a channel of the project.
    pub(super) async fn channel(&self, name: &str) -> Result<Arc<dyn Channel>, Error> {
        let gone = || Error::settings(format!("the project has no channel `{name}` any more"));
        let spec = self.config.project.alerts.channels.get(name).ok_or_else(gone)?;
        let kind = self.config.channels.iter().find(|channel| channel.kind == spec.kind).ok_or_else(gone)?;
        let opened = async {
            let settings = self.resolved(&spec.settings).await?;
            (kind.open)(&settings, &self.context(self.config.http.clone(), false))
        };
        opened.await.map_err(|error| error.context(format!("channel `{name}`")))
    }
}

/// Sends once, with a limit on the time.
pub(super) async fn attempt(channel: &dyn Channel, message: &Message) -> Result<(), Error> {
    tokio::select! {
        sent = channel.send(message) => sent,
        () = wait::span(PATIENCE) => {
            Err(Error::new(ErrorKind::Unavailable, "there was no answer within a minute"))
        }
    }
}

/// Whether a contact can get an e-mail: it may also be a name, or a room of a chat.
pub(super) fn is_address(contact: &str) -> bool {
    let parts = contact.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !contact.contains(' '))
}
