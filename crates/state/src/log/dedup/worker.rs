//! The thread that writes and merges files of ids. It runs only while there is work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::recent::{RecentIds, Seen};
use super::run::{Covers, Run};

/// What is to be done. Events that were logged before `since` are left out.
pub(super) enum Task {
    /// Writes these ids to a file.
    Write { ids: Arc<RecentIds>, covers: Covers, since: u32 },
    /// Makes one file of these neighbors.
    Merge { runs: Vec<Arc<Run>>, since: u32 },
}

/// The result of a task.
pub(super) enum Done {
    Written(Run),
    Merged(Run),
    Failed(io::Error),
}

/// One task at a time, beside the thread that writes the log.
pub(super) struct Worker {
    folder: PathBuf,
    busy: Option<JoinHandle<Done>>,
}

impl Worker {
    pub(super) fn new(folder: PathBuf) -> Worker {
        Worker { folder, busy: None }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Starts a task, if none is running.
    pub(super) fn start(&mut self, task: Task) {
        if self.busy.is_none() {
            let folder = self.folder.clone();
            self.busy =
                thread::Builder::new().name("log-ids".to_owned()).spawn(move || work(&folder, task)).ok();
        }
    }

    /// Returns the result of the task, if it has ended.
    pub(super) fn done(&mut self) -> Option<Done> {
        self.busy.take_if(|busy| busy.is_finished()).map(join)
    }

    /// Waits for the task.
    #[cfg(test)]
    pub(super) fn wait(&mut self) -> Option<Done> {
        self.busy.take().map(join)
    }
}

fn join(busy: JoinHandle<Done>) -> Done {
    busy.join().unwrap_or_else(|_| Done::Failed(io::Error::other("the thread that writes ids has died")))
}

fn work(folder: &Path, task: Task) -> Done {
    let (done, written): (fn(Run) -> Done, _) = match task {
        Task::Write { ids, covers, since } => {
            let live = ids.sorted().filter(|seen| seen.second() >= since).map(Ok);
            (Done::Written, Run::write(folder, covers, ids.len() as u64, live))
        }
        Task::Merge { runs, since } => (Done::Merged, merge(folder, &runs, since)),
    };
    written.map_or_else(Done::Failed, done)
}

fn merge(folder: &Path, runs: &[Arc<Run>], since: u32) -> io::Result<Run> {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return Err(io::Error::other("nothing to merge"));
    };
    let covers = Covers { first: first.covers().first, ..last.covers() };
    let count = runs.iter().map(|run| run.count()).sum();
    let sources = runs.iter().map(|run| run.entries()).collect::<io::Result<Vec<_>>>()?;
    let live = Merge::new(sources)?.filter(|seen| seen.as_ref().map_or(true, |seen| seen.second() >= since));
    Run::write(folder, covers, count, live)
}

/// Merges sorted events. Of one that was logged twice, the newer one remains.
struct Merge<I> {
    sources: Vec<(Option<Seen>, I)>,
}

impl<I: Iterator<Item = io::Result<Seen>>> Merge<I> {
    fn new(sources: Vec<I>) -> io::Result<Merge<I>> {
        let sources = sources
            .into_iter()
            .map(|mut source| Ok((source.next().transpose()?, source)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Merge { sources })
    }
}

impl<I: Iterator<Item = io::Result<Seen>>> Iterator for Merge<I> {
    type Item = io::Result<Seen>;

    fn next(&mut self) -> Option<io::Result<Seen>> {
        let least = self.sources.iter().filter_map(|(head, _)| *head).map(Seen::id).min()?;
        let mut newest: Option<Seen> = None;
        for (head, source) in &mut self.sources {
            if head.is_some_and(|head| head.id() == least) {
                newest = newest.into_iter().chain(*head).max_by_key(|seen| seen.second());
                match source.next().transpose() {
                    Ok(next) => *head = next,
                    Err(cause) => return Some(Err(cause)),
                }
            }
        }
        newest.map(Ok)
    }
}
