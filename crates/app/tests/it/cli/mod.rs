//! What a person types and what they read: verbs, exit codes, JSON, silence.

mod asking;
mod newcomer;
mod planning;
mod project;
mod secrets;

use crate::support::{Database, Ended, Project, Sandbox};

/// Three hundred orders, three of them without a customer, as events of Braze.
struct Shop {
    database: Database,
    sandbox: Sandbox,
    project: Project,
}

impl Shop {
    async fn open() -> Shop {
        let database = Database::create().await;
        database
            .run(
                "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, at timestamptz NOT NULL, total numeric(9,2));
                 INSERT INTO orders SELECT n, CASE WHEN n % 100 > 0 THEN 'c' || n % 7 END, now() - n * interval '1 second', n / 8.0
                 FROM generate_series(1, 300) n",
            )
            .await;
        let sandbox = Sandbox::start(&["--memory"]);
        let project = Project::new(&yaml(&database.connection(), &sandbox));
        Shop { database, sandbox, project }
    }
}

fn yaml(connection: &str, sandbox: &Sandbox) -> String {
    format!(
        "connections:\n  shop: {connection}\n{}syncs:\n  orders:\n    source: {{ connection: shop, table: orders }}\n    \
         cursor: at\n    destination: {{ connection: braze, object: event }}\n    \
         mapping:\n      external_id: customer\n      name: {{ value: order_placed }}\n      \
         properties: [id, total]\n",
        sandbox.connections()
    )
}

/// Asserts how a command ended.
fn expect(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.stdout.contains(word) || ended.stderr.contains(word), "`{word}` in {ended:?}");
    }
}
