//! `tidegate demo`

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use tidegate_engine::service::RunMode;
use tidegate_model::{Clock, Error, ErrorKind, Faults, Settings, SystemClock};
use tidegate_project::FILE_NAME;

use super::serve::{Door, Server, local};
use super::{run, signals};
use crate::cli::{Output, ProjectArgs};
use crate::output;
use crate::sandbox::Sandboxes;

/// The folder of the demo, unless another one is named.
const FOLDER: &str = "tidegate-demo";
/// Where the sandbox of the project sends its message events.
const PORT: u16 = 18417;
/// How long message events may take to come back after the last run.
const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! quickstart {
    ($file:literal) => {
        ($file, include_str!(concat!("../../../../examples/quickstart/", $file)))
    };
}

/// What the folder holds at first: `examples/quickstart`.
const FILES: &[(&str, &str)] = &[
    quickstart!("tidegate.yaml"),
    quickstart!("menu.json"),
    quickstart!("README.md"),
    quickstart!("data/customers.csv"),
    quickstart!("data/order_lines.csv"),
    quickstart!("data/orders/2018-09-01.csv"),
    quickstart!("data/orders/2018-09-04.csv"),
    quickstart!("data/products.jsonl"),
    quickstart!("data/tweets.jsonl"),
];
/// The catalog that the project fills. Braze takes items only into one that exists.
const MENU: &str = "menu.json";

/// What is wanted of a demo.
pub(super) struct Wanted {
    /// The folder.
    pub(super) folder: Option<PathBuf>,
    /// Whether it ends when everything has arrived.
    pub(super) once: bool,
    /// Where it listens.
    pub(super) listen: Option<SocketAddr>,
}

pub(super) async fn demo(args: ProjectArgs, wanted: Wanted, out: Output) -> Result<u8, Error> {
    let Wanted { folder, once, listen } = wanted;
    let folder = folder.unwrap_or_else(|| FOLDER.into());
    let is_made = tidegate_project::is_project(&folder);
    let made_for = if is_made { port_of(&folder) } else { None };
    let listen = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, made_for.unwrap_or(PORT)).into());
    if let Some(port) = made_for.filter(|port| *port != listen.port()) {
        let project = folder.display();
        return Err(Error::settings(format!(
            "the project in {project} sends its message events to port {port}"
        ))
        .hint(format!("run `tidegate demo {project} --listen 127.0.0.1:{port}`, or name a new folder")));
    }
    let listen = free(listen)?;
    if !is_made {
        let (before, after) = (format!("127.0.0.1:{PORT}"), format!("127.0.0.1:{}", listen.port()));
        for (name, text) in FILES {
            super::init::write(&folder.join(name), &text.replace(&before, &after))?;
        }
        if out == Output::Text {
            let file = folder.join(FILE_NAME);
            output::note(format!("wrote {}, to change and to run again", file.display()));
        }
    }
    let args = ProjectArgs { project: folder.clone(), ..args };
    create_catalog(&args, &folder).await?;
    let server = Server::start(&args, listen, false, Door::default(), signals::stop_on_signals()).await?;
    let syncs = run::every_sync(&server.engine, out).await?;
    let task = run::Task::Run(RunMode::Once);
    let code = run::run_each(&server.engine, syncs, 1, &task, &server.stop, out).await?;
    exported(&server).await?;
    if out == Output::Text {
        let events: u64 = server.engine.event_counts(None).await?.iter().map(|count| count.events).sum();
        output::line(format!("{} came back", output::counted(events, "message event")));
        next_steps(&folder);
    }
    if once {
        server.stop.cancel();
    } else if out == Output::Text {
        output::note(format!("dashboard  http://{}/  (Ctrl-C ends it)", local(server.address)));
    }
    server.until_stopped().await;
    Ok(code)
}

/// Returns an address that nothing listens on; a port of 0 is any that is free.
fn free(listen: SocketAddr) -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    listener.map_err(|cause| {
        Error::settings(format!("cannot listen on {listen}"))
            .hint("choose another address with `--listen`, for example 127.0.0.1:18418, and a new folder")
            .caused_by(cause)
    })
}

/// Returns the port that the sandbox of a project sends its message events to.
fn port_of(folder: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(folder.join(FILE_NAME)).ok()?;
    let mut before = text.match_indices("/in/onesignal/").map(|(at, _)| &text[..at]);
    before.find_map(|before| before.rsplit_once(':')?.1.parse().ok())
}

/// Creates the catalog in the sandbox of Braze, which says so if it exists.
async fn create_catalog(args: &ProjectArgs, folder: &Path) -> Result<(), Error> {
    let path = folder.join(MENU);
    let menu = std::fs::read(&path).map_err(|cause| {
        Error::new(ErrorKind::Settings, format!("cannot read {}", path.display()))
            .hint("name a folder that does not exist yet, or one that `tidegate demo` has written")
            .caused_by(cause)
    })?;
    let data = args.data_folder().join("sandbox");
    let sandboxes = Sandboxes::open(Some(&data), Faults::default(), true, &Settings::default())?;
    let request = Request::post("/catalogs")
        .header(header::AUTHORIZATION, "Bearer sandbox")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(menu))
        .map_err(|cause| Error::internal("a request cannot be written").caused_by(cause))?;
    sandboxes.send("braze", request).await.map(drop)
}

/// Waits until every event that came back is in the table.
async fn exported(server: &Server) -> Result<(), Error> {
    let until = SystemClock.now() + PATIENCE;
    while SystemClock.now() < until && !server.stop.is_cancelled() {
        let status = server.engine.status().await?;
        if status.iter().flat_map(|status| &status.lag).all(|lag| lag.behind == 0) {
            return Ok(());
        }
        pause().await;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an export tells how far it is, not when it is there")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

fn next_steps(folder: &Path) {
    let project = folder.display();
    let mut table =
        output::table::Table::new([output::table::word("look further"), output::table::sentence("")]);
    table.row([format!("tidegate rows --project {project}").into(), "the status of every row".into()]);
    table.row([format!("tidegate events --project {project}").into(), "the message events by kind".into()]);
    table.row([format!("{project}/README.md").into(), "what to change, and what happens then".into()]);
    output::line("");
    output::table(&table);
}
