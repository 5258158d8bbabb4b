//! What is written atomically once a batch has its outcomes.

use jiff::Timestamp;
use tidegate_model::store::{BatchCommit, LookbackChunk};
use tidegate_model::{Checkpoint, Counts, Error, RowHash, RunId, SyncId};

use super::contents::Contents;
use super::dialect::{Database, Tx};
use super::failed_rows::Indexes;
use super::intents::Intents;
use super::statement::{Record, Statement, from_word, sql, to_json};
use super::{failed_rows, intents, kept_users, payload, runs, sent_users};
use crate::history;
use crate::lookback::block;
use crate::lookback::compact::NewChunk;

/// What a commit leaves to be tidied up.
pub(super) struct Committed {
    /// The sync of the run.
    pub(super) sync: SyncId,
    /// Rows of the run that are not in files yet.
    pub(super) pending_rows: u64,
    /// The sync, and how many rows it remembers more.
    pub(super) remembered: Option<(SyncId, usize)>,
}

/// Commits a batch in one transaction.
pub(super) async fn commit(
    database: &Database,
    contents: &Contents,
    indexes: &Indexes,
    notes: &Intents,
    at: Timestamp,
    run: &RunId,
    commit: BatchCommit,
) -> Result<Committed, Error> {
    // Everything that takes time is done before the one writer is taken.
    let decided = if commit.partial { commit.decided().collect() } else { Vec::new() };
    let BatchCommit { delivered, results, .. } = &commit;
    let row_count = history::block::count(delivered, results) as u64;
    let block = if row_count == 0 { None } else { Some(history::block::encode(delivered, results)?) };
    let users = kept_users::of_commit(&commit);
    let seals = !users.is_empty() || !commit.sent.is_empty();
    let sealing = if seals { Some(contents.sealing().await?) } else { None };
    let gone: Vec<RowHash> = commit.decided().filter(|row| row.row.is_removed()).map(|row| row.key).collect();
    let checkpoint =
        commit.checkpoint.map(|Checkpoint(value)| to_json(&value, "a checkpoint")).transpose()?;
    let failed = failed_rows::of_batch(commit.results, &commit.solved, run, at)?;
    let any_open =
        !(failed.is_empty() && commit.solved.is_empty()) && failed_rows::of_run(database, run).await? > 0;
    let keys = match any_open || failed.iter().any(|entry| entry.text.is_some()) {
        true => Some(contents.keys().await?),
        false => None,
    };

    // A server commits for many at once, and asks for no turn. What a part of a batch leaves is looked for in
    // the table.
    let turn = if database.is_server() || commit.partial { None } else { Some(notes.turn().await) };
    let mut tx = database.write().await?;
    let committed = if commit.partial { 0 } else { commit.batch };
    let record = tx.first(count(run, commit.counts, row_count, committed)).await?;
    let Some(record) = record else { return Err(runs::not_open(&mut tx, run).await) };
    let sync: String = record.get("sync")?;
    if let Some(sealing) = sealing.filter(|_| !users.is_empty()) {
        kept_users::add(&mut tx, &sync, kept_users::seal(sealing, &sync, &users)?).await?;
    }
    sent_users::remove(&mut tx, &sync, &gone).await?;
    if let Some(sealing) = sealing {
        sent_users::put(&mut tx, sealing, &sync, &commit.sent).await?;
    }
    if let Some(checkpoint) = checkpoint {
        // The read is under way again: it starts over only after its next end.
        let statement = sql("UPDATE syncs SET checkpoint = $2, complete = 0 WHERE id = $1");
        tx.execute(statement.bind(sync.as_str()).bind(checkpoint.as_str())).await?;
    }
    if commit.partial {
        intents::keep_undecided(&mut tx, run, commit.batch, decided).await?;
    } else {
        let done = sql("DELETE FROM intents WHERE run = $1 AND last_batch <= $2");
        tx.execute(done.bind(run.as_str()).bind(commit.batch)).await?;
    }
    intents::recall(&mut tx, &sync, run, commit.recalled).await?;
    let sync_id = SyncId::new(sync.clone());
    let mut index = indexes.take(&sync_id, run);
    if any_open || !failed.is_empty() {
        let object = from_word(&record.get::<String>("object")?, "object")?;
        let change = failed_rows::Change { sync: &sync_id, run, object, solved: &commit.solved, failed };
        failed_rows::apply(&mut tx, keys.as_ref(), &mut index, change).await?;
    }
    let chunk_rows = commit.remember.as_ref().map(|chunk| chunk.rows.len());
    // A generation of its own.
    let of = if commit.is_replaced { format!("{run}~") } else { run.to_string() };
    remember(&mut tx, &sync_id, &of, commit.remember, commit.forget_through).await?;
    if let Some(block) = block {
        tx.execute(insert_block(&record, &sync, run, at, row_count, block)?).await?;
    }
    let mut waiting = turn.as_ref().map(|turn| notes.waiting_of(run, turn)).unwrap_or_default();
    let written = match waiting.write(&mut tx).await {
        Ok(()) => tx.commit().await,
        Err(error) => {
            drop(tx);
            Err(error)
        }
    };
    // The failure of a commit is not theirs.
    let noted = if written.is_ok() { Ok(()) } else { waiting.write_alone(database).await };
    drop(turn);
    waiting.tell(noted.err().as_ref());
    written?;
    indexes.put(&sync_id, index);
    let remembered = chunk_rows.map(|rows| (sync_id.clone(), rows));
    Ok(Committed { sync: sync_id, pending_rows: record.count("pending_rows")?, remembered })
}

/// Adds to the counts of a run that is open, numbers the commit, and notes that batches up to `committed`
/// are. The row stays locked until the commit, so that no other process takes the sync over meanwhile.
fn count(run: &RunId, counts: Counts, row_count: u64, committed: u64) -> Statement {
    sql("UPDATE runs SET rows_read = rows_read + $2, skipped = skipped + $3,
            delivered = delivered + $4, rejected = rejected + $5, in_doubt = in_doubt + $6,
            not_due = not_due + $7, requests = requests + $8, retries = retries + $9,
            commits = commits + 1, pending_rows = pending_rows + $10, ignored = ignored + $11,
            committed = CASE WHEN committed < $12 THEN $12 ELSE committed END
        WHERE id = $1 AND ending IS NULL RETURNING sync, object, commits, pending_rows")
    .bind(run.as_str())
    .bind(counts.read)
    .bind(counts.skipped)
    .bind(counts.delivered)
    .bind(counts.rejected)
    .bind(counts.in_doubt)
    .bind(counts.not_due)
    .bind(counts.requests)
    .bind(counts.retries)
    .bind(row_count)
    .bind(counts.ignored)
    .bind(committed)
}

async fn remember(
    tx: &mut Tx,
    sync: &SyncId,
    run: &str,
    chunk: Option<LookbackChunk>,
    forget_through: Option<u64>,
) -> Result<(), Error> {
    if let Some(seq) = forget_through {
        let statement = sql("DELETE FROM lookback WHERE sync = $1 AND seq <= $2");
        tx.execute(statement.bind(sync).bind(seq)).await?;
    }
    if let Some(chunk) = chunk {
        let high = chunk.high.as_ref().map(payload::value_to_text).transpose()?;
        let new = NewChunk { sync, seq: chunk.seq, run, high };
        let body = Some(block::pack(&chunk.rows));
        new.insert(tx, 0, chunk.rows.len() as u64, body, None).await?;
    }
    Ok(())
}

fn insert_block(
    run_record: &Record,
    sync: &str,
    run: &RunId,
    at: Timestamp,
    row_count: u64,
    block: Vec<u8>,
) -> Result<Statement, Error> {
    let statement = sql("INSERT INTO blocks (run, seq, sync, object, committed_at, row_count, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7)");
    Ok(statement
        .bind(run.as_str())
        .bind(run_record.count("commits")?)
        .bind(sync)
        .bind(run_record.get::<String>("object")?.as_str())
        .bind(at)
        .bind(row_count)
        .bind(block))
}
