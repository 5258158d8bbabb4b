//! The ways of moving the same rows: the raw limit, the program under test, its peers.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use tokio::process::Command;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::memory;
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::report::Measure;
use crate::tidegate::forgetful;

const QUERY: &str = "select event_name, user_id, event_timestamp, event_data from bench_events";

/// A way of moving the rows.
#[derive(Clone)]
pub(crate) enum Way {
    /// `psql \copy` to a file: what the others are held against.
    Copy,
    /// The program under test, with or without writing down the status of each row.
    Tidegate { ledger: bool },
    /// The program under test with `mode: mirror`, of rows that it has sent before: none of them or
    /// 1 % has changed since.
    Mirror { compares: Compares, changed: bool },
    /// A program that another project made; `benches/README.md` says what it is handed.
    Peer(Peer),
}

impl Way {
    /// The way, for people.
    pub(crate) fn name(&self) -> String {
        match self {
            Way::Copy => "`psql \\copy` to a file".into(),
            Way::Tidegate { ledger: false } => "`tidegate run`, ledger off".into(),
            Way::Tidegate { ledger: true } => "`tidegate run`".into(),
            Way::Mirror { compares, changed } => {
                let rows = if *changed { "1 % changed" } else { "unchanged" };
                format!("`mode: mirror`{}, {rows}", compares.setting())
            }
            Way::Peer(peer) => peer.name.clone(),
        }
    }
}

/// What a mirror compares, and where.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Compares {
    /// All rows, here.
    Rows,
    /// Hashes first, here.
    Hashes,
    /// The database does.
    Source,
}

impl Compares {
    fn setting(self) -> &'static str {
        match self {
            Compares::Rows => "",
            Compares::Hashes => ", `compare: hashes`",
            Compares::Source => ", `state: source`",
        }
    }

    /// The sync that compares so.
    fn sync(self) -> &'static str {
        match self {
            Compares::Rows => "mirror",
            Compares::Hashes => "mirror_by_hashes",
            Compares::Source => "mirror_at_source",
        }
    }

    fn yaml(self) -> String {
        let setting = match self {
            Compares::Rows => "compare: rows",
            Compares::Hashes => "compare: hashes",
            Compares::Source => "state: source",
        };
        format!(
            "  {}:
    source: {{ connection: pg, table: bench_events }}
    mode: mirror
    {setting}
    primary_key: event_timestamp
    changed: send
    destination: {{ connection: braze, object: event }}
    mapping:
      name: event_name
      external_id: user_id
      timestamp: event_timestamp
      properties: event_data
    in_doubt: resend
",
            self.sync()
        )
    }
}

/// The database's address in pieces, as psql and a project file want it.
pub(crate) struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl Server {
    pub(crate) fn of(config: &Config) -> Result<Server> {
        let Some(Host::Tcp(host)) = config.get_hosts().first() else {
            bail!("--postgres needs a host name");
        };
        let user = config.get_user().context("--postgres needs a user")?;
        Ok(Server {
            host: host.clone(),
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: user.to_owned(),
            password: String::from_utf8(config.get_password().unwrap_or_default().to_owned())?,
            database: config.get_dbname().unwrap_or(user).to_owned(),
        })
    }

    /// The connection as a project file has it, without its indentation. The password comes
    /// from the environment.
    pub(crate) fn connection(&self) -> String {
        let Server { host, port, user, database, .. } = self;
        format!(
            "{{ type: postgres, host: {host}, port: {port}, database: {database}, user: {user}, \
             password: \"${{PGPASSWORD}}\", tls: disable }}"
        )
    }

    /// The password.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Its address, as `--store` takes it. Nothing is encrypted, as with its connections.
    pub(crate) fn url(&self, database: &str) -> String {
        let Server { host, port, user, password, .. } = self;
        format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=disable")
    }

    /// A command that finds the database by the variables that libpq reads.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", &self.database)
            .env("PGSSLMODE", "disable")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The project that `tidegate` runs. The password comes from the environment.
    fn project(&self, braze: SocketAddr) -> String {
        let Server { host, port, user, database, .. } = self;
        format!(
            "connections:
  pg:
    type: postgres
    host: {host}
    port: {port}
    database: {database}
    user: {user}
    password: ${{PGPASSWORD}}
    tls: disable
  braze:
    type: braze
    endpoint: http://{braze}
    api_key: ${{BENCH_API_KEY}}
    rates: {{ track_per_3s: 4000000000 }} # unlimited

syncs:
  rows_in:
    source: {{ connection: pg, table: bench_events }}
    cursor: event_timestamp
    destination: {{ connection: braze, object: event }}
    mapping:
      name: event_name
      external_id: user_id
      timestamp: event_timestamp
      properties: event_data
    in_doubt: resend
{}",
            Compares::value_variants().iter().map(|compares| compares.yaml()).collect::<String>()
        )
    }
}

/// Where the ways are measured.
pub(crate) struct Stage {
    tidegate: PathBuf,
    server: Server,
    receiver: Receiver,
    address: SocketAddr,
    folder: PathBuf,
}

impl Stage {
    /// Prepares `folder` for programs that send to `receiver` at `address`.
    pub(crate) fn new(
        tidegate: PathBuf,
        server: Server,
        (receiver, address): (Receiver, SocketAddr),
        folder: &Path,
    ) -> Result<Stage> {
        fs::write(folder.join("tidegate.yaml"), server.project(address))?;
        Ok(Stage { tidegate, server, receiver, address, folder: folder.to_owned() })
    }

    /// Moves the rows once and proves that all of them arrived.
    pub(crate) async fn measure(&self, way: &Way, rows: u64) -> Result<Measure> {
        match way {
            Way::Copy => self.copy(rows).await,
            Way::Tidegate { ledger } => {
                let program = if *ledger { self.tidegate.clone() } else { forgetful()? };
                let mut tidegate = self.server.command(&program);
                tidegate
                    .args(["run", "rows_in", "--output", "json", "--project"])
                    .arg(&self.folder)
                    .arg("--data")
                    .arg(self.empty_folder()?)
                    .env("BENCH_LEDGER", if *ledger { "on" } else { "off" })
                    .env("BENCH_API_KEY", "bench");
                self.send(tidegate, rows).await
            }
            Way::Mirror { compares, changed } => {
                self.sent_before(*compares, rows).await?;
                if *changed {
                    self.change(rows).await?;
                }
                self.send(self.mirror(*compares), if *changed { rows / 100 } else { 0 }).await
            }
            Way::Peer(peer) => {
                let mut peer = self.server.command(&peer.program);
                peer.current_dir(self.empty_folder()?)
                    .env("BENCH_ENDPOINT", format!("http://{}/users/track", self.address));
                self.send(peer, rows).await
            }
        }
    }

    /// A mirror, with what it remembers.
    fn mirror(&self, compares: Compares) -> Command {
        let mut tidegate = self.server.command(&self.tidegate);
        tidegate
            .args(["run", compares.sync(), "--output", "json", "--project"])
            .arg(&self.folder)
            .arg("--data");
        tidegate.arg(self.folder.join(compares.sync())).env("BENCH_API_KEY", "bench");
        tidegate
    }

    /// Lets a mirror send all rows, unless it has, and what was changed for others.
    async fn sent_before(&self, compares: Compares, rows: u64) -> Result<()> {
        let data = self.folder.join(compares.sync());
        let sent = self.folder.join(format!("{}-{rows}", compares.sync()));
        if sent.exists() {
            return self.catch_up(compares).await;
        }
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let first = self.send(self.mirror(compares), rows).await?;
        let memory = first.memory.map_or_else(String::new, crate::report::mebibytes);
        let name = compares.setting();
        eprintln!("{rows} rows, first run of the mirror{name}: {:.2} s, {memory}", first.took.as_secs_f64());
        fs::write(sent, "")?;
        self.catch_up(compares).await
    }

    /// Runs a mirror unmeasured.
    async fn catch_up(&self, compares: Compares) -> Result<()> {
        let ended = self.mirror(compares).status().await.context("cannot start tidegate")?;
        ensure!(ended.success(), "the mirror ended with {ended}: its reason stands above");
        Ok(())
    }

    /// Changes 1 % of the rows.
    async fn change(&self, rows: u64) -> Result<()> {
        let mut psql = self.server.command("psql");
        let every = "extract(epoch FROM event_timestamp)::bigint % 100 = 0";
        let count = rows / 100;
        // What the first reader after an update has to write is the database's own affair.
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command"])
            .arg(format!(
                "UPDATE bench_events SET event_data = event_data || jsonb_build_object('round', random())
                 WHERE ctid IN (SELECT ctid FROM bench_events WHERE {every} LIMIT {count})"
            ))
            .args(["--command", "VACUUM bench_events"]);
        let ended = psql.status().await.context("cannot start psql: run scripts/setup")?;
        ensure!(ended.success(), "psql ended with {ended}");
        Ok(())
    }

    /// The raw limit: the same rows to a file.
    async fn copy(&self, rows: u64) -> Result<Measure> {
        let file = self.folder.join("copy.csv");
        let mut psql = self.server.command("psql");
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command"])
            .arg(format!("\\copy ({QUERY}) to '{}' csv", file.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let started = Instant::now();
        let ended = psql.output().await.context("cannot start psql: run scripts/setup")?;
        let took = started.elapsed();
        let said = String::from_utf8_lossy(&ended.stdout);
        ensure!(
            ended.status.success() && said.trim() == format!("COPY {rows}"),
            "psql did not copy {rows} rows: it ended with {} and said {said:?}",
            ended.status
        );
        fs::remove_file(&file)?;
        Ok(Measure { took, memory: None, arrived: None })
    }

    /// Runs a program that sends the rows to the receiver.
    async fn send(&self, mut command: Command, rows: u64) -> Result<Measure> {
        self.receiver.reset();
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let (status, memory) = memory::wait(&mut child).await?;
        let took = started.elapsed();
        ensure!(status.success(), "{program} ended with {status}: its reason stands above");
        let arrived = self.receiver.counts();
        ensure!(arrived.objects == rows, "{} of {rows} rows arrived from {program}", arrived.objects);
        Ok(Measure { took, memory: Some(memory), arrived: Some(arrived) })
    }

    /// A folder for what a program remembers: nothing yet.
    fn empty_folder(&self) -> Result<PathBuf> {
        let folder = self.folder.join("data");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }
}
