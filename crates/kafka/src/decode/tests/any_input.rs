//! What holds for every input.

use proptest::prelude::*;
use serde_json::{Value as Tree, json};
use tidegate_model::Value;

use super::{decode, decoder, message};

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<u64>().prop_map(Tree::from),
        any::<String>().prop_map(Tree::from),
        "[a-c\"\\\\é]{0,3}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            prop::collection::btree_map("[a-c]|0|é|\"", inner, 0..5)
                .prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c]|[0-3]|é|\"", 1..4)
}

/// The slow and plain way to a field.
fn walk<'a>(tree: &'a Tree, path: &[String]) -> Option<&'a Tree> {
    path.iter().try_fold(tree, |at, step| match at {
        Tree::Object(members) => members.get(step),
        Tree::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
        _ => None,
    })
}

proptest! {
    #[test]
    fn fields_are_what_a_walk_through_the_tree_finds(
        tree in tree(),
        paths in prop::collection::vec(path(), 1..6),
        pretty: bool,
    ) {
        let fields: serde_json::Map<String, Tree> =
            paths.iter().enumerate().map(|(at, path)| (format!("f{at}"), json!(path))).collect();
        let decoder = decoder(json!({ "fields": fields })).expect("decoder");
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) };
        let text = text.expect("JSON");

        let row = decode(&decoder, &message(Some(text.as_bytes()))).expect("row");

        for (at, path) in paths.iter().enumerate() {
            let mut found = String::new();
            row.get(&format!("f{at}")).expect("column").write_json(&mut found).expect("finite");
            let found: Tree = serde_json::from_str(&found).expect("JSON");
            prop_assert_eq!(&found, walk(&tree, path).unwrap_or(&Tree::Null), "{:?} in {}", path, text);
        }
        prop_assert_eq!(row.get("value").and_then(Value::to_text), Some(text.into()));
    }

    #[test]
    fn no_bytes_make_any_format_panic(
        mut payload: Vec<u8>,
        framed: bool,
        format in prop_oneof![Just("json"), Just("json_schema"), Just("text")],
        reading in prop_oneof![
            Just("auto"), Just("epoch_s"), Just("epoch_ms"), Just("epoch_us"), Just("iso"), Just("json"), Just("text"),
        ],
    ) {
        let fields = if format == "text" { json!({}) } else { json!({ "a": { "path": "a", "as": reading } }) };
        let decoder = decoder(json!({ "format": format, "key_format": format, "fields": fields })).expect("decoder");
        if framed {
            payload.splice(..0, [0, 0, 0, 0, 1]);
        }
        let mut message = message(Some(&payload));
        message.key = Some(&payload);

        let _ = decode(&decoder, &message);
    }

    #[test]
    fn whatever_stands_at_a_field_is_a_cell_or_a_reason(
        tree in tree(),
        text in "-?[0-9]{0,20}(\\.[0-9]{0,12})?([eE]-?[0-9]{1,4})?|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.Z+-]{0,12})?",
        reading in prop_oneof![
            Just("epoch_s"), Just("epoch_ms"), Just("epoch_us"), Just("iso"), Just("json"), Just("text"),
        ],
    ) {
        let decoder = decoder(json!({ "fields": { "a": { "path": "a", "as": reading } } })).expect("decoder");
        for value in [json!({ "a": tree }), json!({ "a": text })] {
            let payload = value.to_string();
            if let Err(reason) = decode(&decoder, &message(Some(payload.as_bytes()))) {
                prop_assert!(["not_a_time", "invalid_json"].contains(&&*reason.code), "{}", reason.code);
                prop_assert!(reason.message.contains("`a`"));
            }
        }
    }
}
