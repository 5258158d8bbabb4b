//! What sealing costs, beside keeping the same bytes as they are.

#[path = "../../../../crates/state/src/seal/data_key.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
mod data_key;

use std::hint::black_box;

use crate::clock::on_thread;
use crate::table::{Part, Way};
use data_key::DataKey;

/// The lengths that the file of the product takes from its neighbour.
mod key {
    pub(super) const KEY_BYTES: usize = 32;
    pub(super) const NONCE_BYTES: usize = 24;
}

const BLOCKS: usize = 1_000;
const ROWS: usize = 100;
const ROW_BYTES: usize = 300;

/// Sealing blocks of failed rows, and opening them.
pub(crate) fn parts() -> Vec<Part> {
    let key = DataKey::generate();
    let block: Vec<u8> = (0..ROWS * ROW_BYTES).map(|at| (at % 251) as u8).collect();
    let (plain, copied) = (block.clone(), block.clone());
    let mut sealed = Vec::new();
    let sealing = key.seal(b"failed rows", &block, &mut sealed);
    assert!(sealing.is_ok(), "a block of {} bytes is sealed", block.len());
    let other = DataKey::read(key.bytes());
    let seal = Way::new("sealed", move || {
        let mut out = Vec::with_capacity(plain.len() + 64);
        on_thread(|| {
            for _ in 0..BLOCKS {
                out.clear();
                black_box(key.seal(b"failed rows", &plain, &mut out).is_ok());
                black_box(&out);
            }
        })
    });
    let copy = Way::new("as it is", move || {
        let mut out = Vec::with_capacity(copied.len());
        on_thread(|| {
            for _ in 0..BLOCKS {
                out.clear();
                out.extend_from_slice(black_box(&copied));
                black_box(&out);
            }
        })
    });
    let open = Way::new("sealed", move || {
        on_thread(|| {
            for _ in 0..BLOCKS {
                black_box(other.as_ref().and_then(|key| key.open(b"failed rows", &sealed)));
            }
        })
    });
    vec![
        Part { name: "keep a failed row of 300 bytes", items: BLOCKS * ROWS, ways: vec![seal, copy] },
        Part { name: "show a failed row of 300 bytes", items: BLOCKS * ROWS, ways: vec![open] },
    ]
}
