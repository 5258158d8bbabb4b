//! Tables and files in lakes: Delta tables, Parquet and JSON files, on disk and
//! in object stores.
//!
//! Rows are read on threads that may block (`feed`).
//!
//! Both sinks write each event exactly once: their progress is written together with the events
//! (`progress`), so that a repetition is recognized. Neither keeps state here.

mod batch;
pub mod delta;
pub mod feed;
pub mod files;
mod parquet;
mod prepared;
mod probe;
mod progress;
mod settings;

use tidegate_model::{Error, LoggedEvent, Reason, SinkTarget};

/// The folder of what is ours beside tables and files: readers of lakes skip names that
/// begin with `_`.
const TIDEGATE: &str = "_tidegate";

/// How the names of an export's files begin while they are written: in a folder that readers skip.
fn stage_of(target: &SinkTarget) -> String {
    format!("{TIDEGATE}/{}.{}", plain(target.stream.as_str()), plain(target.sync.as_str()))
}

/// Whether readers of tables understand the time of an event: most count years
/// from 1 to 9999.
///
/// # Errors
/// Why they would not.
fn validate(event: &LoggedEvent) -> Result<(), Reason> {
    /// The first second of the year 1; no moment is after the year 9999.
    const FIRST: i64 = -62_135_596_800;
    let at = event.event.at;
    if at.as_second() >= FIRST {
        return Ok(());
    }
    let year = jiff::tz::Offset::UTC.to_datetime(at).year();
    Err(Reason::new("time_out_of_range", format!("the year {year} cannot be written to a table")))
}

/// Runs blocking work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(cause) => Err(Error::internal("writing to the lake ended abnormally").caused_by(cause)),
    }
}

/// A name as part of a file's name: other characters become their numbers, so that
/// two names stay two.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("={byte:02x}"));
        }
    }
    plain
}
