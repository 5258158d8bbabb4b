//! What goes wrong, what is said about it, and how it is put right: nothing is
//! lost, nothing arrives twice, and if the outcome cannot be known, that is reported.

mod asked_to_wait;
mod faults;
mod outages;
mod poison;
mod refused;

use crate::support::{Database, Project, Sandbox};

/// A table of orders and a sandbox without limits of speed.
struct Scene {
    database: Database,
    sandbox: Sandbox,
}

impl Scene {
    /// With the orders `1..=rows` of the users `u0` to `u9`.
    async fn with_orders(rows: u32) -> Scene {
        let database = Database::create().await;
        database
            .run(&format!(
                "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, at timestamptz NOT NULL, total numeric(9,2));
                 INSERT INTO orders SELECT n, 'u' || n % 10, now() - interval '1 hour' + n * interval '1 millisecond', n / 100.0
                 FROM generate_series(1, {rows}) n"
            ))
            .await;
        Scene { database, sandbox: Sandbox::start(&["--memory", "--no-limits"]) }
    }

    /// A project with one sync `orders`; `rest` is its end, after `source`.
    fn project(&self, rest: &str) -> Project {
        self.syncs(&format!("  orders:\n    source: {{ connection: db, table: orders }}\n{rest}"))
    }

    fn syncs(&self, syncs: &str) -> Project {
        Project::new(&format!(
            "connections:\n  db: {}\n{}syncs:\n{syncs}",
            self.database.connection(),
            self.sandbox.connections()
        ))
    }

    /// Makes OneSignal know the users `u0` to `u9`.
    async fn know_users(&self) {
        for user in 0..10 {
            let body = format!(
                r#"{{"identity":{{"external_id":"u{user}"}},"subscriptions":[{{"type":"Email","token":"u{user}@example.com"}}]}}"#
            );
            let path = "/apps/7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17/users";
            assert_eq!(self.sandbox.post(path, "Key test", &body).await, 201);
        }
    }
}

/// Orders as events of a platform, found by their time.
fn events_to(platform: &str) -> String {
    format!(
        "    cursor: at\n    destination: {{ connection: {platform}, object: event }}\n    \
         mapping: {{ external_id: customer, name: {{ value: ordered }}, timestamp: at, properties: [id, total] }}\n"
    )
}
