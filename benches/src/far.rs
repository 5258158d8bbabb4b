//! Platforms that are far away: answers over TLS after a while, against the documented rates.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_postgres::Config;

use crate::receiver::{Counting, Receiver};
use crate::report::{self, grouped, mebibytes};
use crate::rows_in::{self, Server};
use crate::tidegate::Tidegate;

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// After how many milliseconds answers come.
    pub(crate) millis: Vec<u64>,
    /// For about how many seconds each platform is sent to.
    pub(crate) seconds: u64,
}

/// A platform, and what it documents.
struct Platform {
    name: &'static str,
    counting: Counting,
    /// Objects a second. Source: Braze docs, POST /users/track: 3,000 requests of 75 objects in 3
    /// seconds; OneSignal docs, Rate limits: 1,000 users a second.
    rate: u64,
    connection: &'static str,
    sync: &'static str,
}

const PLATFORMS: [Platform; 2] = [
    Platform {
        name: "Braze events",
        counting: Counting::Objects,
        rate: 75_000,
        connection: "type: braze, api_key: bench",
        sync: "    destination: { connection: far, object: event }
    mapping: { name: event_name, external_id: user_id, timestamp: event_timestamp, properties: event_data }
    in_doubt: resend
",
    },
    Platform {
        name: "OneSignal users",
        counting: Counting::Users,
        rate: 1_000,
        connection: "type: onesignal, api_key: bench, app_id: 11111111-2222-3333-4444-555555555555",
        sync: "    destination: { connection: far, object: user }
    mapping: { external_id: user_id, attributes: [event_name] }
",
    },
];

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let postgres: Config = plan.postgres.parse().context("--postgres is not an address of a database")?;
    let client = rows_in::connect(&postgres).await?;
    let server = Server::of(&postgres)?;
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    let (pem, tls) = certificate()?;
    fs::write(folder.path().join("far.pem"), pem)?;

    println!("## Far away: answers over TLS after a while\n");
    println!(
        "{}. HTTP/1.1 over TLS 1.3 on loopback; the receiver decrypts on the same cores. The documented \
         rate is the ceiling.\n",
        report::machine()
    );
    println!("| to | answers after | objects | objects/s | of the ceiling | in a request | peak memory |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for platform in &PLATFORMS {
        let objects = platform.rate * plan.seconds;
        rows_in::fill(&client, objects).await?;
        for &millis in &plan.millis {
            let receiver = Receiver::far(platform.counting, Duration::from_millis(millis), Arc::clone(&tls));
            let address = receiver.start()?;
            tidegate.forget()?;
            tidegate.project(&format!(
                "connections:
  pg: {}
  far: {{ {}, endpoint: \"https://{address}\", ca_file: far.pem }}
syncs:
  far:
    source: {{ connection: pg, table: bench_events }}
    cursor: event_timestamp
{}",
                server.connection(),
                platform.connection,
                platform.sync
            ))?;
            let (took, memory) = tidegate.run_with("far", &[("PGPASSWORD", server.password())]).await?;
            let counts = receiver.counts();
            ensure!(counts.objects == objects, "{} of {objects} objects arrived", counts.objects);
            let rate = objects as f64 / receiver.moving().as_secs_f64();
            eprintln!("{} after {millis} ms: {:.1} s", platform.name, took.as_secs_f64());
            println!(
                "| {} | {millis} ms | {} | {} | {:.2} | {:.1} | {} |",
                platform.name,
                grouped(objects),
                grouped(rate as u64),
                rate / platform.rate as f64,
                objects as f64 / counts.requests as f64,
                mebibytes(memory)
            );
        }
    }
    println!();
    Ok(())
}

/// A self-signed certificate for this machine, and a server with it.
fn certificate() -> Result<(String, Arc<ServerConfig>)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((made.cert.pem(), Arc::new(config)))
}
