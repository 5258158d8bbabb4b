//! Calls and what becomes of them.

use super::*;

const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
const ROLE: &str = "arn:aws:iam::123456789012:role/streams";

#[tokio::test]
async fn an_event_becomes_the_record_of_an_app() {
    let plane = Plane::new(json!({ "account_id": "123456789012" }));
    let (received, results) = plane
        .put_events(json!({ "ep1": {
            "Endpoint": {
                "ChannelType": "GCM", "Address": "token",
                "Demographic": { "AppVersion": "1.0", "Locale": "en_US", "Make": "generic", "Model": "Unknown",
                                 "Platform": "android", "PlatformVersion": "10.10" },
                "User": { "UserId": "u1", "UserAttributes": { "plan": ["pro"] } }
            },
            "Events": { "ev1": {
                "EventType": "_session.stop", "Timestamp": "2026-03-01T11:59:58.250Z",
                "AppPackageName": "main.page", "AppTitle": "title", "AppVersionCode": "1",
                "SdkName": "aws-sdk-mobile-analytics-js", "ClientSdkVersion": "0.9.1",
                "Attributes": { "sku": "x" }, "Metrics": { "price": 9.90 },
                "Session": { "Id": "s1", "StartTimestamp": "2026-03-01T11:59:00Z", "Duration": 1000,
                             "StopTimestamp": "2026-03-01T11:59:58.250" }
            } }
        } }))
        .await;

    let accepted = json!({ "StatusCode": 202, "Message": "Accepted" });
    assert_eq!(
        results,
        json!({ "ep1": { "EndpointItemResponse": accepted, "EventsItemResponse": { "ev1": accepted } } })
    );
    let [event] = received.events.as_slice() else { panic!("one event") };
    assert_eq!((&*event.kind, &*event.user, &*event.app), ("_session.stop", "u1", "app1"));
    let mut record: Value = serde_json::from_str(event.payload.as_str()).expect("JSON");
    let endpoint = record.as_object_mut().expect("an object").shift_remove("endpoint").expect("an endpoint");
    assert_eq!(
        record,
        json!({
            "event_type": "_session.stop", "event_timestamp": 1_772_366_398_250_i64,
            "arrival_timestamp": 1_772_366_400_000_i64, "event_version": "3.1",
            "application": { "app_id": "app1", "package_name": "main.page", "title": "title",
                "version_name": "1.0", "version_code": "1",
                "sdk": { "name": "aws-sdk-mobile-analytics-js", "version": "0.9.1" } },
            "client": { "client_id": "ep1" },
            "device": { "locale": { "code": "en_US", "country": "US", "language": "en" }, "make": "generic",
                "model": "Unknown", "platform": { "name": "android", "version": "10.10" } },
            "session": { "session_id": "s1", "duration": 1000, "start_timestamp": 1_772_366_340_000_i64,
                "stop_timestamp": 1_772_366_398_250_i64 },
            "attributes": { "sku": "x" }, "metrics": { "price": 9.9 }, "awsAccountId": "123456789012"
        })
    );
    for name in [
        "ChannelType",
        "Address",
        "EndpointStatus",
        "OptOut",
        "RequestId",
        "Location",
        "Demographic",
        "EffectiveDate",
        "Attributes",
        "Metrics",
        "User",
        "ApplicationId",
        "Id",
        "CohortId",
        "CreationDate",
    ] {
        assert!(endpoint.get(name).is_some(), "{name}: {endpoint}");
    }
    let (received, _) = plane
        .put_events(json!({ "ep1": { "Endpoint": {}, "Events": { "e": super::event("visit") } } }))
        .await;
    assert_eq!(received.events[0].user, "u1", "the endpoint is remembered");
    let record: Value = serde_json::from_str(received.events[0].payload.as_str()).expect("JSON");
    assert_eq!((&record["session"], &record["device"]["platform"]["name"]), (&json!({}), &json!("android")));
}

#[tokio::test]
async fn each_event_has_a_status_of_its_own() {
    let plane = Plane::new(json!({}));
    let with = |name: &str, value: Value| {
        let mut event = event("buy");
        event[name] = value;
        event
    };
    let many = |count: usize| Value::Object((0..count).map(|n| (format!("a{n}"), json!("v"))).collect());
    let cases = [
        ("good", event("buy"), ""),
        ("unlimited", with("Attributes", many(40)), ""),
        ("nothing", json!({}), "EventType is required"),
        ("text", json!("x"), "must be an object"),
        ("timeless", json!({ "EventType": "buy" }), "Timestamp is required"),
        ("untimely", with("Timestamp", json!("soon")), "Timestamp must be in ISO 8601"),
        ("keys", with("Attributes", many(41)), "at most 40"),
        ("long", with("Attributes", json!({ "a": "x".repeat(201) })), "at most 200"),
        ("named", with("Attributes", json!({ "n".repeat(51): "x" })), "at most 50"),
        ("typed", with("Attributes", json!({ "a": 1 })), "Attributes must hold strings"),
        ("measured", with("Metrics", json!({ "a": "1" })), "Metrics must hold numbers"),
        ("session", with("Session", json!({ "Id": "s" })), "Session.StartTimestamp is required"),
    ];
    let events: Value = cases.iter().map(|(id, event, _)| ((*id).to_owned(), event.clone())).collect();
    let (received, results) = plane.put_events(json!({ "ep1": { "Endpoint": {}, "Events": events } })).await;

    for (id, _, message) in &cases {
        let result = &results["ep1"]["EventsItemResponse"][id];
        let status = if message.is_empty() { 202 } else { 400 };
        assert_eq!(result["StatusCode"], status, "{id}: {result}");
        assert!(result["Message"].as_str().is_some_and(|said| said.contains(message)), "{id}: {result}");
    }
    assert_eq!(received.events.len(), 2);
}

#[tokio::test]
async fn half_a_character_in_one_event_refuses_only_that_event() {
    let plane = Plane::new(json!({}));
    let written = |value: &str| {
        format!(r#"{{"EventType":"buy","Timestamp":"2026-03-01T11:59:58.250Z","Metrics":{{"m":1}},{value}}}"#)
    };
    let deep = format!(r#""Attributes":{}{}"#, r#"{"a":"#.repeat(130), format_args!("1{}", "}".repeat(130)));
    let cases = [
        ("good", r#""Attributes":{"a":"\ud83d\ude00"}"#, 202, "Accepted"),
        ("half", r#""Attributes":{"a":"cut \ud83d"}"#, 400, "half of a surrogate pair"),
        ("huge", r#""Metrics":{"m":1e400}"#, 400, "a number beyond 1.8e308"),
        ("deep", &*deep, 400, "nested in more than 127 levels"),
        ("last", r#""Attributes":{"a":"x"}"#, 202, "Accepted"),
    ];
    let events = cases.map(|(id, value, ..)| format!(r#""{id}":{}"#, written(value))).join(",");
    let body = format!(
        r#"{{"BatchItem":{{"e1":{{"Endpoint":{{}},"Events":{{{events}}}}},
            "e2":{{"Endpoint":{{"Address":"\udc00"}},"Events":{{"v":{}}}}}}},"more":"\ud83d"}}"#,
        written(r#""AppTitle":"t""#)
    );

    let received = plane.receive("POST", "/v1/apps/app1/events", &body).await;

    let (status, answer) = shown(&received);
    assert_eq!(status, 202, "{answer}");
    for (id, _, status, said) in cases {
        let result = &answer["Results"]["e1"]["EventsItemResponse"][id];
        assert_eq!(result["StatusCode"], status, "{id}: {result}");
        assert!(result["Message"].as_str().is_some_and(|message| message.contains(said)), "{id}: {result}");
    }
    let second = &answer["Results"]["e2"];
    assert_eq!(second["EndpointItemResponse"]["StatusCode"], 400, "{second}");
    assert_eq!(second["EventsItemResponse"]["v"]["StatusCode"], 202, "{second}");
    assert_eq!(received.events.len(), 3);
    let whole: Value = serde_json::from_str(&written(r#""Attributes":{"a":"x"}"#)).expect("JSON");
    let (alone, _) = plane.put_events(json!({ "e1": { "Endpoint": {}, "Events": { "last": whole } } })).await;
    assert_eq!(alone.events[0].id, received.events[1].id, "the id is that of the event alone");
}

#[tokio::test]
async fn an_event_without_an_id_that_can_be_read_refuses_its_request() {
    let plane = Plane::new(json!({}));
    let body = r#"{"BatchItem":{"e1":{"Endpoint":{},"Events":{"\ud83d":{}}}}}"#;
    let received = plane.receive("POST", "/v1/apps/app1/events", body).await;
    let (status, answer) = shown(&received);
    assert_eq!((status, received.events.len()), (400, 0));
    assert!(
        answer["Message"].as_str().is_some_and(|said| said.starts_with("Events has a member")),
        "{answer}"
    );
}

#[tokio::test]
async fn an_endpoint_nested_too_deep_for_readers_of_its_records_is_refused() {
    let plane = Plane::new(json!({}));
    let deep = (0..125).fold(json!(1), |inner, _| json!([inner]));
    let (status, answer) =
        plane.call("PUT", "/v1/apps/app1/endpoints/e", json!({ "Demographic": { "Make": deep } })).await;
    assert_eq!((status, &answer["Message"]), (400, &json!("Demographic.Make must be a string or a number")));
}

#[tokio::test]
async fn events_are_taken_although_their_endpoint_is_not() {
    let plane = Plane::new(json!({}));
    let (received, results) = plane
        .put_events(json!({
            "ep1": { "Endpoint": { "ChannelType": "FAX" }, "Events": { "e": event("a") } },
            "ep2": { "Events": { "e": event("a") } },
        }))
        .await;
    assert_eq!(received.events.len(), 2);
    assert_eq!(results["ep1"]["EndpointItemResponse"]["StatusCode"], 400);
    assert_eq!(results["ep2"]["EndpointItemResponse"]["StatusCode"], 400);
    assert_eq!(results["ep1"]["EventsItemResponse"]["e"]["StatusCode"], 202);
    assert_eq!(plane.call("GET", "/v1/apps/app1/endpoints/ep1", Value::Null).await.0, 404);
}

#[tokio::test]
async fn only_a_repetition_has_the_same_id() {
    let plane = Plane::new(json!({}));
    let mut ids = Vec::new();
    for (endpoint, id, kind) in
        [("a", "1", "x"), ("a", "1", "x"), ("a", "1", "y"), ("a", "2", "x"), ("b", "1", "x")]
    {
        let items = json!({ endpoint: { "Endpoint": {}, "Events": { id: event(kind) } } });
        ids.push(plane.put_events(items).await.0.events[0].id.clone());
    }
    assert_eq!(ids.remove(0), ids[0]);
    let different: std::collections::BTreeSet<_> = ids.iter().map(|id| id.to_string()).collect();
    assert_eq!(different.len(), 4);
}

#[tokio::test]
async fn requests_beyond_the_limits_are_refused_as_a_whole() {
    let plane = Plane::new(json!({ "apps": ["app1"] }));
    let events: Value = (0..101).map(|n| (format!("e{n}"), event("a"))).collect();
    let path = "/v1/apps/app1/events";
    for (path, method, body, status) in [
        (path, "POST", json!({ "BatchItem": { "ep1": { "Endpoint": {}, "Events": events } } }), 400),
        (path, "POST", json!({ "BatchItem": [] }), 400),
        (path, "POST", json!([]), 400),
        (path, "POST", json!({ "BatchItem": {}, "pad": " ".repeat(4 << 20) }), 413),
        (path, "GET", Value::Null, 405),
        ("/v1/apps/app2/events", "POST", json!({ "BatchItem": {} }), 404),
        ("/v1/apps/app1/segments", "GET", Value::Null, 404),
        ("/v1/apps/%ff/events", "POST", json!({ "BatchItem": {} }), 404),
        ("/", "GET", Value::Null, 404),
    ] {
        assert_eq!(plane.call(method, path, body).await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn endpoints_are_merged_and_found_by_user() {
    let plane = Plane::new(json!({}));
    let path = "/v1/apps/app1/endpoints/ep%2F1";
    let first = json!({ "ChannelType": "EMAIL", "Address": "a@b.c", "Attributes": { "a": ["1"], "b": ["2"] },
        "User": { "UserId": "u 1", "UserAttributes": { "x": ["y"] } } });
    let (status, answer) = plane.call("PUT", path, first).await;
    assert_eq!((status, &answer["Message"]), (202, &json!("Accepted")));
    let second = json!({ "OptOut": "ALL", "Attributes": { "a": ["3"], "b": [] }, "Metrics": { "m": 1.5 } });
    assert_eq!(plane.call("PUT", path, second).await.0, 202);

    let plane = plane.again();
    let (status, endpoint) = plane.call("GET", path, Value::Null).await;
    assert_eq!((status, &endpoint["Id"], &endpoint["OptOut"]), (200, &json!("ep/1"), &json!("ALL")));
    assert_eq!(
        (&endpoint["Attributes"], &endpoint["Metrics"]),
        (&json!({ "a": ["3"] }), &json!({ "m": 1.5 }))
    );
    assert_eq!(endpoint["CreationDate"], "2026-03-01T12:00:00.000Z");
    let (_, users) = plane.call("GET", "/v1/apps/app1/users/u%201", Value::Null).await;
    assert_eq!(users["Item"], json!([endpoint]));

    assert_eq!(plane.call("DELETE", "/v1/apps/app1/users/u%201", Value::Null).await, (202, users));
    assert_eq!(plane.call("GET", path, Value::Null).await.0, 404);
    assert_eq!(plane.call("DELETE", path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_batch_of_endpoints_is_taken_as_a_whole() {
    let plane = Plane::new(json!({}));
    let path = "/v1/apps/app1/endpoints";
    let bad = json!({ "Item": [{ "Id": "a" }, { "Id": "b", "OptOut": "MAYBE" }] });
    let (status, answer) = plane.call("PUT", path, bad).await;
    assert_eq!(status, 400);
    assert!(
        answer["Message"].as_str().is_some_and(|said| said.starts_with("Item[1]: OptOut must be")),
        "{answer}"
    );
    assert_eq!(plane.call("GET", "/v1/apps/app1/endpoints/a", Value::Null).await.0, 404);

    let of_user = |n: usize| json!({ "Id": format!("e{n}"), "User": { "UserId": "u" } });
    let fifteen: Vec<Value> = (0..15).map(of_user).collect();
    assert_eq!(plane.call("PUT", path, json!({ "Item": fifteen })).await.0, 202);
    assert_eq!(plane.call("PUT", path, json!({ "Item": [of_user(3)] })).await.0, 202);
    let (status, answer) = plane.call("PUT", path, json!({ "Item": [of_user(15)] })).await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test]
async fn an_event_stream_is_an_export() {
    let streams = json!({ "kinesis_endpoint": "http://127.0.0.1:4567", "external_id": "shop" });
    let plane = Plane::new(json!({ "streams": streams }));
    let path = "/v1/apps/app1/eventstream";
    assert_eq!(plane.call("GET", path, Value::Null).await.0, 404);
    let (status, stream) =
        plane.call("POST", path, json!({ "DestinationStreamArn": STREAM, "RoleArn": ROLE })).await;
    assert_eq!((status, &stream["DestinationStreamArn"]), (200, &json!(STREAM)));
    assert_eq!(
        (&stream["LastModifiedDate"], &stream["ApplicationId"]),
        (&json!("2026-03-01T12:00:00.000Z"), &json!("app1"))
    );
    assert_eq!(plane.ingest.exports_version(), 1);

    let plane = plane.again();
    assert_eq!(plane.call("GET", path, Value::Null).await, (200, stream.clone()));
    let [export] = &plane.exports()[..] else { panic!("one export") };
    assert_eq!((&*export.name, &*export.kind), ("eventstream-app1", "kinesis"));
    assert_eq!(export.selection.apps, ["app1"]);
    let expected = json!({ "region": "eu-west-1", "endpoint": "http://127.0.0.1:4567", "role_arn": ROLE, "external_id": "shop" });
    assert_eq!(json!(export.settings.members()), expected);
    assert_eq!(json!(export.target.members()), json!({ "stream": "clicks", "shape": "pinpoint" }));

    let firehose = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/lake";
    assert_eq!(
        plane.call("POST", path, json!({ "DestinationStreamArn": firehose, "RoleArn": ROLE })).await.0,
        200
    );
    let exports = plane.exports();
    assert_eq!(json!(exports[0].target.members()), json!({ "delivery_stream": "lake", "shape": "pinpoint" }));

    assert_eq!(plane.call("DELETE", path, Value::Null).await.1["DestinationStreamArn"], firehose);
    assert!(plane.exports().is_empty());
    assert_eq!(plane.ingest.exports_version(), 2);
}

#[tokio::test]
async fn an_event_stream_that_leads_nowhere_is_refused() {
    let plane = Plane::new(json!({}));
    for (stream, role) in [
        ("", ROLE),
        (STREAM, ""),
        ("arn:aws:sqs:eu-west-1:123456789012:stream/a", ROLE),
        ("arn:aws:kinesis:eu-west-1:123456789012:deliverystream/a", ROLE),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/a b", ROLE),
        (STREAM, "arn:aws:iam::123456789012:user/a"),
        (STREAM, "role/streams"),
    ] {
        let body = json!({ "DestinationStreamArn": stream, "RoleArn": role });
        assert_eq!(plane.call("POST", "/v1/apps/app1/eventstream", body).await.0, 400, "{stream} {role}");
    }
    assert_eq!(plane.ingest.exports_version(), 0);
}

#[tokio::test]
async fn a_users_sixteenth_device_retires_the_one_not_seen_for_the_longest_time() {
    let plane = Plane::new(json!({}));
    let device = |n: u32| {
        json!({ "Id": format!("e{n}"), "ChannelType": "GCM", "Address": format!("t{n}"), "User": { "UserId": "u" },
                "EffectiveDate": format!("2026-02-{:02}T00:00:00.000Z", 1 + (n + 5) % 15) })
    };
    // The date of each is when it was updated: it is set by a second update only.
    for _ in 0..2 {
        let devices: Vec<Value> = (0..15).map(device).collect();
        assert_eq!(plane.call("PUT", "/v1/apps/app1/endpoints", json!({ "Item": devices })).await.0, 202);
    }
    let get =
        async |id: &str| plane.call("GET", &format!("/v1/apps/app1/endpoints/{id}"), Value::Null).await.1;
    assert_eq!(get("e10").await["EffectiveDate"], "2026-02-01T00:00:00.000Z", "the oldest");

    let (received, results) = plane
        .put_events(json!({ "e15": { "Endpoint": device(15), "Events": { "e": event("visit") } } }))
        .await;

    assert_eq!(results["e15"]["EndpointItemResponse"]["StatusCode"], 202, "{results}");
    assert_eq!(received.events[0].user, "u");
    let oldest = get("e10").await;
    assert_eq!((&oldest["EndpointStatus"], &oldest["User"]), (&json!("INACTIVE"), &json!({})));
    let (_, users) = plane.call("GET", "/v1/apps/app1/users/u", Value::Null).await;
    let ids: Vec<&str> =
        users["Item"].as_array().expect("a list").iter().filter_map(|item| item["Id"].as_str()).collect();
    assert!(ids.len() == 15 && ids.contains(&"e15") && !ids.contains(&"e10"), "{ids:?}");

    let mail = json!({ "ChannelType": "EMAIL", "Address": "a@example.com", "User": { "UserId": "u" } });
    let (status, answer) = plane.call("PUT", "/v1/apps/app1/endpoints/mail", mail).await;
    assert_eq!(status, 400);
    assert_eq!(answer["Message"], "Exceeded maximum endpoint per user count 15");
}

#[tokio::test]
async fn an_endpoint_beyond_its_limits_is_refused_with_the_limit() {
    let plane = Plane::new(json!({}));
    let many = |count: usize, value: Value| -> Value {
        (0..count).map(|n| (format!("a{n}"), value.clone())).collect()
    };
    for (endpoint, said) in [
        (json!({ "Attributes": { "a": vec!["x"; 51] } }), "more than 50 values"),
        (json!({ "User": { "UserAttributes": { "a": ["x".repeat(101)] } } }), "100 characters"),
        (json!({ "Attributes": many(125, json!(["x"])), "Metrics": many(126, json!(1)) }), "more than 250"),
    ] {
        let (status, answer) = plane.call("PUT", "/v1/apps/app1/endpoints/e", endpoint).await;
        assert!(
            status == 400 && answer["Message"].as_str().is_some_and(|found| found.contains(said)),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_does_not_grow_beyond_its_limits_by_many_small_requests() {
    let plane = Plane::new(json!({}));
    let path = "/v1/apps/app1/endpoints/e";
    let attributes = |from: usize, to: usize| {
        let attributes: Value = (from..to).map(|n| (format!("a{n}"), json!(["x"]))).collect();
        json!({ "Attributes": attributes })
    };
    assert_eq!(plane.call("PUT", path, attributes(0, 200)).await.0, 202);
    let (status, answer) = plane.call("PUT", path, attributes(200, 400)).await;
    let said = answer["Message"].as_str().unwrap_or_default();
    assert!(status == 400 && said.contains("more than 250 attributes"), "{answer}");
    let stored = plane.call("GET", path, Value::Null).await.1;
    assert_eq!(stored["Attributes"].as_object().map(serde_json::Map::len), Some(200), "unchanged");
    assert_eq!(plane.call("PUT", path, attributes(200, 250)).await.0, 202);

    // The events of a request are taken, with the endpoint as it was.
    let (received, results) = plane
        .put_events(json!({ "e": { "Endpoint": attributes(400, 401), "Events": { "v": event("visit") } } }))
        .await;
    assert_eq!(results["e"]["EndpointItemResponse"]["StatusCode"], 400, "{results}");
    let record: Value = serde_json::from_str(received.events[0].payload.as_str()).expect("JSON");
    assert_eq!(record["endpoint"]["Attributes"].as_object().map(serde_json::Map::len), Some(250));

    let half = |name: &str| json!({ "Demographic": { name: "x".repeat(8_000) } });
    assert_eq!(plane.call("PUT", "/v1/apps/app1/endpoints/d", half("Make")).await.0, 202);
    let (status, answer) = plane.call("PUT", "/v1/apps/app1/endpoints/d", half("Model")).await;
    let said = answer["Message"].as_str().unwrap_or_default();
    assert!(status == 400 && said.contains("larger than 15000 bytes"), "{answer}");

    let item = |n: usize| {
        let mut item = attributes(n * 10, n * 10 + 10);
        item["Id"] = json!("of a batch");
        item
    };
    let items: Vec<Value> = (0..100).map(item).collect();
    let (status, answer) = plane.call("PUT", "/v1/apps/app1/endpoints", json!({ "Item": items })).await;
    let said = answer["Message"].as_str().unwrap_or_default();
    assert!(status == 400 && said.starts_with("Item[25]: "), "{answer}");
    assert_eq!(plane.call("GET", "/v1/apps/app1/endpoints/of%20a%20batch", Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_endpoint_that_is_stored_beyond_the_limits_is_updated_but_does_not_grow() {
    let plane = Plane::new(json!({}));
    let attributes: Value = (0..300).map(|n| (format!("a{n}"), json!(["x".repeat(100)]))).collect();
    let stored = json!({ "Id": "e", "EffectiveDate": "2026-02-01T00:00:00.000Z", "Attributes": attributes });
    let store = super::super::store::Store::new(plane.folder.path().join("pinpoint.db"));
    store
        .transact(|session| session.save_endpoint("app1", "e", None, stored.as_object().expect("an object")))
        .map_err(|error: tidegate_model::Error| error.chain())
        .expect("stored");

    let put = async |request: Value| plane.call("PUT", "/v1/apps/app1/endpoints/e", request).await.0;
    assert_eq!(put(json!({ "OptOut": "ALL", "Attributes": { "a0": ["y".repeat(100)] } })).await, 202);
    assert_eq!(put(json!({ "Attributes": { "a300": ["x"] } })).await, 400);
    assert_eq!(put(json!({ "Attributes": { "a0": ["y".repeat(100), "z"] } })).await, 400);
    assert_eq!(put(json!({ "Attributes": { "a0": [] } })).await, 202);
    let (_, endpoint) = plane.call("GET", "/v1/apps/app1/endpoints/e", Value::Null).await;
    assert_eq!(
        (&endpoint["OptOut"], endpoint["Attributes"].as_object().map(serde_json::Map::len)),
        (&json!("ALL"), Some(299))
    );
}

#[test]
fn no_body_makes_the_data_plane_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let plane = Plane::new(json!({ "anonymous": true }));
    let event = json!({ "EventType": "tap", "Timestamp": "2026-01-02T03:04:05Z", "Attributes": { "a": "b" },
        "Metrics": { "m": 1.5 }, "Session": { "Id": "s", "StartTimestamp": "2026-01-02T03:04:05Z" } });
    let endpoint = json!({ "ChannelType": "EMAIL", "Address": "a@example.com", "Attributes": { "a": ["b"] },
        "User": { "UserId": "u", "UserAttributes": { "c": ["d"] } } });
    let put =
        json!({ "BatchItem": { "e1": { "Endpoint": endpoint, "Events": { "ev1": event } } } }).to_string();
    let endpoint = endpoint.to_string();
    tidegate_testkit::mangle::mangled(&[put.as_bytes(), endpoint.as_bytes()], 500, |bytes| {
        for (method, path) in [("POST", "/v1/apps/a1/events"), ("PUT", "/v1/apps/a1/endpoints/e1")] {
            let body = String::from_utf8_lossy(bytes);
            let received = runtime.block_on(take(plane.ingest.as_ref(), &request(method, path, &body)));
            let status = received.answer.status();
            assert!(status.is_success() || status.is_client_error(), "{status}");
        }
    });
}
