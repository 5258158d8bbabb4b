//! What is logged, kept to be looked through.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Level;

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps from now on what any thread logs, however unimportant.
pub(super) fn start() {
    STARTED.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens to the log");
    });
    tracing::info!("the log is kept");
}

/// Everything that was logged.
pub(super) fn written() -> String {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&written).into_owned();
    assert!(text.contains("the log is kept"), "nothing is kept of the log");
    text
}
