//! Where events are logged, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Clock, StreamId};

use super::dedup::DedupLimits;
use super::disk::Disk;

/// Where events are logged, and how.
pub struct LogConfig {
    /// The folder; made on first use, closed to other users.
    pub folder: PathBuf,
    /// The clock of the log.
    pub clock: Arc<dyn Clock>,
    /// What this process does with it.
    pub access: LogAccess,
    /// For how long an event is known by its id.
    pub dedup_window: Duration,
    /// About how many ids of each stream are in memory, with up to 24 bytes each.
    pub recent_ids_max: usize,
    /// How many ids of each stream are on disk, with 16 bytes each and 12 bits of memory. Of more, the
    /// oldest are forgotten before their time.
    pub ids_max: u64,
    /// The size at which a segment is closed. Retention removes whole segments.
    pub segment_bytes: u64,
    /// Closed segments of this many bytes or more are compressed.
    pub compress_from: u64,
    /// How much may wait to be written before appends are throttled.
    pub queue_bytes: usize,
}

/// What a process does with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAccess {
    /// Appends and reads; one process at a time.
    Append,
    /// Reads what is whole on the disk, beside a process that appends.
    Read,
}

impl LogConfig {
    /// Creates a log in `folder` with the usual sizes: ids are known for a day, 2 million in memory and
    /// 250 million on disk; segments have 64 MiB, and 64 MiB may wait.
    pub fn new(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>, access: LogAccess) -> LogConfig {
        LogConfig {
            folder: folder.into(),
            clock,
            access,
            dedup_window: Duration::from_hours(24),
            recent_ids_max: 2_000_000,
            ids_max: 250_000_000,
            segment_bytes: 64 * 1024 * 1024,
            compress_from: 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The configuration of a writer.
pub(super) struct WriterConfig {
    pub(super) stream: StreamId,
    pub(super) folder: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) segment_bytes: u64,
    pub(super) compress_from: u64,
    pub(super) dedup: DedupLimits,
}
