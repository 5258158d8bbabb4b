//! Any bytes as a message in Avro, Protobuf or JSON, and as a schema.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tidegate_fuzz::decode::fuzz::message(data));
