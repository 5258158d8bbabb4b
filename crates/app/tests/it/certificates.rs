//! Servers with a certificate that the system does not know, as behind a proxy of a company.

use std::sync::Arc;

use serde_json::json;
use tidegate::registry::CONNECTORS;
use tidegate_model::{
    ConnectorContext, Layout, ObjectKind, Settings, SinkTarget, StreamId, SyncId, SystemClock,
};
use tidegate_testkit::http::raw;
use tidegate_testkit::tls::{Certificate, TlsFront};
use tidegate_transport::http::RealHttp;

use crate::support::{Project, Sandbox};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_fails_at_once_at_a_certificate_that_is_not_trusted_and_ca_file_is_the_remedy() {
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    let certificate = Certificate::of("127.0.0.1");
    let behind = sandbox.url.trim_start_matches("http://").parse().expect("an address");
    let front = TlsFront::start(&certificate, behind).await;
    let project = |more: &str| {
        let project = Project::new(&format!(
            "connections:\n  files: {{ type: files, path: . }}\n  \
             braze: {{ type: braze, endpoint: \"https://{}\", api_key: test{more} }}\n\
             syncs:\n  people:\n    source: {{ connection: files, path: people.csv }}\n    \
             destination: {{ connection: braze, object: user }}\n    \
             mapping: {{ external_id: id, attributes: [city] }}\n",
            front.address
        ));
        project.write("people.csv", "id,city\n1,Paris\n2,東京\n");
        project.write("braze.pem", &certificate.pem);
        project
    };

    let ended = project("").done(&["run", "people"]);

    let said = ended.stdout + &ended.stderr;
    assert_ne!(ended.code, 0, "{said}");
    assert!(
        said.contains(&format!("the certificate of {} is signed by an authority", front.address)),
        "{said}"
    );
    assert!(said.contains("set `ca_file` to the authority's certificate (PEM)"), "{said}");
    assert_eq!(front.connections(), 1, "it is not tried again: {said}");

    project(", ca_file: braze.pem").run_to("people", "succeeded", &[("delivered", 2)]);
    assert_eq!(sandbox.stats("braze").await["users"], 2);
}

/// Each connector that speaks HTTP with the smallest settings that open.
#[tokio::test]
async fn every_connector_that_speaks_http_reads_its_ca_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let context = ConnectorContext {
        http: Arc::new(RealHttp::new().expect("a client")),
        clock: Arc::new(SystemClock),
        project: folder.path().to_owned(),
        data: folder.path().to_owned(),
        dry_run: false,
    };
    let uuid = "11111111-2222-3333-4444-555555555555";
    let registry = json!({ "url": "https://registry.example.com", "ca_file": "no.pem" });
    for (kind, members, target) in [
        ("braze", json!({ "endpoint": "https://rest.iad-01.braze.com", "api_key": "k" }), json!({})),
        ("onesignal", json!({ "app_id": uuid, "api_key": "k" }), json!({})),
        ("bigquery", json!({ "project": "shop" }), json!({})),
        ("databricks", json!({ "host": "dbc-1.example.com", "warehouse_id": "1", "token": "t" }), json!({})),
        ("snowflake", json!({ "account": "a", "token": "t" }), json!({})),
        ("kinesis", json!({ "region": "eu-central-1" }), json!({ "stream": "s" })),
        ("firehose", json!({ "region": "eu-central-1" }), json!({ "delivery_stream": "s" })),
        ("files", json!({ "path": "s3://lake", "region": "eu-central-1" }), json!({})),
        ("delta", json!({ "path": "s3://lake", "region": "eu-central-1" }), json!({})),
        ("kafka", json!({ "brokers": "127.0.0.1:9092", "registry": registry }), json!({ "topic": "t" })),
    ] {
        let connector = CONNECTORS.iter().find(|connector| connector.kind == kind).expect(kind);
        let mut members = members;
        if kind != "kafka" {
            members["ca_file"] = json!("no.pem");
        }
        let (settings, target): (Settings, Settings) = (raw(members), raw(target));
        // Files are read from folders of this machine alone.
        let source = connector.source.filter(|_| kind != "files");
        let error = match (connector.platform, source, connector.sink) {
            (Some(role), ..) => (role.open)(&settings, ObjectKind::User, &target, &context).err(),
            (_, Some(role), _) => (role.open)(&settings, &context).err(),
            (.., Some(role)) => {
                let target = SinkTarget {
                    sync: SyncId::new("out"),
                    stream: StreamId::new("in"),
                    layout: Layout::Events,
                    settings: target,
                };
                (role.open)(&settings, &target, &context).err()
            }
            _ => None,
        };
        let error = error.unwrap_or_else(|| panic!("{kind} opens without its `ca_file`"));
        assert!(error.message().starts_with("`ca_file`: "), "{kind}: {error:?}");
    }
}
