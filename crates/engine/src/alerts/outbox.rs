//! Notices: who is notified of a change, and what is sent when.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::alert::{About, Alert, AlertQuery, Change, Message, Notice, Recipient, Trigger};
use tidegate_model::{Error, SyncId};
use xxhash_rust::xxh3::xxh3_64;

use super::channels::{attempt, is_address};
use super::conditions::State;
use crate::service::Engine;

/// How many notices are sent at a time.
const AT_ONCE: usize = 8;
/// How long a process keeps a notice that it has taken, which is more than an attempt may take: another one sends it
/// after that.
const HELD: SignedDuration = SignedDuration::from_mins(3);
/// The wait after the first attempt that failed; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest of these waits.
const RETRY_LONGEST: Duration = Duration::from_secs(900);
/// How long a notice is tried.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How many resolved alerts are looked at for the last message to a recipient.
const RESOLVED: usize = 50;
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
            let own = self.own_recipients(spec).into_iter();
            recipients.extend(own.map(|contact| Recipient { channel: name.clone(), contact }));
        }
        let mail = channels.iter().find(|(_, spec)| self.reaches_contacts(&spec.kind));
        if let (Some((channel, _)), Some(options)) = (mail, options) {
            for contact in options.contacts.iter().filter(|contact| is_address(contact)) {
                let recipient = Recipient { channel: channel.clone(), contact: Some(contact.clone()) };
                if !recipients.contains(&recipient) {
                    recipients.push(recipient);
                }
            }
        }
        recipients
    }

    /// Sends every notice that is due by now. Each is taken when it can be sent at once, so it is held no longer than
    /// its attempt takes.
    pub(super) async fn send_due(&self) -> Result<(), Error> {
        let begun = self.config.clock.now();
        let mut sending = FuturesUnordered::new();
        let (mut more, mut result) = (true, Ok(()));
        loop {
            if more {
                let free = AT_ONCE - sending.len();
                let now = self.config.clock.now();
                let until = now.saturating_add(HELD).unwrap_or(now);
                match self.config.store.alert_book().take_due(begun, until, free).await {
                    Ok(due) => {
                        more = due.len() == free;
                        sending.extend(due.into_iter().map(|notice| self.send_notice(notice)));
                    }
                    Err(error) => (more, result) = (false, Err(error)),
                }
            }
            match sending.next().await {
                Some(Ok(())) => {}
                // Those that are being sent are finished.
                Some(Err(error)) => (more, result) = (false, result.and(Err(error))),
                None => return result,
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
        let in_project = self.config.project.alerts.channels.contains_key(&name)
            && (sent.is_ok() || self.recipients(&alert).contains(&notice.recipient));
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
            self.note_channel(&updated, &sent.map(drop), now).await?;
        }
        Ok(())
    }

    /// Opens an alert about a channel that fails, and resolves it once it works for all of its recipients.
    async fn note_channel(
        &self,
        notice: &Notice,
        sent: &Result<(), Error>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let name = notice.recipient.channel.as_str();
        let known = self.config.store.alert_book().list(0).await?;
        let open = known.iter().find(|alert| alert.trigger == Trigger::Channel && alert.subject == name);
        let state = match sent {
            Ok(()) if open.is_some() && self.fails_for_another(&notice.recipient).await? => State::Unclear,
            Ok(()) => State::Good,
            Err(error) if notice.attempts >= FAILURES || open.is_some() => State::Bad(format!(
                "A message by it does not arrive: {}. Next: {}",
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

    /// Whether the last message to another recipient of the same channel was not accepted.
    async fn fails_for_another(&self, recipient: &Recipient) -> Result<bool, Error> {
        let book = self.config.store.alert_book();
        let mut judged = vec![recipient.clone()];
        for alert in book.list(RESOLVED).await? {
            let wanted = self.recipients(&alert);
            for notice in book.notices(&alert.id).await?.into_iter().rev() {
                let was_tried = notice.error.is_some() || notice.sent_at.is_some();
                let is_of_channel = notice.recipient.channel == recipient.channel;
                if !was_tried || !is_of_channel || judged.contains(&notice.recipient) {
                    continue;
                }
                if notice.error.is_some() && wanted.contains(&notice.recipient) {
                    return Ok(true);
                }
                judged.push(notice.recipient);
            }
        }
        Ok(false)
    }

    pub(super) fn message(&self, notice: &Notice, alert: &Alert, at: Timestamp) -> Message {
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

/// Makes a notice. Its name is the same wherever it is made.
pub(super) fn notice(alert: &Alert, change: Change, recipient: Recipient, now: Timestamp) -> Notice {
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

fn backoff(attempts: u32) -> SignedDuration {
    let wait = RETRY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(RETRY_LONGEST);
    SignedDuration::try_from(wait).unwrap_or_default()
}
