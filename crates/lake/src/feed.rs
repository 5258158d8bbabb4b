//! Feeds that a thread fills which may block.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Error, Feed, Row};
use tokio::sync::mpsc;

/// Reads that have a thread.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Returns how many reads of this process have a thread: none that was dropped keeps one.
pub fn under_way() -> usize {
    UNDER_WAY.load(Ordering::Relaxed)
}

/// Counts a read for as long as it has a thread, also if it panics.
struct UnderWay;

impl UnderWay {
    fn new() -> UnderWay {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        UnderWay
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where batches go.
pub(crate) type Sender = mpsc::Sender<Result<Batch<Row>, Error>>;

/// Returns what `work` sends, from a thread that may block. `doing` names the work.
pub(crate) fn on_a_thread(doing: &'static str, work: impl FnOnce(Sender) + Send + 'static) -> Feed<Row> {
    // It is at most two batches ahead.
    let (sender, mut receiver) = mpsc::channel(2);
    let under_way = UnderWay::new();
    let working = tokio::task::spawn_blocking(move || {
        let _under_way = under_way;
        work(sender);
    });
    // Work that broke off looks like work that came to its end, until it is asked:
    // rows that were not read must not look like rows that are gone.
    let broken = stream::once(working).filter_map(move |ended| async move {
        let cause = ended.err()?;
        Some(Err(Error::internal(format!("{doing} broke off")).caused_by(cause)))
    });
    stream::poll_fn(move |context| receiver.poll_recv(context)).chain(broken).boxed()
}

#[cfg(test)]
mod tests {
    use tidegate_model::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_read_that_breaks_off_does_not_look_finished() {
        let mut feed = on_a_thread("reading", |sender| {
            sender.blocking_send(Ok(Batch::of(Vec::new()))).expect("a receiver");
            panic!("a fault of this program");
        });

        assert!(feed.next().await.expect("a batch").is_ok());
        let error = feed.next().await.expect("an end that is told").expect_err("broken off");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(feed.next().await.is_none());
    }
}
