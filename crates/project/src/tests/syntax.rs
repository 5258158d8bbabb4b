use proptest::prelude::{Strategy, any, prop, proptest};

use super::super::parse;
use super::{CONNECTORS, changed, good, told};

/// The first error, as `line:column path: message → next`.
fn first(text: &str) -> String {
    told(text).remove(0)
}

#[test]
fn broken_yaml_is_told_with_its_place_and_the_fix() {
    for (text, words) in [
        ("connections:\n  a:\n    type: x\n\tb: y\n", &["4:1", "a tab stands", "spaces"][..]),
        ("connections:\n  a:\n    type:\tx\n    b\t: y: z\n", &["3:10", "a tab stands"]),
        ("connections:\n  shop: { type: database\nsyncs: {}\n", &["2:9", "the `{` is not closed", "`}`"]),
        ("connections:\n  shop: { type: database\n", &["2:9", "the `{` is not closed", "`}`"]),
        ("syncs: [", &["1:8", "the `[` is not closed"]),
        ("connections:\n  shop:\n    type: database\n   host: h\n", &["4:", "the indentation does not fit"]),
        (
            "connections:\n  shop:\n    type database\n    host: h\n",
            &["3:5", "no `:` behind its key", "`key: value`"],
        ),
        ("connections:\n  shop\n    type: database\n", &["2:3", "no `:` behind its key"]),
        ("connections:\n  shop: type: database\n", &["2:", "a second `:` stands in one line"]),
        ("connections:\n  shop:\n    type: \"database\n    host: h\n", &["3:11", "a quote is not closed"]),
        ("a: \"\\q\"\n", &["1:4", "a backslash in double quotes", "single quotes"]),
        ("a: @x\n", &["1:4", "cannot begin with this character", "in quotes"]),
        ("- a\n", &["1:1", "expected a mapping with the keys `connections` and `syncs`"]),
        ("just text\n", &["1:1", "expected a mapping"]),
        (
            "connections: [1, 2]\n",
            &["1:1", "connections: expected a mapping from names to connections, found a list"],
        ),
        ("syncs: &x {}\nconnections: *x\n", &["1:", "anchors"]),
        ("syncs: !tag {}\n", &["1:", "tags"]),
        ("a: 1\n---\nb: 2\n", &["2:1", "more than one document"]),
        ("conections: {}\n", &["1:1", "unknown key `conections`", "did you mean `connections`?"]),
    ] {
        let told = first(text);
        assert!(words.iter().all(|word| told.contains(word)), "{text}\n{told}\n{words:?}");
    }
}

#[test]
fn a_key_may_stand_once_in_each_mapping() {
    let twice = changed("cursor: ordered_at", "cursor: ordered_at\n    cursor: id");
    assert!(
        first(&twice)
            .starts_with("10:5 : the key `cursor` occurs here a second time; the first is in line 9")
    );
    let sync = good().replace("  messages:\n", "  orders:\n");
    assert!(first(&sync).contains("the key `orders` occurs here a second time"), "{}", first(&sync));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("syncs: {}1{}", "[".repeat(100), "]".repeat(100));
    assert!(first(&deep).contains("too many lists and mappings"), "{}", first(&deep));
    let told = first(&"[".repeat(10_000));
    assert!(told.contains("too many lists and mappings"), "{told}");
    let told = first(&"{a: ".repeat(10_000));
    assert!(told.contains("too many lists and mappings"), "{told}");
}

/// Pieces that a project file is made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "connections:",
        "syncs:",
        " a:",
        " source:",
        "mapping:",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "${X}",
        "${",
        "$${",
        "{{ env_var('X') }}",
        "type: database",
        "connection: shop",
        "table: t",
        "query: q",
        "\"",
        "'",
        "#",
        "&a",
        "*a",
        "!t",
        "|",
        ">",
        "---",
        "...",
        "%",
        "@",
        "`",
        "null",
        "true",
        "1.5",
        "é",
        "properties:",
        "value:",
        "schedule:",
        "every: 15m",
        "cron:",
        "mode: full",
        "cursor: c",
        "\u{feff}",
        "\r",
        "? ",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in pieces()) {
        let _ = parse(&text, "tidegate.yaml", CONNECTORS, &[]);
    }

    #[test]
    fn no_change_of_a_good_file_panics(at in any::<prop::sample::Index>(), length in 0..12_usize, piece in pieces()) {
        let good: Vec<char> = good().chars().collect();
        let at = at.index(good.len());
        let end = (at + length).min(good.len());
        let text: String = good[..at].iter().copied().chain(piece.chars()).chain(good[end..].iter().copied()).collect();
        let _ = parse(&text, "tidegate.yaml", CONNECTORS, &[]);
    }
}
