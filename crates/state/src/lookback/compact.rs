//! Merges chunks, so that a run has few of them to look at.
//!
//! A merge writes a new file, and one transaction puts it in the place of what it was made of.
//! A crash before that leaves a file that nothing names, which is removed when a run ends. With a
//! bucket the file is durable there before that transaction.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use tidegate_model::store::RowVersion;
use tidegate_model::{Error, SyncId, Value};
use uuid::Uuid;

use super::block;
use super::file::{RunFile, RunWriter, UNFINISHED};
use super::merge::{Sorted, merge};
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
            if merged.len() < 2 || !self.merge(&chunks[merged]).await? || left <= LOOSE_ROWS_MAX {
                return Ok(());
            }
        }
    }

    /// Merges these chunks. Returns false if they were not there any more.
    async fn merge(&self, merged: &[Chunk]) -> Result<bool, Error> {
        let Some((name, written)) = self.write(merged).await? else { return Ok(false) };
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

    /// Writes the rows of these chunks into a new file. Returns its name, and the rows
    /// themselves if they are few; `None` if a file is gone.
    async fn write(&self, chunks: &[Chunk]) -> Result<Option<(String, Written)>, Error> {
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
            if few {
                let mut rows = Vec::new();
                merge(inputs, |row| {
                    rows.push(row);
                    Ok(())
                })?;
                return Ok(Written::Block(rows));
            }
            let mut writer = RunWriter::create(&path)?;
            merge(inputs, |row| writer.push(row))?;
            Ok(Written::File(writer.finish()?))
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tidegate_model::RowHash;
    use tidegate_model::store::{Known, Lookback as _};
    use tidegate_testkit::ManualClock;

    use super::super::view::View;
    use super::*;
    use crate::folder;
    use crate::store::dialect::Database;

    struct Scene {
        merge: Merge,
        _folder: tempfile::TempDir,
        next: u64,
        /// What is known, by key: the run, and its rows.
        expected: BTreeMap<u128, (u64, Vec<u128>)>,
    }

    impl Scene {
        async fn new() -> Scene {
            let folder = tempfile::tempdir().expect("a folder");
            folder::prepare(folder.path()).expect("prepared");
            let database = Database::embedded(folder.path()).await.expect("opened");
            crate::store::migrations::migrate(&database, &ManualClock::default()).await.expect("tables");
            let (database, data) = (Arc::new(database), folder.path().to_path_buf());
            let merge = Merge { files: RunFiles::new(database, &data, None), sync: SyncId::new("s") };
            Scene { merge, _folder: folder, next: 0, expected: BTreeMap::new() }
        }

        async fn commit(&mut self, run: u64, rows: &[(u128, u128)]) {
            self.next += 1;
            let name = format!("{run:04}");
            let new = NewChunk { sync: &self.merge.sync, seq: self.next, run: &name, high: None };
            let versions: Vec<RowVersion> =
                rows.iter().map(|(key, row)| RowVersion { key: RowHash(*key), row: RowHash(*row) }).collect();
            let mut tx = self.merge.files.database.write().await.expect("begun");
            let body = Some(block::pack(&versions));
            new.insert(&mut tx, 0, rows.len() as u64, body, None).await.expect("added");
            tx.commit().await.expect("committed");
            for (key, row) in rows {
                let known = self.expected.entry(*key).or_default();
                if known.0 != run {
                    *known = (run, Vec::new());
                }
                known.1.push(*row);
            }
        }

        async fn matches(&self) {
            let view = View::open(&self.merge.files, &self.merge.sync).await.expect("view");
            let keys: Vec<RowHash> = (0..600).map(spread).map(RowHash).collect();
            let found = view.find(&keys).await.expect("found");
            for (key, found) in keys.iter().zip(found) {
                let mut rows: Vec<u128> = found.rows().iter().map(|row| row.0).collect();
                let mut expected =
                    self.expected.get(&key.0).map(|(_, rows)| rows.clone()).unwrap_or_default();
                rows.sort_unstable();
                expected.sort_unstable();
                expected.dedup();
                assert_eq!(rows, expected, "{key}");
                assert_eq!(found == Known::Nothing, expected.is_empty());
            }
        }

        fn files(&self) -> usize {
            std::fs::read_dir(self.merge.files.folder_of(&self.merge.sync)).map_or(0, Iterator::count)
        }

        /// A merge of all chunks, as far as the file that it writes.
        async fn written(&self) -> (Vec<Chunk>, String, Written) {
            let chunks = self.merge.chunks().await.expect("chunks");
            let written = self.merge.write(&chunks).await.expect("written");
            let (name, written) = written.expect("no file is gone");
            (chunks, name, written)
        }
    }

    /// Keys over the whole range.
    fn spread(at: u128) -> u128 {
        at * (u128::MAX / 600)
    }

    /// Rows of a run, with a key that occurs twice. Enough for a file of their own.
    fn rows(run: u128) -> Vec<(u128, u128)> {
        let own = (0..300).map(|at| (spread((at * 7 + run % 3) % 600), run * 1_000 + at));
        let filler = (0..BLOCK_ROWS_MAX as u128).map(|at| (spread(599) + 1 + at, 7));
        own.chain([(spread(5), run * 1_000 + 999)]).chain(filler).collect()
    }

    #[tokio::test]
    async fn merges_at_any_moment_change_nothing_that_is_known() {
        let mut scene = Scene::new().await;
        for run in 1..=9_u64 {
            for _ in 0..2 {
                scene.commit(run, &rows(run.into())).await;
                scene.merge.run(true).await.expect("merged");
            }
            if run % 3 == 0 {
                let (chunks, name, written) = scene.written().await;
                assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
                scene.merge.sweep(&scene.merge.files.folder_of(&scene.merge.sync)).await;
                assert_eq!(scene.files(), 1, "what it was made of is gone");
            }
            scene.matches().await;
        }
    }

    #[tokio::test]
    async fn a_crash_between_any_two_steps_of_a_merge_leaves_one_valid_state() {
        let mut scene = Scene::new().await;
        scene.commit(1, &rows(1)).await;
        scene.commit(2, &rows(2)).await;
        let folder = scene.merge.files.folder_of(&scene.merge.sync);

        // The file is written, and nothing names it.
        let (chunks, name, written) = scene.written().await;
        std::fs::write(folder.join("half.tmp"), b"unfinished").expect("written");
        scene.matches().await;
        assert_eq!(scene.files(), 2);

        // It is named, and what it was made of is still there.
        assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
        scene.matches().await;
        scene.commit(3, &rows(3)).await;
        let (chunks, name, written) = scene.written().await;
        assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
        assert_eq!(scene.files(), 3);
        scene.matches().await;

        scene.merge.sweep(&folder).await;
        assert_eq!(scene.files(), 1);
        scene.matches().await;
    }

    #[tokio::test]
    async fn a_merge_of_what_another_process_has_merged_is_dropped() {
        let mut scene = Scene::new().await;
        scene.commit(1, &rows(1)).await;
        scene.commit(2, &rows(2)).await;
        let (mine, name, written) = scene.written().await;
        scene.commit(3, &rows(3)).await;
        let (theirs, other, others) = scene.written().await;
        assert!(scene.merge.replace(&theirs, &other, others).await.expect("replaced"));
        assert!(!scene.merge.replace(&mine, &name, written).await.expect("asked"));
        scene.matches().await;
    }
}
