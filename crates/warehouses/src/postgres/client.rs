//! Connecting, and one read-only transaction on a connection that nothing else uses meanwhile.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{ConnectorContext, Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::digest::DigestConnect;
pub use super::digest::SignIn;
use super::pool::Pool;
use super::query::Relation;
use super::settings::PostgresSettings;
use tidegate_transport::tls;
use tidegate_transport::tls::Tls;
use tidegate_tunnel::{Tunnel, TunnelStream};

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

/// What differs between the systems that speak PostgreSQL's protocol.
#[derive(Debug)]
pub struct Wire {
    /// The name of the system in messages.
    pub title: &'static str,
    /// The statements that a connection begins with, each time it is taken from the pool.
    pub opening: &'static str,
    /// How a setting begins that the opening adds: `SET LOCAL` if it opens a transaction, else `SET`.
    pub set: &'static str,
    /// Whether the server may ask for a sign-in by Redshift's digest of SHA-256.
    pub digest: bool,
    /// What happened and what to do about it, for a failure without a relation.
    pub explain: fn(&Access, &tokio_postgres::Error) -> Error,
}

/// PostgreSQL.
pub static POSTGRESQL: Wire = Wire {
    title: "PostgreSQL",
    opening: OPENING,
    set: "SET LOCAL",
    digest: false,
    explain: |access, error| access.explain(error, None),
};

/// Gives a connection that is opened its user and password, if they are not those of the settings.
#[async_trait]
pub trait Login: Any + fmt::Debug + Send + Sync {
    /// Returns who signs in now.
    ///
    /// # Errors
    /// Whatever prevents it.
    async fn sign_in(&self) -> Result<SignIn, Error>;

    /// Returns whether another one signs in as the same identity: connections that one of them opened may
    /// be used by the other.
    fn is_same_as(&self, other: &dyn Login) -> bool;
}

/// Where the database is and who we are to it.
#[derive(Clone, Debug)]
pub struct Access {
    /// The system.
    pub wire: &'static Wire,
    /// The settings.
    pub settings: PostgresSettings,
    ca_file: Option<PathBuf>,
    pool: Arc<Pool>,
    login: Option<Arc<dyn Login>>,
    tunnel: Option<Tunnel>,
}

impl Access {
    /// Remembers how to connect.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a tunnel that cannot work.
    pub fn new(settings: PostgresSettings, context: &ConnectorContext) -> Result<Access, Error> {
        Access::over(&POSTGRESQL, settings, None, context)
    }

    /// Remembers how to connect to a system that speaks PostgreSQL's protocol. `login` gives each connection
    /// its user and password, if they are not those of the settings.
    ///
    /// # Errors
    /// As [`Access::new`].
    pub fn over(
        wire: &'static Wire,
        settings: PostgresSettings,
        login: Option<Arc<dyn Login>>,
        context: &ConnectorContext,
    ) -> Result<Access, Error> {
        let ca_file = settings.ca_file.as_ref().map(|file| context.project.join(file));
        Ok(Access {
            wire,
            tunnel: settings.tunnel.as_ref().map(Tunnel::new).transpose()?,
            pool: Pool::of(wire.title, &settings, ca_file.as_ref(), login.as_ref()),
            settings,
            ca_file,
            login,
        })
    }

    /// Returns the server, for messages.
    pub fn place(&self) -> String {
        let server = format!("{}:{}", self.settings.host, self.settings.port);
        match &self.tunnel {
            Some(tunnel) => format!("{server} through the tunnel at {}", tunnel.server()),
            None => server,
        }
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
        let sign_in = match &self.login {
            Some(login) => login.sign_in().await?,
            None => SignIn::of(&self.settings),
        };
        let mut config = self.config(limit, &sign_in);
        let connecting = async {
            match self.wire.digest {
                true => {
                    // `DigestConnect` asks for TLS itself, or leaves it.
                    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
                    let tls = DigestConnect::signing_in(self.is_encrypted(), tls.clone(), sign_in);
                    self.connected(&config, tls).await
                }
                false => self.connected(&config, tls.clone()).await,
            }
        };
        let (client, driver) = tokio::time::timeout(limit, connecting).await.map_err(|_| {
            Error::new(
                ErrorKind::Unavailable,
                format!("{} at {} did not answer within {limit:?}", self.wire.title, self.place()),
            )
            .hint("check `host`, `port` and the firewall in between; `connect_timeout` sets the limit")
        })??;
        let cancelling = Cancelling {
            token: client.cancel_token(),
            tls,
            digest: self.wire.digest.then(|| self.is_encrypted()),
            through: self.tunnel.clone(),
            host: self.settings.host.clone(),
            port: self.settings.port,
        };
        Ok(Connection { client, running: false, cancelling, driver })
    }

    /// Connects, through the tunnel if there is one, and runs the connection in a task of its own.
    async fn connected<T>(&self, config: &Config, mut tls: T) -> Result<(Client, AbortHandle), Error>
    where
        T: Securing<Socket> + Securing<TunnelStream>,
    {
        let explained = |error| (self.wire.explain)(self, &error);
        let Some(tunnel) = &self.tunnel else {
            let (client, connection) = config.connect(tls).await.map_err(explained)?;
            return Ok((client, driven(connection)));
        };
        let PostgresSettings { host, port, .. } = &self.settings;
        let stream = tunnel.connect(host, *port).await?;
        let tls = MakeTlsConnect::<TunnelStream>::make_tls_connect(&mut tls, host)
            .map_err(|_| Error::internal("TLS cannot be set up"))?;
        let (client, connection) = config.connect_raw(stream, tls).await.map_err(explained)?;
        Ok((client, driven(connection)))
    }

    fn is_encrypted(&self) -> bool {
        self.settings.tls != Tls::Disable
    }

    /// Waits for a connection of the pool and opens it, see [`Wire::opening`]; for PostgreSQL with a transaction.
    ///
    /// # Errors
    /// As [`Access::connect`].
    pub async fn begin(&self) -> Result<Session, Error> {
        let Wire { opening, set, explain, .. } = self.wire;
        let mut opening = (*opening).to_owned();
        if let Some(limit) = self.settings.statement_timeout {
            opening.push_str(&format!("; {set} statement_timeout = {}", limit.0.as_millis()));
        }
        let turn = self.pool.turn(&self.place()).await?;
        while let Some(connection) = self.pool.take() {
            // One that was cut meanwhile is no reason to fail.
            if connection.client.batch_execute(&opening).await.is_ok() {
                return Ok(Session { connection, _turn: Some(turn) });
            }
        }
        let connection = self.open().await?;
        connection.client.batch_execute(&opening).await.map_err(|error| explain(self, &error))?;
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

    fn config(&self, limit: Duration, sign_in: &SignIn) -> Config {
        let mut config = Config::new();
        config
            .host(&self.settings.host)
            .port(self.settings.port)
            .dbname(&sign_in.database)
            .user(&sign_in.user)
            .application_name("tidegate")
            .connect_timeout(limit)
            // Detects within minutes that the other side is gone, not within hours.
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(15))
            .keepalives_retries(4)
            .ssl_mode(if self.is_encrypted() { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &sign_in.password {
            config.password(password.expose());
        }
        config
    }
}

/// What secures a connection, over a stream that other tasks may poll.
trait Securing<S>:
    MakeTlsConnect<S, Stream: Send + 'static, TlsConnect: Send + TlsConnect<S, Future: Send>>
{
}

impl<S, T> Securing<S> for T where
    T: MakeTlsConnect<S, Stream: Send + 'static, TlsConnect: Send + TlsConnect<S, Future: Send>>
{
}

/// Runs a connection in a task of its own.
fn driven<S, T>(connection: tokio_postgres::Connection<S, T>) -> AbortHandle
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(code = error.code().map(|code| code.code()), "the connection ended");
        }
    });
    driver.abort_handle()
}

/// The way on which a statement is cancelled: a connection of its own.
#[derive(Clone)]
struct Cancelling {
    token: CancelToken,
    tls: MakeRustlsConnect,
    /// Whether the connection is encrypted, if the server may ask for the digest.
    digest: Option<bool>,
    through: Option<Tunnel>,
    host: String,
    port: u16,
}

impl Cancelling {
    /// Asks the server to stop the statement. Whether it does or not: without the connection the statement
    /// ends, too.
    async fn cancel(self) {
        match self.digest {
            Some(encrypted) => {
                let tls = DigestConnect::cancelling(encrypted, self.tls.clone());
                self.cancel_over(tls).await;
            }
            None => {
                let tls = self.tls.clone();
                self.cancel_over(tls).await;
            }
        }
    }

    async fn cancel_over<T>(self, mut tls: T)
    where
        T: Securing<Socket> + Securing<TunnelStream>,
    {
        let Some(tunnel) = &self.through else {
            let _ = self.token.cancel_query(tls).await;
            return;
        };
        let Ok(stream) = tunnel.connect(&self.host, self.port).await else { return };
        if let Ok(tls) = MakeTlsConnect::<TunnelStream>::make_tls_connect(&mut tls, &self.host) {
            let _ = self.token.cancel_query_raw(stream, tls).await;
        }
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
    cancelling: Cancelling,
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
        let (cancelling, driver) = (self.cancelling.clone(), self.driver.clone());
        let Ok(runtime) = Handle::try_current() else {
            driver.abort();
            return;
        };
        runtime.spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(5), cancelling.cancel()).await;
            driver.abort();
        });
    }
}
