//! `tidegate doctor`

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use tidegate_engine::service::Engine;
use tidegate_model::{Checks, Clock as _, Error, Http as _, SystemClock};
use tidegate_project::Project;
use tidegate_transport::http::RealHttp;

use super::documents::Examined;
use super::{check, doctor_bucket};
use crate::cli::{Output, ProjectArgs};
use crate::output;
use crate::{DONE, FAILED};

/// Less free space than this keeps Tidegate from working soon.
const SPACE_MIN: u64 = 200 << 20;
/// Less than this is worth knowing.
const SPACE_GOOD: u64 = 2 << 30;
/// Open files that connections, logs and the state database need.
const FILES_MIN: u64 = 1_024;

/// Looks at the machine, the state and every connection, and says what is wrong.
pub(super) async fn doctor(args: &ProjectArgs, listen: SocketAddr, out: Output) -> Result<u8, Error> {
    let mut machine = Checks::default();
    let project = args.project();
    look_at_project(&mut machine, project.as_ref());
    look_at_folder(&mut machine, &args.data_folder());
    look_at_limits(&mut machine);
    look_at_port(&mut machine, listen).await;
    match args.bucket() {
        Ok(Some(config)) => doctor_bucket::look(&mut machine, config.bucket.as_ref()).await,
        Ok(None) => {}
        Err(error) => machine.fail("bucket", error.chain(), error.next_step()),
    }
    if args.store.is_some() {
        look_at_files_of_the_state(&mut machine, args);
    }
    let mut reports = Vec::new();
    if project.is_ok() {
        match args.examined_engine().await {
            Ok(engine) => {
                let place = match (engine.has_state(), args.store.is_some()) {
                    (false, _) => "there is none yet: the first run makes it",
                    (true, true) => "the PostgreSQL database answers",
                    (true, false) => "the database in the folder answers",
                };
                look_at_state(&mut machine, &engine, place).await;
                reports = check::everything(&engine).await?;
            }
            Err(error) => machine.fail("state", error.chain(), error.next_step()),
        }
    }
    let passed = machine.passed() && reports.iter().all(|report| report.checks.passed());
    let examined = Examined { passed, machine, reports };
    match out {
        Output::Text => {
            output::line("this machine");
            let mut said = check::Said::new();
            check::print_checks(&examined.machine, &mut said);
            examined.reports.iter().for_each(|report| check::print(report, &mut said));
        }
        _ => output::document(out, &examined),
    }
    Ok(if passed { DONE } else { FAILED })
}

fn look_at_project(machine: &mut Checks, project: Result<&Project, &Error>) {
    let project = match project {
        Ok(project) => project,
        Err(error) => return machine.fail("project file", error.message(), error.next_step()),
    };
    let unset = project.unset();
    if !unset.is_empty() {
        let names: Vec<String> = unset.iter().map(|variable| format!("{}=…", variable.name)).collect();
        let detail = format!("{} of its variables are not set", unset.len());
        return machine.fail("project file", detail, format!("export {}", names.join(" ")));
    }
    let (connections, syncs) = (project.connections.len() as u64, project.syncs.len() as u64);
    let detail =
        format!("{}, {}", output::counted(connections, "connection"), output::counted(syncs, "sync"));
    machine.pass("project file", detail);
    match project.alerts.channels.len() as u64 {
        0 => machine.warn("alerts", "there is no channel for them", "add one under `alerts.channels`"),
        channels => machine.pass(
            "alerts",
            format!("{}; `tidegate alerts test` sends a message", output::counted(channels, "channel")),
        ),
    }
}

fn look_at_folder(machine: &mut Checks, folder: &Path) {
    let shown = folder.display();
    let name = "state folder";
    // It is made by the first run.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let trial = there.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::File::create_new(&trial).and_then(|mut file| file.write_all(b"x"));
    let _ = std::fs::remove_file(&trial);
    match written {
        Ok(()) if there == folder => machine.pass(name, format!("{shown} can be written")),
        Ok(()) => machine.pass(name, format!("{shown} is made by the first run")),
        Err(cause) => {
            let remedy = match cause.kind() {
                std::io::ErrorKind::StorageFull => format!("free space on the disk of {}", there.display()),
                _ => format!("let the user that runs tidegate write in {}", there.display()),
            };
            machine.fail(name, format!("{shown} cannot be written: {cause}"), remedy);
        }
    }
    let Some(free) = free_space(there) else { return };
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let detail = format!("{:.1} GiB are free", free as f64 / f64::from(1 << 30));
    match free {
        0..SPACE_MIN => machine.fail("disk", detail, "free some space: a full disk stops every sync"),
        SPACE_MIN..SPACE_GOOD => machine.warn("disk", detail, "free some space before events fill it"),
        _ => machine.pass("disk", detail),
    }
}

/// Says what would be lost with this machine, if others share its state database.
fn look_at_files_of_the_state(machine: &mut Checks, args: &ProjectArgs) {
    let name = "if this machine is lost";
    match (args.bucket.is_some(), args.log.is_some()) {
        (true, true) => {
            machine.pass(name, "another one continues: its files are in the bucket, events in Kafka");
        }
        (false, _) => machine.warn(
            name,
            "the status of rows that are in files here is lost with it",
            "keep them in an object store with --bucket, if another machine is to take over",
        ),
        (true, false) => machine.warn(
            name,
            "events that came in here and were not exported are lost with it",
            "keep events in Kafka with --log, if this machine takes any",
        ),
    }
}

/// Returns the free bytes of the disk that holds a folder.
pub(super) fn free_space(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn look_at_limits(machine: &mut Checks) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(files) if files < FILES_MIN => machine.warn(
            "open files",
            format!("this process may open {files} files"),
            format!("allow {FILES_MIN} or more: `ulimit -n 65536`, or `LimitNOFILE=65536` in systemd"),
        ),
        Some(files) => machine.pass("open files", format!("this process may open {files} files")),
        None => machine.pass("open files", "there is no limit"),
    }
}

async fn look_at_port(machine: &mut Checks, listen: SocketAddr) {
    let name = format!("port {}", listen.port());
    let cause = match TcpListener::bind(listen) {
        Ok(_) => return machine.pass(name, format!("{listen} is free for `tidegate serve`")),
        Err(cause) => cause,
    };
    match ready(listen).await {
        Some(Ready::Encrypted) => {
            machine.pass(name, format!("`tidegate serve` answers at {listen}, by https"));
        }
        Some(Ready::Yes) => machine.pass(name, format!("`tidegate serve` answers at {listen} and is ready")),
        Some(Ready::No) => machine.fail(
            name,
            format!("`tidegate serve` answers at {listen} and is not ready"),
            format!("curl http://{listen}/readyz says why"),
        ),
        None => machine.fail(
            name,
            format!("{listen} cannot be listened on: {cause}"),
            "end the program that uses it, or choose another address with --listen",
        ),
    }
}

/// What a server of ours says of itself.
enum Ready {
    Yes,
    No,
    /// It speaks https, by a certificate of another name than its address.
    Encrypted,
}

/// Returns whether a server of ours is at an address, and ready. Another program may never answer.
async fn ready(address: SocketAddr) -> Option<Ready> {
    const PATIENCE: Duration = Duration::from_secs(3);
    tokio::time::timeout(PATIENCE, asked(address)).await.ok()?
}

async fn asked(address: SocketAddr) -> Option<Ready> {
    let get = |path: &str| http::Request::get(format!("http://{address}{path}")).body(bytes::Bytes::new());
    let http = RealHttp::new().ok()?;
    let health = http.send(get("/healthz").ok()?).await.ok()?;
    match health.body().as_ref() {
        b"ok\n" => {}
        said if said == tidegate_web::HTTPS_ONLY.as_bytes() => return Some(Ready::Encrypted),
        _ => return None,
    }
    let is_ready = http.send(get("/readyz").ok()?).await.ok()?.status().is_success();
    Some(if is_ready { Ready::Yes } else { Ready::No })
}

/// `place` says what was found of the state, if it can be read.
async fn look_at_state(machine: &mut Checks, engine: &Engine, place: &str) {
    let last = match engine.runs(None, 1).await {
        Ok(mut runs) => runs.pop(),
        Err(error) => return machine.fail("state", error.chain(), error.next_step()),
    };
    machine.pass("state", place);
    /// Clocks of machines differ by less.
    const SKEW: SignedDuration = SignedDuration::from_mins(5);
    let now = SystemClock.now();
    match last.map(|run| run.finished_at.unwrap_or(run.started_at)) {
        Some(at) if at.duration_since(now) > SKEW => machine.fail(
            "clock",
            format!("it is {}, before the last run ended ({})", output::moment(now), output::moment(at)),
            "set the clock, and keep it right with NTP: schedules and lookbacks depend on it",
        ),
        _ => machine.pass("clock", format!("it is {}", output::moment(now))),
    }
    let names = match engine.store().secrets().await {
        Ok(names) => names,
        Err(error) => return machine.fail("secrets", error.chain(), error.next_step()),
    };
    for name in &names {
        if let Err(error) = engine.store().secret(name).await {
            return machine.fail("secrets", error.chain(), error.next_step());
        }
    }
    if !names.is_empty() {
        let detail = format!("{} can be opened", output::counted(names.len() as u64, "secret"));
        machine.pass("secrets", detail);
    }
}
