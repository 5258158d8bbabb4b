//! Any bytes as files of the event log: a segment, its file of ids, its end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tidegate_fuzz::log::fuzz::log_files(data));
