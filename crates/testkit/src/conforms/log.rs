//! What is logged, kept to be looked through.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use tidegate_model::log::{LogLimit, limit_of};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

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

/// Keeps from now on what any thread logs, as far as the program lets it be logged
/// ([`tidegate_model::log`]).
pub(super) fn start() {
    STARTED.get_or_init(|| {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Log);
        let filter = filter_fn(|about| *about.level() <= loudest(about.target()));
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens to the log");
    });
    tracing::info!("the log is kept");
}

fn loudest(target: &str) -> Level {
    match limit_of(target) {
        LogLimit::Everything => Level::TRACE,
        LogLimit::Warnings => Level::WARN,
        LogLimit::Errors => Level::ERROR,
    }
}

/// Everything that was logged.
pub(super) fn written() -> String {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&written).into_owned();
    assert!(text.contains("the log is kept"), "nothing is kept of the log");
    text
}
