//! The promises on PostgreSQL behind PgBouncer in transaction mode, where each transaction
//! may meet another session.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{Secret, Store};
use tidegate_state::{StateConfig, StoreLocation};
use tidegate_testkit::ManualClock;
use tidegate_testkit::store::Backend;

use crate::postgres::{Database, server};

/// A database, and a pooler with two sessions in front of it.
struct Pooled {
    database: Database,
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Pooled {
    async fn new() -> Pooled {
        let database = Database::new().await;
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let url = server();
        let (user, place) = url.split_once("://").expect("a URL").1.rsplit_once('@').expect("a user");
        let (user, password) = user.split_once(':').expect("a password");
        let (host, behind) = place.split_once('/').expect("a database").0.split_once(':').expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} port={behind} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 2\nserver_tls_sslmode = prefer\n"
        );
        std::fs::write(&file, text).expect("written");
        let mut command = Command::new("pgbouncer");
        command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin");
        // It refuses to run as root.
        if std::fs::metadata("/proc/self").expect("a process").uid() == 0 {
            for (path, mode) in [(folder.path(), 0o755), (file.as_path(), 0o644)] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("opened");
            }
            command.args(["-u", "nobody"]);
        }
        let process = command
            .arg("-q")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer starts: apt-get install pgbouncer, or scripts/setup");
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::timeout(Duration::from_millis(25), std::future::pending::<()>())
                .await
                .expect_err("waits");
        }
        Pooled { database, port, process, _folder: folder }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[async_trait]
impl Backend for Pooled {
    async fn open(&self) -> Arc<dyn Store> {
        let (name, port) = (&self.database.name, self.port);
        let url =
            format!("postgres://anybody@127.0.0.1:{port}/{name}?sslmode=disable&statement-cache-capacity=0");
        let store = StoreLocation::Postgres { url: Secret::new(url) };
        tidegate_state::open(StateConfig { store, ..self.database.config() }).await.expect("opened")
    }

    fn clock(&self) -> &ManualClock {
        self.database.clock()
    }
}

tidegate_testkit::store_conforms!(Pooled::new().await);
