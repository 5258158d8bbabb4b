//! The delivery stage: packs requests, observes rate limits, keeps the order of each user,
//! and retries.

mod arrived;
pub(crate) mod asked_to_wait;
pub(crate) mod budget;
mod concurrency;
pub(crate) mod delivery;
pub(crate) mod health;
mod lots;
mod part;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod rate_limiter;
pub(crate) mod shared_event;
mod uncertain;
mod waiting;
pub(crate) mod worker;
