//! Parts for tests: suites that every implementation of a contract passes, and
//! in-memory stand-ins that pass them too.

mod clock;
pub mod conforms;
pub mod rows;
pub mod store;

pub use clock::ManualClock;
pub use store::MemoryStore;
