//! Connecting, and one read-only transaction on a connection that nothing else uses meanwhile.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{ConnectorContext, Error, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pool::Pool;
use super::query::Relation;
use super::settings::PostgresSettings;
use tidegate_transport::tls;
use tidegate_transport::tls::Tls;

/// Opens a transaction in which nothing can be written and every statement sees
/// the same state.
///
/// Texts come out the same whatever the server, the database and the role are set
/// to. The transaction does nothing while the destination is slow, so the limits on
/// idle (from 9.6 on) and long ones (from 17 on) do not count. Compiling statements
/// (`jit`, from 11 on) costs more than it saves on rows that are only passed on.
const OPENING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL DateStyle = ISO; SET LOCAL IntervalStyle = postgres; SET LOCAL TimeZone = 'UTC'; \
     SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = hex; \
     SET LOCAL standard_conforming_strings = on; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SELECT set_config(name, CASE name WHEN 'jit' THEN 'off' ELSE '0' END, true) \
     FROM pg_settings WHERE name IN ('jit', 'transaction_timeout')";

/// Where the database is and who we are to it.
#[derive(Clone, Debug)]
pub struct Access {
    /// The settings.
    pub settings: PostgresSettings,
    ca_file: Option<PathBuf>,
    pool: Arc<Pool>,
}

impl Access {
    /// Remembers how to connect.
    pub fn new(settings: PostgresSettings, context: &ConnectorContext) -> Access {
        let ca_file = settings.ca_file.as_ref().map(|file| context.project.join(file));
        Access { pool: Pool::of(&settings, ca_file.as_ref()), settings, ca_file }
    }

    /// Returns the server, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }

    /// Connects, beside the pool.
    ///
    /// # Errors
    /// Whatever keeps us out, see `errors.rs`.
    pub async fn connect(&self) -> Result<Session, Error> {
        Ok(Session { connection: self.open().await?, _turn: None })
    }

    async fn open(&self) -> Result<Connection, Error> {
        let (protection, ca_file) = (self.settings.tls, self.ca_file.clone());
        let tls_config =
            tokio::task::spawn_blocking(move || tls::client_config(protection, ca_file.as_deref()))
                .await
                .map_err(|cause| Error::internal("setting up TLS was cut short").caused_by(cause))??;
        let tls = MakeRustlsConnect::new(tls_config);
        let limit = self.settings.connect_timeout.0.0;
        let config = self.config(limit);
        let (client, connection) = tokio::time::timeout(limit, config.connect(tls.clone()))
            .await
            .map_err(|_| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("PostgreSQL at {} did not answer within {limit:?}", self.place()),
                )
                .hint("check `host`, `port` and the firewall in between; `connect_timeout` sets the limit")
            })?
            .map_err(|error| self.explain(&error, None))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(code = error.code().map(|code| code.code()), "PostgreSQL connection ended");
            }
        });
        let cancel = client.cancel_token();
        Ok(Connection { client, running: false, cancel, tls, driver: driver.abort_handle() })
    }

    /// Waits for a connection of the pool and opens a transaction on it, see [`OPENING`].
    ///
    /// # Errors
    /// As [`Access::connect`].
    pub async fn begin(&self) -> Result<Session, Error> {
        let mut opening = OPENING.to_owned();
        if let Some(limit) = self.settings.statement_timeout {
            opening.push_str(&format!("; SET LOCAL statement_timeout = {}", limit.0.as_millis()));
        }
        let turn = self.pool.turn(&self.place()).await?;
        while let Some(connection) = self.pool.take() {
            // One that was cut meanwhile is no reason to fail.
            if connection.client.batch_execute(&opening).await.is_ok() {
                return Ok(Session { connection, _turn: Some(turn) });
            }
        }
        let connection = self.open().await?;
        connection.client.batch_execute(&opening).await.map_err(|error| self.explain(&error, None))?;
        Ok(Session { connection, _turn: Some(turn) })
    }

    /// Ends the transaction of a session whose statements have ended, and leaves its connection to
    /// the next one. Without this call it is closed.
    pub async fn done(&self, session: Session) {
        let Session { connection, _turn } = session;
        if !connection.running && connection.client.batch_execute("ROLLBACK").await.is_ok() {
            self.pool.keep(connection);
        }
    }

    /// As [`Access::explain`], for use with `map_err`.
    pub fn explained<'a>(&'a self, relation: &'a Relation) -> impl Fn(tokio_postgres::Error) -> Error + 'a {
        move |error| self.explain(&error, Some(relation))
    }

    fn config(&self, limit: Duration) -> Config {
        let mut config = Config::new();
        config
            .host(&self.settings.host)
            .port(self.settings.port)
            .dbname(&self.settings.database)
            .user(&self.settings.user)
            .application_name("tidegate")
            .connect_timeout(limit)
            // Detects within minutes that the other side is gone, not within hours.
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(15))
            .keepalives_retries(4)
            .ssl_mode(if self.settings.tls == Tls::Disable { SslMode::Disable } else { SslMode::Require });
        if let Some(password) = &self.settings.password {
            config.password(password.expose());
        }
        config
    }
}

/// A connection to a server.
///
/// Dropped while a statement runs, it asks the server to stop that statement.
pub struct Connection {
    /// To send statements with.
    pub client: Client,
    /// Whether a statement may be running.
    pub running: bool,
    cancel: CancelToken,
    tls: MakeRustlsConnect,
    driver: AbortHandle,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// A connection that nothing else uses meanwhile.
pub struct Session {
    connection: Connection,
    /// Given back with the session.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.running {
            // The driver closes the connection once the client is gone.
            return;
        }
        let (cancel, tls, driver) = (self.cancel.clone(), self.tls.clone(), self.driver.clone());
        let Ok(runtime) = Handle::try_current() else {
            driver.abort();
            return;
        };
        runtime.spawn(async move {
            // Whether the request arrives or not: without the connection the statement ends, too.
            let _ = tokio::time::timeout(Duration::from_secs(5), cancel.cancel_query(tls)).await;
            driver.abort();
        });
    }
}
