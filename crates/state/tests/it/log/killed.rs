//! A process that dies while it appends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tidegate_model::SystemClock;
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::event_log::event;

use super::{Folder, read_all, shop};

const FOLDER: &str = "TIDEGATE_TEST_CHILD_FOLDER";
const ROUND: &str = "TIDEGATE_TEST_CHILD_ROUND";

fn config(folder: PathBuf) -> LogConfig {
    LogConfig { segment_bytes: 100_000, ..LogConfig::new(folder, Arc::new(SystemClock), LogAccess::Append) }
}

/// Appends for ever, and says what was confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the next test kills"]
async fn child() {
    let folder = std::env::var(FOLDER).expect("the parent sets it");
    let round = std::env::var(ROUND).expect("the parent sets it");
    let log = open_log(config(folder.into())).expect("opened");
    let mut tasks = Vec::new();
    for task in 0..8 {
        let (log, round) = (Arc::clone(&log), round.clone());
        tasks.push(tokio::spawn(async move {
            for at in 0.. {
                let ids: Vec<String> =
                    (0..=at % 5).map(|part| format!("{round}-{task}-{at}-{part}")).collect();
                log.append(&shop(), ids.iter().map(|id| event(id)).collect()).await.expect("appended");
                println!("confirmed {}", ids.join(" "));
            }
        }));
    }
    for task in tasks {
        task.await.expect("for ever");
    }
}

#[tokio::test]
async fn nothing_that_was_confirmed_is_lost_or_doubled_by_a_kill() {
    let folder = Folder::new();
    let mut confirmed = Vec::new();
    for round in 0..12_usize {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "log::killed::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.log())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = process.stdout.take().expect("piped");
        let before = confirmed.len();
        let mut alive = true;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // What it said before it died, it had confirmed.
            let Some((_, ids)) = line.split_once("confirmed ") else { continue };
            confirmed.extend(ids.split(' ').map(str::to_owned));
            if alive && confirmed.len() - before > 37 * (round + 1) * (round + 1) {
                process.kill().expect("killed");
                alive = false;
            }
        }
        process.wait().expect("ended");
        assert!(!alive, "it ended by itself");
    }

    let log = open_log(config(folder.log())).expect("opened");
    let (found, error) = read_all(&*log, None).await;

    assert!(error.is_none(), "{error:?}");
    assert!(found.iter().zip(0..).all(|(logged, at)| logged.offset.at == at));
    let mut times = BTreeMap::new();
    for logged in &found {
        *times.entry(logged.event.id.to_string()).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| *times == 1));
    for id in &confirmed {
        assert!(times.contains_key(id), "{id} was confirmed and is gone");
    }
    let again = confirmed.iter().map(|id| event(id)).collect();
    let duplicates = log.append(&shop(), again).await.expect("appended");
    assert_eq!((duplicates.events, duplicates.duplicates), (0, confirmed.len() as u64));
}
