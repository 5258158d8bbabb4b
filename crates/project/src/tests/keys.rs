use super::{changed, good, one, told, valid};

#[test]
fn every_error_is_told_at_once_in_the_order_of_the_file() {
    let text = good()
        .replace("host: localhost }\n  push", "hots: localhost, port: 99999 }\n  push")
        .replace("table: orders", "tabel: orders")
        .replace("lookback: 5m", "lookback: soon")
        .replace("external_id", "externl_id");
    assert_eq!(
        told(&text),
        [
            "3:27 connections.shop: unknown key `hots` → did you mean `host`?",
            "3:44 connections.shop.port: expected a whole number from 0 to 65535, found 99999 → correct the number",
            "8:33 syncs.orders.source: unknown key `tabel` → did you mean `table`?",
            "10:5 syncs.orders.lookback: `soon` is not a duration → write for example `90s`, `10m` or `1h 30m`",
            "14:7 syncs.orders.mapping: unknown key `externl_id` → did you mean `external_id`?",
        ]
    );
}

#[test]
fn values_of_the_wrong_form_say_what_to_write() {
    for (from, to, words) in [
        (
            "host: localhost }\n  push",
            "host: 127 }\n  push",
            &["connections.shop.host: expected text, found a number", "`\"127\"`, in quotes"][..],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, close: yes }\n  push",
            &["expected `true` or `false`, found text", "write `true`"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, names: a }\n  push",
            &["expected a list of text, found text", "write `[a]`"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, tls: prefer }\n  push",
            &["`prefer` is not one of `verify-full`, `require`", "write `require`"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, endpoint: sandbx }\n  push",
            &["`sandbx` is neither an address nor `sandbox`", "did you mean `sandbox`?"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, endpoint: rest.example.com }\n  push",
            &["is neither an address", "begins with https://"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, endpoint: \"https://me:hunter2@rest.example.com\" }\n  push",
            &[
                "endpoint: a user or a password does not belong in an address → remove what is in front of the `@`",
            ],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, endpoint: \"me:hunter2@rest.example.com\" }\n  push",
            &["endpoint: this is neither an address nor `sandbox`"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, password: 12345 }\n  push",
            &["password: expected text, found a number → put it in quotes"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, port: many }\n  push",
            &["port: expected a whole number from 0 to 65535, found text"],
        ),
        (
            "host: localhost }\n  push",
            "host: localhost, port: 1.5 }\n  push",
            &["expected a whole number from 0 to 65535, found a number"],
        ),
        ("host: localhost }\n  push", "host: }\n  push", &["connections.shop.host: this key has no value"]),
        (
            "host: localhost }\n  push",
            "}\n  push",
            &["3:3 connections.shop: `host` is missing", "add `host: <text>`"],
        ),
        (
            "{ type: database, host: localhost }",
            "localhost",
            &["connections.shop: expected a mapping with `type`, found text", "`database`"],
        ),
        (
            "{ type: database, host: localhost }",
            "{ host: localhost }",
            &["`type` is missing", "`database`, `topics`, `platform`"],
        ),
        (
            "{ connection: shop, table: orders }",
            "orders",
            &["source: expected a mapping with `connection`, found text"],
        ),
        (
            "{ connection: shop, table: orders }",
            "{ table: orders }",
            &["source: `connection` is missing", "`shop`, `push`, `news`"],
        ),
        (
            "table: orders }",
            "table: orders, query: select 1 }",
            &["source: `table` and `query` exclude each other", "keep one"],
        ),
        (
            ", table: orders }",
            ", table: orders, schema: {} }",
            &["source.schema: neither `file` nor `text` is given", "`file: <text>`"],
        ),
        (", table: orders }", " }", &["source: neither `table` nor `query` is given", "`table: <text>`"]),
        (
            "external_id: customer",
            "external_id: [id]",
            &["mapping.external_id: expected the name of a column or", "found a list", "write `id`, without"],
        ),
        (
            "external_id: customer",
            "external_id: 7",
            &["mapping.external_id: expected", "found a number", "`\"7\"`"],
        ),
        ("lookback: 5m", "lookback: -5", &["lookback: expected", "found -5"]),
        (
            "lookback: 5m",
            "retry_for: 120",
            &["retry_for: expected a duration such as `15m`, found a number", "`120s`"],
        ),
        ("lookback: 5m", "retry_for: soon", &["`soon` is not a duration"]),
        ("primary_key: id", "primary_key: []", &["primary_key: the list is empty"]),
        (
            "table: orders }",
            "table: orders, time_zone: Europe/Berln }",
            &["there is no time zone `Europe/Berln`", "`Europe/Berlin`"],
        ),
        (
            "message.push.*",
            "message.pusch.*",
            &["kinds[0]: no message event has the kind `message.pusch.*`", "did you mean `message.push."],
        ),
        (
            "    mapping:\n      external_id: customer\n      name: { value: order_placed }\n      timestamp: ordered_at\n",
            "",
            &["neither `mapping` nor `contract` is given", "external_id"],
        ),
        (
            "    destination: { connection: push, object: event }\n",
            "",
            &["7:3 syncs.orders: `destination` is missing"],
        ),
    ] {
        one(from, to, words);
    }
}

#[test]
fn properties_have_four_forms_and_each_misfit_its_answer() {
    let with = |form: &str| {
        changed("timestamp: ordered_at", &format!("timestamp: ordered_at\n      properties: {form}"))
    };
    for form in [
        "event_data",
        "[a, b]",
        "{ value: { a: 1 } }",
        "{ columns: [a], fields: { b: { column: c, path: d.e } }, rest: true, except: [f], json: g }",
    ] {
        valid(&with(form));
    }
    for (form, words) in [
        ("{ column: event_data }", &["unknown key `column`", "write the name of the column alone"][..]),
        ("{ rest: yes }", &["properties.rest: expected `true` or `false`", "write `true`"]),
        ("{ colums: [a] }", &["unknown key `colums`", "did you mean `columns`?"]),
        ("7", &["properties: expected the name of a JSON column or a list of columns", "found a number"]),
        ("{ value: text }", &["properties.value: expected a mapping, found text"]),
        ("[[a]]", &["properties[0]: expected text, found a list"]),
    ] {
        let told = told(&with(form));
        assert!(words.iter().all(|word| told[0].contains(word)), "{form}: {told:#?}");
    }
}

#[test]
fn no_message_speaks_the_language_of_the_program() {
    let words = [
        "struct",
        "untagged",
        "invalid type",
        "missing field",
        "unknown field",
        "variant",
        "serde",
        "sequence",
        "expected a string",
    ];
    let texts = [
        changed("type: database", "tipe: 7"),
        changed("object: event", "object: [event]"),
        changed("cursor: ordered_at", "cursor: { a: 1 }"),
        changed("external_id: customer", "external_id: { colum: x }"),
        changed("lookback: 5m", "in_doubt: maybe\n    contract: x\n    enabled: sometimes\n    labels: [a]"),
        changed("{ type: database, host: localhost }", "[]"),
        "- a\n".to_owned(),
        "syncs: 7\nconnections: x\n".to_owned(),
    ];
    for text in texts {
        for told in told(&text) {
            assert!(words.iter().all(|word| !told.contains(word)), "{told}");
        }
    }
}
