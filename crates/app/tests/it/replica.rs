//! `mode: mirror` from a replica: it is compared as it is, and nothing is written there.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use crate::support::{Project, Sandbox};

/// Starts a primary server and a replica of it in a folder, as the user of the server if that is root's choice.
const START: &str = r#"
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
as() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=postgres --regid="$(id -g postgres)" --clear-groups env --chdir=/ LC_ALL=C.UTF-8 "$@"
  else
    env LC_ALL=C.UTF-8 "$@"
  fi
}
if [ "$(id -u)" = 0 ]; then chown postgres "$1"; fi
options="-k $1 -c listen_addresses=127.0.0.1 -c fsync=off"
as "$bin/initdb" -D "$1/primary" -U postgres --auth=trust --no-sync
as "$bin/pg_ctl" -D "$1/primary" -o "-p $2 $options" -l "$1/primary.log" -w start
as "$bin/pg_basebackup" -h 127.0.0.1 -p "$2" -U postgres -D "$1/replica" -R --no-sync --checkpoint=fast
as "$bin/pg_ctl" -D "$1/replica" -o "-p $3 $options" -l "$1/replica.log" -w start
"#;

const STOP: &str = r#"
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
for server in replica primary; do
  kill -INT "$(head -n 1 "$1/$server/postmaster.pid")"
done
for server in replica primary; do
  for _ in $(seq 50); do [ -e "$1/$server/postmaster.pid" ] || break; sleep 0.1; done
done
"#;

/// A primary server and its replica.
struct Pair {
    folder: tempfile::TempDir,
    replica: u16,
    primary: Client,
}

impl Pair {
    async fn start() -> Pair {
        let folder = tempfile::tempdir().expect("a folder");
        let port = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").port()
        };
        let (primary, replica) = (port(), port());
        let path = folder.path().to_str().expect("text").to_owned();
        let arguments = [path, primary.to_string(), replica.to_string()];
        let started = Command::new("bash").args(["-c", START, "start"]).args(arguments).output();
        let started = started.expect("bash runs");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let url = format!("postgresql://postgres@127.0.0.1:{primary}/postgres");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        Pair { folder, replica, primary: client }
    }

    /// Runs statements at the primary server, and waits until the replica has them.
    #[expect(clippy::disallowed_methods, reason = "the replica does not say when it gets there")]
    async fn run(&self, sql: &str) {
        self.primary.batch_execute(sql).await.expect("run");
        let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
        for _ in 0..200 {
            let caught_up: i64 = self.primary.query_one(behind, &[]).await.expect("asked").get(0);
            if caught_up == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the replica is behind");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = Command::new("bash").args(["-c", STOP, "stop"]).arg(self.folder.path()).output();
    }
}

#[tokio::test]
async fn a_replica_is_mirrored_and_state_source_says_that_it_needs_the_primary_server() {
    let pair = Pair::start().await;
    pair.run(
        "CREATE TABLE customers (id bigint PRIMARY KEY, plan text);
         INSERT INTO customers SELECT n, 'free' FROM generate_series(1, 50) n",
    )
    .await;
    let sandbox = Sandbox::start(&[]);
    let yaml = |setting: &str| {
        format!(
            "connections:
  db: {{ type: postgres, host: 127.0.0.1, port: {}, database: postgres, user: postgres, tls: disable }}
{}syncs:
  customers:
    source: {{ connection: db, table: customers }}
    mode: mirror
    {setting}
    removed: delete
    destination: {{ connection: braze, object: user }}
    mapping: {{ external_id: id, attributes: [plan] }}
",
            pair.replica,
            sandbox.connections()
        )
    };
    let project = Project::new(&yaml("state: ours"));
    let compared = |run: &Value| {
        ["added", "changed", "removed", "unchanged"].map(|name| run["compared"][name].as_u64().unwrap_or(99))
    };
    let run = || project.document(&["run", "customers"])["runs"][0].clone();
    assert_eq!(compared(&run()), [50, 0, 0, 0]);
    pair.run("UPDATE customers SET plan = 'pro' WHERE id = 5; DELETE FROM customers WHERE id = 7").await;
    assert_eq!(compared(&run()), [0, 1, 1, 48]);
    project.write("tidegate.yaml", &yaml("compare: hashes"));
    assert_eq!(compared(&run()), [0, 0, 0, 49]);
    assert_eq!(compared(&run()), [0, 0, 0, 49]);

    project.write("tidegate.yaml", &yaml("state: source"));
    let check = project.done(&["check", "customers"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(
        check.stdout.contains("the server is a replica, and `state: source` writes at the server"),
        "{check:?}"
    );
    pair.run("CREATE SCHEMA tidegate").await;
    let refused = project.done(&["run", "customers"]);
    assert!(refused.code == 1 && refused.stderr.contains("connect to the primary server"), "{refused:?}");
}
