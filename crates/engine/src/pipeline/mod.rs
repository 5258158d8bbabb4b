//! The one loop: a feed, a destination and a ledger.
//!
//! ```text
//!            read           deal by user        one request at a time    in order
//! source ──▶ detect ──▶ map ──▶ slot 0 ──▶ pack ──▶ lane ──▶ platform ──▶ settle ──▶ ledger
//!                          └──▶ slot n …
//! ```
//!
//! What is moved is *freight*: rows that a mapping makes records (an import), or
//! events of the log (an export: the log in the place of the source, a sink in
//! that of the platform). Both go through the same loop.
//!
//! Reading, delivering and settling overlap; a few batches are under way at
//! once. Rows of one user always meet the same slot and so keep their order. A
//! batch is settled once every row of it has its fate, batches are settled in
//! order, and the checkpoint is written together with the fates: it never moves
//! before the effect. Only this module waits, retries and keeps the place.

mod commit;
mod deliver;
mod export;
mod freight;
mod import;
mod item;
mod read;
mod run;
mod shutdown;
#[cfg(test)]
mod tests;
pub(crate) mod wait;

pub use deliver::lane::Lanes;
pub use export::{Export, run_export};
pub use import::{Import, Input, run};
pub use read::epoch::EpochUnit;
pub use read::lookback::LookbackRule;
pub use read::place::Detection;
pub use run::Parts;
