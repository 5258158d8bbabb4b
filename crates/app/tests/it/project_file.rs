//! The project file with the real connectors: what is right, and what people write instead.

use tidegate::registry::{CHANNELS, CONNECTORS};
use tidegate_project::{Finding, Project, parse};

/// The file of the reference page, with every key that most projects need.
const WHOLE: &str = r#"
time_zone: Europe/Paris                # default of schedules; UTC where absent

connections:
  shop:
    type: postgres
    host: db.example.com
    database: shop
    user: tidegate
    password: ${SHOP_PASSWORD}
  braze: { type: braze, endpoint: https://rest.iad-01.braze.com, api_key: "${BRAZE_API_KEY}" }
  lake:  { type: delta, path: s3://acme-lake/engagement, region: eu-central-1 }
  push:
    type: onesignal
    app_id: 11111111-2222-3333-4444-555555555555
    api_key: ${OS_API_KEY}
    event_stream: { token: "${OS_TOKEN}" }

syncs:
  orders_to_braze:
    source: { connection: shop, table: public.orders }
    mode: incremental                  # full | incremental | mirror | stream
    cursor: ordered_at
    lookback: 10m
    primary_key: id
    destination: { connection: braze, object: event }
    mapping:
      external_id: customer
      name: { value: order_placed }
      timestamp: ordered_at
      properties: [id, order_total]
    schedule: { every: 15m }           # or { cron: "0 6 * * *", time_zone: America/New_York } or continuous

  message_events:
    source: { connection: push, kinds: ["message.push.*", message.email.opened] }
    destination: { connection: lake, table: message_events }
"#;

fn read(text: &str) -> Result<Project, Vec<Finding>> {
    parse(text, "tidegate.yaml", CONNECTORS, CHANNELS).map_err(|invalid| invalid.errors)
}

/// Each error as one line: `line:column path: message → next`.
fn told(text: &str) -> Vec<String> {
    let found = read(text).err().unwrap_or_default();
    let line = |found: &Finding| {
        let (line, column) = (found.at.line, found.at.column);
        format!("{line}:{column} {}: {} → {}", found.path, found.message, found.next)
    };
    found.iter().map(line).collect()
}

#[test]
fn a_whole_project_is_valid_and_lists_the_variables_that_are_not_set() {
    let project = read(WHOLE).unwrap_or_else(|_| panic!("{:#?}", told(WHOLE)));
    assert_eq!(project.syncs.len(), 2);
    let unset: Vec<String> = project.unset().into_iter().map(|variable| variable.name).collect();
    assert_eq!(unset, ["SHOP_PASSWORD", "BRAZE_API_KEY", "OS_API_KEY", "OS_TOKEN"]);
    let schedule = |text: &str| WHOLE.replace("{ every: 15m }", text);
    for other in ["{ cron: \"0 6 * * *\", time_zone: America/New_York }", "continuous"] {
        assert_eq!(told(&schedule(other)), Vec::<String>::new(), "{other}");
    }
}

/// A project file by an author who has read no documentation.
const GUESS: &str = r"
connections:
  pg:        {type: postgres, url: postgresql://onesignal:${PG_PASSWORD}@127.0.0.1:15521/shop}
  onesignal: {type: onesignal, app_id: 11111111-2222-3333-4444-555555555555, api_key: ${ONESIGNAL_API_KEY}}
syncs:
  user_events:
    source: {connection: pg, table: analytics.user_events}
    destination: {connection: onesignal, object: custom_event}
    cursor: event_timestamp
    mapping: {name: event_name, external_id: user_id, timestamp: event_timestamp, properties: event_data}
";

#[test]
fn a_first_guess_is_valid_after_two_rounds() {
    let first = told(GUESS);
    assert_eq!(first.len(), 2, "{first:#?}");
    // What is there may hold a secret, so it is not repeated.
    assert!(first[0].starts_with("3:") && first[0].contains("put the whole value in quotes"), "{first:#?}");
    assert!(
        first[1].contains("4:87") && first[1].contains("write \"${ONESIGNAL_API_KEY}\", in quotes"),
        "{first:#?}"
    );
    let second = GUESS
        .replace(
            "postgresql://onesignal:${PG_PASSWORD}@127.0.0.1:15521/shop",
            "\"postgresql://onesignal:${PG_PASSWORD}@127.0.0.1:15521/shop\"",
        )
        .replace("${ONESIGNAL_API_KEY}}", "\"${ONESIGNAL_API_KEY}\"}");
    let errors = told(&second);
    for words in [
        "unknown key `url` → write `host`, `port`, `database`, `user` and `password`",
        "`host` is missing",
        "`database` is missing",
        "`user` is missing",
        "`custom_event` is not one of",
        "→ write `event`",
    ] {
        assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:#?}");
    }
    let third = second
        .replace(
            "url: \"postgresql://onesignal:${PG_PASSWORD}@127.0.0.1:15521/shop\"",
            "host: 127.0.0.1, port: 15521, database: shop, user: onesignal, password: \"${PG_PASSWORD}\"",
        )
        .replace("custom_event", "event");
    assert_eq!(told(&third), Vec::<String>::new());
}

/// The connections and the sync in which one thing is changed at a time.
const RIGHT: &str = r#"connections:
  shop:
    type: postgres
    host: db.example.com
    port: 5432
    database: shop
    user: tidegate
    password: "${SHOP_PASSWORD}"
  braze: { type: braze, endpoint: sandbox, api_key: key }
syncs:
  orders:
    source: { connection: shop, table: public.orders }
    cursor: ordered_at
    primary_key: id
    destination: { connection: braze, object: event }
    mapping:
      external_id: customer
      name: { value: order_placed }
      timestamp: ordered_at
      properties: event_data
    schedule: { every: 15m }
    retry_for: 2m
"#;

/// What people wrote, and what the answer holds: the place, the thing and the fix.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("type: postgres", "kind: postgres", &["3:5 connections.shop: unknown key `kind`", "write `type`"]),
    ("    source:", "    from:", &["12:5 syncs.orders: unknown key `from`", "write `source`"]),
    ("    destination:", "    to:", &["unknown key `to`", "write `destination`"]),
    ("    mapping:", "    map:", &["unknown key `map`", "write `mapping`"]),
    ("      timestamp:", "      time:", &["unknown key `time`", "write `timestamp`"]),
    (
        "object: event",
        "object: custom_event",
        &["syncs.orders.destination.object: `custom_event` is not one of", "write `event`"],
    ),
    ("type: postgres", "type: postgresql", &["there is no connector `postgresql`", "`postgres`"]),
    ("type: postgres", "type: mysql", &["there is no connector `mysql`", "`postgres`"]),
    (
        "port: 5432",
        "port: 99999",
        &["5:5 connections.shop.port: expected a whole number from 0 to 65535, found 99999"],
    ),
    (
        "port: 5432",
        "port: many",
        &["connections.shop.port: expected a whole number from 0 to 65535, found text"],
    ),
    (
        "\"${SHOP_PASSWORD}\"",
        "\"{{ env_var('SHOP_PASSWORD') }}\"",
        &["connections.shop.password: `{{ env_var(…) }}` means nothing", "write `${SHOP_PASSWORD}`"],
    ),
    (
        "\"${SHOP_PASSWORD}\"",
        "{{ env_var('SHOP_PASSWORD') }}",
        &["8:15", "`{{ env_var('SHOP_PASSWORD') }}` means nothing", "write \"${SHOP_PASSWORD}\""],
    ),
    (
        "\"${SHOP_PASSWORD}\"",
        "{ env: SHOP_PASSWORD }",
        &["connections.shop.password: `{ env: … }` means nothing", "write `\"${SHOP_PASSWORD}\"`"],
    ),
    (
        "\"${SHOP_PASSWORD}\"",
        "{ env: A, file: b }",
        &["connections.shop.password: expected text, found a mapping"],
    ),
    (
        "\"${SHOP_PASSWORD}\"",
        "12345",
        &["connections.shop.password: expected text, found a number", "put it in quotes"],
    ),
    (
        "user: tidegate",
        "user: tidegate\n    tls: prefer",
        &[
            "connections.shop.tls: `prefer` is not one of `verify-full`, `require`, `disable`",
            "write `require`",
        ],
    ),
    (
        "endpoint: sandbox",
        "endpoint: sandbx",
        &[
            "connections.braze.endpoint: `sandbx` is neither an address nor `sandbox`",
            "did you mean `sandbox`?",
        ],
    ),
    (
        "endpoint: sandbox",
        "endpoint: rest.iad-01.braze.com",
        &["is neither an address nor `sandbox`", "begins with https://"],
    ),
    (
        "endpoint: sandbox",
        "endpoint: https://dashboard-01.braze.com",
        &["is the address of the dashboard", "REST endpoint"],
    ),
    (
        "{ every: 15m }",
        "\"*/15 * * * *\"",
        &["`*/15 * * * *` is not a schedule", "`schedule: { cron: \"*/15 * * * *\" }`"],
    ),
    (
        "{ every: 15m }",
        "{ every: 15 }",
        &["schedule.every: expected a duration such as `15m`, found a number", "`15s`"],
    ),
    (
        "retry_for: 2m",
        "retry_for: 120",
        &["retry_for: expected a duration such as `15m`, found a number", "`120s`"],
    ),
    (
        "  orders:\n    source",
        "\torders:\n    source",
        &["11:1", "a tab stands where YAML takes spaces only", "spaces"],
    ),
    ("port: 5432", "port:\t5432", &["5:10", "a tab stands where YAML takes spaces only"]),
    (
        "    user: tidegate",
        "   user: tidegate",
        &["the indentation does not fit", "begin in the same column"],
    ),
    (
        "{ connection: braze, object: event }",
        "{ connection: braze, object: event",
        &["15:18", "the `{` is not closed", "close it with `}`"],
    ),
    ("    database: shop", "    database shop", &["6:5", "no `:` behind its key", "`key: value`"]),
    (
        "properties: event_data",
        "properties: 7",
        &["properties: expected the name of a JSON column or a list of columns", "`\"7\"`"],
    ),
    (
        "properties: event_data",
        "properties: { rest: yes }",
        &["properties.rest: expected `true` or `false`, found text", "write `true`"],
    ),
    (
        "properties: event_data",
        "properties: { column: event_data }",
        &["unknown key `column`", "the name of the column alone"],
    ),
    ("external_id: customer", "properties2: customer", &["unknown key `properties2`"]),
    (
        "      external_id: customer\n",
        "",
        &["16:5 syncs.orders.mapping: `mapping` names no identifier of the user", "external_id"],
    ),
    (
        "      name: { value: order_placed }\n",
        "",
        &["16:5 syncs.orders.mapping: `mapping.name` is required for the object `event`", "`name: <column>`"],
    ),
    (
        "      name: { value: order_placed }\n",
        "      name: x\n      price: total\n",
        &["mapping.price: `mapping.price` does not apply to the object `event`", "`purchase`"],
    ),
    (
        "table: public.orders",
        "table: public.orders, query: select 1",
        &["source: `table` and `query` exclude each other", "keep one of them"],
    ),
    (
        ", table: public.orders",
        "",
        &["source: neither `table` nor `query` is given", "`table: public.orders`"],
    ),
    (
        "    cursor: ordered_at\n",
        "",
        &[
            "11:3 syncs.orders: `mode` is missing",
            "add `cursor: ordered_at`, the column mapped to `timestamp`",
            "`mode: full`",
        ],
    ),
    ("object: event", "object: catalog_item", &["`mapping.id` is required for the object `catalog_item`"]),
    (
        "table: public.orders",
        "table: public.orders, time_zone: Europe/Berln",
        &["there is no time zone `Europe/Berln`", "`Europe/Berlin`"],
    ),
];

#[test]
fn what_people_write_instead_is_answered_with_the_place_the_thing_and_the_fix() {
    assert_eq!(told(RIGHT), Vec::<String>::new());
    let mut wrong = Vec::new();
    for (from, to, words) in WRONG {
        assert!(RIGHT.contains(from), "{from}");
        let told = told(&RIGHT.replacen(from, to, 1));
        let fits = |line: &String| words.iter().all(|word| line.contains(word));
        if !told.iter().any(fits) {
            wrong.push(format!("{to}\n  {told:#?}\n  lacks {words:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_quoted_port_and_accepted_durations_stay_right() {
    for (from, to) in [
        ("port: 5432", "port: \"5432\""),
        ("retry_for: 2m", "retry_for: PT2M"),
        ("port: 5432", "port: ${PORT}"),
    ] {
        assert_eq!(told(&RIGHT.replacen(from, to, 1)), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_query_without_a_key_gets_a_note() {
    let text = RIGHT.replace("table: public.orders", "query: select 1").replace("    primary_key: id\n", "");
    let project = read(&text).expect("valid");
    assert!(
        project.notes.iter().any(|note| note.message.contains("a query has no key")),
        "{:?}",
        project.notes
    );
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
        "expected a string",
        "sequence",
    ];
    for (from, to, _) in WRONG {
        for line in told(&RIGHT.replacen(from, to, 1)) {
            assert!(words.iter().all(|word| !line.contains(word)), "{line}");
        }
    }
}

#[test]
fn every_connector_and_its_modes_agree_with_what_it_opens() {
    for connector in CONNECTORS {
        if let Some(role) = connector.source {
            assert!(!role.modes.is_empty(), "{}", connector.kind);
        }
        assert!(
            connector.source.is_none() || connector.ingest.is_none(),
            "{}: its syncs could be either",
            connector.kind
        );
    }
}
