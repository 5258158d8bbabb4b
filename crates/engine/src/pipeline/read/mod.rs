//! The reading stage: reads a feed, finds what is new and partitions it across the workers.

pub(crate) mod deal;
pub(crate) mod epoch;
pub(crate) mod gather;
pub(crate) mod lookback;
pub(crate) mod memory;
pub(crate) mod place;
pub(crate) mod reader;
