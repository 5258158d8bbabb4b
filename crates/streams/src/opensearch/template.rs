//! The index template: which type each member of a document has.

use serde_json::{Map, Value, json};
use tidegate_model::Layout;

use super::document::{PAYLOAD, TIME, field_type, member};
use super::target::{Indices, Payload};

/// Longer values of a keyword are kept and not indexed: a term has 32,766 bytes at most.
///
/// Source: OpenSearch docs, `ignore_above`; Lucene, `IndexWriter.MAX_TERM_LENGTH`.
const KEYWORD_CHARS_MAX: usize = 8_191;
/// Above the templates that clusters come with, which match `logs-*-*` and the like with 100.
const PRIORITY: u32 = 200;
/// Members that people search by their words.
const TEXTS: [&str; 3] = ["message_title", "message_contents", "failure_reason"];

/// Returns the body that creates the template of these indices.
pub(super) fn body(indices: &Indices, layout: Layout, payload: Payload) -> Value {
    let mut template = json!({
        "index_patterns": [indices.pattern()],
        "priority": PRIORITY,
        "template": { "mappings": { "properties": properties(layout, payload) } },
        "_meta": { "created_by": "tidegate" },
    });
    if matches!(indices, Indices::DataStream(_)) {
        template["data_stream"] = json!({ "timestamp_field": { "name": TIME } });
    }
    template
}

fn properties(layout: Layout, payload: Payload) -> Map<String, Value> {
    let keyword = json!({ "type": "keyword", "ignore_above": KEYWORD_CHARS_MAX });
    let mapped = layout.columns().iter().filter_map(|column| {
        let name = member(column)?;
        let mapping = match field_type(column) {
            _ if name == PAYLOAD => match payload {
                Payload::Flat => json!({ "type": "flat_object" }),
                Payload::Dynamic => json!({ "type": "object" }),
            },
            "keyword" if TEXTS.contains(&name) => {
                json!({ "type": "text", "fields": { "keyword": keyword } })
            }
            "keyword" => keyword.clone(),
            other => json!({ "type": other }),
        };
        Some((name.to_owned(), mapping))
    });
    mapped.collect()
}
