mod alerts;
mod changes;
mod edit;
mod files;
mod habits;
mod keys;
mod references;
mod rules;
mod syntax;

use std::sync::Arc;

use tidegate_model::alert::ChannelType;
use tidegate_model::settings::schema_of;
use tidegate_model::{
    Connector, ContractRole, Error, IngestRole, Layout, Mode, ObjectKind, PlatformRole, Secret, SinkRole,
    SourceRole, Store,
};

use super::{Finding, Project, SyncSpec, parse};

/// Settings as connectors have them.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Settings {
    /// Host name.
    host: String,
    /// Port.
    #[serde(default)]
    port: u16,
    /// Password.
    password: Option<Secret>,
    /// Whether to encrypt.
    tls: Option<Tls>,
    /// The address of the API.
    #[schemars(extend("format" = "endpoint"))]
    endpoint: Option<String>,
    /// Whether to look closely.
    close: Option<bool>,
    /// A list.
    names: Option<Vec<String>>,
}

/// How a connection is protected.
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is looked at")]
enum Tls {
    /// Checked.
    VerifyFull,
    /// Encrypted.
    Require,
}

/// What is read of a database.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Selection {
    /// Table.
    table: Option<String>,
    /// Query.
    query: Option<String>,
    /// A file.
    schema: Option<SchemaSource>,
}

/// A schema in a file: a mapping with a key `file` of its own.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{ "required": ["file"] }, { "required": ["text"] }]))]
#[expect(dead_code, reason = "only its schema is looked at")]
struct SchemaSource {
    /// The file.
    file: Option<String>,
    /// The schema itself.
    text: Option<String>,
}

/// Where it goes.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Target {
    /// Table.
    table: Option<String>,
}

const NONE: Connector = Connector {
    kind: "none",
    title: "None",
    readme: "",
    icon: "",
    settings: schema_of::<Settings>,
    ..Connector::EMPTY
};

const DATABASE: Connector = Connector {
    kind: "database",
    title: "Database",
    source: Some(SourceRole {
        selection: schema_of::<Selection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |_, _| Err(Error::internal("never opened")),
    }),
    sink: Some(SinkRole {
        target: schema_of::<Target>,
        open: |_, _, _| Err(Error::internal("never opened")),
    }),
    ..NONE
};

const TOPICS: Connector = Connector {
    kind: "topics",
    title: "Topics",
    source: Some(SourceRole {
        selection: schema_of::<Target>,
        modes: &[Mode::Stream],
        keeps_checkpoint: true,
        open: |_, _| Err(Error::internal("never opened")),
    }),
    ..NONE
};

const PLATFORM: Connector = Connector {
    kind: "platform",
    title: "Platform",
    platform: Some(PlatformRole {
        objects: &[ObjectKind::User, ObjectKind::Event, ObjectKind::Purchase, ObjectKind::Deletion],
        target: schema_of::<Target>,
        open: |_, _, _, _| Err(Error::internal("never opened")),
        dry_run_response: |_| http::Response::new(bytes::Bytes::new()),
    }),
    ingest: Some(IngestRole {
        paths: &[],
        layout: Layout::Messages,
        open: |_, _| Err(Error::internal("never opened")),
    }),
    contracts: &[ContractRole {
        name: "braze_cdi",
        about: "A fixed layout.",
        cursor: "UPDATED_AT",
        compile: |_, _| Err(Error::internal("never compiled")),
    }],
    ..NONE
};

const CONNECTORS: &[Connector] = &[DATABASE, TOPICS, PLATFORM];

/// Settings as channels have them.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Room {
    /// The address.
    url: Secret,
}

const CHAT: ChannelType = ChannelType {
    kind: "chat",
    title: "Chat",
    reaches_contacts: false,
    settings: schema_of::<Room>,
    open: |_, _| Err(Error::internal("never opened")),
};
const CHANNELS: &[ChannelType] = &[CHAT];

const CONNECTIONS: &str = "
connections:
  shop: { type: database, host: localhost }
  push: { type: platform, host: localhost }
  news: { type: topics, host: localhost }
syncs:
";

const IMPORT: &str = "  orders:
    source: { connection: shop, table: orders }
    cursor: ordered_at
    lookback: 5m
    primary_key: id
    destination: { connection: push, object: event }
    mapping:
      external_id: customer
      name: { value: order_placed }
      timestamp: ordered_at
";

const EXPORT: &str = "  messages:
    source: { connection: push, kinds: [\"message.push.*\"] }
    destination: { connection: shop, table: messages }
";

fn good() -> String {
    format!("{CONNECTIONS}{IMPORT}{EXPORT}")
}

/// The project with one change.
fn changed(from: &str, to: &str) -> String {
    let good = good();
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1)
}

fn valid(text: &str) -> Project {
    parse(text, "tidegate.yaml", CONNECTORS, CHANNELS).unwrap_or_else(|invalid| panic!("{text}\n{invalid:?}"))
}

fn errors(text: &str) -> Vec<Finding> {
    match parse(text, "tidegate.yaml", CONNECTORS, CHANNELS) {
        Ok(_) => panic!("must not be accepted:\n{text}"),
        Err(invalid) => invalid.errors,
    }
}

/// Each error as `line:column path: message → next`.
fn told(text: &str) -> Vec<String> {
    let line = |found: &Finding| {
        format!("{}:{} {}: {} → {}", found.at.line, found.at.column, found.path, found.message, found.next)
    };
    errors(text).iter().map(line).collect()
}

/// Asserts that a change gives one error that holds each of these texts, in this order.
#[track_caller]
fn one(from: &str, to: &str, words: &[&str]) {
    let told = told(&changed(from, to));
    let [only] = told.as_slice() else { panic!("{to}: {told:#?}") };
    let mut rest = only.as_str();
    for word in words {
        let Some(at) = rest.find(word) else { panic!("`{word}` is missing or misplaced in: {only}") };
        rest = &rest[at + word.len()..];
    }
}

fn import(project: &Project) -> &super::ImportSpec {
    project.syncs.values().find_map(SyncSpec::as_import).expect("an import")
}

fn store() -> Arc<dyn Store> {
    Arc::new(tidegate_testkit::MemoryStore::new(Arc::new(tidegate_model::SystemClock)))
}

#[test]
fn no_project_file_makes_the_reader_panic() {
    let good = good();
    let odd = "a: &a [*a, {? b: c}]\n--- |\n  x\n...\n!!binary \"\\x00\"\n";
    tidegate_testkit::mangle::mangled(&[good.as_bytes(), odd.as_bytes()], 400, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(invalid) = parse(&text, "tidegate.yaml", CONNECTORS, CHANNELS) {
            assert!(!invalid.errors.is_empty());
        }
    });
}
