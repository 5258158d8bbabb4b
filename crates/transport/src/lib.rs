//! What every connector needs to talk to the outside world: HTTP, AWS signing, SQL text, TLS
//! and object stores.
//!
//! Sits above `model` and below the connectors. Nothing here retries, waits or keeps progress: the
//! engine does.

pub mod aws;
pub mod http;
pub mod sql;
pub mod storage;
pub mod tls;
