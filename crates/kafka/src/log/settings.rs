//! Settings of the event log.

use jiff::SignedDuration;

/// Settings of the event log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The prefix of the names of topics.
    pub prefix: String,
    /// Partitions of a topic that is created: events of one user are in one of them.
    pub partitions: u16,
    /// Replicas of a topic that is created; the brokers' own number if absent.
    pub replicas: Option<u16>,
    /// How long events are kept, in a topic that is created.
    pub retention: SignedDuration,
    /// The deduplication window: how long the id of an event is known.
    pub dedup_window: SignedDuration,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings {
            prefix: "tidegate.".to_owned(),
            partitions: 12,
            replicas: None,
            retention: SignedDuration::from_hours(90 * 24),
            dedup_window: SignedDuration::from_hours(1),
        }
    }
}
