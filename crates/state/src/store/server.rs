//! A PostgreSQL server that keeps our tables.
//!
//! Nothing here needs a session: a pooler may hand each transaction to another one.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, Transaction};
use tidegate_model::{Error, ErrorKind, Secret};
use tokio::time::timeout;

use super::dialect::Database;
use super::statement::{Arg, Record, Statement};
use super::{failure, server_url};

const CONNECTIONS_MAX: u32 = 10;
/// How long a caller queues for a connection: commits of all syncs take their turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long rewriting a large table may take.
const MAINTENANCE: Duration = Duration::from_secs(3_600);
/// How long a connection that is given back may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The setting of a URL that says that a pooler keeps no prepared statements.
const UNPREPARED: &str = "statement-cache-capacity=0";

/// Connections to the server.
#[derive(Clone)]
pub(crate) struct Server {
    pool: PgPool,
    /// Only for renewing leases, so that a queue of other work never delays that.
    renewals: PgPool,
    /// How long one answer may take.
    patience: Duration,
    /// How a transaction begins: the server ends it if this process goes silent.
    begin: String,
    /// Whether statements may be prepared once and used again.
    prepares: bool,
}

impl Database {
    /// Connects to a PostgreSQL server. No transaction is left idle for longer than a lease
    /// lasts, so that a machine that was cut off blocks no other one.
    pub(crate) async fn server(folder: &Path, url: &Secret, lease: Duration) -> Result<Database, Error> {
        // A pooler refuses a parameter that it does not know; no float is stored.
        let options = server_url::options(url)?.extra_float_digits(None);
        // A pool keeps trying a refused connection until its time is up; one
        // plain connection tells at once what is wrong.
        let probe = PgConnection::connect_with(&options)
            .await
            .map_err(|cause| failure::of_postgres(cause).context("opening the state database"))?;
        let _ = probe.close().await;
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // One that does not answer any more must not keep its place.
                .after_release(|connection, _| {
                    Box::pin(async move {
                        let answered = timeout(PING_TIMEOUT, connection.ping()).await;
                        answered.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                    })
                })
                .connect_lazy_with(options.clone())
        };
        let server = Server {
            pool: pool(CONNECTIONS_MAX),
            renewals: pool(1),
            patience: lease.clamp(Duration::from_secs(5), Duration::from_secs(30)),
            begin: format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {}", lease.as_millis()),
            prepares: !url.expose().contains(UNPREPARED),
        };
        Ok(Database::Postgres { folder: folder.to_path_buf(), server })
    }
}

impl Server {
    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        let connection = self.pool.acquire().await.map_err(failure::of_postgres)?;
        let begun = Transaction::begin(connection, Some(AssertSqlSafe(self.begin.clone()).into_sql_str()));
        self.answer(begun).await
    }

    /// Reads all rows of one statement.
    pub(crate) async fn all(&self, statement: Statement) -> Result<Vec<Record>, Error> {
        read(self, &self.pool, statement).await
    }

    /// Runs a statement that takes no transaction around it, and as long as its tables are large. It is sent as
    /// text, since prepared statements run in a transaction if there is a pooler.
    pub(crate) async fn maintain(&self, text: String) -> Result<(), Error> {
        let run = sqlx::raw_sql(AssertSqlSafe(text));
        within(MAINTENANCE, run.execute(&self.pool)).await.map(drop)
    }

    /// The same as `all`, on the connection that renews leases.
    pub(crate) async fn renew(&self, statement: Statement) -> Result<Vec<Record>, Error> {
        read(self, &self.renewals, statement).await
    }

    /// Waits for an answer.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        within(self.patience, answer).await
    }

    /// Returns a statement with its values in place.
    pub(crate) fn query(&self, statement: Statement) -> Query<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(statement.text)).persistent(self.prepares);
        for arg in statement.args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                // PostgreSQL's text cannot hold U+0000; a row that does must not stop its sync.
                Arg::Text(Some(value)) if value.contains('\0') => query.bind(value.replace('\0', "\u{fffd}")),
                Arg::Text(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}

/// Waits so long for an answer.
async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(failure::of_postgres),
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("the PostgreSQL state database has not answered for {} s", patience.as_secs()),
        )),
    }
}

async fn read(server: &Server, pool: &PgPool, statement: Statement) -> Result<Vec<Record>, Error> {
    let query = server.query(statement);
    let rows = if server.prepares {
        let mut connection = pool.acquire().await.map_err(failure::of_postgres)?;
        server.answer(query.fetch_all(&mut *connection)).await?
    } else {
        // A statement is named and used in two steps, which only a transaction keeps together.
        let connection = pool.acquire().await.map_err(failure::of_postgres)?;
        let mut inner = server.answer(Transaction::begin(connection, None)).await?;
        let rows = server.answer(query.fetch_all(&mut *inner)).await?;
        server.answer(inner.commit()).await?;
        rows
    };
    Ok(rows.into_iter().map(Record::Postgres).collect())
}
