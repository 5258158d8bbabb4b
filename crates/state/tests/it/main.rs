//! The store keeps its promises on SQLite and on PostgreSQL, the event log in files.
//!
//! The tests on PostgreSQL need `TIDEGATE_TEST_POSTGRES`: the URL of a server
//! where databases can be made and dropped. Without it they fail.

mod backup;
mod bucket;
mod compared;
mod crash;
mod embedded;
mod erase;
mod failures;
mod growth;
mod leases;
mod limits;
mod log;
mod lookback;
mod many_failed;
mod older;
mod pooler;
mod postgres;
mod requests;
mod secrets;
mod user_index;
