//! APIs that events come in through, against their promises.

mod conformance;
mod fixtures;
