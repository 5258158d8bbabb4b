//! Pages that stay open, as browsers keep them: what they cost, and how soon they show what happened.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::ask;
use crate::clock;
use crate::latency::{Latencies, Millis};
use crate::load::beside;
use crate::tidegate::Serving;

/// Pages that are open.
pub(crate) const PAGES: usize = 200;
/// Those of them that show the run of the import, while there is one. The others show the overview.
const OF_RUN: usize = 50;
/// How often a page looks whether it is closed.
const LOOK: Duration = Duration::from_millis(200);
/// For how long the cost is measured.
const SECONDS: u64 = 60;
/// A change that is not shown by then is not shown.
const SHOWN_MAX: Duration = Duration::from_secs(30);
/// Of a thread that only reads.
const STACK: usize = 256 << 10;

/// A version of a part that arrived.
struct Version {
    at: Instant,
    headline: String,
}

/// Open pages.
pub(crate) struct Pages {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Version>>>>,
}

impl Pages {
    /// Opens overviews.
    pub(crate) fn of_overview(address: SocketAddr) -> Result<Pages> {
        let mut pages = Pages { is_over: Arc::default(), threads: Vec::new() };
        (0..PAGES).try_for_each(|_| pages.open(move || follow(address, "/live", LOOK)))?;
        Ok(pages)
    }

    /// Opens overviews, and the page of the run of a sync as soon as there is one.
    pub(crate) fn of_run(address: SocketAddr, sync: &'static str) -> Result<Pages> {
        let mut pages = Pages { is_over: Arc::default(), threads: Vec::new() };
        (OF_RUN..PAGES).try_for_each(|_| pages.open(move || follow(address, "/live", LOOK)))?;
        for _ in 0..OF_RUN {
            let over = pages.is_over.clone();
            pages.open(move || {
                let begun = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let list = ask::text(address, &format!("/api/v1/runs?sync={sync}&limit=1"))?;
                    let id = member(&list, "\"id\":\"").filter(|_| list.contains("\"ending\":null"));
                    if let Some(id) = id {
                        return follow(address, &format!("/runs/{id}/live"), LOOK);
                    }
                    ensure!(begun.elapsed() < SHOWN_MAX, "`{sync}` does not run");
                    clock::wait_until(Instant::now() + LOOK);
                }
                follow(address, "/live", LOOK)
            })?;
        }
        Ok(pages)
    }

    fn open(
        &mut self,
        connect: impl FnOnce() -> Result<BufReader<TcpStream>> + Send + 'static,
    ) -> Result<()> {
        let over = self.is_over.clone();
        let read = move || read(connect()?, &over);
        self.threads.push(Builder::new().stack_size(STACK).spawn(read)?);
        Ok(())
    }

    /// Closes them, and returns what each has shown.
    fn close(self) -> Result<Vec<Vec<Version>>> {
        self.is_over.store(true, Ordering::Relaxed);
        let joined = self.threads.into_iter().map(JoinHandle::join);
        joined.map(|versions| versions.map_err(|_| anyhow!("a page panicked"))?).collect()
    }

    /// Closes them.
    pub(crate) fn end(self) -> Result<()> {
        self.close().map(|_| ())
    }
}

/// Asks for the changes of a part.
fn follow(address: SocketAddr, path: &str, look: Duration) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(look))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

/// Reads versions until the page is closed or the server ends them.
fn read(mut stream: BufReader<TcpStream>, over: &AtomicBool) -> Result<Vec<Version>> {
    let (mut line, mut versions) = (Vec::new(), Vec::new());
    let mut is_answered = false;
    while !over.load(Ordering::Relaxed) {
        match stream.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if !line.ends_with(b"\n") => {}
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if !is_answered {
                    ensure!(text.contains(" 200 "), "a page answered {text}");
                    is_answered = true;
                }
                if let Some(headline) = member(&text, "<h1>") {
                    versions.push(Version { at: Instant::now(), headline });
                }
                line.clear();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("a page was cut off"),
        }
    }
    Ok(versions)
}

/// Returns what follows `start`, up to the next tag or quotation mark.
fn member(text: &str, start: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split(['<', '"']).next().map(str::to_owned)
}

/// What open pages cost when nothing happens, and how soon all of them show that a sync was paused.
pub(crate) async fn measure(serving: &Serving, sync: &'static str) -> Result<()> {
    let address = serving.address;
    let used = async || {
        let before = serving.processor_time();
        beside(move || {
            clock::wait_until(Instant::now() + Duration::from_secs(SECONDS));
            Ok(())
        })
        .await?;
        Ok::<Duration, anyhow::Error>(serving.processor_time().saturating_sub(before))
    };
    let without = used().await?;
    let pages = beside(move || Pages::of_overview(address)).await?;
    let with = used().await?;
    let paused_at = Instant::now();
    beside(move || ask::post(address, &format!("/api/v1/syncs/{sync}/pause"))).await?;
    let answered = paused_at.elapsed();
    beside(move || {
        clock::wait_until(paused_at + SHOWN_MAX / 3);
        Ok(())
    })
    .await?;
    let shown = beside(move || pages.close()).await?;
    beside(move || ask::post(address, &format!("/api/v1/syncs/{sync}/resume"))).await?;
    let after = |versions: &[Version]| {
        let before = versions.iter().rev().find(|version| version.at < paused_at)?;
        let mut newer = versions.iter().filter(|version| version.at >= paused_at);
        let first = newer.find(|version| version.headline != before.headline)?;
        Some(first.at.duration_since(paused_at))
    };
    let delays: Vec<u64> =
        shown.iter().filter_map(|versions| after(versions)).map(|delay| delay.as_micros() as u64).collect();
    ensure!(delays.len() == PAGES, "{} of {PAGES} pages have shown the change", delays.len());
    let delays = Latencies::of(delays);
    let share = |time: Duration| 100.0 * time.as_secs_f64() / SECONDS as f64;
    println!(
        "{PAGES} open overviews: {:.1} % of a processor for {SECONDS} s, {:.1} % without them. A sync that was paused (answered \
         after {}) is shown by all of them after {} at the median, {} at the most.\n",
        share(with),
        share(without),
        Millis(answered),
        Millis(delays.at(0.5)),
        Millis(delays.at(1.0))
    );
    Ok(())
}
