//! The built-in platform against its promises.

mod conformance;
mod fixtures;
