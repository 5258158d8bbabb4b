//! What every connector needs to talk to the outside world: HTTP, AWS signing, signed tokens, SQL
//! text, Arrow columns, TLS and object stores.
//!
//! Sits above `model` and below the connectors. Nothing here retries or keeps progress: the engine
//! does. Only [`poll`] waits, for work that a service does on its own.

pub mod arena;
pub mod arrow;
pub mod aws;
pub mod google;
pub mod grpc;
pub mod http;
pub mod jwt;
pub mod network;
pub mod oauth;
pub mod poll;
pub mod rsa;
pub mod settings;
pub mod sql;
pub mod storage;
pub mod tls;
