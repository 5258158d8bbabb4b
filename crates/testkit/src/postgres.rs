//! Databases of tests on a PostgreSQL server.

use std::thread;

use tokio_postgres::{Config, NoTls};

/// A database that a test has made. It is removed when this is dropped, whoever is connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    server: Config,
    name: String,
}

impl TestDatabase {
    /// The database with this name on a server, which is given by the connection of a superuser.
    pub fn new(server: Config, name: &str) -> TestDatabase {
        TestDatabase { server, name: name.to_owned() }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The test may be in a runtime, which must not be blocked on.
        let removing = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let (client, connection) = server.connect(NoTls).await.ok()?;
                tokio::spawn(connection);
                client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.ok()
            })
        });
        // What cannot be removed only takes space.
        let _ = removing.join();
    }
}
