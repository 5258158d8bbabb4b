//! Any text as a project file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_model::Connector;

static CONNECTORS: &[Connector] = &[
    tidegate_ingest::events::CONNECTOR,
    tidegate_ingest::pinpoint::CONNECTOR,
    tidegate_kafka::CONNECTOR,
    tidegate_platforms::braze::CONNECTOR,
    tidegate_platforms::onesignal::CONNECTOR,
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(invalid) = tidegate_project::parse(text, "tidegate.yaml", CONNECTORS) {
        assert!(!invalid.to_string().is_empty());
    }
});
