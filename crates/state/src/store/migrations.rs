//! The tables, and how they came to be.
//!
//! One list for both databases. `BIGINT`, `TEXT` and `BYTEA` are PostgreSQL's
//! names; SQLite takes any type name and keeps what it is given.

use tidegate_model::{Clock, Error, ErrorKind};

use super::dialect::Database;
use super::statement::sql;

/// Every step, oldest first. A step that was released is never edited.
const STEPS: &[&str] = &[
    r#"
CREATE TABLE syncs (
    id         TEXT PRIMARY KEY,
    object     TEXT,
    paused     TEXT,
    next_run   TEXT,
    wait       TEXT,
    checkpoint TEXT,
    complete   BIGINT NOT NULL DEFAULT 0,
    failed_rows    BIGINT NOT NULL DEFAULT 0,
    failed_bytes   BIGINT NOT NULL DEFAULT 0,
    dismissed_rows BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    sync         TEXT NOT NULL,
    object       TEXT NOT NULL,
    cause        TEXT NOT NULL,
    started_at   BIGINT NOT NULL,
    finished_at  BIGINT,
    ending       TEXT,
    error        TEXT,
    rows_read    BIGINT NOT NULL DEFAULT 0,
    skipped      BIGINT NOT NULL DEFAULT 0,
    ignored      BIGINT NOT NULL DEFAULT 0,
    delivered    BIGINT NOT NULL DEFAULT 0,
    rejected     BIGINT NOT NULL DEFAULT 0,
    in_doubt     BIGINT NOT NULL DEFAULT 0,
    not_due      BIGINT NOT NULL DEFAULT 0,
    requests     BIGINT NOT NULL DEFAULT 0,
    retries      BIGINT NOT NULL DEFAULT 0,
    commits      BIGINT NOT NULL DEFAULT 0,
    pending_rows BIGINT NOT NULL DEFAULT 0,
    committed    BIGINT NOT NULL DEFAULT 0,
    compared     TEXT
);
CREATE INDEX runs_by_sync ON runs (sync, id);
CREATE INDEX runs_open ON runs (sync) WHERE ending IS NULL;

CREATE TABLE requests (
    id     TEXT PRIMARY KEY,
    sync   TEXT NOT NULL,
    work   TEXT NOT NULL,
    answer TEXT
);
CREATE INDEX requests_open ON requests (sync, id) WHERE answer IS NULL;

CREATE TABLE leases (
    sync       TEXT PRIMARY KEY,
    token      BIGINT NOT NULL,
    owner      TEXT NOT NULL,
    process    TEXT NOT NULL,
    identity   TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    alone      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE shared_limits (
    name    TEXT PRIMARY KEY,
    free_at BIGINT NOT NULL
);

CREATE TABLE intents (
    run        TEXT NOT NULL,
    id         BIGINT NOT NULL,
    last_batch BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (run, id)
);

CREATE TABLE lookback (
    sync   TEXT NOT NULL,
    seq    BIGINT NOT NULL,
    piece  BIGINT NOT NULL,
    run    TEXT NOT NULL,
    high   TEXT,
    row_count BIGINT NOT NULL,
    body   BYTEA,
    file   TEXT,
    PRIMARY KEY (sync, seq, piece)
);

CREATE TABLE kept_users (
    sync TEXT NOT NULL,
    seq  BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (sync, seq)
);

CREATE TABLE failed_blocks (
    sync       TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    object     TEXT NOT NULL,
    note       TEXT,
    row_count  BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    first_low  BIGINT NOT NULL,
    first_high BIGINT NOT NULL,
    last_low   BIGINT NOT NULL,
    last_high  BIGINT NOT NULL,
    reasons    TEXT NOT NULL,
    keys       BYTEA NOT NULL,
    versions   BYTEA NOT NULL,
    users      BYTEA NOT NULL,
    body       BYTEA NOT NULL,
    contents   BYTEA,
    PRIMARY KEY (sync, seq)
);

CREATE TABLE dismissed_blocks (
    sync       TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    object     TEXT NOT NULL,
    note       TEXT,
    row_count  BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    first_low  BIGINT NOT NULL,
    first_high BIGINT NOT NULL,
    last_low   BIGINT NOT NULL,
    last_high  BIGINT NOT NULL,
    reasons    TEXT NOT NULL,
    keys       BYTEA NOT NULL,
    versions   BYTEA NOT NULL,
    users      BYTEA NOT NULL,
    body       BYTEA NOT NULL,
    contents   BYTEA,
    PRIMARY KEY (sync, seq)
);

CREATE TABLE blocks (
    run        TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    sync       TEXT NOT NULL,
    object     TEXT NOT NULL,
    committed_at BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE INDEX blocks_by_time ON blocks (committed_at, run, seq);
CREATE INDEX blocks_by_sync ON blocks (sync, run, seq);

CREATE TABLE history_files (
    folder    TEXT NOT NULL,
    name      TEXT NOT NULL,
    sync      TEXT NOT NULL,
    day       TEXT NOT NULL,
    first_run TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_run  TEXT NOT NULL,
    last_seq  BIGINT NOT NULL,
    low       BIGINT NOT NULL,
    high      BIGINT NOT NULL,
    PRIMARY KEY (folder, name)
);
CREATE INDEX history_files_by_day ON history_files (folder, sync, day, last_run);

CREATE TABLE data_keys (
    id     BIGINT PRIMARY KEY,
    key_id TEXT NOT NULL,
    nonce  BYTEA NOT NULL,
    sealed BYTEA NOT NULL
);

CREATE TABLE erasures (
    at        BIGINT NOT NULL,
    user_hash BYTEA NOT NULL,
    counts    TEXT NOT NULL
);

CREATE TABLE alerts (
    id          TEXT PRIMARY KEY,
    subject     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    summary     TEXT NOT NULL,
    opened_at   BIGINT NOT NULL,
    resolved_at BIGINT
);
CREATE UNIQUE INDEX alerts_open ON alerts (subject, reason) WHERE resolved_at IS NULL;

CREATE TABLE notices (
    id       TEXT PRIMARY KEY,
    alert    TEXT NOT NULL,
    change   TEXT NOT NULL,
    channel  TEXT NOT NULL,
    contact  TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at   BIGINT,
    sent_at  BIGINT,
    error    TEXT,
    UNIQUE (alert, change, channel, contact)
);
CREATE INDEX notices_due ON notices (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE people (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    sees_rows  BIGINT NOT NULL,
    by_groups  BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    password   TEXT
);

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,
    person     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

CREATE TABLE tokens (
    name       TEXT PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    role       TEXT NOT NULL,
    sees_rows  BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

CREATE TABLE invitations (
    hash       TEXT PRIMARY KEY,
    person     TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    via     TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    hash    TEXT NOT NULL
);

CREATE TABLE kept_answers (
    key     TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    at      BIGINT NOT NULL,
    answer  TEXT
);

CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    nonce  BYTEA NOT NULL,
    sealed BYTEA NOT NULL
);
"#,
    r#"
CREATE TABLE sent_users (
    sync TEXT NOT NULL,
    key  BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (sync, key)
);
"#,
    r#"
CREATE TABLE recency (
    id   TEXT NOT NULL,
    mark BIGINT NOT NULL
);

CREATE TABLE origin (
    written_by BIGINT NOT NULL,
    written_to BIGINT NOT NULL
);
"#,
    r#"
ALTER TABLE history_files ADD COLUMN slot BIGINT NOT NULL DEFAULT -1;
ALTER TABLE history_files ADD COLUMN marks BYTEA;
CREATE INDEX history_files_by_slot ON history_files (slot, folder, name);

CREATE TABLE user_index (
    shard BIGINT NOT NULL,
    part  BIGINT NOT NULL,
    body  BYTEA NOT NULL,
    PRIMARY KEY (shard, part)
);
"#,
    r#"
CREATE INDEX failed_blocks_by_time ON failed_blocks (last_high DESC, sync, seq);
CREATE INDEX failed_blocks_of_sync_by_time ON failed_blocks (sync, last_high DESC, seq);
CREATE INDEX runs_by_ending ON runs (ending, id);
"#,
    "ALTER TABLE syncs ADD COLUMN systems TEXT",
    "ALTER TABLE runs ADD COLUMN failure TEXT",
    r#"
ALTER TABLE requests ADD COLUMN asked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN begun BIGINT NOT NULL DEFAULT 0;
"#,
];

/// Brings the tables to what this version needs. What is there already is copied first.
pub(crate) async fn migrate(database: &Database, clock: &dyn Clock) -> Result<(), Error> {
    step_through(STEPS, database, clock).await
}

async fn step_through(
    steps: &'static [&'static str],
    database: &Database,
    clock: &dyn Clock,
) -> Result<(), Error> {
    // The first step makes all tables: there is nothing to copy before it.
    if steps.len() > 1 {
        let applied = applied(database).await?;
        if (1..steps.len() as u64).contains(&applied) {
            database.copy_before_step(applied + 1).await?;
        }
    }
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    tx.script(
        "CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    )
    .await?;
    let record = tx.first(sql("SELECT COALESCE(MAX(step), 0) AS step FROM schema_steps")).await?;
    let applied = record.map(|record| record.count("step")).transpose()?.unwrap_or(0);
    let known = steps.len() as u64;
    if applied > known {
        return Err(Error::new(
            ErrorKind::Storage,
            format!(
                "the state database is of a newer tidegate: it has step {applied}, this one knows {known}"
            ),
        )
        .hint("run the newer tidegate, or restore a backup that this one made (docs/guides/installing.md)"));
    }
    for (step, text) in (1_u64..).zip(steps) {
        if step > applied {
            tx.script(text).await?;
            let note = sql("INSERT INTO schema_steps (step, applied_at) VALUES ($1, $2)");
            tx.execute(note.bind(step).bind(clock.now())).await?;
        }
    }
    tx.commit().await
}

/// Returns how many steps a database has; 0 if it is new.
async fn applied(database: &Database) -> Result<u64, Error> {
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    tx.script(
        "CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    )
    .await?;
    let record = tx.first(sql("SELECT COALESCE(MAX(step), 0) AS step FROM schema_steps")).await?;
    tx.commit().await?;
    record.map_or(Ok(0), |record| record.count("step"))
}

#[cfg(test)]
mod tests {
    use tidegate_model::SystemClock;

    use super::*;

    #[tokio::test]
    async fn a_database_is_copied_before_it_steps_forward_and_the_former_version_opens_the_copy() {
        const NEXT: &[&str] = &[
            STEPS[0],
            STEPS[1],
            STEPS[2],
            STEPS[3],
            STEPS[4],
            STEPS[5],
            STEPS[6],
            STEPS[7],
            "ALTER TABLE syncs ADD COLUMN colour TEXT",
        ];
        let data = tempfile::tempdir().expect("folder");
        let now = Database::embedded(data.path()).await.expect("made");
        step_through(STEPS, &now, &SystemClock).await.expect("stepped");
        now.execute(sql("INSERT INTO syncs (id) VALUES ('orders')")).await.expect("written");
        let copy = data.path().join("tidegate.db.before-step-9");
        assert!(!copy.exists());

        let next = Database::embedded(data.path()).await.expect("opened");
        step_through(NEXT, &next, &SystemClock).await.expect("stepped");

        next.all(sql("SELECT colour FROM syncs")).await.expect("stepped forward");
        let refused = step_through(STEPS, &now, &SystemClock).await.expect_err("newer");
        assert!(refused.message().contains("of a newer tidegate"), "{refused:?}");
        assert!(refused.next_step().contains("restore"), "{refused:?}");
        let former = tempfile::tempdir().expect("folder");
        std::fs::copy(&copy, former.path().join("tidegate.db")).expect("copied");
        let back = Database::embedded(former.path()).await.expect("opened");
        step_through(STEPS, &back, &SystemClock).await.expect("of this version");
        assert_eq!(back.all(sql("SELECT id FROM syncs")).await.expect("read").len(), 1);
        // A step that is taken twice keeps the first copy.
        step_through(NEXT, &next, &SystemClock).await.expect("there");
    }
}
