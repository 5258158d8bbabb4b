use std::time::Duration;

use serde_json::json;
use tidegate_model::{Lookback, Mode, ObjectKind};

use super::super::{Changed, InDoubt, Limit, Schedule};
use super::{CONNECTIONS, changed, good, import, one, told, valid};

#[test]
fn a_project_is_read_with_its_defaults() {
    let project = valid(&good());
    assert!(project.notes.is_empty() && project.unset().is_empty());
    let sync = import(&project);
    assert_eq!(sync.mode, Mode::Incremental, "a cursor implies it");
    assert_eq!(sync.cursor.as_deref(), Some("ordered_at"));
    assert_eq!(sync.lookback, Some(Lookback::Time(Duration::from_secs(300))));
    assert_eq!(sync.primary_key, Some(vec!["id".to_owned()]));
    assert_eq!(sync.in_doubt, InDoubt::Hold);
    assert_eq!(sync.options.retry_for, Duration::from_secs(120));
    assert!(sync.options.enabled && sync.options.schedule.is_none());
    assert_eq!(sync.source.selection.shown().get("table"), Some(&json!("orders")));
    assert_eq!(sync.destination.object, ObjectKind::Event);
    let export = project.syncs.values().find_map(|sync| sync.as_export()).expect("an export");
    assert_eq!(export.options.schedule, Some(Schedule::Continuous));
    assert_eq!(export.destination.target.shown().get("table"), Some(&json!("messages")));
}

#[test]
fn the_mode_follows_from_the_source_or_must_be_written() {
    let stream = changed(
        "source: { connection: shop, table: orders }\n    cursor: ordered_at\n    lookback: 5m",
        "source: { connection: news }",
    );
    assert_eq!(import(&valid(&stream)).mode, Mode::Stream);
    let full = changed("cursor: ordered_at\n    lookback: 5m", "mode: full");
    assert_eq!(import(&valid(&full)).mode, Mode::Full);
    let contract = changed("    cursor: ordered_at\n    lookback: 5m\n", "    contract: braze_cdi\n")
        .replace("    mapping:\n      external_id: customer\n      name: { value: order_placed }\n      timestamp: ordered_at\n", "");
    assert_eq!(import(&valid(&contract)).mode, Mode::Incremental);
    let at = ["7:3 syncs.orders: `mode` is missing", "add `cursor: ordered_at`", "`mode: full`"];
    one("    cursor: ordered_at\n    lookback: 5m\n", "", &at);
    one(
        "cursor: ordered_at",
        "mode: incremental",
        &["9:5 syncs.orders.mode: `mode: incremental` needs a `cursor`", "add `cursor: ordered_at`"],
    );
    one(
        "cursor: ordered_at",
        "mode: full",
        &["syncs.orders.lookback: `lookback` belongs to a `cursor`", "remove `lookback`"],
    );
    one(
        "cursor: ordered_at",
        "cursor: ordered_at\n    mode: full",
        &["`cursor` belongs to `mode: incremental`, not to `mode: full`"],
    );
    one(
        "cursor: ordered_at",
        "cursor: ordered_at\n    mode: stream",
        &["(Database) is not read with `mode: stream`", "`full`, `incremental`, `mirror`"],
    );
    one(
        "source: { connection: shop, table: orders }\n    cursor: ordered_at\n    lookback: 5m",
        "source: { connection: news }\n    cursor: at",
        &["`cursor` belongs to tables and queries", "`news` (Topics) keeps its own position"],
    );
}

#[test]
fn import_or_export_follows_from_the_source_and_foreign_keys_say_why() {
    let import = "`orders` is an import: its source `shop` (Database) gives rows";
    let export = "`messages` is an export: its source `push` (Platform) gives events";
    one(
        "table: orders }",
        "table: orders, kinds: [a] }",
        &["syncs.orders.source.kinds: `kinds` belongs to an export", import, "remove `kinds`"],
    );
    one("object: event }", "object: event, layout: events }", &["`layout` belongs to an export", import]);
    one("table: messages }", "table: messages, object: event }", &["`object` belongs to an import", export]);
    one(
        "table: messages }",
        "table: messages }\n    cursor: at",
        &["20:5 syncs.messages.cursor: `cursor` belongs to an import", export],
    );
    one(
        "destination: { connection: shop, table: messages }",
        "destination: { connection: news }",
        &["`news` (Topics) takes no events", export],
    );
    one(
        "destination: { connection: push, object: event }",
        "destination: { connection: shop, object: event }",
        &["`shop` (Database) takes no records", import],
    );
}

#[test]
fn an_unknown_connection_is_the_one_error_of_its_sync() {
    let text = changed("connection: shop, table: orders }", "connection: shp, tabel: x }")
        .replace("lookback: 5m", "lookback: soon");
    assert_eq!(
        told(&text),
        ["8:15 syncs.orders.source.connection: there is no connection `shp` → did you mean `shop`?"]
    );
    let unknown_type = good().replace("type: database", "type: databse");
    assert_eq!(
        told(&unknown_type),
        ["3:11 connections.shop.type: there is no connector `databse` → did you mean `database`?"]
    );
}

#[test]
fn the_fields_of_the_object_are_checked() {
    let found = told(&changed("name: { value: order_placed }", "price: total"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("13:5 syncs.orders.mapping: `mapping.name` is required"), "{found:#?}");
    assert!(
        found[1].contains("15:7 syncs.orders.mapping.price: `mapping.price` does not apply"),
        "{found:#?}"
    );
    one(
        "external_id: customer",
        "app_id: customer",
        &["`mapping` names no identifier of the user", "external_id"],
    );
    one(
        "object: event",
        "object: catalog_item",
        &["does not take the object `catalog_item`", "`user`, `event`, `purchase`"],
    );
}

#[test]
fn a_changed_event_is_no_second_event_unless_it_is_written() {
    let with = |line: &str| {
        let text = changed("lookback: 5m", line);
        import(&valid(&text)).changed(true)
    };
    assert_eq!(with("lookback: 5m"), Changed::Ignore);
    assert_eq!(with("changed: send"), Changed::Send);
    assert_eq!(import(&valid(&changed("lookback: 5m", "lookback: 5m"))).changed(false), Changed::Send);
    let full = changed("cursor: ordered_at\n    lookback: 5m", "mode: full");
    assert_eq!(import(&valid(&full)).changed(true), Changed::Send, "every row every time");
    one(
        "cursor: ordered_at\n    lookback: 5m",
        "mode: full\n    changed: ignore",
        &["`changed: ignore` compares the rows of a table or query that is read by a `cursor`", "remove it"],
    );
    one(
        "source: { connection: shop, table: orders }\n    cursor: ordered_at\n    lookback: 5m",
        "source: { connection: news }\n    changed: ignore",
        &["`changed: ignore` compares the rows of a table or query"],
    );
}

#[test]
fn a_mirror_needs_a_key() {
    let mirror = changed("cursor: ordered_at\n    lookback: 5m", "mode: mirror");
    assert_eq!(import(&valid(&mirror)).changed(true), Changed::Ignore, "an event is sent once");
    let users = mirror
        .replace("object: event", "object: user")
        .replace("      name: { value: order_placed }\n      timestamp: ordered_at\n", "");
    assert_eq!(import(&valid(&users)).changed(true), Changed::Send);
    // A table may have one of its own, which is known when it is opened.
    valid(&mirror.replace("    primary_key: id\n", ""));
    let query = mirror.replace("    primary_key: id\n", "").replace("table: orders", "query: select 1");
    let told = told(&query).concat();
    assert!(told.contains("`mode: mirror` compares rows by their key, and only a table has one"), "{told}");
    valid(&changed("cursor: ordered_at\n    lookback: 5m", "mode: mirror\n    changed: ignore"));
}

/// A mirror of this object, with these lines and this mapping.
fn mirror_of(object: &str, lines: &str, mapping: &str) -> String {
    let mirror = changed("cursor: ordered_at\n    lookback: 5m", &format!("mode: mirror\n    {lines}"));
    let text = mirror.replace("object: event", &format!("object: {object}"));
    let (from, to) = (text.find("    mapping:").expect("a mapping"), text.rfind("  messages:"));
    let rest = to.map_or("", |to| &text[to..]);
    format!("{}    mapping: {mapping}\n{rest}", &text[..from])
}

#[test]
fn rows_that_are_gone_are_acted_on_where_their_key_is_the_identifier() {
    let users = "{ external_id: id, attributes: [plan] }";
    for (object, lines, mapping) in [
        ("user", "removed: delete\n    limits: { removed: 5%, changed: 100, first_run: 9 }", users),
        ("user", "removed: update", users),
    ] {
        valid(&mirror_of(object, lines, mapping));
    }
    for (object, lines, mapping, words) in [
        (
            "event",
            "removed: delete",
            "{ external_id: id, name: plan }",
            "the object `event` cannot be taken back",
        ),
        ("deletion", "removed: delete", "{ external_id: id }", "its rows are users to delete"),
        (
            "user",
            "removed: update",
            "{ external_id: id, attributes: all }",
            "their names are not all written",
        ),
        (
            "user",
            "removed: delete",
            "{ external_id: mail }",
            "→ write `primary_key: mail`, or `removed: ignore`",
        ),
        ("user", "limits: { removed: 5 }", users, "rows that are gone are only counted"),
        ("user", "limits: { first_run: 5% }", users, "`first_run: 100000`"),
    ] {
        let told = told(&mirror_of(object, lines, mapping)).concat();
        assert!(told.contains(words), "{object}, {lines}: {told}");
    }
    one(
        "lookback: 5m",
        "removed: delete",
        &["`removed: delete` needs `mode: mirror`: with `mode: incremental`"],
    );
}

#[test]
fn what_a_source_or_an_object_has_not_is_told_of_a_mirror() {
    let users = "{ external_id: id, attributes: [plan] }";
    let events = "{ external_id: id, name: plan }";
    for (object, line, mapping, words) in [
        (
            "user",
            "state: source",
            users,
            "`state: source` needs a source that compares its rows itself, and `shop` (Database) does not",
        ),
        ("user", "compare: hashes", users, "`compare: hashes` needs a source that makes hashes of its rows"),
        ("event", "changed: attributes", events, "`changed: attributes` is for `object: user`"),
    ] {
        let told = told(&mirror_of(object, line, mapping)).concat();
        assert!(told.contains(words), "{object}, {line}: {told}");
    }
    for line in ["changed: attributes", "compare: rows"] {
        valid(&mirror_of("user", line, users));
    }
    one("lookback: 5m", "compare: hashes", &["`compare: hashes` is for `mode: mirror`"]);
}

#[test]
fn what_cannot_be_done_yet_is_told_and_never_ignored() {
    one("lookback: 5m", "state: source", &["`state: source` is for `mode: mirror`, which compares all rows"]);
    one(
        "lookback: 5m",
        "changed: attributes",
        &["`changed: attributes` compares rows with what was sent of them", "→ write `mode: mirror`"],
    );
    one(
        "lookback: 5m",
        "limits: { removed: 10% }",
        &["`removed` counts rows that are gone, which `mode: mirror`"],
    );
    one("lookback: 5m", "limits: { changed: 1000 }", &["`changed` counts rows of `mode: mirror`"]);
    for written in ["changed: send", "removed: ignore", "state: ours", "absent: skip"] {
        valid(&changed("lookback: 5m", written));
    }
    let deletion = "object: deletion }\n    limits";
    let deletions = |limits: &str| {
        let text = good().replace("object: event }", &format!("{deletion}: {limits}"));
        text.replace("      name: { value: order_placed }\n      timestamp: ordered_at\n", "")
    };
    assert_eq!(import(&valid(&deletions("{ removed: 1000 }"))).limits.removed, Some(Limit::Rows(1_000)));
    let share = told(&deletions("{ removed: 10% }")).concat();
    assert!(share.contains("it has no share of them") && share.contains("`removed: 1000`"), "{share}");
    let continuous = told(&deletions("{ removed: 9 }\n    schedule: continuous")).concat();
    assert!(continuous.contains("one run without end"), "{continuous}");
    one("lookback: 5m", "limits: { removed: many }", &["`many` is not a share of the rows", "`10%`"]);
}

#[test]
fn schedules_are_read_in_the_zone_of_the_project() {
    let of = |schedule: &str| {
        let text =
            format!("time_zone: Europe/Paris{}", changed("lookback: 5m", &format!("schedule: {schedule}")));
        import(&valid(&text)).options.schedule.clone().expect("a schedule")
    };
    assert_eq!(of("continuous"), Schedule::Continuous);
    assert_eq!(of("{ every: 15m }"), Schedule::Every(Duration::from_secs(900)));
    assert_eq!(of("{ cron: \"0 6 * * *\" }").to_string(), "at 0 6 * * * (Europe/Paris)");
    let zoned = of("{ cron: \"0 6 * * *\", time_zone: America/New_York }");
    assert_eq!(zoned.to_string(), "at 0 6 * * * (America/New_York)");
    for (written, words) in [
        (
            "\"*/15 * * * *\"",
            &["`*/15 * * * *` is not a schedule", "`schedule: { cron: \"*/15 * * * *\" }`"][..],
        ),
        ("15m", &["`15m` is not a schedule", "`schedule: { every: 15m }`"]),
        ("{ every: 15 }", &["schedule.every: expected a duration", "found a number", "`15s`"]),
        ("{ every: hour }", &["`hour` is not a duration"]),
        ("{ every: 0s }", &["`every` must be a second or more", "continuous"]),
        ("{ cron: \"61 * * * *\" }", &["schedule.cron: `61 * * * *` is not a cron pattern", "five fields"]),
        ("{ cron: \"0 0 6 * * *\" }", &["is not a cron pattern", "five fields"]),
        (
            "{ cron: \"0 6 * * *\", time_zone: Europe/Berln }",
            &["there is no time zone `Europe/Berln`", "`Europe/Berlin`"],
        ),
        ("{ evry: 15m }", &["unknown key `evry`", "did you mean `every`?"]),
    ] {
        let text = changed("lookback: 5m", &format!("schedule: {written}"));
        let told = told(&text);
        assert!(words.iter().all(|word| told[0].contains(word)), "{written}: {told:#?}");
    }
    let told = told(&format!("time_zone: +02:00{}", good()));
    assert!(
        told[0].contains("1:1 time_zone: there is no time zone `+02:00` → write an IANA name"),
        "{told:#?}"
    );
}

#[test]
fn a_draft_keeps_its_contacts_and_labels() {
    let text = changed(
        "lookback: 5m",
        "enabled: false\n    contacts: [ada@example.com]\n    labels: { team: growth }",
    );
    let project = valid(&text);
    let options = &import(&project).options;
    assert!(!options.enabled);
    assert_eq!(options.contacts, ["ada@example.com"]);
    assert_eq!(options.labels["team"], "growth");
}

#[test]
fn a_query_without_a_key_is_worth_a_note() {
    let text = changed("table: orders", "query: select 1").replace("    primary_key: id\n", "");
    let notes = valid(&text).notes;
    assert!(
        notes[0].message.contains("a query has no key") && notes[0].next.contains("primary_key"),
        "{notes:?}"
    );
}

#[test]
fn a_password_that_is_written_as_a_shell_writes_a_variable_is_worth_a_note() {
    let notes = |text: &str| {
        valid(&format!("connections:\n  shop: {{ type: database, host: h, password: {text} }}\n")).notes
    };
    for text in ["$SHOP_PASSWORD", "$PASSWORD2"] {
        let notes = notes(text);
        assert!(notes[0].next.contains("`${NAME}`"), "{notes:?}");
        assert!(
            !format!("{notes:?}").contains("PASSWORD"),
            "what may be a secret is not repeated: {notes:?}"
        );
    }
    assert!(notes("'$ecret'").is_empty());
}

#[test]
fn a_file_of_comments_is_an_empty_project() {
    for text in ["", "# nothing yet\n", "connections:\nsyncs:\n", "connections: {}\n"] {
        let project = valid(text);
        assert!(project.syncs.is_empty() && project.connections.is_empty());
    }
    assert!(valid(CONNECTIONS).syncs.is_empty());
}

#[test]
fn how_long_things_are_kept_is_written_in_days() {
    let with = |retention: &str| changed("connections:", &format!("retention: {retention}\nconnections:"));
    let kept = valid(&with("{ history: 365d, failed_rows: 30d, events: 14d }")).retention;
    assert_eq!((kept.history_days, kept.failed_row_days, kept.event_days), (Some(365), Some(30), Some(14)));
    let kept = valid(&with("{ events: 1d }")).retention;
    assert_eq!((kept.history_days, kept.event_days, kept.key_days), (None, Some(1), None));
    assert_eq!(valid(&with("{ keys: 730d }")).retention.key_days, Some(730));
    for (wrong, words) in [
        ("{ history: 30 }", "write it with its unit, for example `30d`"),
        ("{ history: \"30\" }", "write it with its unit: `30d`"),
        ("{ history: 0d }", "`0d` is not a number of days"),
        ("{ history: 1h }", "write whole days, for example `30d`"),
        ("{ histroy: 1d }", "did you mean `history`?"),
    ] {
        let told = told(&with(wrong));
        assert!(told.len() == 1 && told[0].contains(words), "{wrong}: {told:#?}");
    }
}
