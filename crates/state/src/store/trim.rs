//! Removes what is older than the history: files, runs and notes.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::Error;
use tokio::time::Instant;

use super::dialect::Database;
use super::statement::sql;
use super::{history_files, user_index};
use crate::blocking::blocking;
use crate::history::{History, day_of};

/// Runs of each sync that are kept, however old they are.
const RUNS_KEPT: u64 = 100;

/// How far the clock of a data folder may be ahead of what was recorded on earlier days. Runs of a week are closer.
const BELIEVED: SignedDuration = SignedDuration::from_hours(8 * 24);

/// The time by which history is removed. A clock that is ahead for a moment does not remove all of it.
#[derive(Default)]
pub(super) struct PlausibleTime {
    /// The time of the last call, and when that was.
    last: Option<(Timestamp, Instant)>,
}

impl PlausibleTime {
    /// Returns the time of the clock, or an earlier one, if it is ahead of the clock of the server. In a data folder
    /// it is at most eight days after the newest run or row of an earlier day, or after the time of the last call
    /// plus the time since. So after a long pause it is that of the clock with the first run of the second day.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn at(&mut self, database: &Database, now: Timestamp) -> Result<Timestamp, Error> {
        let plausible = match database.is_server() {
            true => no_later_than_server(database, now).await?,
            false => now.min(self.limit(database, now).await?),
        };
        self.last = Some((plausible, Instant::now()));
        Ok(plausible)
    }

    async fn limit(&self, database: &Database, now: Timestamp) -> Result<Timestamp, Error> {
        let lived = self.last.and_then(|(at, since)| at.checked_add(since.elapsed()).ok());
        let known = before_today(database, now).await?;
        Ok(known.max(lived).map_or(now, |known| known.checked_add(BELIEVED).unwrap_or(Timestamp::MAX)))
    }
}

/// Returns the time of the newest run or row that was recorded before the day of `now`: those of the day may be of the
/// same clock.
async fn before_today(database: &Database, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let age = Age::before(now);
    let runs = sql("SELECT started_at FROM runs WHERE id < $1 ORDER BY id DESC LIMIT 1");
    let run = database.first(runs.bind(age.first_run().as_str())).await?;
    let rows = sql("SELECT MAX(high) AS high FROM history_files WHERE day < $1");
    let rows = database.first(rows.bind(age.day.to_string().as_str())).await?;
    let run = run.map(|record| record.time("started_at")).transpose()?;
    Ok(run.max(rows.map(|record| record.maybe_time("high")).transpose()?.flatten()))
}

/// Warns of history that stays although the clock says that it is old enough.
pub(super) async fn warn_of_rest(database: &Database, age: Age, by_clock: Age) -> Result<(), Error> {
    let statement = sql("SELECT name FROM history_files WHERE day >= $1 AND day < $2 LIMIT 1");
    let statement = statement.bind(age.day.to_string().as_str()).bind(by_clock.day.to_string().as_str());
    if database.first(statement).await?.is_some() {
        tracing::warn!(
            "the clock of this machine may be ahead: history before {} stays for now, until a later day",
            by_clock.day
        );
    }
    Ok(())
}

/// Returns a time, or that of the server if it is earlier.
///
/// # Errors
/// Those of the database.
pub(super) async fn no_later_than_server(database: &Database, now: Timestamp) -> Result<Timestamp, Error> {
    let statement = sql("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now");
    let record = database.first(statement).await?;
    Ok(record.map(|record| record.time("now")).transpose()?.map_or(now, |server| now.min(server)))
}

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

    /// Returns the least id of a run of the first day that is kept: names of runs begin with their time.
    fn first_run(self) -> String {
        self.midnight.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string()
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
    age: Age,
) -> Result<(), Error> {
    let Age { day, midnight } = age;
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
    let runs = sql("DELETE FROM runs WHERE id < $1 AND ending IS NOT NULL
        AND id < (SELECT kept.id FROM runs AS kept WHERE kept.sync = runs.sync
            ORDER BY kept.id DESC LIMIT 1 OFFSET $2)
        AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.run = runs.id)
        AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocks.run = runs.id)");
    database.execute(runs.bind(age.first_run().as_str()).bind(RUNS_KEPT - 1)).await?;
    Ok(())
}
