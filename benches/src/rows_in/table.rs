//! The table that is read: events of about 190 bytes each as text.

use anyhow::{Context as _, Result};
use tokio_postgres::{Client, Config, NoTls};

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS bench_events (
        event_name varchar NOT NULL,
        user_id varchar NOT NULL,
        event_timestamp timestamptz NOT NULL,
        event_data jsonb NOT NULL
    )";

/// One event a second, all in the past, so that a cursor holds none of them back.
const ROWS: &str = "
    INSERT INTO bench_events
    SELECT
        (ARRAY['order_placed', 'cart_updated', 'page_viewed', 'search_made',
               'video_watched', 'offer_opened', 'store_visited', 'profile_changed'])[1 + i % 8],
        md5((i % 400000)::text)::uuid::text,
        timestamptz '2024-01-01 00:00:00Z' + i * interval '1 second',
        jsonb_build_object(
            'number', i,
            'total', round((i % 10000) / 100.0, 2),
            'session', left(md5(i::text), 8),
            'plan', (ARRAY['free', 'pro', 'team'])[1 + i % 3],
            'tags', jsonb_build_array('spring', 'mobile'),
            'page', '/menu/' || i % 1000)
    FROM generate_series($1::bigint, $2::bigint) AS i";

/// Connects without TLS: the bench measures rows, on loopback.
pub(crate) async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) =
        config.connect(NoTls).await.context("cannot reach PostgreSQL: run scripts/servers start")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes the table have exactly `rows` rows; rows that are there already stay.
pub(crate) async fn fill(client: &Client, rows: u64) -> Result<()> {
    client.batch_execute(TABLE).await?;
    let wanted = i64::try_from(rows)?;
    let mut there: i64 = client.query_one("SELECT count(*) FROM bench_events", &[]).await?.get(0);
    if there > wanted {
        client.batch_execute("TRUNCATE bench_events").await?;
        there = 0;
    }
    if there < wanted {
        eprintln!("filling bench_events: {there} to {wanted} rows");
        client.batch_execute("DROP INDEX IF EXISTS bench_events_event_timestamp, bench_events_key").await?;
        client.execute(ROWS, &[&(there + 1), &wanted]).await?;
    }
    client
        .batch_execute(
            "CREATE UNIQUE INDEX IF NOT EXISTS bench_events_key ON bench_events (event_timestamp);
             CREATE SCHEMA IF NOT EXISTS tidegate",
        )
        .await?;
    // Outside of a transaction, as VACUUM must be: a statement of its own.
    client.batch_execute("VACUUM (ANALYZE) bench_events").await?;
    Ok(())
}

/// How the server is set up, for the report.
pub(crate) async fn describe(client: &Client) -> Result<String> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('fsync'),
                    current_setting('shared_buffers'),
                    (SELECT avg(octet_length(event_name) + octet_length(user_id)
                         + octet_length(event_timestamp::text) + octet_length(event_data::text) + 4)::int
                     FROM (SELECT * FROM bench_events LIMIT 10000) AS sample)",
            &[],
        )
        .await?;
    let [version, fsync, buffers] = [0, 1, 2].map(|at| row.get::<_, String>(at));
    let bytes: Option<i32> = row.get(3);
    Ok(format!(
        "PostgreSQL {version}, fsync {fsync}, shared_buffers {buffers}, rows of {} bytes as text",
        bytes.unwrap_or_default()
    ))
}
