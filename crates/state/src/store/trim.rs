//! Removes what is older than the history: files, runs and notes.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tidegate_model::Error;

use super::dialect::Database;
use super::statement::sql;
use super::{history_files, user_index};
use crate::blocking::blocking;
use crate::history::{History, day_of};

/// Runs of each sync that are kept, however old they are.
const RUNS_KEPT: u64 = 100;

/// Everything before the beginning of a day.
#[derive(Clone, Copy)]
pub(super) struct Age {
    day: Date,
    midnight: Timestamp,
}

impl Age {
    /// Returns the first day that is kept.
    pub(super) fn day(self) -> Date {
        self.day
    }

    /// The days before that of a time.
    pub(super) fn before(at: Timestamp) -> Age {
        let day = day_of(at);
        Age { day, midnight: day.to_zoned(TimeZone::UTC).map_or(at, |midnight| midnight.timestamp()) }
    }
}

/// Removes history files and rows in tables that are older; and runs and dismissed rows, except the
/// newest runs of each sync and runs that have intents.
pub(super) async fn trim(
    database: &Database,
    history: &History,
    folders: &[&str],
    Age { day, midnight }: Age,
) -> Result<(), Error> {
    // Off the list first: a file that stays is no longer found, and nothing refers to a lost one.
    for folder in folders {
        history_files::trim(database, folder, day).await?;
    }
    user_index::trim(database).await?;
    let history = history.clone();
    blocking(move || history.trim(day)).await?;
    database.execute(sql("DELETE FROM blocks WHERE committed_at < $1").bind(midnight)).await?;
    database.execute(sql("DELETE FROM dismissed_blocks WHERE last_high < $1").bind(midnight)).await?;
    // Answers that were written after their batch, and what a crash left beside them.
    let done = sql("DELETE FROM intents WHERE EXISTS (SELECT 1 FROM runs
        WHERE runs.id = intents.run AND runs.ending IS NOT NULL AND intents.last_batch <= runs.committed)");
    database.execute(done).await?;
    // Names of runs begin with their time.
    let stem = midnight.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string();
    let runs = sql("DELETE FROM runs WHERE id < $1 AND ending IS NOT NULL
        AND id < (SELECT kept.id FROM runs AS kept WHERE kept.sync = runs.sync
            ORDER BY kept.id DESC LIMIT 1 OFFSET $2)
        AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.run = runs.id)
        AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocks.run = runs.id)");
    database.execute(runs.bind(stem.as_str()).bind(RUNS_KEPT - 1)).await?;
    Ok(())
}
