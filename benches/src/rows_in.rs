//! Rows in: PostgreSQL to requests, against `psql \copy` of the same rows to a file.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::receiver::{Counting, Receiver};
use crate::report::{self, Measure, Series};
use crate::{events, memory};

const QUERY: &str = "select event_name, user_id, event_timestamp, event_data from bench_events";

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// Sizes of the table.
    pub(crate) rows: Vec<u64>,
    /// Rounds of each way.
    pub(crate) rounds: usize,
}

/// A way of moving the rows.
#[derive(Clone, Copy)]
enum Way {
    Copy,
    LedgerOff,
    LedgerOn,
}

impl Way {
    const ALL: [Way; 3] = [Way::Copy, Way::LedgerOff, Way::LedgerOn];

    fn name(self) -> &'static str {
        match self {
            Way::Copy => "`psql \\copy` to a file",
            Way::LedgerOff => "`tidegate run`, ledger off",
            Way::LedgerOn => "`tidegate run`",
        }
    }
}

/// What every round uses.
struct Stage {
    tidegate: PathBuf,
    server: Server,
    receiver: Receiver,
    folder: PathBuf,
}

/// The database's address in pieces, as psql and a project file want it.
struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl Server {
    fn of(config: &Config) -> Result<Server> {
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
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    let tidegate = plan
        .tidegate
        .canonicalize()
        .with_context(|| format!("no program at {}: run cargo build --release", plan.tidegate.display()))?;
    let postgres: Config = plan.postgres.parse().context("--postgres is no address of a database")?;
    let client = events::connect(&postgres).await?;
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let (receiver, address) = receive()?;
    let server = Server::of(&postgres)?;
    fs::write(folder.path().join("tidegate.yaml"), project(&server, address))?;
    let stage = Stage { tidegate, server, receiver, folder: folder.path().to_owned() };

    let mut all = Vec::new();
    for &rows in &plan.rows {
        events::fill(&client, rows).await?;
        let mut series = Way::ALL.map(|way| Series { name: way.name(), rows, rounds: Vec::new() });
        for round in 1..=plan.rounds {
            for (way, series) in Way::ALL.into_iter().zip(&mut series) {
                let measure = stage.measure(way, rows).await?;
                eprintln!("{rows} rows, round {round}, {}: {:.2} s", way.name(), measure.took.as_secs_f64());
                series.rounds.push(measure);
            }
        }
        all.extend(series);
    }

    println!("## Rows in: PostgreSQL to requests\n");
    println!("{}. {}.", report::machine(), events::describe(&client).await?);
    println!(
        "Rounds of each way: {}, taking turns; the median stands here. Whole processes, start included, \
         without TLS on loopback. The receiver runs on the same cores and counts every object.\n",
        plan.rounds
    );
    print!("{}", report::table(&all));
    Ok(())
}

/// Starts the receiver on a port of its own.
fn receive() -> Result<(Receiver, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let receiver = Receiver::new(Counting::Objects);
    let serving = receiver.clone();
    std::thread::spawn(move || serving.serve(&listener));
    Ok((receiver, address))
}

/// The project that `tidegate` runs. The password comes from the environment.
fn project(server: &Server, braze: SocketAddr) -> String {
    let Server { host, port, user, database, .. } = server;
    format!(
        "connections:
  pg:
    kind: postgres
    host: {host}
    port: {port}
    database: {database}
    user: {user}
    password: {{ env: TIDEGATE_BENCH_PASSWORD }}
    tls: disable
  braze:
    kind: braze
    endpoint: http://{braze}
    api_key: {{ env: TIDEGATE_BENCH_API_KEY }}
    requests_per_second: 0    # unlimited

syncs:
  rows_in:
    from: {{ connection: pg, table: bench_events }}
    detect: {{ cursor: event_timestamp }}
    to: {{ connection: braze, object: event }}
    map:
      name: event_name
      external_id: user_id
      time: event_timestamp
      properties: {{ json: event_data }}
    in_doubt: resend
"
    )
}

impl Stage {
    async fn measure(&self, way: Way, rows: u64) -> Result<Measure> {
        match way {
            Way::Copy => self.copy(rows).await,
            Way::LedgerOff => self.sync(rows, "off").await,
            Way::LedgerOn => self.sync(rows, "on").await,
        }
    }

    /// The raw limit: the same rows to a file.
    async fn copy(&self, rows: u64) -> Result<Measure> {
        let file = self.folder.join("copy.csv");
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command"])
            .arg(format!("\\copy ({QUERY}) to '{}' csv", file.display()))
            .env("PGSSLMODE", "disable")
            .env("PGHOST", &self.server.host)
            .env("PGPORT", self.server.port.to_string())
            .env("PGUSER", &self.server.user)
            .env("PGPASSWORD", &self.server.password)
            .env("PGDATABASE", &self.server.database)
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

    /// The program under test, from an empty data folder.
    async fn sync(&self, rows: u64, ledger: &str) -> Result<Measure> {
        let data = self.folder.join("data");
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        self.receiver.reset();
        let mut tidegate = self.command(&data, ledger);
        let started = Instant::now();
        let mut child =
            tidegate.spawn().with_context(|| format!("cannot start {}", self.tidegate.display()))?;
        let (status, memory) = memory::wait(&mut child).await?;
        let took = started.elapsed();
        ensure!(status.success(), "tidegate ended with {status}: its reason stands above");
        let arrived = self.receiver.counts();
        ensure!(arrived.objects == rows, "{} of {rows} rows arrived", arrived.objects);
        Ok(Measure { took, memory: Some(memory), arrived: Some(arrived) })
    }

    fn command(&self, data: &Path, ledger: &str) -> Command {
        let mut tidegate = Command::new(&self.tidegate);
        tidegate
            .args(["run", "rows_in", "--output", "json", "--project"])
            .arg(&self.folder)
            .arg("--data")
            .arg(data)
            .env("TIDEGATE_BENCH_LEDGER", ledger)
            .env("TIDEGATE_BENCH_PASSWORD", &self.server.password)
            .env("TIDEGATE_BENCH_API_KEY", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        tidegate
    }
}
