//! The reading stage: reads a feed, finds what is new and hands it on to be sent.

pub(crate) mod by_hash;
pub(crate) mod by_source;
pub(crate) mod compare;
pub(crate) mod cursor_marks;
pub(crate) mod cursor_state;
pub(crate) mod epoch;
pub(crate) mod equal_rows;
pub(crate) mod gather;
mod held;
pub(crate) mod key;
pub(crate) mod lookback;
pub(crate) mod mirror_state;
pub(crate) mod partition;
pub(crate) mod reader;
pub(crate) mod relay;
pub(crate) mod restored;
pub(crate) mod resume;
