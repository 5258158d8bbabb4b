use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate_model::{Connector, Error, ErrorKind, ObjectKind, Overlap, PlatformRole, SourceRole};

use super::{Detect, InDoubt, parse};

#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Shape {
    /// Host name.
    host: String,
    /// Table.
    table: String,
}

const DEMO: Connector = Connector {
    kind: "demo",
    title: "Demo",
    readme: "",
    icon: "",
    settings: tidegate_model::settings::schema_of::<Shape>,
    source: Some(SourceRole {
        selection: tidegate_model::settings::schema_of::<Shape>,
        open: |_, _| Err(Error::internal("never opened")),
    }),
    platform: Some(PlatformRole {
        objects: &[ObjectKind::Event],
        target: tidegate_model::settings::schema_of::<Shape>,
        open: |_, _, _, _| Err(Error::internal("never opened")),
        rehearse: |_| http::Response::new(bytes::Bytes::new()),
    }),
    sink: None,
    ingest: None,
    sandbox: None,
    setup: None,
};

const CONNECTORS: &[Connector] = &[DEMO];

const GOOD: &str = "
connections:
  shop: { kind: demo, host: localhost }
syncs:
  orders:
    from: { connection: shop, table: orders }
    detect: { cursor: ordered_at, overlap: 5m }
    to: { connection: shop, object: event }
    map:
      external_id: customer
      name: { value: order_placed }
";

fn error(text: &str) -> (String, String) {
    let error = parse(text, "tidegate.yaml", CONNECTORS).expect_err("must not be accepted");
    assert_eq!(error.kind(), ErrorKind::Settings);
    (error.message().to_owned(), error.next_step().to_owned())
}

#[test]
fn a_project_is_read_with_its_defaults() {
    let project = parse(GOOD, "tidegate.yaml", CONNECTORS).expect("good");
    let (_, sync) = project.syncs.iter().next().expect("one sync");
    let sync = sync.as_import().expect("an import");
    let overlap = Some(Overlap::Time(Duration::from_secs(300)));
    assert_eq!(sync.detect, Some(Detect::Cursor { cursor: "ordered_at".into(), overlap }));
    assert_eq!(sync.in_doubt, InDoubt::Hold);
    assert_eq!(sync.retry_for, Duration::from_secs(120));
    assert_eq!(sync.from.selection.get("table"), Some(&json!("orders")));
    assert_eq!(sync.to.object, ObjectKind::Event);
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_the_nearest_known_one() {
    let (message, hint) = error(&GOOD.replace("external_id", "externl_id"));
    assert!(message.starts_with("tidegate.yaml:10:7: "), "{message}");
    assert!(message.contains("unknown field `externl_id`"), "{message}");
    assert_eq!(hint, "did you mean `external_id`?");
    let (message, hint) = error(&GOOD.replace("host:", "hots:"));
    assert!(message.starts_with("tidegate.yaml:3:23: "), "{message}");
    assert_eq!(hint, "did you mean `host`?");
    let (message, hint) = error(&GOOD.replace("table:", "tabel:"));
    assert!(message.starts_with("tidegate.yaml:6:31: "), "{message}");
    assert_eq!(hint, "did you mean `table`?");
}

#[test]
fn names_that_lead_nowhere_are_told() {
    let cases = [
        ("kind: demo", "kind: deno", "there is no connector `deno`", "did you mean `demo`?"),
        (
            "from: { connection: shop",
            "from: { connection: shp",
            "there is no connection `shp`",
            "did you mean `shop`?",
        ),
        ("object: event", "object: user", "does not take the object `user`", "it takes: event"),
        ("object: event", "object: evnt", "unknown variant `evnt`", "did you mean `event`?"),
        ("overlap: 5m", "overlap: soon", "`soon` is not a duration", ""),
    ];
    for (from, to, expected, next) in cases {
        let (message, hint) = error(&GOOD.replace(from, to));
        assert!(message.contains(expected), "{message}");
        assert!(next.is_empty() || hint == next, "{message} → {hint}");
    }
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    let (message, _) = error("connections:\n  shop: { kind: demo\nsyncs: {}\n");
    assert!(message.starts_with("tidegate.yaml:"), "{message}");
    let (message, _) = error("connections: [1, 2]\n");
    assert!(message.starts_with("tidegate.yaml:1:1: `connections`: invalid type"), "{message}");
    let (message, _) = error("connections:\n\tshop: x\n");
    assert!(message.starts_with("tidegate.yaml:2:"), "{message}");
}

#[test]
fn a_file_of_comments_is_an_empty_project() {
    let project = parse("# nothing yet\n", "tidegate.yaml", CONNECTORS).expect("good");
    assert!(project.syncs.is_empty() && project.connections.is_empty());
}

#[tokio::test]
async fn references_are_looked_up_and_missing_ones_named() {
    let store: Arc<dyn tidegate_model::Store> =
        Arc::new(tidegate_testkit::MemoryStore::new(Arc::new(tidegate_model::SystemClock)));
    store.put_secret("shop", &tidegate_model::Secret::new("s3cret")).await.expect("kept");
    let members = json!({ "password": { "secret": "shop" }, "host": "h" });
    let settings = tidegate_model::Settings::new(members.as_object().expect("object").clone());
    let folder = std::path::Path::new(".");
    let resolved = super::resolve(&settings, folder, store.as_ref()).await.expect("resolved");
    assert_eq!(resolved.members().get("password"), Some(&json!("s3cret")));
    for (member, expected) in [
        (
            json!({ "env": "TIDEGATE_NO_SUCH_VARIABLE" }),
            "the environment variable `TIDEGATE_NO_SUCH_VARIABLE`",
        ),
        (json!({ "file": "no/such/file" }), "the file `no/such/file`"),
        (json!({ "secret": "other" }), "the secret `other`"),
    ] {
        let members = json!({ "password": member });
        let settings = tidegate_model::Settings::new(members.as_object().expect("object").clone());
        let error = super::resolve(&settings, folder, store.as_ref()).await.expect_err("missing");
        assert!(error.message().contains(expected), "{error}");
    }
}
