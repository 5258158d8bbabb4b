//! What the operations of the description have in common.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::repeated;

/// Operations whose body may be left out.
const WITHOUT_BODY: &[&str] = &["retry_sync", "pause_sync"];

/// Returns the description as text. Every `POST` takes the key of a request that may be sent twice, whole
/// numbers of a query end somewhere, and any answer that an operation does not name is a problem.
pub(super) fn completed(description: &OpenApi) -> String {
    let mut description = serde_json::to_value(description).unwrap_or_default();
    for path in members(&mut description["paths"]) {
        for (method, operation) in path.as_object_mut().into_iter().flatten() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                if parameter["in"] == "query" {
                    complete_query(&mut parameter["schema"]);
                }
            }
            if method == "post"
                && let Some(operation) = operation.as_object_mut()
                && let Some(all) = operation.entry("parameters").or_insert(json!([])).as_array_mut()
            {
                all.push(key());
            }
            let may_lack_body = WITHOUT_BODY.iter().any(|name| operation["operationId"] == *name);
            if may_lack_body {
                operation["requestBody"]["required"] = json!(false);
            }
            if let Some(responses) = operation["responses"].as_object_mut() {
                for (status, response) in responses.iter_mut() {
                    describe(status, response);
                }
                responses.entry("default").or_insert_with(problem);
            }
        }
    }
    serde_json::to_string_pretty(&description).unwrap_or_default()
}

/// Every answer has a description: without words of its own, the phrase of its status.
fn describe(status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let phrase = status.parse::<StatusCode>().ok().and_then(|status| status.canonical_reason());
    let has_words =
        response.get("description").and_then(Value::as_str).is_some_and(|words| !words.is_empty());
    if !has_words {
        response.insert("description".to_owned(), json!(phrase.unwrap_or(status)));
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().map(Map::values_mut).into_iter().flatten()
}

/// A query has texts: one that is left out is not null, and a number has no more than 32 bits.
fn complete_query(schema: &mut Value) {
    if let Some([kind, null]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        schema["type"] = kind.clone();
    }
    if schema["type"] == "integer"
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("format");
        schema.entry("minimum").or_insert(json!(0));
        schema.insert("maximum".to_owned(), json!(u32::MAX));
    }
}

fn key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "A text of your own, new for each request, such as a UUID. A request that is sent again with \
            it within 24 hours takes no effect again, and gets the answer of the first with \
            `Idempotency-Replayed: true`. With another request it is answered 422, while the first is being \
            answered 409.",
        "schema": { "type": "string", "minLength": 1, "maxLength": repeated::KEY_LENGTH_MAX, "pattern": "^[!-~]+$" },
    })
}

fn problem() -> Value {
    json!({
        "description": "What failed, why, and what to do next",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}
