//! The files of ids of a stream, in the order of their events.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::recent::Id;
use super::run::Run;
use crate::log::lineage::{Lineage, Start};

/// How many files of about the same size become one.
const MERGED: usize = 4;

/// The files of ids of a stream, oldest first. Each begins where the one before it ends.
#[derive(Default)]
pub(in crate::log) struct Runs(Vec<Arc<Run>>);

impl Runs {
    /// Opens the files in a folder. If they do not fit together or do not belong to this log, all are
    /// removed: the ids are then read from the segments.
    ///
    /// # Errors
    /// What the disk says.
    pub(in crate::log) fn load(folder: &Path, lineage: &Lineage) -> io::Result<Runs> {
        let mut runs = Vec::new();
        let mut whole = true;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "seen") {
                match Run::open(path.clone())? {
                    Some(run) => runs.push(Arc::new(run)),
                    None => {
                        whole = false;
                        fs::remove_file(&path)?;
                    }
                }
            }
        }
        runs.sort_by_key(|run| (run.covers().first, u64::MAX - run.covers().end));
        let mut kept = Runs::default();
        for run in runs {
            let covers = run.covers();
            if covers.end <= kept.end() && covers.first < covers.end {
                // It was merged into the one before it, and its removal was cut short.
                run.remove();
                continue;
            }
            let follows = kept.0.is_empty() || covers.first == kept.end();
            whole &= follows && lineage.start(covers.log, covers.end) == Start::At(covers.end);
            kept.0.push(run);
        }
        if !whole {
            warn!(folder = %folder.display(), "files of ids are damaged or of another log: the ids are read from the log");
            return Ok(kept.discard());
        }
        Ok(kept)
    }

    /// Removes the files.
    pub(in crate::log) fn discard(self) -> Runs {
        self.0.iter().for_each(|run| run.remove());
        Runs::default()
    }

    /// Returns the offset after the newest event that is covered.
    pub(in crate::log) fn end(&self) -> u64 {
        self.0.last().map_or(0, |run| run.covers().end)
    }

    /// Returns whether an event with this id was logged in this second or later.
    pub(super) fn know(&self, id: Id, since: u32) -> bool {
        self.0.iter().rev().any(|run| run.knows(id, since))
    }

    /// Adds the newest file.
    pub(super) fn add(&mut self, run: Run) {
        self.0.push(Arc::new(run));
    }

    /// Puts a file in the place of those that it was merged from.
    pub(super) fn replace(&mut self, run: Run) {
        let covers = run.covers();
        let inside = |one: &Arc<Run>| one.covers().first >= covers.first && one.covers().end <= covers.end;
        let at = self.0.iter().position(inside).unwrap_or(self.0.len());
        self.0.retain(|one| {
            let gone = inside(one);
            if gone {
                one.remove();
            }
            !gone
        });
        self.0.insert(at, Arc::new(run));
    }

    /// Removes the oldest files, if all of their events were logged before this second or if there are
    /// more than `most` ids.
    pub(super) fn forget_before(&mut self, since: u32, most: u64) {
        while let Some(oldest) = self.0.first() {
            let crowded = self.0.iter().map(|run| run.count()).sum::<u64>() > most && self.0.len() > 1;
            if oldest.newest() >= since && !crowded {
                return;
            }
            if oldest.newest() >= since {
                warn!(
                    ids = oldest.count(),
                    most, "more ids than are kept: the oldest are forgotten before their time"
                );
            }
            self.0.remove(0).remove();
        }
    }

    /// Returns the newest neighbors of about the same size, if there are enough of them.
    pub(super) fn to_merge(&self) -> Option<Vec<Arc<Run>>> {
        self.0
            .windows(MERGED)
            .rev()
            .find(|some| {
                let sizes = some.iter().map(|run| run.count().max(1));
                let (least, most) = (sizes.clone().min().unwrap_or(1), sizes.max().unwrap_or(1));
                most / least < MERGED as u64
            })
            .map(<[_]>::to_vec)
    }

    /// Returns how many files there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the memory of the filters, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|run| run.bytes()).sum()
    }
}
