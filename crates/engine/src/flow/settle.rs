//! Writes what became of the rows, batch by batch, in order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use tidegate_model::store::{Fate, FateKind, OverlapChunk, RowFate, Settlement};
use tidegate_model::{Checkpoint, Counts, Fingerprint, Overlap, Position, RunId, Store, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::control::Control;

/// A batch that was read; its rows are on their way.
pub(super) struct Opened {
    pub(super) batch: u64,
    /// Where to read on once all rows have their fate.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Rows that were given to the slots.
    pub(super) under_way: usize,
    /// Rows whose fate is known without sending them.
    pub(super) decided: Vec<Decided>,
    /// Read, unchanged and waiting rows.
    pub(super) counts: Counts,
    /// Lets the reader go on once the batch is settled.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A row with its fate.
pub(super) struct Decided {
    pub(super) fate: RowFate,
    pub(super) cursor: Option<Value>,
}

/// What the settler is told.
pub(super) enum Note {
    Opened(Opened),
    Decided { batch: u64, rows: Vec<Decided> },
}

/// Which settled rows later runs have to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Remember {
    /// Those that the overlap of the cursor shows again.
    Overlap(Overlap),
    /// All of them until the read came to its end: it has no place to go on from.
    UntilComplete,
    /// Only those of batches that could not be settled whole.
    Torn,
}

/// Settles the batches of one run.
pub(super) struct Settler {
    pub(super) store: Arc<dyn Store>,
    pub(super) run: RunId,
    pub(super) control: Arc<Control>,
    pub(super) remember: Remember,
    pub(super) position: Option<Position>,
    pub(super) chunks: VecDeque<(u64, Option<Value>)>,
    pub(super) problems: HashSet<Fingerprint>,
    pub(super) progress: watch::Sender<Counts>,
    /// Whether the place moves at all; a retry leaves it where it is.
    pub(super) moves: bool,
}

#[derive(Default)]
struct Open {
    opened: Option<Opened>,
    decided: Vec<Decided>,
}

impl Open {
    fn is_complete(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| self.decided.len() == opened.under_way)
    }
}

impl Settler {
    /// Settles until every sender of notes is gone. Returns the counts of the run.
    pub(super) async fn settle_all(mut self, mut notes: mpsc::Receiver<Note>) -> Counts {
        let mut open: BTreeMap<u64, Open> = BTreeMap::new();
        let mut total = Counts::default();
        let mut done: u64 = 0;
        while let Some(note) = notes.recv().await {
            match note {
                Note::Opened(opened) => {
                    let entry = open.entry(opened.batch).or_default();
                    entry.opened = Some(opened);
                }
                Note::Decided { batch, rows } => open.entry(batch).or_default().decided.extend(rows),
            }
            while open
                .first_key_value()
                .is_some_and(|(batch, first)| *batch == done + 1 && first.is_complete())
            {
                let Some((batch, first)) = open.pop_first() else { break };
                done = batch;
                if !self.settle(done, first, true, &mut total).await {
                    // What is not settled is read again; nothing more can be written.
                    notes.close();
                    return total;
                }
            }
        }
        // The run ended early. What has its fate keeps it; the place stays behind it.
        for (_, rest) in open {
            if !self.settle(done, rest, false, &mut total).await {
                break;
            }
        }
        total
    }

    /// Writes one batch. `whole` says that all of its rows have their fate.
    async fn settle(&mut self, batch: u64, open: Open, whole: bool, total: &mut Counts) -> bool {
        let Open { opened, decided } = open;
        let Some(opened) = opened else { return true };
        let _permit = opened.permit;
        let mut rows = opened.decided;
        rows.extend(decided);
        let mut counts = Counts { read: opened.counts.read, ..opened.counts };
        (counts.requests, counts.retries) = self.control.take_counts();
        for row in &rows {
            match row.fate.fate.kind() {
                FateKind::Delivered => counts.delivered += 1,
                FateKind::Rejected => counts.rejected += 1,
                FateKind::InDoubt => counts.in_doubt += 1,
            }
        }
        let mut settlement = Settlement { batch, counts, ..Settlement::default() };
        let highest = rows.iter().filter_map(|row| row.cursor.as_ref()).fold(None, higher);
        if whole && self.moves {
            settlement.checkpoint = match (&self.remember, &highest) {
                (Remember::Overlap(_), Some(highest)) => {
                    let position = self.position.get_or_insert_with(|| Position(highest.clone()));
                    position.advance(highest);
                    Some(super::place::place_of(position))
                }
                (Remember::Overlap(_), None) => None,
                _ => opened.checkpoint,
            };
        }
        settlement.remember = self.chunk(&rows, highest, whole);
        settlement.forget_through = self.forget();
        settlement.solved = self.solved(&rows);
        settlement.fates = rows.into_iter().map(|row| row.fate).collect();
        if let Err(error) = self.store.settle(&self.run, settlement).await {
            self.control.fail(error.context("the ledger could not be written"));
            return false;
        }
        *total += counts;
        self.progress.send_modify(|progress| *progress += counts);
        true
    }

    /// The settled rows that a later run may read again.
    fn chunk(&mut self, rows: &[Decided], high: Option<Value>, whole: bool) -> Option<OverlapChunk> {
        // Rows without a cursor value are rejected anew by every run: they are not remembered.
        let with_cursor = matches!(self.remember, Remember::Overlap(_));
        if (whole && self.remember == Remember::Torn) || (!self.moves && !with_cursor) {
            return None;
        }
        let rows: Vec<Fingerprint> = (rows.iter())
            .filter(|row| !with_cursor || row.cursor.is_some())
            .map(|row| row.fate.row)
            .collect();
        if rows.is_empty() {
            return None;
        }
        let seq = self.chunks.back().map_or(0, |(seq, _)| seq + 1);
        self.chunks.push_back((seq, high.clone()));
        Some(OverlapChunk { seq, high, rows })
    }

    /// The chunks that lie wholly below what the next run reads again.
    fn forget(&mut self) -> Option<u64> {
        let (Remember::Overlap(overlap), Some(position)) = (self.remember, &self.position) else {
            return None;
        };
        let low = position.back(overlap);
        let mut through = None;
        while let Some((seq, Some(high))) = self.chunks.front()
            && high.compare(&low) == Some(Ordering::Less)
        {
            through = Some(*seq);
            self.chunks.pop_front();
        }
        through
    }

    fn solved(&mut self, rows: &[Decided]) -> Vec<Fingerprint> {
        let mut solved = Vec::new();
        for row in rows {
            match row.fate.fate {
                Fate::Delivered if !self.problems.is_empty() && self.problems.remove(&row.fate.key) => {
                    solved.push(row.fate.key);
                }
                Fate::Delivered => {}
                Fate::Rejected(_) | Fate::InDoubt(_) => {
                    self.problems.insert(row.fate.key);
                }
            }
        }
        // A key that was delivered and failed again in the same batch stays open.
        solved.retain(|key| !self.problems.contains(key));
        solved
    }
}

fn higher(highest: Option<Value>, value: &Value) -> Option<Value> {
    match highest {
        Some(highest) if value.compare(&highest) != Some(Ordering::Greater) => Some(highest),
        _ => Some(value.clone()),
    }
}
