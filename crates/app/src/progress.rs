//! A line of progress for each run, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tidegate_model::{Counts, SyncId};
use tokio::sync::watch;

use crate::output::number;

/// The lines of all runs of this process.
#[derive(Clone, Default)]
pub(crate) struct Lines(MultiProgress);

impl Lines {
    /// Follows a run until its sender of counts is gone.
    pub(crate) fn follow(&self, sync: &SyncId) -> watch::Sender<Counts> {
        let (sender, mut counts) = watch::channel(Counts::default());
        let bar = self.0.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:.bold}  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(sync.to_string());
        bar.enable_steady_tick(Duration::from_millis(120));
        let started = Instant::now();
        tokio::spawn(async move {
            while counts.changed().await.is_ok() {
                let now = *counts.borrow_and_update();
                bar.set_message(message(&now, started.elapsed()));
            }
            bar.finish_and_clear();
        });
        sender
    }
}

fn message(counts: &Counts, elapsed: Duration) -> String {
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
    text.push_str(&format!(" · {}/s", number(rate as u64)));
    text
}
