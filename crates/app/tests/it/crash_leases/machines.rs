//! Machines that share a state database, and what stands between them and it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Database, Project, pause};

/// The master key that machines with one store share.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A network between one machine and the state database.
pub(super) struct Wire {
    port: u16,
    cut: watch::Sender<bool>,
}

impl Wire {
    async fn to(port: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = listener.local_addr().expect("an address").port();
        let wire = Wire { port: near, cut: watch::Sender::new(false) };
        let cut = wire.cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, cut.clone()));
                tokio::spawn(carry(far_in, near_out, cut.clone()));
            }
        });
        wire
    }

    /// Lets nothing through, and ends no connection.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets everything through again, also what was sent meanwhile.
    pub(super) fn join(&self) {
        self.cut.send_replace(false);
    }
}

/// Carries bytes one way; while the wire is cut, nothing arrives and nothing ends.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let is_cut = cut.wait_for(|cut| !cut).await.is_err();
        if is_cut || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// PgBouncer in transaction mode, in front of the server of a database.
pub(super) struct Pooler {
    pub(super) port: u16,
    file: std::path::PathBuf,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    pub(super) async fn before(database: &Database) -> Pooler {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 6\nserver_tls_sslmode = prefer\n",
            database.port(),
            database.user(),
            database.password()
        );
        std::fs::write(&file, text).expect("written");
        for (path, mode) in [(folder.path(), 0o755), (file.as_path(), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("opened");
        }
        let process = pgbouncer(&file);
        let pooler = Pooler { port, file, process, _folder: folder };
        pooler.answers().await;
        pooler
    }

    /// Ends it with all of its connections, and starts it again.
    pub(super) async fn restart(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
        self.process = pgbouncer(&self.file);
        self.answers().await;
    }

    async fn answers(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            pause(Duration::from_millis(25)).await;
        }
        panic!("pgbouncer does not answer");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pgbouncer(file: &std::path::Path) -> Child {
    let mut command = Command::new("pgbouncer");
    command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin");
    // It refuses to run as root.
    if std::fs::metadata("/proc/self").expect("a process").uid() == 0 {
        command.args(["-u", "nobody"]);
    }
    command.arg("-q").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("pgbouncer starts: apt-get install pgbouncer, or scripts/setup")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A project with its state in `state`, which it reaches at `port`.
pub(super) fn project_on(yaml: &str, state: &Database, port: u16) -> Project {
    let mut project = Project::new(yaml);
    let (user, password, name) = (state.user(), state.password(), &state.name);
    let url = format!(
        "postgresql://{user}:{password}@127.0.0.1:{port}/{name}?sslmode=disable&statement-cache-capacity=0"
    );
    project.set("TIDEGATE_STORE", url);
    project.set("TIDEGATE_MASTER_KEY", MASTER_KEY);
    project
}

/// A machine with a data folder of its own that runs `tidegate serve`.
pub(super) struct Machine {
    project: Project,
    pub(super) wire: Wire,
    process: Child,
}

impl Machine {
    /// Starts one that keeps its state in `state`, which it reaches at `port`.
    pub(super) async fn new(yaml: &str, state: &Database, port: u16, lease_seconds: u32) -> Machine {
        let wire = Wire::to(port).await;
        let mut project = project_on(yaml, state, wire.port);
        project.set("TIDEGATE_LEASE_SECONDS", lease_seconds.to_string());
        let process = serve(&project);
        Machine { project, wire, process }
    }

    /// Whether its process is the one that the state names.
    pub(super) fn is(&self, process: &str) -> bool {
        process.ends_with(&format!("process {}", self.process.id()))
    }

    /// Sends its process a signal.
    pub(super) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    /// Kills its process.
    pub(super) fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }

    /// Starts another process.
    pub(super) fn start(&mut self) {
        self.process = serve(&self.project);
    }

    /// Kills its process and starts another one.
    pub(super) fn restart(&mut self) {
        self.kill();
        self.start();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(project: &Project) -> Child {
    let mut command = project.tidegate(&["serve", "--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tidegate starts")
}
