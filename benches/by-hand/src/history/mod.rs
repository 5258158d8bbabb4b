//! Statuses of rows: blocks that wait in the store, and the files that they become.

#[path = "../../../../crates/state/src/history/block.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
pub(crate) mod block;
pub(crate) mod blocks;
#[path = "../../../../crates/state/src/history/dictionary.rs"]
mod dictionary;
pub(crate) mod file;
#[path = "../../../../crates/state/src/history/group.rs"]
mod group;
#[path = "../../../../crates/state/src/history/pages.rs"]
mod pages;
#[path = "../../../../crates/state/src/history/parquet.rs"]
mod parquet;
#[path = "../../../../crates/state/src/history/status_runs.rs"]
mod status_runs;
#[path = "../../../../crates/state/src/history/user_marks.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
mod user_marks;

use tidegate_model::store::{Delivered, RowResult, RowStatus};
use tidegate_model::{Reason, RowHash};
use xxhash_rust::xxh3::xxh3_128;

/// Rows of a batch, as many as PostgreSQL gives at once for Braze.
const BATCH: usize = 2_250;

/// The rows of one batch: almost all delivered, one of a hundred rejected.
fn rows(batch: usize) -> (Delivered, Vec<RowResult>) {
    let mut delivered = Delivered::with_capacity(BATCH);
    let mut others = Vec::new();
    for row in 0..BATCH {
        let number = batch * BATCH + row;
        let hash = RowHash(xxh3_128(&number.to_le_bytes()));
        let user = format!("user-{}", number.wrapping_mul(2_654_435_761) % 40_000);
        if row % 100 == 99 {
            let reason = Reason::new("text_too_long", "`name` has 263 characters, at most 255 are allowed");
            others.push(RowResult {
                key: hash,
                key_text: number.to_string().into(),
                row: hash,
                user: user.into(),
                status: RowStatus::Rejected(reason),
                payload: None,
            });
        } else {
            delivered.push(row as u32, hash, hash, |out| out.push_str(&number.to_string()), &user);
        }
    }
    (delivered, others)
}
