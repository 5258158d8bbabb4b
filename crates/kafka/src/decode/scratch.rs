//! Where texts are written before they get their own bytes.

use std::cell::RefCell;

use tidegate_model::{Reason, Text};

/// What a thread keeps between messages; a larger buffer is given back.
const KEPT_MAX: usize = 1 << 20;

thread_local! {
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What `write` wrote, in bytes of exactly its size: rows wait in batches, and
/// a buffer that grew by doubling would wait with them.
pub(super) fn text(write: impl FnOnce(&mut String) -> Result<(), Reason>) -> Result<Text, Reason> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        let written = write(scratch);
        let text = written.map(|()| Text::from(scratch.as_str()));
        if scratch.capacity() > KEPT_MAX {
            *scratch = String::new();
        }
        text
    })
}
