//! What trickles in becomes fewer batches.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tidegate_model::{Batch, Error, Feed};

use crate::pipeline::wait;

/// A batch that holds this much memory is given on at once.
const HELD_BYTES: usize = 2 << 20;

/// A batch, and how many bytes it keeps in memory.
pub(crate) type Weighed<T> = (Batch<T>, usize);

/// Joins the batches that come within `span` of each other, up to about `items`.
///
/// Only a few batches may be under way. Of a slow stream each holds an event or
/// two, and a request that may wait for a minute would be sent with four of them.
pub(crate) fn gather<T: Send + 'static>(
    feed: BoxStream<'static, Result<Weighed<T>, Error>>,
    items: usize,
    span: Duration,
) -> Feed<T> {
    // What came after the last batch: the end, or an error.
    let (feed, behind) = (feed.fuse(), None::<Error>);
    stream::unfold((feed, behind), move |(mut feed, behind)| async move {
        if let Some(error) = behind {
            return Some((Err(error), (feed, None)));
        }
        let (mut batch, mut bytes) = match feed.next().await? {
            Ok(first) => first,
            Err(error) => return Some((Err(error), (feed, None))),
        };
        let mut behind = None;
        let mut over = pin!(wait::span(span).fuse());
        while batch.items.len() + batch.malformed.len() < items && bytes < HELD_BYTES {
            let more = tokio::select! {
                biased;
                more = feed.next() => more,
                () = &mut over => break,
            };
            match more {
                Some(Ok((more, weight))) => {
                    bytes += weight;
                    batch.append(more);
                }
                Some(Err(error)) => {
                    behind = Some(error);
                    break;
                }
                None => break,
            }
        }
        Some((Ok(batch), (feed, behind)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Checkpoint, ErrorKind};

    use super::*;

    fn numbered(number: u64) -> Result<Weighed<u64>, Error> {
        let checkpoint = Some(Checkpoint(number.into()));
        Ok((Batch { checkpoint, ..Batch::of(vec![number]) }, 1))
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_a_failure_is_given_before_it() {
        let failed = Err(Error::new(ErrorKind::Unavailable, "gone"));
        let feed = stream::iter([numbered(1), numbered(2), failed]).boxed();
        let mut gathered = gather(feed, 10, Duration::from_secs(1));
        let batch = gathered.next().await.expect("a batch").expect("no error yet");
        assert_eq!((batch.items, batch.checkpoint), (vec![1, 2], Some(Checkpoint(2.into()))));
        assert!(gathered.next().await.expect("the error").is_err());
        assert!(gathered.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_given_when_it_is_full_or_its_time_is_over() {
        let feed = stream::iter((0..7).map(numbered)).chain(stream::pending()).boxed();
        let mut gathered = gather(feed, 3, Duration::from_secs(1));
        let mut sizes = Vec::new();
        for _ in 0..3 {
            sizes.push(gathered.next().await.expect("a batch").expect("no error").items.len());
        }
        assert_eq!(sizes, [3, 3, 1]);
    }
}
