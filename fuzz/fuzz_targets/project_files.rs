//! Any text as a project file.

#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::settings::schema_of;
use tidegate_model::{
    Connector, Error, IngestRole, Layout, Mode, ObjectKind, PlatformRole, Secret, SinkRole, SourceRole,
};

/// Settings of every form that connectors have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
struct Settings {
    host: String,
    port: Option<u16>,
    password: Option<Secret>,
    tls: Option<Tls>,
    columns: Option<Vec<String>>,
    file: Option<PathBuf>,
    anonymous: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only the schema is used")]
enum Tls {
    Require,
    Disable,
    Authority { ca: PathBuf },
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is used")]
struct Selection {
    table: Option<String>,
    query: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn never() -> Error {
    Error::internal("nothing is opened here")
}

const SHOP: Connector = Connector {
    kind: "postgres",
    title: "Shop",
    settings: schema_of::<Settings>,
    source: Some(SourceRole {
        selection: schema_of::<Selection>,
        modes: &[Mode::Full, Mode::Incremental],
        keeps_checkpoint: false,
        open: |_, _| Err(never()),
    }),
    ..Connector::EMPTY
};

const PLATFORM: Connector = Connector {
    kind: "braze",
    title: "Platform",
    settings: schema_of::<Settings>,
    platform: Some(PlatformRole {
        objects: &[ObjectKind::User, ObjectKind::Event, ObjectKind::Purchase, ObjectKind::Deletion],
        target: schema_of::<Nothing>,
        open: |_, _, _, _| Err(never()),
        dry_run_response: |_| http::Response::new(bytes::Bytes::new()),
    }),
    sink: Some(SinkRole { target: schema_of::<Selection>, open: |_, _, _| Err(never()) }),
    ..Connector::EMPTY
};

const EVENTS: Connector = Connector {
    kind: "events",
    title: "Events",
    settings: schema_of::<Settings>,
    ingest: Some(IngestRole { paths: &[], layout: Layout::Events, open: |_, _| Err(never()) }),
    ..Connector::EMPTY
};

static CONNECTORS: &[Connector] = &[SHOP, PLATFORM, EVENTS];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(invalid) = tidegate_project::parse(text, "tidegate.yaml", CONNECTORS, &[]) {
        assert!(!invalid.errors.is_empty());
        let _ = format!("{invalid:?}");
    }
});
