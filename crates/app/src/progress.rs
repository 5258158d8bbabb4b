//! A line of progress for each run, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tidegate_model::{Progress, SyncId};
use tokio::sync::watch;

use crate::output::number;

/// The lines of all runs of this process.
#[derive(Clone, Default)]
pub(crate) struct Lines(MultiProgress);

impl Lines {
    /// Follows a run until its sender of counts is gone.
    pub(crate) fn follow(&self, sync: &SyncId) -> watch::Sender<Progress> {
        let (sender, mut progress) = watch::channel(Progress::default());
        let bar = self.0.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:.bold}  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(sync.to_string());
        bar.enable_steady_tick(Duration::from_millis(120));
        let started = Instant::now();
        tokio::spawn(async move {
            while progress.changed().await.is_ok() {
                let now = progress.borrow_and_update().clone();
                bar.set_message(message(&now, started.elapsed()));
            }
            bar.finish_and_clear();
        });
        sender
    }
}

fn message(progress: &Progress, elapsed: Duration) -> String {
    let counts = &progress.counts;
    let rate = counts.read as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{} read · {} delivered", number(counts.read), number(counts.delivered));
    for (count, word) in [
        (counts.skipped, "skipped"),
        (counts.ignored, "changed and ignored"),
        (counts.rejected, "rejected"),
        (counts.in_doubt, "in doubt"),
        (counts.retries, "retries"),
    ] {
        if count > 0 {
            text.push_str(&format!(" · {} {word}", number(count)));
        }
    }
    match &progress.wait {
        Some(wait) => text.push_str(&format!(" · {wait}")),
        None => text.push_str(&format!(" · {}/s", number(rate as u64))),
    }
    text
}
