//! Rows that differ, until all rows were compared.

use futures_util::{StreamExt, stream};
use tidegate_model::bookkeeping::SourceHashes;
use tidegate_model::held::{HeldBatch, HeldRows};
use tidegate_model::{Batch, Error, Feed, MalformedRecord, Row};

use crate::pipeline::read::by_source::AtSource;
use crate::pipeline::read::compare::Judge;

/// Bytes of input that could not be read and is held.
const MALFORMED_BYTES: u64 = 8 << 20;

/// Rows that differ.
pub(super) struct Held {
    rows: Box<dyn HeldRows>,
    malformed: Vec<MalformedRecord>,
    malformed_bytes: u64,
    fixed: Vec<String>,
    /// Whether they do not fit, or are not those that differ: the source is read once more.
    pub(super) overflows: bool,
    pub(super) unchanged: u64,
    ignored: u64,
}

impl Held {
    /// Holds nothing yet.
    pub(super) fn new(rows: Box<dyn HeldRows>) -> Held {
        Held {
            rows,
            malformed: Vec::new(),
            malformed_bytes: 0,
            fixed: Vec::new(),
            overflows: false,
            unchanged: 0,
            ignored: 0,
        }
    }

    /// Adds what differs of one batch, and the hashes that the source has made of its rows, if it makes some.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn add(&mut self, batch: Batch<Row>, hashes: Vec<SourceHashes>) -> Result<(), Error> {
        self.unchanged += batch.unchanged;
        self.ignored += batch.ignored;
        if self.overflows {
            return Ok(());
        }
        let text = |piece: &MalformedRecord| piece.payload.len() as u64 + 256;
        self.malformed_bytes += batch.malformed.iter().map(text).sum::<u64>();
        self.malformed.extend(batch.malformed);
        self.fixed.extend(batch.fixed);
        let rows = HeldBatch { rows: batch.items, origins: batch.origins, hashes };
        let fits = rows.rows.is_empty() || self.rows.add(rows).await?;
        self.overflows |= !fits || self.malformed_bytes > MALFORMED_BYTES;
        if self.overflows {
            (self.malformed, self.fixed) = (Vec::new(), Vec::new());
        }
        Ok(())
    }

    /// Returns the rows in batches. Those of a batch are about to be sent when it is read.
    pub(super) fn feed(self, batch_rows: usize, judge: Judge, at_source: Option<AtSource>) -> Feed<Row> {
        let Held { rows, malformed, fixed, unchanged, ignored, .. } = self;
        let first = Batch { malformed, fixed, unchanged, ignored, ..Batch::of(Vec::new()) };
        let batches = stream::try_unfold((rows, Some(first)), move |(mut rows, first)| {
            let (judge, at_source) = (judge.clone(), at_source.clone());
            async move {
                let HeldBatch { rows: items, origins, hashes } = rows.next(batch_rows.max(1)).await?;
                if items.is_empty() && first.is_none() {
                    return Ok(None);
                }
                let batch = Batch { items, origins, ..first.unwrap_or_else(|| Batch::of(Vec::new())) };
                if let Some(at_source) = at_source {
                    at_source.sends(&judge, &batch, &hashes);
                }
                Ok(Some((batch, (rows, None))))
            }
        });
        batches.boxed()
    }
}
