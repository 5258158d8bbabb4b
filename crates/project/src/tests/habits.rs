use super::one;

#[test]
fn habit_words_are_answered_with_the_right_one() {
    for (from, to, answer) in [
        ("type: database", "kind: database", "unknown key `kind` → write `type`"),
        ("    source:", "    from:", "unknown key `from` → write `source`"),
        ("    destination:", "    to:", "unknown key `to` → write `destination`"),
        ("    mapping:", "    map:", "unknown key `map` → write `mapping`"),
        ("lookback:", "overlap:", "unknown key `overlap` → write `lookback`"),
        ("primary_key:", "key:", "unknown key `key` → write `primary_key`"),
        ("primary_key:", "unique_key:", "unknown key `unique_key` → write `primary_key`"),
        (
            "primary_key: id",
            "sync_key: id",
            "unknown key `sync_key` → write the user's identifier under `mapping`",
        ),
        (
            "primary_key: id",
            "frequency: hourly",
            "unknown key `frequency` → write `schedule: { every: 15m }`",
        ),
        ("primary_key: id", "operation: mirror", "unknown key `operation` → write `cursor: <column>`"),
        ("    mapping:", "    field_mapping:", "unknown key `field_mapping` → write `mapping`"),
        ("primary_key: id", "sync_mode: incremental", "unknown key `sync_mode` → write `mode`"),
        ("timestamp:", "time:", "unknown key `time` → write `timestamp`"),
        ("table: orders", "table_name: orders", "unknown key `table_name` → write `table`"),
        ("table: orders", "model: orders", "unknown key `model` → write `table`"),
        ("table: orders", "sql: select 1", "unknown key `sql` → write `query`"),
        ("external_id:", "user_id:", "unknown key `user_id` → write `external_id`"),
        ("external_id:", "braze_id:", "unknown key `braze_id` → write `platform_id`"),
        ("external_id:", "onesignal_id:", "unknown key `onesignal_id` → write `platform_id`"),
        (
            "object: event",
            "object: custom_event",
            "`custom_event` is not one of `user`, `event`, `purchase`, `deletion`, `catalog_item` → write `event`",
        ),
        (
            "lookback: 5m",
            "model: x",
            "unknown key `model` → write `source: { connection: <name>, table: <table> }`",
        ),
        ("lookback: 5m", "sql: select 1", "unknown key `sql` → write `query:` under `source`"),
        ("lookback: 5m", "time_zone: UTC", "unknown key `time_zone` → it belongs under `source`"),
        (
            "lookback: 5m",
            "detect: { cursor: at }",
            "unknown key `detect` → write `mode: full`, or `cursor: <column>`",
        ),
        ("table: orders", "table: orders, key: [id]", "unknown key `key` → write `primary_key:` in the sync"),
        (
            "source: { connection: push, kinds",
            "source: { events: push, kinds",
            "unknown key `events` → write `connection`",
        ),
    ] {
        one(from, to, &[answer]);
    }
}
