//! What a run sees of the rows that earlier runs committed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{Error, RowHash, SyncId, Value};

use super::file::RunFile;
use super::merge::{Sorted, merge};
use super::run_files::RunFiles;
use super::{block, damaged};
use crate::blocking::blocking;
use crate::store::payload;
use crate::store::statement::{Record, sql};

/// How often a state that changed while it was read is read again.
const ATTEMPTS: usize = 5;

/// The rows that were committed before a run began.
#[derive(Clone)]
pub(crate) struct View {
    chunks: Vec<(u64, Option<Value>)>,
    /// Chunks that are no files, and their rows.
    pub(super) loose: (usize, usize),
    rows: Arc<CommittedRows>,
}

/// The state of a sync, unless it changed while it was read.
enum Looked {
    View(View),
    /// A file that the state names is not there.
    Missing(String),
}

struct CommittedRows {
    /// Those of blocks, sorted, by their generation.
    blocks: Vec<(u64, Arc<[RowVersion]>)>,
    files: Vec<(u64, RunFile)>,
}

impl View {
    /// Looks at what is committed of a sync.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn open(files: &RunFiles, sync: &SyncId) -> Result<View, Error> {
        let mut missing = String::new();
        for _ in 0..ATTEMPTS {
            match View::look(files, sync).await? {
                Looked::View(view) => return Ok(view),
                // Another file was made of it meanwhile, if it is not lost.
                Looked::Missing(name) => missing = name,
            }
        }
        Err(damaged(&format!("{} is missing", files.folder_of(sync).join(missing).display())))
    }

    async fn look(run_files: &RunFiles, sync: &SyncId) -> Result<Looked, Error> {
        let statement = sql("SELECT seq, piece, run, high, file, row_count,
            CASE WHEN file IS NULL THEN body END AS body FROM lookback
            WHERE sync = $1 ORDER BY seq, piece");
        let (mut chunks, mut files) = (Vec::new(), Vec::new());
        let mut blocks: BTreeMap<u64, Vec<RowVersion>> = BTreeMap::new();
        let mut last: Option<(String, u64)> = None;
        let mut loose = 0;
        for record in run_files.database.all(statement.bind(sync)).await? {
            let run: String = record.get("run")?;
            let generation = match &last {
                Some((before, generation)) if *before == run => *generation,
                Some((_, generation)) => generation + 1,
                None => 0,
            };
            last = Some((run, generation));
            if record.count("piece")? > 0 {
                continue;
            }
            chunks.push((record.count("seq")?, high_of(&record)?));
            match record.get::<Option<String>>("file")? {
                Some(name) => match run_files.open(sync, &name).await? {
                    Some(file) => files.push((generation, file)),
                    None => return Ok(Looked::Missing(name)),
                },
                None => {
                    loose += 1;
                    let rows = block::unpack(&record.get::<Vec<u8>>("body")?)?;
                    blocks.entry(generation).or_default().extend(rows);
                }
            }
        }
        let loose = (loose, blocks.values().map(Vec::len).sum());
        let sorted = |(generation, mut rows): (u64, Vec<RowVersion>)| {
            rows.sort_unstable();
            (generation, Arc::from(rows))
        };
        let blocks = blocks.into_iter().map(sorted).collect();
        Ok(Looked::View(View { chunks, loose, rows: Arc::new(CommittedRows { blocks, files }) }))
    }

    /// Returns a view of these rows, committed by one run.
    #[cfg(test)]
    pub(super) fn of(mut rows: Vec<RowVersion>) -> View {
        rows.sort_unstable();
        let blocks = if rows.is_empty() { Vec::new() } else { vec![(0, Arc::from(rows))] };
        View {
            chunks: Vec::new(),
            loose: (0, 0),
            rows: Arc::new(CommittedRows { blocks, files: Vec::new() }),
        }
    }

    /// Returns whether nothing is committed.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.files.is_empty() && self.rows.blocks.is_empty()
    }

    /// Returns the keys of rows that are gone.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) async fn removed(&self) -> Result<HashSet<RowHash>, Error> {
        let view = self.clone();
        blocking(move || {
            let mut removed = HashSet::new();
            view.scan(|row| {
                if row.row.is_removed() {
                    removed.insert(row.key);
                }
                Ok(())
            })?;
            Ok(removed)
        })
        .await
    }

    /// [`Lookback::find`] on a thread that may block.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn find_now(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error> {
        if keys.is_empty() { Ok(Vec::new()) } else { self.rows.find(keys) }
    }

    /// Calls `push` with all rows in the order of their keys: of each key those that the last run
    /// committed under it. Blocks the thread.
    ///
    /// # Errors
    /// If a file cannot be read, and those of `push`.
    pub(super) fn scan(&self, push: impl FnMut(RowVersion) -> Result<(), Error>) -> Result<(), Error> {
        let mut inputs = Vec::new();
        for (generation, file) in &self.rows.files {
            inputs.push((*generation, Sorted::File(Box::new(file.rows_again()?))));
        }
        for (generation, rows) in &self.rows.blocks {
            inputs.push((*generation, Sorted::Memory { rows: Arc::clone(rows), at: 0 }));
        }
        merge(inputs, push)
    }
}

/// The highest cursor value of a chunk.
pub(super) fn high_of(record: &Record) -> Result<Option<Value>, Error> {
    let high: Option<String> = record.get("high")?;
    high.map(|text| payload::value_from_text(&text)).transpose()
}

#[async_trait]
impl Lookback for View {
    fn chunks(&self) -> &[(u64, Option<Value>)] {
        &self.chunks
    }

    async fn find(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error> {
        if self.rows.files.is_empty() {
            return self.rows.find(keys);
        }
        let (rows, keys) = (Arc::clone(&self.rows), keys.to_vec());
        blocking(move || rows.find(&keys)).await
    }

    async fn all(&self) -> Result<Vec<RowVersion>, Error> {
        if !self.rows.files.is_empty() {
            return Err(damaged("more rows than an unfinished batch can leave"));
        }
        Ok(self.rows.blocks.iter().flat_map(|(_, rows)| rows.iter().copied()).collect())
    }
}

impl CommittedRows {
    fn find(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error> {
        let mut found: Vec<(u64, Known)> = vec![(0, Known::Nothing); keys.len()];
        for (generation, rows) in &self.blocks {
            for (known, key) in found.iter_mut().zip(keys) {
                let begin = rows.partition_point(|row| row.key < *key);
                for row in rows[begin..].iter().take_while(|row| row.key == *key) {
                    note(known, *generation, row.row);
                }
            }
        }
        if !self.files.is_empty() {
            let mut sorted: Vec<(usize, RowHash)> = keys.iter().copied().enumerate().collect();
            sorted.sort_unstable_by_key(|(_, key)| *key);
            for (generation, file) in &self.files {
                file.find(sorted.iter().copied(), |at, row| note(&mut found[at], *generation, row))?;
            }
        }
        Ok(found.into_iter().map(|(_, known)| known.live()).collect())
    }
}

/// Adds a row under its key: the last run that committed any counts.
fn note((highest, known): &mut (u64, Known), generation: u64, row: RowHash) {
    if generation < *highest && *known != Known::Nothing {
        return;
    }
    if generation > *highest {
        *known = Known::Nothing;
    }
    *highest = generation;
    known.add(row);
}
