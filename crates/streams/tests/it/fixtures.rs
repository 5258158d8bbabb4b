//! Sinks, in front of third-party emulators and servers.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_model::ErrorKind;
use tidegate_testkit::conforms::Example;
use tidegate_testkit::conforms::sink::{MakeBackend, SinkBackend, WrongBackend};
use tidegate_transport::http::RealHttp;

use crate::aws::emulator::Emulator;
use crate::opensearch::Search;

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    match kind {
        "firehose" | "kinesis" => Some(aws()),
        "opensearch" => Some(Example { settings: cluster("http://127.0.0.1:1"), ..Example::default() }),
        _ => None,
    }
}

/// How a place for a sink of this type is made.
pub fn sink_of(kind: &str) -> Option<MakeBackend> {
    match kind {
        "firehose" => Some(|| Box::pin(firehose())),
        "kinesis" => Some(|| Box::pin(kinesis())),
        "opensearch" => Some(|| Box::pin(opensearch())),
        _ => None,
    }
}

/// An account at AWS, for what every connector promises.
fn aws() -> Example {
    let nobody = Emulator { endpoint: "http://127.0.0.1:1".to_owned() };
    Example { settings: nobody.settings(), platform: None, source: None, ingest: None }
}

/// A cluster that documents can be written to by a user.
fn cluster(endpoint: &str) -> Value {
    json!({ "endpoint": endpoint, "user": "tidegate", "password": "hush-hush-deadbeef" })
}

async fn opensearch() -> SinkBackend {
    let search = Search::new();
    let (settings, target) = (cluster(&search.endpoint), json!({ "index": search.index }));
    let wrong = |what, settings: Value, target: &Value, kind| WrongBackend {
        what,
        settings,
        target: target.clone(),
        kind,
    };
    let wrong = vec![
        wrong("no server listens", cluster("http://127.0.0.1:1"), &target, ErrorKind::Unavailable),
        wrong(
            "another server",
            cluster(&format!("{}/nowhere", search.endpoint)),
            &target,
            ErrorKind::Settings,
        ),
    ];
    SinkBackend {
        settings,
        target,
        folder: std::env::temp_dir(),
        http: Some(Arc::new(RealHttp::new().expect("a client"))),
        ids: Box::new(move || {
            let search = search.clone();
            Box::pin(async move { search.documents().into_iter().map(|it| id_of(&it)).collect() })
        }),
        exactly_once: true,
        too_large: Some(9 << 20),
        wrong,
        keep: Box::new(()),
    }
}

/// The id of a document, which is that of the event in it.
fn id_of(document: &Value) -> String {
    assert_eq!(document["_id"], document["_source"]["event_id"]);
    document["_id"].as_str().expect("an id").to_owned()
}

async fn kinesis() -> SinkBackend {
    let kinesalite = Emulator::of("TIDEGATE_TEST_KINESALITE");
    let stream = kinesalite.kinesis_stream(2).await;
    let target = json!({ "stream": stream, "limits": "legacy" });
    let mut backend = at(&kinesalite, target, &json!({ "stream": "none-of-these" }));
    backend.too_large = Some(1 << 20);
    backend.ids = Box::new(move || {
        let (kinesalite, stream) = (kinesalite.clone(), stream.clone());
        Box::pin(async move { ids(kinesalite.kinesis_records(&stream).await) })
    });
    backend
}

async fn firehose() -> SinkBackend {
    let moto = Emulator::of("TIDEGATE_TEST_MOTO");
    let stream = moto.firehose_stream().await;
    let target = json!({ "delivery_stream": stream });
    let mut backend = at(&moto, target, &json!({ "delivery_stream": "none-of-these" }));
    backend.too_large = Some(1_000 << 10);
    backend.ids = Box::new(move || {
        let (moto, bucket) = (moto.clone(), stream.clone());
        Box::pin(async move { ids(moto.lines(&bucket).await) })
    });
    backend
}

/// A place at an emulator, and the ways to miss it.
fn at(emulator: &Emulator, target: Value, missing: &Value) -> SinkBackend {
    let settings = emulator.settings();
    let with = |members: Value, without: &[&str]| {
        let mut settings = settings.as_object().expect("settings").clone();
        settings.retain(|name, _| !without.contains(&name.as_str()));
        settings.extend(members.as_object().expect("settings").clone());
        Value::Object(settings)
    };
    let key = ["access_key_id", "secret_access_key", "session_token"];
    let role = json!({ "role_arn": "arn:aws:iam::1:role/x", "sts_endpoint": "http://127.0.0.1:1" });
    let wrong =
        |what, settings, target: &Value, kind| WrongBackend { what, settings, target: target.clone(), kind };
    let wrong = vec![
        wrong("no such stream", settings.clone(), missing, ErrorKind::Missing),
        wrong(
            "nobody listens",
            with(json!({ "endpoint": "http://127.0.0.1:1" }), &[]),
            &target,
            ErrorKind::Unavailable,
        ),
        wrong("nobody gives roles", with(role, &[]), &target, ErrorKind::Unavailable),
        wrong(
            "no such profile",
            with(json!({ "profile": "tidegate-none-of-these" }), &key),
            &target,
            ErrorKind::Settings,
        ),
    ];
    SinkBackend {
        settings,
        target,
        folder: std::env::temp_dir(),
        http: Some(Arc::new(RealHttp::new().expect("a client"))),
        ids: Box::new(|| Box::pin(async { Vec::new() })),
        exactly_once: false,
        too_large: None,
        wrong,
        keep: Box::new(()),
    }
}

/// The ids in the events' own text.
fn ids(payloads: Vec<String>) -> Vec<String> {
    let id = |payload: String| {
        let event: Value = serde_json::from_str(&payload).expect("an event");
        event["event_id"].as_str().expect("an id").to_owned()
    };
    payloads.into_iter().map(id).collect()
}
