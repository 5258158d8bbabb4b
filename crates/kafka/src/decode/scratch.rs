//! Where the texts of messages get their bytes.
//!
//! A row is made on the thread that polls and forgotten on another one, and a
//! message has several small texts: allocating each of them costs more than
//! decoding it. Many share one chunk, which goes when the last of them is gone.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use tidegate_model::{Reason, Text};

/// What a thread keeps between messages; a larger buffer is given back.
const KEPT_MAX: usize = 1 << 20;
/// The bytes of a chunk.
const CHUNK: usize = 128 << 10;
/// From this size on, bytes are kept apart: no chunk stays for a large message,
/// and none is given up for one.
const ALONE: usize = CHUNK / 16;

const NOT_UTF8: &str = "a string is not UTF-8: the message was written with another schema";

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static CHUNK_LEFT: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A copy of `bytes` that can be shared.
pub(super) fn keep(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() || bytes.len() >= ALONE {
        return Bytes::copy_from_slice(bytes);
    }
    CHUNK_LEFT.with_borrow_mut(|chunk| {
        if chunk.capacity() < bytes.len() {
            *chunk = BytesMut::with_capacity(CHUNK);
        }
        chunk.extend_from_slice(bytes);
        chunk.split().freeze()
    })
}

/// What `write` wrote, and what it returned.
pub(super) fn text<R>(write: impl FnOnce(&mut Vec<u8>) -> Result<R, Reason>) -> Result<(Text, R), Reason> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        let written = write(scratch);
        let kept = written.map(|written| (keep(scratch), written));
        if scratch.capacity() > KEPT_MAX {
            *scratch = Vec::new();
        }
        let (kept, written) = kept?;
        // One check for all strings of the message.
        let text = Text::try_from(kept).map_err(|_| Reason::new("schema_mismatch", NOT_UTF8))?;
        Ok((text, written))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_as_it_was_while_chunks_come_and_go() {
        let written: Vec<Vec<u8>> =
            (0..2_000_usize).map(|at| vec![u8::try_from(at % 251).expect("small"); at * 7 % ALONE]).collect();
        let kept: Vec<Bytes> = written.iter().map(|bytes| keep(bytes)).collect();
        assert_eq!(written, kept);
        let large = vec![7; 3 * CHUNK];
        assert_eq!(keep(&large), large);
    }
}
