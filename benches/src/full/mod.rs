//! A store with the work of three months in it: how long pages and the API take, and what the
//! questions cost an import beside them.

mod ask;
mod fill;
mod live;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::Config;

use crate::clock;
use crate::full::ask::Asked;
pub(crate) use crate::full::fill::Amounts;
use crate::latency::Millis;
use crate::load::beside;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, grouped, mebibytes};
use crate::rows_in::{self, Server};
use crate::tidegate::{Serving, Tidegate};

/// Questions in a second, over all pages.
const A_SECOND: u32 = 20;
/// An import that stands still for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// The timeline of a user who has events, another one each time.
const TIMELINE: &str = "/users?user={user}";
/// What people and programs look at.
const PATHS: [&str; 14] = [
    "/",
    "/syncs",
    "/syncs/s7",
    "/runs",
    "/failed-rows",
    "/events",
    "/connections",
    "/alerts",
    "/api/v1/status",
    "/api/v1/syncs",
    "/api/v1/runs",
    "/api/v1/failed-rows",
    "/api/v1/groups",
    TIMELINE,
];

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// Where the state is made, or is from an earlier call.
    pub(crate) folder: PathBuf,
    /// What is in the store.
    pub(crate) amounts: Amounts,
    /// Rows of the import.
    pub(crate) rows: u64,
    /// How often the import runs with the questions beside it, and as often without.
    pub(crate) rounds: u32,
    /// For how many seconds questions are asked.
    pub(crate) seconds: u32,
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let postgres: Config = plan.postgres.parse().context("--postgres is not an address of a database")?;
    let client = rows_in::connect(&postgres).await?;
    rows_in::fill(&client, plan.rows).await?;
    let server = Server::of(&postgres)?;
    let receiver = Receiver::new(Counting::Objects);
    let tidegate = Tidegate::new(&plan.tidegate, &plan.folder)?;
    tidegate.project(&fill::project(&server, &receiver.start()?.to_string(), plan.amounts.syncs))?;
    fill::fill(&tidegate, &plan.folder, &plan.amounts).await?;
    heading(plan)?;
    let variables = [("PGPASSWORD", server.password())];
    let started = Instant::now();
    let serving = tidegate.serve(&variables).await?;
    let address = serving.address;
    let first = beside(move || ask::once(address, "/")).await?;
    println!(
        "Cold start to the end of the first page: {} ({} of it the page).\n",
        Millis(started.elapsed()),
        Millis(first.whole)
    );
    at_rest(&serving).await?;
    live::measure(&serving, "s7").await?;
    pages(plan, &serving).await?;
    import(plan, &serving, &receiver).await?;
    serving.stop().await?;
    Ok(())
}

fn heading(plan: &Plan) -> Result<()> {
    let Amounts { syncs, runs, failed, delivered, events } = plan.amounts;
    println!("## A full store\n");
    println!(
        "{}. In the store, on {}: {} syncs, {} runs, {} failed rows, {} delivered rows, {} events.\n",
        report::machine(),
        report::disk(&plan.folder)?,
        grouped(syncs),
        grouped(syncs * runs),
        grouped(syncs * runs * failed),
        grouped(syncs * runs * delivered),
        grouped(events)
    );
    Ok(())
}

/// What it holds and uses when nothing happens.
async fn at_rest(serving: &Serving) -> Result<()> {
    const SECONDS: u64 = 30;
    let wait = |seconds| {
        beside(move || {
            clock::wait_until(Instant::now() + Duration::from_secs(seconds));
            Ok(())
        })
    };
    wait(10).await?;
    let before = serving.processor_time();
    wait(SECONDS).await?;
    let used = serving.processor_time().saturating_sub(before);
    println!(
        "At rest: {} resident, {:.2} s of processor time in {SECONDS} s.\n",
        mebibytes(serving.memory()),
        used.as_secs_f64()
    );
    Ok(())
}

/// Each page and list, asked in turns.
async fn pages(plan: &Plan, serving: &Serving) -> Result<()> {
    let (address, seconds) = (serving.address, plan.seconds);
    let answer =
        beside(move || ask::text(address, &ask::path_of("/api/v1/users/{user}/timeline", 0))).await?;
    let events = answer.matches("\"direction\":\"received\"").count();
    ensure!(events > 0 || plan.amounts.events == 0, "a timeline has no event: {answer}");
    println!("The first timeline that is asked for has {events} events.\n");
    println!("{A_SECOND} questions a second for {seconds} s, in turns:\n");
    let asked = beside(move || ask::for_seconds(address, &PATHS, A_SECOND, seconds)).await?;
    println!("| what | asked | bytes | first byte, p99 | median | p99 | slowest |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for Asked { path, bytes, first, whole } in &asked {
        println!(
            "| `{path}` | {} | {} | {} | {} | {} | {} |",
            whole.count(),
            grouped(*bytes),
            Millis(first.at(0.99)),
            Millis(whole.at(0.5)),
            Millis(whole.at(0.99)),
            Millis(whole.at(1.0))
        );
    }
    println!();
    Ok(())
}

/// What is beside an import.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Questions,
    Pages,
}

impl Beside {
    const ALL: [Beside; 3] = [Beside::Nothing, Beside::Questions, Beside::Pages];

    fn name(self) -> String {
        match self {
            Beside::Nothing => "alone".to_owned(),
            Beside::Questions => "with the questions beside it".to_owned(),
            Beside::Pages => format!("with {} open pages beside it", live::PAGES),
        }
    }
}

/// An import with nothing beside it, with questions, and with open pages, in turns.
async fn import(plan: &Plan, serving: &Serving, receiver: &Receiver) -> Result<()> {
    let mut times = Beside::ALL.map(|_| Vec::new());
    let mut sent = receiver.counts().objects;
    for round in 0..=plan.rounds {
        for (what, times) in Beside::ALL.into_iter().zip(&mut times) {
            let address = serving.address;
            let questions =
                matches!(what, Beside::Questions).then(|| ask::Asking::begin(address, &PATHS, A_SECOND));
            let pages = matches!(what, Beside::Pages).then(|| live::Pages::of_run(address, "import"));
            let began = Instant::now();
            beside(move || ask::post(address, "/api/v1/syncs/import/run?wait=600")).await?;
            sent += plan.rows;
            receiver.wait_for(sent, PATIENCE).await?;
            let took = began.elapsed();
            if let Some(questions) = questions {
                questions.end()?;
            }
            if let Some(pages) = pages {
                let pages = pages?;
                beside(move || pages.end()).await?;
            }
            eprintln!("import, {}: {:.2} s", what.name(), took.as_secs_f64());
            // The first of each warms the caches of the database.
            if round > 0 {
                times.push(took);
            }
        }
    }
    println!("| an import of {} rows | seconds | rows/s | spread |", grouped(plan.rows));
    println!("|---|---:|---:|---:|");
    for (name, mut rounds) in Beside::ALL.map(Beside::name).into_iter().zip(times) {
        rounds.sort_unstable();
        let Some(median) = rounds.get(rounds.len() / 2).map(Duration::as_secs_f64) else { continue };
        let far = rounds.iter().map(|took| (took.as_secs_f64() - median).abs()).fold(0.0, f64::max);
        println!(
            "| {name} | {median:.2} | {} | {:.0} % |",
            grouped((plan.rows as f64 / median) as u64),
            100.0 * far / median
        );
    }
    println!();
    Ok(())
}
