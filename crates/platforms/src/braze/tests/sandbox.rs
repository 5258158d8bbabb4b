use super::*;

async fn track(http: &dyn Http, body: Value) -> (u16, Value) {
    post(http, "/users/track", body).await
}

async fn post(http: &dyn Http, path: &str, body: Value) -> (u16, Value) {
    let response = call(http, "POST", path, &body.to_string()).await;
    (response.status().as_u16(), json_of(&response))
}

/// The only user's line of `/_sandbox/users`.
async fn only_user(http: &dyn Http) -> Value {
    let users = call(http, "GET", "/_sandbox/users", "").await;
    let lines: Vec<&[u8]> =
        users.body().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 1);
    serde_json::from_slice(lines[0]).expect("JSON")
}

/// The attributes of Ada after these attribute objects.
async fn attributes_after(objects: &[Value]) -> Value {
    let http = sandbox(Faults::default());
    for object in objects {
        let mut object = object.clone();
        object["external_id"] = json!("ada");
        assert_eq!(track(&*http, json!({ "attributes": [object] })).await.0, 201);
    }
    only_user(&*http).await["attributes"].clone()
}

#[tokio::test]
async fn bad_objects_are_named_by_array_and_index_and_the_others_count() {
    let http = sandbox(Faults::default());
    let body = json!({
        "attributes": [],
        "events": [
            { "external_id": "ada", "name": "ok", "time": "2013-07-16T19:20:45+01:00" },
            { "name": "nobody", "time": "2013-07-16T19:20:45+01:00" },
            { "external_id": "ada", "time": "2013-07-16T19:20:45+01:00" },
            { "external_id": "ada", "name": "when", "time": "yesterday" },
        ],
        "purchases": [
            { "external_id": "ada", "product_id": "p", "currency": "USD", "price": 1, "quantity": 101, "time": "2013-07-16T19:20:45Z" },
            { "external_id": "ada", "product_id": "p", "currency": "USD", "price": "free", "time": "2013-07-16T19:20:45Z" },
        ],
    });

    let (status, answer) = track(&*http, body).await;

    assert_eq!(status, 201);
    let error =
        |text: &str, array: &str, index: u64| json!({ "type": text, "input_array": array, "index": index });
    assert_eq!(
        answer,
        json!({
            "message": "success", "events_processed": 1, "purchases_processed": 0,
            "errors": [
                error("'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required", "events", 1),
                error("'name' is required", "events", 2),
                error("'time' is not valid", "events", 3),
                error("'quantity' is not valid", "purchases", 0),
                error("'price' is not valid", "purchases", 1),
            ],
        })
    );
}

#[tokio::test]
async fn a_request_with_nothing_valid_is_a_400() {
    let http = sandbox(Faults::default());
    let nothing = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
    let (status, answer) = track(&*http, json!({ "events": [{ "external_id": "ada" }] })).await;
    assert_eq!((status, &answer["message"]), (400, &json!(nothing)));
    assert_eq!(answer["errors"][0]["index"], 0);
    assert_eq!(track(&*http, json!({ "events": [] })).await, (400, json!({ "message": nothing })));
    assert_eq!(call(&*http, "POST", "/users/track", "no JSON").await.status(), 400);
}

#[tokio::test]
async fn a_key_is_needed_and_a_revoked_one_refused() {
    let http = sandbox(Faults::default());
    for key in [None, Some("Bearer revoked"), Some("Basic x")] {
        let mut request = Request::post("http://sandbox/users/track");
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        let response = http.send(request.body(Bytes::new()).expect("request")).await.expect("answer");
        assert_eq!(response.status(), 401);
        assert_eq!(json_of(&response), json!({ "message": "Invalid API Key" }));
        assert_eq!(response.headers()["x-ratelimit-limit"], "3000");
    }
}

#[tokio::test]
async fn a_request_holds_75_objects_in_total_or_by_legacy_contracts_of_each() {
    let http = sandbox(Faults::default());
    let event = json!({ "external_id": "ada", "name": "e", "time": "2026-01-01T00:00:00Z" });
    let attributes = json!({ "external_id": "ada" });
    let body = |events: usize, users: usize| json!({ "events": vec![event.clone(); events], "attributes": vec![attributes.clone(); users] });
    assert_eq!(track(&*http, body(74, 1)).await.0, 201);
    assert_eq!(track(&*http, body(75, 1)).await, (400, json!({ "message": "Max Input Length Exceeded" })));

    call(&*http, "PUT", "/_sandbox/packing", "each").await;
    assert_eq!(track(&*http, body(75, 75)).await.0, 201);
    assert_eq!(track(&*http, body(76, 0)).await.0, 400);
}

#[tokio::test]
async fn times_in_the_future_become_now_and_odd_forms_are_read() {
    let http = sandbox(Faults::default());
    let event = |time: &str| json!({ "external_id": "ada", "name": "e", "time": time });
    let times = [
        "2030-01-01T00:00:00Z",
        "2026-01-02T03:04:05:678+0100",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.5+01:00",
    ];
    track(&*http, json!({ "events": times.map(event) })).await;

    let lines = call(&*http, "GET", "/_sandbox/events", "").await;
    let lines = std::str::from_utf8(lines.body()).expect("UTF-8");
    let seen: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<&str> = seen.iter().map(|line| line["time"].as_str().expect("time")).collect();
    assert_eq!(
        seen,
        [
            "2026-03-01T12:00:00Z",
            "2026-01-02T02:04:05.678Z",
            "2026-01-02T03:04:05Z",
            "2026-01-02T02:04:05.5Z"
        ]
    );
}

#[tokio::test]
async fn only_those_are_created_that_may_be() {
    let http = sandbox(Faults::default());
    let alias = json!({ "alias_name": "7", "alias_label": "crm" });
    let body = json!({ "attributes": [
        { "user_alias": alias, "a": 1 },
        { "braze_id": "unknown", "a": 1 },
        { "external_id": "ada", "_update_existing_only": true, "a": 1 },
    ] });
    assert_eq!(track(&*http, body).await.0, 201);
    assert_eq!(stats(&*http).await["users"], 0);

    let body = json!({ "attributes": [{ "user_alias": alias, "_update_existing_only": false, "a": 1 }] });
    track(&*http, body).await;
    assert_eq!(only_user(&*http).await["aliases"], json!([{ "label": "crm", "name": "7" }]));
}

#[tokio::test]
async fn email_beats_phone_as_the_identifier() {
    let http = sandbox(Faults::default());
    let who = json!({ "email": "a@example.test", "phone": "+491", "plan": "pro" });
    track(&*http, json!({ "attributes": [who] })).await;
    track(&*http, json!({ "attributes": [{ "email": "a@example.test", "plan": "free" }] })).await;

    let user = only_user(&*http).await;
    assert_eq!((&user["email"], &user["phone"]), (&json!("a@example.test"), &json!("+491")));
    assert_eq!(user["attributes"], json!({ "plan": "free" }));
}

#[tokio::test]
async fn numbers_are_incremented_and_arrays_extended_and_reduced() {
    let after = attributes_after(&[
        json!({ "visits": { "inc": 2 }, "tags": ["a", "b"] }),
        json!({ "visits": { "inc": -5 }, "tags": { "add": ["b", "c"] } }),
        json!({ "tags": { "remove": ["a"] }, "ratio": { "inc": 0.5 } }),
    ])
    .await;
    assert_eq!(after, json!({ "visits": -3, "tags": ["b", "c"], "ratio": 0.5 }));
}

#[tokio::test]
async fn nested_objects_are_overwritten_or_merged() {
    let first = json!({ "home": { "city": "Paris", "at": { "$time": "2026-01-02T03:04:05Z" } } });
    let change = json!({ "home": { "zip": "75001" } });
    assert_eq!(attributes_after(&[first.clone(), change.clone()]).await, change);

    let merged = json!({ "_merge_objects": true, "home": { "zip": "75001" } });
    let after = attributes_after(&[first.clone(), merged]).await;
    assert_eq!(after["home"]["city"], "Paris");
    assert_eq!(after["home"]["zip"], "75001");

    let bad = json!({ "home": { "city": "Rome", "at": { "$time": "soon" } } });
    assert_eq!(attributes_after(&[first.clone(), bad]).await, first);
}

#[tokio::test]
async fn arrays_of_objects_add_then_remove_then_update() {
    let after = attributes_after(&[
        json!({ "pets": [{ "id": 1, "name": "Rex" }, { "id": 2, "name": "Tom" }] }),
        json!({ "pets": {
            "$update": [{ "$identifier_key": "id", "$identifier_value": 3, "$new_object": { "id": 3, "name": "Mia" } }],
            "$remove": [{ "$identifier_key": "id", "$identifier_value": 1 }],
            "$add": [{ "id": 3, "name": "Kim" }],
        } }),
    ])
    .await;
    assert_eq!(after["pets"], json!([{ "id": 2, "name": "Tom" }, { "id": 3, "name": "Mia" }]));
}

#[tokio::test]
async fn users_are_deleted_by_one_kind_of_identifier() {
    let http = sandbox(Faults::default());
    let users: Vec<Value> = ["ada", "bob"].iter().map(|id| json!({ "external_id": id })).collect();
    track(&*http, json!({ "attributes": users })).await;

    let (status, answer) = post(&*http, "/users/delete", json!({ "external_ids": ["ada", "unknown"] })).await;
    assert_eq!((status, answer), (201, json!({ "deleted": 2, "message": "success" })));
    assert_eq!(only_user(&*http).await["external_id"], "bob");

    let mixed = json!({ "external_ids": ["bob"], "braze_ids": ["x"] });
    assert_eq!(post(&*http, "/users/delete", mixed).await.0, 400);
    let many: Vec<String> = (0..51).map(|id| id.to_string()).collect();
    assert_eq!(post(&*http, "/users/delete", json!({ "external_ids": many })).await.0, 400);
}

#[tokio::test]
async fn a_profile_is_exported_without_what_is_empty() {
    let http = sandbox(Faults::default());
    let body = json!({
        "attributes": [{ "external_id": "ada", "first_name": "Ada", "plan": "pro", "email": "a@example.test" }],
        "events": [{ "external_id": "ada", "name": "e", "time": "2026-01-02T00:00:00Z" }],
    });
    track(&*http, body).await;

    let ask = json!({ "external_ids": ["ada", "bob"] });
    let (status, answer) = post(&*http, "/users/export/ids", ask).await;
    assert_eq!((status, &answer["message"]), (200, &json!("success")));
    assert_eq!(answer["invalid_user_ids"], json!(["bob"]));
    let ada = &answer["users"][0];
    assert_eq!((&ada["first_name"], &ada["custom_attributes"]), (&json!("Ada"), &json!({ "plan": "pro" })));
    assert_eq!(ada["custom_events"][0]["count"], 1);
    assert_eq!((ada.get("phone"), ada.get("purchases")), (None, None));

    let ask = json!({ "email_address": "a@example.test", "fields_to_export": ["external_id"] });
    assert_eq!(post(&*http, "/users/export/ids", ask).await.1["users"], json!([{ "external_id": "ada" }]));
    let nobody = json!({ "email_address": "b@example.test" });
    assert_eq!(post(&*http, "/users/export/ids", nobody).await.1["users"], json!([]));
}

#[tokio::test]
async fn aliases_lead_to_an_identified_user() {
    let http = sandbox(Faults::default());
    let alias = |name: &str| json!({ "alias_name": name, "alias_label": "crm" });
    let (status, answer) = post(&*http, "/users/alias/new", json!({ "user_aliases": [alias("7")] })).await;
    assert_eq!((status, answer), (201, json!({ "aliases_processed": 1, "message": "success" })));

    let update =
        json!({ "alias_updates": [{ "alias_label": "crm", "old_alias_name": "7", "new_alias_name": "8" }] });
    assert_eq!(post(&*http, "/users/alias/update", update).await.1["aliases_processed"], 1);

    let identify = json!({ "aliases_to_identify": [{ "external_id": "ada", "user_alias": alias("8") }] });
    assert_eq!(post(&*http, "/users/identify", identify).await.1["aliases_processed"], 1);
    assert_eq!(only_user(&*http).await["external_id"], "ada");

    track(&*http, json!({ "attributes": [{ "external_id": "old", "plan": "pro" }] })).await;
    let merge = json!({ "merge_updates": [{
        "identifier_to_merge": { "external_id": "old" }, "identifier_to_keep": { "external_id": "ada" },
    }] });
    post(&*http, "/users/merge", merge).await;
    assert_eq!(only_user(&*http).await["attributes"], json!({ "plan": "pro" }));
}

#[tokio::test]
async fn a_number_is_an_external_id_too() {
    let http = sandbox(Faults::default());
    track(&*http, json!({ "attributes": [{ "external_id": 7, "a": 1 }, { "external_id": "7", "b": 2 }] }))
        .await;
    assert_eq!(only_user(&*http).await["external_id"], "7");
}

#[tokio::test]
async fn a_catalog_is_created_listed_filled_and_deleted() {
    let http = sandbox(Faults::default());
    let fields = json!([{ "name": "id", "type": "string" }, { "name": "n", "type": "number" }, { "name": "tags", "type": "array" }]);
    let catalog = json!({ "catalogs": [{ "name": "shop", "description": "d", "fields": fields }] });
    assert_eq!(post(&*http, "/catalogs", catalog.clone()).await.0, 201);
    assert_eq!(post(&*http, "/catalogs", catalog).await.1["errors"][0]["id"], "catalog-name-already-exists");

    for page in 0..3 {
        let items: Vec<Value> =
            (0..40).map(|at| json!({ "id": format!("i{page}{at:02}"), "n": at })).collect();
        assert_eq!(
            post(&*http, "/catalogs/shop/items", json!({ "items": items })).await,
            (202, json!({ "message": "success" }))
        );
    }
    let listed = json_of(&call(&*http, "GET", "/catalogs", "").await);
    assert_eq!((&listed["catalogs"][0]["num_items"], &listed["message"]), (&json!(120), &json!("success")));

    let mut path = "/catalogs/shop/items".to_owned();
    let mut counts = Vec::new();
    loop {
        let page = call(&*http, "GET", &path, "").await;
        counts.push(json_of(&page)["items"].as_array().expect("items").len());
        let Some(link) = page.headers().get("link") else { break };
        let link = link.to_str().expect("text");
        path = link[1..link.find('>').expect("end")].to_owned();
    }
    assert_eq!(counts, [50, 50, 20]);

    assert_eq!(call(&*http, "DELETE", "/catalogs/shop", "").await.status(), 200);
    assert_eq!(stats(&*http).await["catalog_items"], 0);
    assert_eq!(
        json_of(&call(&*http, "DELETE", "/catalogs/shop", "").await)["errors"][0]["id"],
        "catalog-not-found"
    );
}

#[tokio::test]
async fn one_item_is_created_updated_and_removed_by_its_id() {
    let http = sandbox(Faults::default());
    let fields = json!([{ "name": "id", "type": "string" }, { "name": "n", "type": "number" }, { "name": "tags", "type": "array" }]);
    post(&*http, "/catalogs", json!({ "catalogs": [{ "name": "shop", "fields": fields }] })).await;
    let send = async |method: &str, body: Value| {
        let body = json!({ "items": [body] }).to_string();
        call(&*http, method, "/catalogs/shop/items/a", &body).await.status().as_u16()
    };
    assert_eq!(send("PATCH", json!({ "n": 1 })).await, 404);
    assert_eq!(send("POST", json!({ "n": 1, "tags": ["x"] })).await, 201);
    assert_eq!(send("POST", json!({ "n": 1 })).await, 409);
    assert_eq!(send("PATCH", json!({ "tags": { "$add": ["y"], "$remove": ["x"] } })).await, 200);
    let item = json_of(&call(&*http, "GET", "/catalogs/shop/items/a", "").await);
    assert_eq!(item["items"], json!([{ "id": "a", "n": 1, "tags": ["y"] }]));
    assert_eq!(send("PUT", json!({ "n": 2 })).await, 200);
    assert_eq!(send("DELETE", json!({})).await, 200);
    assert_eq!(send("DELETE", json!({})).await, 404);
}

#[tokio::test]
async fn one_bad_item_refuses_the_request() {
    let http = sandbox(Faults::default());
    let fields = json!([{ "name": "id", "type": "string" }, { "name": "n", "type": "number" }]);
    post(&*http, "/catalogs", json!({ "catalogs": [{ "name": "shop", "fields": fields }] })).await;
    let good = json!({ "id": "a", "n": 1 });
    let cases = [
        (json!({ "id": "a" }), "ids-not-unique"),
        (json!({ "id": 7 }), "ids-not-strings"),
        (json!({ "n": 7 }), "items-missing-ids"),
        (json!({ "id": "a b" }), "invalid-ids"),
        (json!({ "id": "x".repeat(251) }), "ids-too-large"),
        (json!({ "id": "b", "m": 1 }), "fields-do-not-match"),
        (json!({ "id": "b", "n": "many" }), "unable-to-coerce-value"),
        (json!("text"), "item-array-invalid"),
    ];
    for (bad, id) in cases {
        let (status, answer) = post(&*http, "/catalogs/shop/items", json!({ "items": [good, bad] })).await;
        assert_eq!((status, &answer["errors"][0]["id"]), (400, &json!(id)));
        assert_eq!(answer["message"], "Invalid Request");
    }
    assert_eq!(stats(&*http).await["catalog_items"], 0);
    assert_eq!(post(&*http, "/catalogs/gone/items", json!({ "items": [good] })).await.0, 404);
}

#[tokio::test]
async fn unknown_paths_and_large_bodies_are_refused_with_a_message() {
    let http = sandbox(Faults::default());
    assert_eq!(post(&*http, "/users/unknown", json!({})).await, (404, json!({ "message": "Invalid URL" })));
    let large = format!("{{\"events\":\"{}\"}}", "x".repeat(5 << 20));
    assert_eq!(call(&*http, "POST", "/users/track", &large).await.status(), 413);
}
