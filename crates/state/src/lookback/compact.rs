//! Merges chunks, so that a run has few of them to look at.
//!
//! A merge writes a new file, and one transaction puts it in the place of what it was made of.
//! A crash before that leaves a file that nothing names, which is removed when a run ends. With a
//! bucket the file is durable there before that transaction.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use tidegate_model::store::RowVersion;
use tidegate_model::{Error, SyncId, Value};
use uuid::Uuid;

use super::block;
use super::file::{RunFile, RunWriter, UNFINISHED};
use super::merge::{Sorted, merge, merge_live};
use super::run_files::RunFiles;
use super::tiers::{Chunk, LOOSE_ROWS_MAX, to_merge};
use super::view::high_of;
use crate::blocking::blocking;
use crate::store::dialect::Tx;
use crate::store::payload;
use crate::store::statement::sql;

/// Rows that stay a block when they are merged.
const BLOCK_ROWS_MAX: usize = 16 * 1024;
/// Rows in a piece of a file that the database keeps: 32 MiB.
const PIECE_ROWS: usize = 1 << 20;

/// One merge of a sync.
pub(crate) struct Merge {
    pub(crate) files: RunFiles,
    pub(crate) sync: SyncId,
    /// Whether nothing needs the marks of rows that are gone but older rows under their keys: no user is kept
    /// under them. A merge of all chunks leaves them out then.
    pub(crate) drops_removed: bool,
}

impl Merge {
    /// Nothing depends on a merge: what fails is tried again by a later one.
    pub(super) async fn run_and_report(&self, running: bool) {
        if let Err(error) = self.run(running).await {
            let error = error.chain();
            tracing::warn!(sync = %self.sync, error, "remembered rows could not be merged");
        }
    }

    /// Merges the newest chunks; those of the newest run alone while it is `running`.
    ///
    /// # Errors
    /// If something cannot be read or written. The state stays as it was.
    pub(crate) async fn run(&self, running: bool) -> Result<(), Error> {
        loop {
            let chunks = self.chunks().await?;
            let merged = to_merge(&chunks, running);
            let left: usize = chunks[merged.end..].iter().map(|chunk| chunk.rows).sum();
            if merged.len() < 2 || !self.merge(&chunks, merged).await? || left <= LOOSE_ROWS_MAX {
                return Ok(());
            }
        }
    }

    /// Merges these chunks. Returns false if they were not there any more.
    async fn merge(&self, chunks: &[Chunk], merged: Range<usize>) -> Result<bool, Error> {
        let live = self.drops_removed && merged.start == 0;
        let merged = &chunks[merged];
        let Some((name, written)) = self.write(merged, live).await? else { return Ok(false) };
        let replaced = self.replace(merged, &name, written).await?;
        let gone = match replaced {
            true => merged.iter().filter_map(|chunk| chunk.file.clone()).collect(),
            false => vec![name],
        };
        self.files.discard(&self.sync, gone).await?;
        Ok(replaced)
    }

    async fn chunks(&self) -> Result<Vec<Chunk>, Error> {
        let statement = sql("SELECT seq, run, high, row_count, file FROM lookback
            WHERE sync = $1 AND piece = 0 ORDER BY seq");
        let records = self.files.database.all(statement.bind(&self.sync)).await?;
        let chunk = |record: &crate::store::statement::Record| {
            Ok(Chunk {
                seq: record.count("seq")?,
                run: record.get("run")?,
                high: high_of(record)?,
                rows: usize::try_from(record.count("row_count")?).unwrap_or(usize::MAX),
                file: record.get("file")?,
            })
        };
        records.iter().map(chunk).collect()
    }

    /// Writes the rows of these chunks into a new file, without keys that are gone if all that counts is `live`.
    /// Returns its name, and the rows themselves if they are few; `None` if a file is gone.
    async fn write(&self, chunks: &[Chunk], live: bool) -> Result<Option<(String, Written)>, Error> {
        let folder = self.files.folder_of(&self.sync);
        let mut inputs: Vec<(u64, Input)> = Vec::new();
        let (mut generation, mut run) = (0, chunks.first().map(|chunk| chunk.run.as_str()));
        for chunk in chunks {
            if run != Some(chunk.run.as_str()) {
                (generation, run) = (generation + 1, Some(chunk.run.as_str()));
            }
            let input = match &chunk.file {
                Some(name) => match self.files.open(&self.sync, name).await? {
                    Some(file) => Input::File(file),
                    None => return Ok(None),
                },
                None => Input::Block(self.block(chunk.seq).await?),
            };
            inputs.push((generation, input));
        }
        let few = chunks.iter().map(|chunk| chunk.rows).sum::<usize>() <= BLOCK_ROWS_MAX;
        let name = format!("{}.rows", Uuid::new_v4().simple());
        let path = folder.join(&name);
        let written = blocking(move || {
            let inputs = inputs.into_iter().map(|(generation, input)| (generation, input.sorted())).collect();
            let merged = |push: &mut dyn FnMut(RowVersion) -> Result<(), Error>| match live {
                true => merge_live(inputs, push),
                false => merge(inputs, push),
            };
            if few {
                let mut rows = Vec::new();
                merged(&mut |row| {
                    rows.push(row);
                    Ok(())
                })?;
                return Ok(Written::Block(rows));
            }
            let mut writer = RunWriter::create(&path)?;
            merged(&mut |row| writer.push(row))?;
            match writer.rows() {
                0 => Ok(Written::Block(Vec::new())),
                _ => Ok(Written::File(writer.finish()?)),
            }
        });
        Ok(Some((name, written.await?)))
    }

    /// The rows of a block; none if it was forgotten meanwhile.
    async fn block(&self, seq: u64) -> Result<Vec<RowVersion>, Error> {
        let statement = sql("SELECT body FROM lookback WHERE sync = $1 AND seq = $2 AND file IS NULL");
        match self.files.database.first(statement.bind(&self.sync).bind(seq)).await? {
            Some(record) => block::unpack(&record.get::<Vec<u8>>("body")?),
            None => Ok(Vec::new()),
        }
    }

    /// Puts the merged chunk in the place of those it was made of. Returns whether they were
    /// still there; the oldest of them may have been forgotten.
    async fn replace(&self, merged: &[Chunk], name: &str, written: Written) -> Result<bool, Error> {
        let (Some(first), Some(last)) = (merged.first(), merged.last()) else { return Ok(false) };
        let uploaded = match &written {
            Written::Block(_) => None,
            Written::File(_) => self.files.publish(&self.sync, name).await?,
        };
        let mut tx = self.files.database.write().await?;
        // Neither a commit nor a reset comes in between. The process may have lost the sync meanwhile:
        // a merge changes how rows are stored, and not which.
        tx.execute(sql("UPDATE syncs SET complete = complete WHERE id = $1").bind(&self.sync)).await?;
        let statement = sql("SELECT seq, file FROM lookback
            WHERE sync = $1 AND piece = 0 AND seq >= $2 AND seq <= $3 ORDER BY seq");
        let found = tx.all(statement.bind(&self.sync).bind(first.seq).bind(last.seq)).await?;
        let found = found
            .iter()
            .map(|record| Ok((record.count("seq")?, record.get::<Option<String>>("file")?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let expected: Vec<_> = merged.iter().map(|chunk| (chunk.seq, chunk.file.clone())).collect();
        if found.is_empty() || !expected.ends_with(&found) {
            return Ok(false);
        }
        let statement = sql("DELETE FROM lookback WHERE sync = $1 AND seq >= $2 AND seq <= $3");
        tx.execute(statement.bind(&self.sync).bind(first.seq).bind(last.seq)).await?;
        let high = merged.iter().filter_map(|chunk| chunk.high.clone()).reduce(highest);
        let high = high.as_ref().map(payload::value_to_text).transpose()?;
        let new = NewChunk { sync: &self.sync, seq: last.seq, run: &last.run, high };
        match written {
            Written::Block(rows) => {
                new.insert(&mut tx, 0, rows.len() as u64, Some(block::pack(&rows)), None).await?;
            }
            Written::File(rows) if self.files.are_rows_kept() => {
                let path = self.files.folder_of(&self.sync).join(name);
                let mut file = blocking(move || Ok(RunFile::open(&path)?.rows())).await?;
                for piece in 0.. {
                    let read = blocking(move || {
                        let part = file.by_ref().take(PIECE_ROWS).collect::<Result<Vec<_>, Error>>()?;
                        Ok(((!part.is_empty()).then(|| block::pack(&part)), file))
                    });
                    let (Some(body), rest) = read.await? else { break };
                    new.insert(&mut tx, piece, rows, Some(body), Some(name)).await?;
                    file = rest;
                }
            }
            Written::File(rows) => new.insert(&mut tx, 0, rows, None, Some(name)).await?,
        }
        uploaded.map_or(Ok(()), |uploaded| uploaded.still_there())?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes files that nothing names, except for those that another process may be writing.
    pub(super) async fn sweep(&self, folder: &Path) {
        let named = async {
            let statement = sql("SELECT file FROM lookback WHERE sync = $1 AND file IS NOT NULL");
            let records = self.files.database.all(statement.bind(&self.sync)).await?;
            records.iter().map(|record| record.get::<String>("file")).collect::<Result<HashSet<_>, Error>>()
        };
        let (Ok(named), folder) = (named.await, folder.to_path_buf()) else { return };
        // With a server a process that only plans may make a file of what the server has.
        let others = self.files.database.is_server();
        let swept = blocking(move || {
            let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
            for entry in entries.flatten() {
                let named = named.contains(entry.file_name().to_string_lossy().as_ref());
                let stays = named || (others && is_fresh(&entry));
                if !stays {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
            Ok(())
        });
        let _ = swept.await;
    }
}

/// Returns whether a file is not complete and was written to within the last hour.
fn is_fresh(entry: &std::fs::DirEntry) -> bool {
    const HOUR: Duration = Duration::from_secs(3_600);
    let unfinished = entry.path().extension().is_some_and(|extension| extension == UNFINISHED);
    let modified = || entry.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
    unfinished && modified().is_none_or(|age| age < HOUR)
}

/// What a merge is made of.
enum Input {
    Block(Vec<RowVersion>),
    File(RunFile),
}

impl Input {
    fn sorted(self) -> Sorted {
        match self {
            Input::Block(mut rows) => {
                rows.sort_unstable();
                Sorted::Memory { rows: rows.into(), at: 0 }
            }
            Input::File(file) => Sorted::File(Box::new(file.rows())),
        }
    }
}

/// What a merge has made.
enum Written {
    Block(Vec<RowVersion>),
    File(u64),
}

/// A chunk that is about to be added.
pub(crate) struct NewChunk<'a> {
    pub(crate) sync: &'a SyncId,
    pub(crate) seq: u64,
    pub(crate) run: &'a str,
    pub(crate) high: Option<String>,
}

impl NewChunk<'_> {
    /// Adds it, or a piece of it.
    pub(crate) async fn insert(
        &self,
        tx: &mut Tx,
        piece: u64,
        rows: u64,
        body: Option<Vec<u8>>,
        file: Option<&str>,
    ) -> Result<(), Error> {
        let statement = sql("INSERT INTO lookback (sync, seq, piece, run, high, row_count, body, file)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let statement = statement.bind(self.sync).bind(self.seq).bind(piece).bind(self.run);
        let statement = statement.bind(self.high.clone()).bind(rows).bind(body);
        tx.execute(statement.bind(file.map(str::to_owned))).await?;
        Ok(())
    }
}

fn highest(one: Value, other: Value) -> Value {
    match one.compare(&other) {
        Some(std::cmp::Ordering::Less) => other,
        _ => one,
    }
}

#[cfg(test)]
mod tests;
