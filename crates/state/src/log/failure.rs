//! Failures of the log, as people read them.

use std::io;
use std::path::Path;

use tidegate_model::{Error, ErrorKind};

use crate::failure;

/// A position where a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The byte.
    pub(super) at: u64,
}

impl Damage {
    /// The error of it.
    pub(super) fn of(self, path: &Path) -> Error {
        let (shown, at) = (path.display(), self.at);
        Error::new(
            ErrorKind::Storage,
            format!("{shown} is damaged at byte {at}: acknowledged events cannot be read"),
        )
        .hint(
            "restore this file from a copy; or move it out of its folder to continue without the events in it, \
             from the next file",
        )
    }
}

/// A file could not be read.
pub(super) fn reading(cause: io::Error, path: &Path) -> Error {
    failure::of_io(cause, "reading", path)
}

/// A file could not be written.
pub(super) fn writing(cause: io::Error, path: &Path) -> Error {
    failure::of_io(cause, "writing", path)
}

/// Whether a write failed for want of space alone: once there is some, writing works again.
pub(super) fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A failure that concerns many callers.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    message: String,
    next_step: String,
}

impl Failure {
    /// One that passes.
    pub(super) fn of(error: &Error) -> Failure {
        Failure { message: error.chain(), next_step: error.next_step().to_owned() }
    }

    /// The stream cannot be used before a restart, because its files could not be opened.
    pub(super) fn opening(error: &Error) -> Failure {
        Failure {
            message: format!("the event log cannot be opened: {}", error.chain()),
            next_step: format!("{}, then restart tidegate", error.next_step()),
        }
    }

    /// The stream takes nothing before a restart, because its disk failed.
    pub(super) fn stopped(cause: &io::Error, path: &Path) -> Failure {
        Failure {
            message: format!("the event log has stopped: writing {} failed: {cause}", path.display()),
            next_step: "repair the disk, then restart tidegate: confirmed events are kept".to_owned(),
        }
    }

    /// The error that each caller gets.
    pub(super) fn error(&self) -> Error {
        Error::new(ErrorKind::Storage, self.message.clone()).hint(self.next_step.clone())
    }
}
