//! `tidegate serve`, for all journeys.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::support::{Project, pause};

/// How long anything may take that a journey waits for.
const PATIENCE: Duration = Duration::from_secs(40);

/// `tidegate serve` of a project on a free port, killed with the test.
pub(crate) struct Served {
    process: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    said: Arc<Mutex<String>>,
    client: reqwest::Client,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {self:?}"))
    }

    /// A header's text, empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Served {
    pub(crate) fn start(project: &Project) -> Served {
        Served::at(project, "127.0.0.1:0")
    }

    /// One that may have this many files open.
    pub(crate) fn with_files(project: &Project, files: u32) -> Served {
        let serve = project.tidegate(&["serve", "--listen", "127.0.0.1:0"]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\""));
        command.arg(serve.get_program()).args(serve.get_args());
        Served::spawn(command)
    }

    /// The most memory that it had so far, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number")
            / 1024
    }

    /// With options of its own.
    pub(crate) fn with(project: &Project, options: &[&str]) -> Served {
        let words: Vec<&str> = ["serve", "--listen", "127.0.0.1:0"].iter().chain(options).copied().collect();
        Served::spawn(project.tidegate(&words))
    }

    /// On this address, for example the one of a server that is gone.
    pub(crate) fn at(project: &Project, listen: &str) -> Served {
        Served::spawn(project.tidegate(&["serve", "--listen", listen]))
    }

    fn spawn(mut command: Command) -> Served {
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tidegate starts");
        let said = Arc::new(Mutex::new(String::new()));
        let address = listen(BufReader::new(process.stderr.take().expect("piped")), said.clone());
        let mut served = Served { process, url: String::new(), said, client: reqwest::Client::new() };
        match address.recv_timeout(PATIENCE) {
            Ok(url) => served.url = url,
            Err(_) => panic!("tidegate serve does not say where it listens:\n{}", served.said()),
        }
        served
    }

    /// Everything that it said on stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").expect("a scheme").1
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    /// Posts a body with these headers.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Puts a body with these headers.
    pub(crate) async fn put(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.client.put(format!("{}{path}", self.url)).body(body);
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Sends a signal to the process, for example `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill starts").success());
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap_or_else(|cause| panic!("{cause:?}\n{}", self.said()));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.text().await.expect("text") }
    }

    /// `kill -9`. Tells whether it was still running.
    pub(crate) fn kill(&mut self) -> bool {
        let running = self.process.try_wait().expect("a state").is_none();
        let _ = self.process.kill();
        let _ = self.process.wait();
        running
    }

    /// Asks it to end, waits, and returns its exit code and what it said.
    pub(crate) async fn stop(mut self) -> (i32, String) {
        let asked = Command::new("kill").arg(self.process.id().to_string()).status().expect("kill starts");
        assert!(asked.success(), "it is already gone:\n{}", self.said());
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().expect("a state") {
                return (status.code().unwrap_or(-1), self.said());
            }
            pause(Duration::from_millis(10)).await;
        }
        panic!("it does not end when it is asked to:\n{}", self.said());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
        crate::canaries::search("the log of `tidegate serve`", &self.said());
        if std::thread::panicking() {
            eprintln!("tidegate serve said:\n{}", self.said());
        }
    }
}

/// Reads what a process says for as long as it runs; its address comes first.
fn listen(stderr: impl BufRead + Send + 'static, said: Arc<Mutex<String>>) -> Receiver<String> {
    let (found, address) = channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("listening on ") {
                // It is not waited for twice.
                let _ = found.send(url.to_owned());
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
    address
}

/// Looks again and again until there is something, and returns it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {} seconds", PATIENCE.as_secs());
        pause(Duration::from_millis(50)).await;
    }
}
