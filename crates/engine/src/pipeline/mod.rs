//! The one loop: a feed, a destination and a ledger.
//!
//! ```text
//!            read        partition by user     one request at a time     in order
//! source ──▶ look up ──▶ map ──▶ worker 0 ──▶ pack ──▶ limit ──▶ platform ──▶ commit ──▶ ledger
//!                           └──▶ worker n …
//! ```
//!
//! A *transform* says what is moved: rows that a mapping turns into records (an import), or
//! events of the log (an export, with the log as the source and a sink as the destination).
//! Both go through the same loop.
//!
//! Reading, delivering and committing run concurrently, with a few batches in flight. Rows
//! of one user always go to the same worker and so keep their order. A batch is committed
//! once every row of it has its status, batches are committed in order, and the checkpoint
//! is written together with the statuses: it never moves before the effect. Only this
//! module waits, retries and stores progress.

mod batch_size;
mod commit;
mod deliver;
mod export;
mod import;
mod item;
mod read;
mod run;
mod run_kind;
mod shutdown;
#[cfg(test)]
mod tests;
mod transform;
pub(crate) mod wait;

pub use deliver::rate_limiter::RateLimiters;
pub use export::{Export, run_export};
pub(crate) use import::location_of;
pub use import::{Import, Input, run};
pub use read::cursor_state::ChangeTracking;
pub use read::epoch::EpochUnit;
pub use read::lookback::LookbackRule;
pub(crate) use read::reader::is_input;
pub use run::Parts;
