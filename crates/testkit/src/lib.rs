//! Parts for tests: suites that every implementation of a contract passes, and
//! in-memory stand-ins that pass them too.

mod clock;
pub mod conforms;
mod dice;
pub mod directory;
pub mod event_log;
pub mod http;
pub mod mangle;
pub mod mapping;
pub mod postgres;
pub mod rows;
pub mod source;
pub mod sshd;
pub mod store;
pub mod tls;

pub use clock::ManualClock;
pub use dice::Dice;
pub use event_log::MemoryEventLog;
pub use store::MemoryStore;
