//! The embedded platform against its promises.

mod conformance;
mod fixtures;
