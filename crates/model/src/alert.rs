//! Alerts: what is wrong with a sync, and how people hear of it.
//!
//! An alert opens when a sync gets into a state that needs a person, and is resolved when it
//! leaves it. A *notice* carries one of these two changes to one recipient.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::{ConnectorContext, Error, Settings};

/// Why an alert opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its last run failed, or Tidegate paused it because the next one would fail too.
    Failed,
    /// A large share of the rows of a run was rejected.
    Rejected,
    /// Rows are in doubt: a person decides whether they are sent again.
    InDoubt,
    /// No run was completed for too long.
    Stale,
    /// No row was read for too long.
    NoRows,
    /// What came in has been waiting for too long.
    Lag,
    /// The token of a program ends soon, or has ended.
    Expires,
    /// The disk of the state is almost full, or will be soon.
    Disk,
    /// A channel could not be reached.
    Channel,
    /// A person tries a channel.
    Test,
}

impl Trigger {
    /// Returns the word in files, documents and addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Failed => "failed",
            Trigger::Rejected => "rejected",
            Trigger::InDoubt => "in_doubt",
            Trigger::Stale => "stale",
            Trigger::NoRows => "no_rows",
            Trigger::Lag => "lag",
            Trigger::Expires => "expires",
            Trigger::Disk => "disk",
            Trigger::Channel => "channel",
            Trigger::Test => "test",
        }
    }

    /// Returns how bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Trigger::Failed | Trigger::Stale | Trigger::Disk | Trigger::Channel => Severity::Critical,
            Trigger::Rejected
            | Trigger::InDoubt
            | Trigger::NoRows
            | Trigger::Lag
            | Trigger::Expires
            | Trigger::Test => Severity::Warning,
        }
    }

    /// Returns what an alert of it is about.
    pub fn about(self) -> About {
        match self {
            Trigger::Failed
            | Trigger::Rejected
            | Trigger::InDoubt
            | Trigger::Stale
            | Trigger::NoRows
            | Trigger::Lag => About::Sync,
            Trigger::Expires => About::Token,
            Trigger::Disk => About::Machine,
            Trigger::Channel | Trigger::Test => About::Channel,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A sync.
    Sync,
    /// A channel for alerts.
    Channel,
    /// The token of a program.
    Token,
    /// A part of the machine.
    Machine,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Rows do not arrive.
    Critical,
    /// Some rows do not arrive, or may not.
    Warning,
}

impl Severity {
    /// Returns the word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Its name, unique everywhere; names sort by the time of opening.
    pub id: String,
    /// The sync that it is about; for the trigger `channel`, the channel, for `expires`, the token, and `disk` for a disk.
    pub subject: String,
    /// Why it opened.
    pub trigger: Trigger,
    /// The sentence to act on, without a row value.
    pub summary: String,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it was resolved; `null` while it is open.
    pub resolved_at: Option<Timestamp>,
}

/// Which alerts to list: the open ones, then those that were resolved; in both parts the one that opened
/// last comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuery {
    /// Whether resolved alerts follow the open ones.
    pub resolved: bool,
    /// After this alert: the last one of the page before.
    pub after: Option<AlertCursor>,
    /// At most this many.
    pub limit: usize,
}

/// The position of an alert in the order of [`AlertQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertCursor {
    /// Whether it was resolved.
    pub is_resolved: bool,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Its name.
    pub id: String,
}

impl Alert {
    /// Returns its position in the order of [`AlertQuery`].
    pub fn cursor(&self) -> AlertCursor {
        AlertCursor {
            is_resolved: self.resolved_at.is_some(),
            opened_at: self.opened_at,
            id: self.id.clone(),
        }
    }

    /// Returns one line for a list or a subject.
    pub fn title(&self) -> String {
        let subject = &self.subject;
        match self.trigger {
            Trigger::Failed => format!("{subject} fails"),
            Trigger::Rejected => format!("{subject}: many rows are rejected"),
            Trigger::InDoubt => format!("{subject}: rows are in doubt"),
            Trigger::Stale => format!("{subject} is out of date"),
            Trigger::NoRows => format!("{subject} reads no rows"),
            Trigger::Lag => format!("{subject} lags behind its stream"),
            Trigger::Expires => format!("The token {subject} expires"),
            Trigger::Disk => "The disk of the state fills up".to_owned(),
            Trigger::Channel => format!("The channel {subject} cannot be reached"),
            Trigger::Test => "A test of this channel".to_owned(),
        }
    }
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It opened.
    Opened,
    /// It was resolved.
    Resolved,
}

impl Change {
    /// Returns the word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Opened => "opened",
            Change::Resolved => "resolved",
        }
    }
}

/// A receiver of notices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Recipient {
    /// The channel, by its name in the project.
    pub channel: String,
    /// The contact of a sync that it goes to instead of the recipients of the channel.
    pub contact: Option<String>,
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.contact {
            Some(contact) => write!(f, "{contact} by {}", self.channel),
            None => f.write_str(&self.channel),
        }
    }
}

/// A message to one recipient, and whether it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Its name, the same in each attempt.
    pub id: String,
    /// The alert, by its name.
    pub alert: String,
    /// What happened to it.
    pub change: Change,
    /// The receiver.
    pub recipient: Recipient,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next; `null` if it is done with.
    pub due_at: Option<Timestamp>,
    /// When the receiver accepted it.
    pub sent_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// The part of a store that keeps alerts and notices. Durable as [`Store`](crate::Store) is; several
/// processes may use one.
///
/// # Errors
/// As for [`Store`](crate::Store).
#[async_trait]
pub trait AlertBook: Send + Sync {
    /// Opens an alert, unless one with the same subject and trigger is open. Returns whether it opened.
    async fn open(&self, alert: &Alert) -> Result<bool, Error>;

    /// Replaces the sentence of an open alert.
    async fn explain(&self, id: &str, summary: &str) -> Result<(), Error>;

    /// Resolves an open alert. Returns whether it was open.
    async fn resolve(&self, id: &str, at: Timestamp) -> Result<bool, Error>;

    /// Returns the open alerts, and up to `resolved` others; in both parts the one that opened last
    /// comes first.
    async fn list(&self, resolved: usize) -> Result<Vec<Alert>, Error>;

    /// Returns a page of alerts.
    async fn page(&self, query: &AlertQuery) -> Result<Vec<Alert>, Error>;

    /// Returns the number of open alerts.
    async fn count_open(&self) -> Result<u64, Error>;

    /// Returns one alert.
    async fn find(&self, id: &str) -> Result<Option<Alert>, Error>;

    /// Adds a notice, unless there is one about the same change of the same alert for the same recipient.
    async fn add_notice(&self, notice: &Notice) -> Result<(), Error>;

    /// Returns the notices of an alert, oldest first.
    async fn notices(&self, alert: &str) -> Result<Vec<Notice>, Error>;

    /// Takes up to `limit` notices that are due, oldest first: until `until` no other process gets them.
    async fn take_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Notice>, Error>;

    /// Writes back how far a notice is.
    async fn update_notice(&self, notice: &Notice) -> Result<(), Error>;

    /// Removes alerts that were resolved before `before`, with their notices.
    async fn trim(&self, before: Timestamp) -> Result<(), Error>;
}

/// What a channel sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name of the notice: receivers recognize a repetition by it.
    pub id: String,
    /// The alert.
    pub alert: Alert,
    /// What happened to it.
    pub change: Change,
    /// The contact that it goes to instead of the recipients of the channel.
    pub contact: Option<String>,
    /// The time of sending.
    pub at: Timestamp,
    /// The page that shows more, if the project says where the dashboard is.
    pub link: Option<String>,
}

/// A way to reach people or the systems that wake them.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Sends once. `Ok` means that the other side accepted the message; after `Err` it is sent again,
    /// so a message may arrive more than once.
    ///
    /// # Errors
    /// If it was not accepted, or that is not known.
    async fn send(&self, message: &Message) -> Result<(), Error>;

    /// Returns how often an open alert is sent again, for receivers that forget it otherwise.
    fn repeats(&self) -> Option<Duration> {
        None
    }
}

/// Opens a channel of its type with the settings of the project file.
pub type OpenChannel = fn(&Settings, &ConnectorContext) -> Result<Arc<dyn Channel>, Error>;

/// A type of channel: its settings as a schema, and how it is opened.
#[derive(Clone, Copy)]
pub struct ChannelType {
    /// Its name in project files.
    pub kind: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Whether it reaches the contacts of a sync, which are e-mail addresses.
    pub reaches_contacts: bool,
    /// The schema of its settings.
    pub settings: fn() -> Schema,
    /// Opens it. Opening does no I/O but to read certificate files.
    pub open: OpenChannel,
}

impl fmt::Debug for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelType").field(&self.kind).finish()
    }
}
