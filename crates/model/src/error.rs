//! What went wrong, what the engine does about it, and what people read.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ConnectionId;

/// The result of anything that can fail as a whole.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. The kind alone decides the engine's reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting cannot work: an unknown region, a host that is no host.
    Settings,
    /// Access is denied: 401, 403, a missing grant, a wrong password.
    Denied,
    /// What was asked for is not there: table, column, topic, catalog.
    Missing,
    /// A person has to confirm it first: it would go beyond a limit, or count twice.
    Unconfirmed,
    /// Too fast; acceptable again at the given time, or soon if it is not known.
    Throttled(Option<Timestamp>),
    /// Not reachable now: refused, 503, DNS, a warehouse that warms up.
    Unavailable,
    /// The request is larger than the other side takes.
    TooLarge,
    /// The request was rejected as a whole and none of it took effect.
    Rejected,
    /// An answer that we cannot read.
    Unexpected,
    /// Our own storage failed: a full disk, a locked file.
    Storage,
    /// Another process runs the sync, or has taken it over.
    Held,
    /// A fault of this program.
    Internal,
}

impl ErrorKind {
    /// Every kind, for reading its word.
    const ALL: [ErrorKind; 12] = [
        ErrorKind::Settings,
        ErrorKind::Denied,
        ErrorKind::Missing,
        ErrorKind::Unconfirmed,
        ErrorKind::Throttled(None),
        ErrorKind::Unavailable,
        ErrorKind::TooLarge,
        ErrorKind::Rejected,
        ErrorKind::Unexpected,
        ErrorKind::Storage,
        ErrorKind::Held,
        ErrorKind::Internal,
    ];

    /// Returns the word used in JSON and in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Settings => "settings",
            ErrorKind::Denied => "denied",
            ErrorKind::Missing => "missing",
            ErrorKind::Unconfirmed => "unconfirmed",
            ErrorKind::Throttled(_) => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Unexpected => "unexpected",
            ErrorKind::Storage => "storage",
            ErrorKind::Held => "held",
            ErrorKind::Internal => "internal",
        }
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A word that this version does not know reads as [`ErrorKind::Unexpected`].
impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let known = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        Ok(known.unwrap_or(ErrorKind::Unexpected))
    }
}

/// What the engine does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Marks the sync as paused; `tidegate serve` keeps retrying at long intervals. No row is
    /// skipped.
    Pause,
    /// Waits, then sends the same again. Not an attempt.
    Wait(Option<Timestamp>),
    /// Tries again with growing waits inside a budget, then leaves it for the next run.
    BackOff,
    /// Halves the request until the row that cannot be accepted is alone.
    Halve,
    /// Ends the run; the next one starts at the last checkpoint.
    Fail,
}

/// A failure that concerns more than one row. Rows have a [`crate::Reason`] instead.
///
/// The message names the thing and the cause and never holds a row value or a
/// secret; the hint is the next step.
pub struct Error {
    kind: ErrorKind,
    message: Box<str>,
    // Boxed: every `Result` of this program carries an `Error`.
    hint: Option<Box<str>>,
    said: Option<Box<str>>,
    not_before: Option<Timestamp>,
    connection: Option<Box<ConnectionId>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates a failure with its sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let message = plain(message.into()).into_boxed_str();
        Error { kind, message, hint: None, said: None, not_before: None, connection: None, source: None }
    }

    /// Adds what a person does next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// Adds the other side's own words. They may repeat a value of a row, so they are shown where
    /// rows are shown, and neither logged nor stored with a run.
    #[must_use]
    pub fn words(mut self, said: impl Into<String>) -> Error {
        self.said = Some(said.into().into_boxed_str()).filter(|said| !said.is_empty());
        self
    }

    /// Adds when the other side takes requests again, if it said so.
    #[must_use]
    pub fn not_before(mut self, until: Option<Timestamp>) -> Error {
        self.not_before = until;
        self
    }

    /// Adds the connection through which it failed, unless it is known.
    #[must_use]
    pub fn at(mut self, connection: &ConnectionId) -> Error {
        self.connection.get_or_insert_with(|| Box::new(connection.clone()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// Prefixes the message with the operation that failed.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.message = format!("{doing}: {}", self.message).into_boxed_str();
        self
    }

    /// Creates a failure of kind [`ErrorKind::Settings`].
    pub fn settings(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Settings, message)
    }

    /// Creates a failure of kind [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the connection through which it failed, if it is known.
    pub fn connection(&self) -> Option<&ConnectionId> {
        self.connection.as_deref()
    }

    /// Returns the sentence, without hint and causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the other side's own words, if there are any.
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Returns the message, its causes and the other side's own words: for the reason of a row,
    /// and for people who ask.
    pub fn with_words(&self) -> String {
        match &self.said {
            Some(said) => format!("{}: {said}", self.chain()),
            None => self.chain(),
        }
    }

    /// Returns what to do next: the hint, or a general one for the kind.
    pub fn next_step(&self) -> &str {
        if let Some(hint) = &self.hint {
            return hint;
        }
        match self.kind {
            ErrorKind::Settings => "correct the setting, then run `tidegate check`",
            ErrorKind::Denied => "grant the permission or correct the credential, then run `tidegate check`",
            ErrorKind::Missing => "create it or correct its name, then run `tidegate check`",
            ErrorKind::Unconfirmed => "look at `tidegate plan`, then confirm the run with `--yes`",
            ErrorKind::Throttled(_) => "nothing to do: it is sent again automatically",
            ErrorKind::Unavailable => "the next run tries again; `tidegate check` shows whether it is back",
            ErrorKind::TooLarge | ErrorKind::Rejected => "see `tidegate rows --rejected`",
            ErrorKind::Unexpected => "the next run tries again; report it if it persists",
            ErrorKind::Storage if self.is_refused() => {
                "let the user that runs tidegate write there, then run again; no data was lost"
            }
            ErrorKind::Storage => "free some disk space or repair the disk, then run again; no data was lost",
            ErrorKind::Held => "nothing to do: the process that holds the sync runs it",
            ErrorKind::Internal => "please report it, with the run's name",
        }
    }

    /// Whether the system refused a file or folder to the user of this process.
    fn is_refused(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let cause = self.source.as_ref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        cause.is_some_and(|cause| matches!(cause.kind(), PermissionDenied | ReadOnlyFilesystem))
    }

    /// Returns when the other side takes requests again, if it said so.
    pub fn acceptable_at(&self) -> Option<Timestamp> {
        match self.kind {
            ErrorKind::Throttled(until) => until,
            _ => self.not_before,
        }
    }

    /// Returns what the engine does about it.
    pub fn reaction(&self) -> Reaction {
        match self.kind {
            ErrorKind::Settings | ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Unconfirmed => {
                Reaction::Pause
            }
            ErrorKind::Throttled(until) => Reaction::Wait(until),
            ErrorKind::Unavailable => Reaction::BackOff,
            ErrorKind::TooLarge | ErrorKind::Rejected => Reaction::Halve,
            ErrorKind::Unexpected | ErrorKind::Storage | ErrorKind::Held | ErrorKind::Internal => {
                Reaction::Fail
            }
        }
    }

    /// Returns the message and its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.message.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = plain(error.to_string());
            // Some libraries repeat the cause in the message of what it caused.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}

/// Returns what a system says, without its error number, which is for programmers.
fn plain(said: String) -> String {
    let Some((before, after)) = said.split_once(" (os error ") else { return said };
    let after = after.split_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};

    #[test]
    fn a_cause_is_shown_without_the_number_that_the_system_gives_it() {
        let cause = std::io::Error::from_raw_os_error(2);
        let error = Error::new(ErrorKind::Missing, "./drops is not there").caused_by(cause);
        assert_eq!(error.chain(), "./drops is not there: No such file or directory");
        assert_eq!(Error::internal("refused (os error 111) by it").message(), "refused by it");
    }

    #[test]
    fn the_word_of_a_kind_is_read_back_and_one_of_a_later_version_is_no_error() {
        for kind in ErrorKind::ALL {
            let word = serde_json::to_string(&kind).expect("text");
            assert_eq!(serde_json::from_str::<ErrorKind>(&word).expect("a kind"), kind);
        }
        assert_eq!(serde_json::from_str::<ErrorKind>("\"later\"").expect("a kind"), ErrorKind::Unexpected);
    }

    #[test]
    fn a_folder_that_may_not_be_written_is_not_taken_for_a_full_disk() {
        let error = |kind: std::io::ErrorKind| {
            Error::new(ErrorKind::Storage, "cannot write x").caused_by(std::io::Error::from(kind))
        };
        assert!(error(std::io::ErrorKind::PermissionDenied).next_step().starts_with("let the user"));
        assert!(error(std::io::ErrorKind::StorageFull).next_step().starts_with("free some disk space"));
    }
}
