//! Notices: who is notified of a change, and what is sent when.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::alert::{About, Alert, AlertQuery, Change, Channel, Message, Notice, Recipient, Trigger};
use tidegate_model::{Error, ErrorKind, SyncId};
use tidegate_project::ChannelSpec;
use xxhash_rust::xxh3::xxh3_64;

use super::conditions::State;
use super::watch::new_alert;
use crate::pipeline::wait;
use crate::service::Engine;

/// How many notices are sent at a time.
const AT_ONCE: usize = 8;
/// How many are taken at a time.
const TAKEN: usize = 32;
/// How long a process keeps a notice that it has taken: another one sends it after that.
const HELD: SignedDuration = SignedDuration::from_mins(3);
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The wait after the first attempt that failed; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest of these waits.
const RETRY_LONGEST: Duration = Duration::from_secs(900);
/// How long a notice is tried.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How many attempts fail before the other channels are notified.
const FAILURES: u32 = 3;

/// An alert, and who was notified of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AlertDetails {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Its notices, oldest first.
    pub notices: Vec<Notice>,
}

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
    /// Returns the open alerts and up to `resolved` others, each with its notices.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn alerts(&self, resolved: usize) -> Result<Vec<AlertDetails>, Error> {
        let alerts = self.config.store.alert_book().list(resolved).await?;
        self.with_notices(alerts).await
    }

    /// Returns a page of alerts, each with its notices.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_alerts(&self, query: &AlertQuery) -> Result<Vec<AlertDetails>, Error> {
        let alerts = self.config.store.alert_book().page(query).await?;
        self.with_notices(alerts).await
    }

    async fn with_notices(&self, alerts: Vec<Alert>) -> Result<Vec<AlertDetails>, Error> {
        let book = self.config.store.alert_book();
        let mut all = Vec::new();
        for alert in alerts {
            let notices = book.notices(&alert.id).await?;
            all.push(AlertDetails { alert, notices });
        }
        Ok(all)
    }

    /// Returns the number of open alerts.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open_alerts(&self) -> Result<u64, Error> {
        self.config.store.alert_book().count_open().await
    }

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

    /// Sends a test alert and its recovery to a channel, or to each.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no such channel, or none at all.
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
            return Err(Error::settings("nothing was sent: it has no recipients of its own, and no sync has contacts that get mail by it")
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
        if channels.get(name).is_some_and(|spec| self.has_own_recipients(spec)) {
            return vec![None];
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

    fn reaches_contacts(&self, kind: &str) -> bool {
        self.config.channels.iter().any(|channel| channel.kind == kind && channel.reaches_contacts)
    }

    /// Whether a channel sends to other people than the contacts of syncs.
    fn has_own_recipients(&self, spec: &ChannelSpec) -> bool {
        let to = spec.settings.shown();
        !self.reaches_contacts(&spec.kind)
            || to.get("recipients").is_some_and(|to| to.as_array().is_none_or(|to| !to.is_empty()))
    }

    /// Opens a channel of the project.
    async fn channel(&self, name: &str) -> Result<Arc<dyn Channel>, Error> {
        let gone = || Error::settings(format!("the project has no channel `{name}` any more"));
        let spec = self.config.project.alerts.channels.get(name).ok_or_else(gone)?;
        let kind = self.config.channels.iter().find(|channel| channel.kind == spec.kind).ok_or_else(gone)?;
        let opened = async {
            let settings = self.resolved(&spec.settings).await?;
            (kind.open)(&settings, &self.context(self.config.http.clone(), false))
        };
        opened.await.map_err(|error| error.context(format!("channel `{name}`")))
    }

    /// Makes the notices that an alert lacks: of a recipient that was added later, of a recovery.
    pub(super) async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let book = self.config.store.alert_book();
        let notices = book.notices(&alert.id).await?;
        let now = self.config.clock.now();
        let has = |change, recipient: &Recipient| {
            notices.iter().any(|notice| notice.change == change && notice.recipient == *recipient)
        };
        if alert.resolved_at.is_none() {
            for recipient in self.recipients(alert) {
                if !has(Change::Opened, &recipient) {
                    book.add_notice(&notice(alert, Change::Opened, recipient, now)).await?;
                }
            }
            return Ok(());
        }
        for opened in notices.iter().filter(|notice| notice.change == Change::Opened) {
            if opened.due_at.is_some() {
                // It is over: there is no more to repeat.
                book.update_notice(&Notice { due_at: None, ..opened.clone() }).await?;
            }
            // A recovery from something that was not told means nothing.
            let heard = opened.attempts > 0;
            if heard && !has(Change::Resolved, &opened.recipient) {
                book.add_notice(&notice(alert, Change::Resolved, opened.recipient.clone(), now)).await?;
            }
        }
        Ok(())
    }

    /// Returns everyone who is notified of an alert.
    fn recipients(&self, alert: &Alert) -> Vec<Recipient> {
        let channels = &self.config.project.alerts.channels;
        let sync = self.config.project.syncs.get(&SyncId::new(&alert.subject));
        let options = sync.filter(|_| alert.trigger.about() == About::Sync).map(|sync| sync.options());
        let wanted = |name: &String| match options.and_then(|options| options.alert_channels.as_ref()) {
            Some(named) => named.contains(name),
            // A channel that fails is reported by the others.
            None => alert.trigger != Trigger::Channel || *name != alert.subject,
        };
        let mut recipients = Vec::new();
        for (name, spec) in channels.iter().filter(|(name, _)| wanted(name)) {
            if self.has_own_recipients(spec) {
                recipients.push(Recipient { channel: name.clone(), contact: None });
            }
        }
        let mail = channels.iter().find(|(_, spec)| self.reaches_contacts(&spec.kind));
        if let (Some((channel, _)), Some(options)) = (mail, options) {
            for contact in options.contacts.iter().filter(|contact| is_address(contact)) {
                recipients.push(Recipient { channel: channel.clone(), contact: Some(contact.clone()) });
            }
        }
        recipients
    }

    /// Sends every notice that is due.
    pub(super) async fn send_due(&self) -> Result<(), Error> {
        loop {
            let now = self.config.clock.now();
            let until = now.saturating_add(HELD).unwrap_or(now);
            let due = self.config.store.alert_book().take_due(now, until, TAKEN).await?;
            let more = due.len() == TAKEN;
            let sent: Vec<Result<(), Error>> = futures_util::stream::iter(due)
                .map(|notice| self.send_notice(notice))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            sent.into_iter().collect::<Result<(), Error>>()?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Sends one notice, and notes how far it is.
    async fn send_notice(&self, notice: Notice) -> Result<(), Error> {
        let book = self.config.store.alert_book();
        let Some(alert) = book.find(&notice.alert).await? else { return Ok(()) };
        let name = notice.recipient.channel.clone();
        let sent = match self.channel(&name).await {
            Ok(channel) => {
                let message = self.message(&notice, &alert, self.config.clock.now());
                attempt(channel.as_ref(), &message).await.map(|()| channel.repeats())
            }
            Err(error) => Err(error),
        };
        let now = self.config.clock.now();
        let in_project = self.config.project.alerts.channels.contains_key(&name);
        let updated = match &sent {
            Ok(repeats) => {
                let again =
                    repeats.filter(|_| notice.change == Change::Opened && alert.resolved_at.is_none());
                Notice {
                    attempts: notice.attempts.max(1),
                    due_at: again.and_then(|span| now.checked_add(SignedDuration::try_from(span).ok()?).ok()),
                    sent_at: Some(now),
                    error: None,
                    ..notice.clone()
                }
            }
            Err(error) => {
                let attempts = notice.attempts.saturating_add(1);
                let since = alert.resolved_at.filter(|_| notice.change == Change::Resolved);
                let old = now.duration_since(since.unwrap_or(alert.opened_at)) > TRIED_FOR;
                let due_at = now.checked_add(backoff(attempts)).ok().filter(|_| in_project && !old);
                Notice { attempts, due_at, error: Some(error.chain()), ..notice.clone() }
            }
        };
        book.update_notice(&updated).await?;
        if in_project {
            self.note_channel(&name, &sent.map(drop), updated.attempts, now).await?;
        }
        Ok(())
    }

    /// Opens an alert about a channel that fails, and resolves it once it works.
    async fn note_channel(
        &self,
        name: &str,
        sent: &Result<(), Error>,
        attempts: u32,
        now: Timestamp,
    ) -> Result<(), Error> {
        let known = self.config.store.alert_book().list(0).await?;
        let open = known.iter().find(|alert| alert.trigger == Trigger::Channel && alert.subject == name);
        let state = match sent {
            Ok(()) => State::Good,
            Err(error) if attempts >= FAILURES || open.is_some() => State::Bad(format!(
                "Messages by it do not arrive: {}. Next: {}",
                error.chain(),
                error.next_step()
            )),
            Err(error) => {
                tracing::warn!(
                    channel = name,
                    error = error.chain(),
                    "an alert could not be sent; it is sent again"
                );
                State::Unclear
            }
        };
        self.change(name, Trigger::Channel, &state, open, now).await
    }

    fn message(&self, notice: &Notice, alert: &Alert, at: Timestamp) -> Message {
        let dashboard = self.config.project.alerts.dashboard.as_ref();
        let link = dashboard.map(|dashboard| match alert.trigger.about() {
            About::Channel | About::Machine => format!("{dashboard}/alerts"),
            About::Token => format!("{dashboard}/people"),
            About::Sync => format!("{dashboard}/syncs/{}", tidegate_model::address::encoded(&alert.subject)),
        });
        Message {
            id: notice.id.clone(),
            alert: alert.clone(),
            change: notice.change,
            contact: notice.recipient.contact.clone(),
            at,
            link,
        }
    }
}

/// Sends once, with a limit on the time.
async fn attempt(channel: &dyn Channel, message: &Message) -> Result<(), Error> {
    tokio::select! {
        sent = channel.send(message) => sent,
        () = wait::span(PATIENCE) => {
            Err(Error::new(ErrorKind::Unavailable, "there was no answer within a minute"))
        }
    }
}

/// Makes a notice. Its name is the same wherever it is made.
fn notice(alert: &Alert, change: Change, recipient: Recipient, now: Timestamp) -> Notice {
    let Recipient { channel, contact } = &recipient;
    let receiver = xxh3_64(format!("{channel}\n{}", contact.as_deref().unwrap_or_default()).as_bytes());
    Notice {
        id: format!("{}-{}-{receiver:016x}", alert.id, change.as_str()),
        alert: alert.id.clone(),
        change,
        recipient,
        attempts: 0,
        due_at: Some(now),
        sent_at: None,
        error: None,
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

/// Whether a contact can get an e-mail: it may also be a name, or a room of a chat.
fn is_address(contact: &str) -> bool {
    let parts = contact.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !contact.contains(' '))
}

fn backoff(attempts: u32) -> SignedDuration {
    let wait = RETRY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(RETRY_LONGEST);
    SignedDuration::try_from(wait).unwrap_or_default()
}
