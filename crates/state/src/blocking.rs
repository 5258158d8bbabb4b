//! Work that waits for a disk or takes a core for long, beside the threads that serve everything else.

use tidegate_model::Error;
use tokio::task::spawn_blocking;

/// Runs work on a thread that may block.
///
/// # Errors
/// Those of the work, and an internal one if it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // The process is ending: the next one does the work.
        Err(cause) if cause.is_cancelled() => std::future::pending().await,
        Err(cause) => Err(Error::internal("work on files of the state ended early").caused_by(cause)),
    }
}
