//! Rows that are held, in memory.

use std::collections::VecDeque;

use async_trait::async_trait;
use tidegate_model::Error;
use tidegate_model::held::{HeldBatch, HeldRows};

/// Rows in memory, and how many more fit.
pub(super) struct MemoryHeld {
    batches: VecDeque<HeldBatch>,
    room: usize,
}

impl MemoryHeld {
    /// Holds nothing yet.
    pub(super) fn new(rows_max: Option<usize>) -> MemoryHeld {
        MemoryHeld { batches: VecDeque::new(), room: rows_max.unwrap_or(usize::MAX) }
    }
}

#[async_trait]
impl HeldRows for MemoryHeld {
    async fn add(&mut self, rows: HeldBatch) -> Result<bool, Error> {
        let room = self.room.checked_sub(rows.rows.len());
        self.room = room.unwrap_or(0);
        match room {
            Some(_) => self.batches.push_back(rows),
            None => self.batches.clear(),
        }
        Ok(room.is_some())
    }

    async fn next(&mut self, limit: usize) -> Result<HeldBatch, Error> {
        let Some(HeldBatch { mut rows, mut origins, mut hashes }) = self.batches.pop_front() else {
            return Ok(HeldBatch::default());
        };
        if rows.len() > limit {
            let rows = rows.split_off(limit);
            let origins = origins.split_off(limit.min(origins.len()));
            let hashes = hashes.split_off(limit.min(hashes.len()));
            self.batches.push_front(HeldBatch { rows, origins, hashes });
        }
        Ok(HeldBatch { rows, origins, hashes })
    }
}
