//! The loop that moves a feed to a destination and records every outcome in the ledger.
//!
//! ```text
//!            read                      in order of each user              in order
//! source ──▶ look up ──▶ map ──▶ wait ──▶ limit ──▶ pack ──▶ platform ──▶ commit ──▶ ledger
//!                                              └──▶ pack ──▶ …
//! ```
//!
//! A *transform* says what is moved: rows that a mapping turns into records (an import), or
//! events of the log (an export, with the log as the source and a sink as the destination).
//! Both go through the same loop. A mirror runs a second job after the first one, for rows that are gone.
//!
//! Reading, delivering and committing run concurrently, with a few batches in flight. As many
//! requests are under way as the rate and the answer time of the platform ask for. Rows of one
//! user are in one request at a time and so keep their order. A batch is committed
//! once every row of it has its status, batches are committed in order, and the checkpoint
//! is written together with the statuses: it never moves before the effect. Retry policy, rate limits
//! and the checkpoint belong to this module; a sink may retry a commit of its own that had no effect.

mod batch_order;
mod batch_size;
mod begins;
mod brake;
mod commit;
mod deliver;
mod export;
mod hashed;
mod import;
mod interrupted;
mod item;
mod kept_row;
mod mirror;
mod read;
mod removal;
mod repeat;
mod rows;
mod run;
mod run_kind;
mod sent;
mod shutdown;
mod systems;
#[cfg(test)]
mod tests;
mod transform;
mod unfinished;
pub(crate) mod wait;

pub(crate) use begins::vanished;
pub use brake::{ConfirmedRows, ExceededLimit};
pub use deliver::rate_limiter::RateLimiters;
pub use export::{Export, run_export};
pub use import::{Import, Input, run};
pub(crate) use interrupted::BATCH as INTERRUPTED_BATCH;
pub use read::cursor_state::{ChangeTracking, CursorOrigin};
pub use read::epoch::EpochUnit;
pub use read::lookback::LookbackRule;
pub use removal::Removal;
pub(crate) use removal::on_removed;
pub use run::{NextRunAfter, Parts};
