//! What is fuzzed, compiled from its own files and without the crates around it.
//!
//! The names are those of the crates, so that `crate::` means the same in both.

#![allow(dead_code, unused_imports, reason = "most of what these files offer is for the crates around them")]

// Of `kafka`: messages to rows, without a client.
#[path = "../../crates/kafka/src/decode/mod.rs"]
pub mod decode;
#[path = "../../crates/kafka/src/message.rs"]
mod message;
#[path = "../../crates/kafka/src/registry/mod.rs"]
mod registry;

// Of `state`: the event log, without the store.
#[path = "../../crates/state/src/blocking.rs"]
mod blocking;
#[path = "../../crates/state/src/failure.rs"]
mod failure;
#[path = "../../crates/state/src/folder.rs"]
mod folder;
#[path = "../../crates/state/src/log/mod.rs"]
pub mod log;
#[path = "../../crates/state/src/user_mark.rs"]
mod user_mark;
