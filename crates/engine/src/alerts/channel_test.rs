//! Tests of channels, which a person asks for.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::Error;
use tidegate_model::alert::{Change, Recipient, Trigger};

use super::channels::{attempt, is_address};
use super::outbox::notice;
use super::watch::new_alert;
use crate::service::Engine;

/// The result of a test of a channel.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TestedChannel {
    /// The channel.
    pub channel: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why it does not work; `null` if the other side accepted the messages.
    pub error: Option<String>,
    /// What to do about it.
    pub next: Option<String>,
}

impl Engine {
    /// Sends a test alert and its recovery to a channel, or to each.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if there is no such channel, or none at all.
    pub async fn test_channels(&self, only: Option<&str>) -> Result<Vec<TestedChannel>, Error> {
        let channels = &self.config.project.alerts.channels;
        let names: Vec<&str> = channels.keys().map(String::as_str).collect();
        if let Some(name) = only.filter(|name| !names.contains(name)) {
            let hint = match names.is_empty() {
                true => "add it under `alerts.channels` of the project".to_owned(),
                false => format!("the channels are: {}", names.join(", ")),
            };
            return Err(Error::settings(format!("there is no channel `{name}`")).hint(hint));
        }
        if names.is_empty() {
            return Err(Error::settings("the project has no channels for alerts")
                .hint("add one under `alerts.channels`"));
        }
        let mut tested = Vec::new();
        for (name, spec) in channels.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
            let error = self.test_channel(name).await.err();
            tested.push(TestedChannel {
                channel: name.clone(),
                kind: spec.kind.clone(),
                next: error.as_ref().map(|error| after_test(error, name)),
                error: error.map(|error| error.chain()),
            });
        }
        Ok(tested)
    }

    async fn test_channel(&self, name: &str) -> Result<(), Error> {
        let channel = self.channel(name).await?;
        let contacts = self.test_recipients(name);
        if contacts.is_empty() {
            return Err(Error::settings(
                "nothing was sent: the channel has no recipients, and no sync has contacts it can mail",
            )
            .hint("add `recipients` to the channel, or addresses under `contacts` of a sync"));
        }
        let summary = "Tidegate can reach this channel. Nothing is wrong.";
        let mut alert = new_alert(name, Trigger::Test, summary, self.config.clock.now());
        for change in [Change::Opened, Change::Resolved] {
            let at = self.config.clock.now();
            if change == Change::Resolved {
                alert.resolved_at = Some(at);
            }
            for contact in &contacts {
                let recipient = Recipient { channel: name.to_owned(), contact: contact.clone() };
                let message = self.message(&notice(&alert, change, recipient, at), &alert, at);
                attempt(channel.as_ref(), &message).await?;
            }
        }
        Ok(())
    }

    /// Returns who gets the test of a channel: its own recipients, or the contacts that get mail by it.
    fn test_recipients(&self, name: &str) -> Vec<Option<String>> {
        let channels = &self.config.project.alerts.channels;
        let own = channels.get(name).map(|spec| self.own_recipients(spec)).unwrap_or_default();
        if !own.is_empty() {
            return own;
        }
        if channels
            .iter()
            .find(|(_, spec)| self.reaches_contacts(&spec.kind))
            .is_none_or(|(mail, _)| mail != name)
        {
            return Vec::new();
        }
        let all = self.config.project.syncs.values().flat_map(|sync| &sync.options().contacts);
        let mut contacts: Vec<Option<String>> =
            all.filter(|contact| is_address(contact)).cloned().map(Some).collect();
        contacts.sort();
        contacts.dedup();
        contacts
    }
}

/// Returns what to do about a test that failed: no run tries a channel again, and `check` does not look at it.
fn after_test(error: &Error, name: &str) -> String {
    let step = error.next_step();
    match step.starts_with("the next run tries again") {
        true => format!("correct the settings of the channel, then run `tidegate alerts test {name}`"),
        false => step.replace("run `tidegate check`", &format!("run `tidegate alerts test {name}`")),
    }
}
