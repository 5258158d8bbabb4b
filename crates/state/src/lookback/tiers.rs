//! Which chunks are merged: blocks first, then files of about one size.

use std::ops::Range;

use tidegate_model::Value;

/// Rows of blocks that one merge holds in memory, 16 MiB. More may wait: commits go on while files are
/// merged.
const MERGED_ROWS_MAX: usize = 4 * LOOSE_ROWS_MAX;
/// Rows in blocks that a run holds in memory: 4 MiB on disk.
pub(super) const LOOSE_ROWS_MAX: usize = 128 * 1024;
/// Blocks of a sync.
pub(super) const LOOSE_CHUNKS_MAX: usize = 256;
/// Files of about one size that become one.
const FANOUT: usize = 8;

/// A chunk without its rows.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) seq: u64,
    pub(super) run: String,
    pub(super) high: Option<Value>,
    pub(super) rows: usize,
    pub(super) file: Option<String>,
}

/// The chunks to merge. If they are not the last ones, there are more to merge behind them.
pub(super) fn to_merge(chunks: &[Chunk], running: bool) -> Range<usize> {
    let newest = chunks.last().map(|chunk| chunk.run.as_str());
    let eligible = |chunk: &Chunk| !running || Some(chunk.run.as_str()) == newest;
    let blocks = chunks.iter().rev().take_while(|chunk| eligible(chunk) && chunk.file.is_none()).count();
    let mut from = chunks.len() - blocks;
    let mut rows = 0;
    let fits = |chunk: &&Chunk| {
        let first = rows == 0;
        rows += chunk.rows;
        first || rows <= MERGED_ROWS_MAX
    };
    let to = from + chunks[from..].iter().take_while(fits).count().max(blocks.min(2));
    if !running && to == chunks.len() && keeps_too_many(chunks) {
        return 0..to;
    }
    let mut rows: usize = chunks[from..to].iter().map(|chunk| chunk.rows).sum();
    if !running && to == chunks.len() && rows <= LOOSE_ROWS_MAX && blocks <= LOOSE_CHUNKS_MAX {
        return to..to;
    }
    loop {
        let alike =
            |chunk: &&Chunk| eligible(chunk) && chunk.file.is_some() && tier(chunk.rows) <= tier(rows);
        let files = chunks[..from].iter().rev().take_while(alike).count();
        if files + 1 < FANOUT {
            return from..to;
        }
        rows += chunks[from - files..from].iter().map(|chunk| chunk.rows).sum::<usize>();
        from -= files;
    }
}

/// Returns whether more rows were added to a mirror than its oldest file has: with them, a key may be there more than
/// twice. Rows of a cursor's lookback stay in the chunks that are forgotten one by one.
fn keeps_too_many(chunks: &[Chunk]) -> bool {
    let Some((first, newer)) = chunks.split_first() else { return false };
    let rows: usize = newer.iter().map(|chunk| chunk.rows).sum();
    rows > first.rows.max(LOOSE_ROWS_MAX) && chunks.iter().all(|chunk| chunk.high.is_none())
}

/// Files of one tier have about the same size.
fn tier(rows: usize) -> u32 {
    (rows / LOOSE_ROWS_MAX).checked_ilog(FANOUT).map_or(0, |tier| tier + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_blocks_become_a_file_and_eight_files_of_one_size_become_one() {
        let chunk = |seq, run: &str, rows, file: bool| Chunk {
            seq,
            run: run.to_owned(),
            high: None,
            rows,
            file: file.then(|| seq.to_string()),
        };
        let blocks: Vec<Chunk> = (0..100).map(|seq| chunk(seq, "a", 2_400, false)).collect();
        assert_eq!(to_merge(&blocks, true), 0..100);
        assert_eq!(to_merge(&blocks[..50], false), 50..50, "few rows are no work");
        let many: Vec<Chunk> = (0..1_000).map(|seq| chunk(seq, "a", 2_400, false)).collect();
        assert_eq!(to_merge(&many, true), 0..218, "no more than fit in little memory");
        let mut chunks: Vec<Chunk> = (0..7).map(|seq| chunk(seq, "a", LOOSE_ROWS_MAX, true)).collect();
        chunks.push(chunk(7, "a", LOOSE_ROWS_MAX, false));
        assert_eq!(to_merge(&chunks, true), 0..8);
        chunks[2].run = "b".to_owned();
        assert_eq!(to_merge(&chunks, true), 7..8, "rows of other runs wait for the end of this one");
        chunks[2].run = "a".to_owned();
        chunks[3].rows *= 100;
        assert_eq!(to_merge(&chunks, true), 7..8, "large files are not written again for small ones");
    }

    #[test]
    fn a_mirror_has_at_most_as_many_rows_again_as_its_oldest_file() {
        let chunk = |seq: u64, millions: usize| Chunk {
            seq,
            run: seq.to_string(),
            high: None,
            rows: millions << 20,
            file: Some(seq.to_string()),
        };
        let mut chunks = vec![chunk(1, 10), chunk(2, 6), chunk(3, 4)];
        assert_eq!(to_merge(&chunks, false), 3..3);
        chunks.push(chunk(4, 1));
        assert_eq!(to_merge(&chunks, false), 0..4);
        chunks[3].high = Some(Value::Int(1));
        assert_eq!(to_merge(&chunks, false), 4..4, "a lookback is forgotten chunk by chunk");
    }
}
