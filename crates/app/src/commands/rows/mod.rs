//! `tidegate rows`

mod groups;
mod span;

pub(crate) use groups::Grouped;
use groups::Grouping;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::service::Engine;
use tidegate_model::store::{
    FailedRowCursor, FailedRowGroupQuery, FailedRowQuery, RowEntry, RowQuery, StatusKind,
};
use tidegate_model::{Clock, Error, ErrorKind, ObjectKind, Reason, Run, RunId, SyncId, SystemClock};

use crate::DONE;
use crate::cli::{GroupBy, Output, ProjectArgs, Rows};
use crate::output::table::{Table, sentence, state, word};
use crate::output::{self, counted, moment, note, number};

/// Rows that are read to be counted in groups.
const GROUPED_MAX: usize = 200_000;
/// Failed rows that are in memory at a time while they are counted.
const GROUPED_PAGE: usize = 10_000;

pub(super) async fn rows(args: &ProjectArgs, asked: Rows, out: Output) -> Result<u8, Error> {
    let engine = args.showing_engine().await?;
    let selection = Selection::of(&engine, &asked).await?;
    match asked.by {
        None => list(&engine, &selection, asked.limit, out).await?,
        Some(by) => {
            let grouped = selection.grouped(&engine, by).await?;
            groups::print(by, &grouped, GROUPED_MAX, selection.none(), out);
        }
    }
    Ok(DONE)
}

/// Which rows are asked for: every name is known, every time is absolute.
struct Selection {
    sync: Option<SyncId>,
    run: Option<Run>,
    user: Option<String>,
    status: Option<StatusKind>,
    open: bool,
    dismissed: bool,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Selection {
    /// Returns the sentence for a list without rows.
    fn none(&self) -> &'static str {
        if self.open { "no failed row is open" } else { "no rows" }
    }

    /// # Errors
    /// If the project has no such sync, the ledger no such run, or a time cannot be read.
    async fn of(engine: &Engine, asked: &Rows) -> Result<Selection, Error> {
        let sync = asked.sync.as_ref().map(SyncId::new);
        if let Some(sync) = &sync {
            engine.has_history_of(sync).await?;
        }
        let run = match &asked.run {
            None => None,
            Some(name) => Some(engine.find_run(&RunId::new(name)).await?.ok_or_else(|| {
                Error::new(ErrorKind::Settings, format!("there is no run `{name}`"))
                    .hint("`tidegate runs` lists them")
            })?),
        };
        let now = SystemClock.now();
        let time = |text: &Option<String>| text.as_deref().map(|text| span::parse(text, now)).transpose();
        let status = match (asked.rejected, asked.in_doubt, asked.delivered) {
            (true, ..) => Some(StatusKind::Rejected),
            (_, true, _) => Some(StatusKind::InDoubt),
            (.., true) => Some(StatusKind::Delivered),
            _ => None,
        };
        let (from, to) = (time(&asked.since)?, time(&asked.until)?);
        span::holds_time(from, to, now)?;
        let (user, open, dismissed) = (asked.user.clone(), asked.open, asked.dismissed);
        Ok(Selection { sync, run, user, status, open, dismissed, from, to })
    }

    /// Returns the newest of these rows.
    async fn entries(&self, engine: &Engine, limit: usize) -> Result<Vec<RowEntry>, Error> {
        let (sync, user, status) = (self.sync.clone(), self.user.clone(), self.status);
        let run = self.run.as_ref().map(|run| run.id.clone());
        let (from, to) = (self.from, self.to);
        if self.open {
            let query =
                FailedRowQuery { sync, run, user, status, from, to, limit, ..FailedRowQuery::default() };
            let open = engine.find_failed_rows(&query).await?;
            return Ok(open.into_iter().map(|failed| failed.entry).collect());
        }
        let query = RowQuery { sync, run, user, status, from, to, limit, without_payload: false };
        engine.rows(&query).await
    }

    /// Returns these rows in groups, the newest [`GROUPED_MAX`] of them at most.
    async fn grouped(&self, engine: &Engine, by: GroupBy) -> Result<Grouped, Error> {
        let mut grouping = Grouping::new(by);
        let complete = match self.open {
            true => self.group_open(engine, &mut grouping).await?,
            false => self.group_all(engine, by, &mut grouping).await?,
        };
        Ok(grouping.finish(complete))
    }

    /// Counts open failed rows, page by page. Returns whether these were all.
    async fn group_open(&self, engine: &Engine, grouping: &mut Grouping) -> Result<bool, Error> {
        let mut query = FailedRowQuery {
            sync: self.sync.clone(),
            run: self.run.as_ref().map(|run| run.id.clone()),
            user: self.user.clone(),
            status: self.status,
            from: self.from,
            to: self.to,
            limit: GROUPED_PAGE,
            without_payload: true,
            ..FailedRowQuery::default()
        };
        for _ in 0..GROUPED_MAX / GROUPED_PAGE {
            let page = engine.find_failed_rows(&query).await?;
            for failed in &page {
                grouping.add(&failed.entry);
            }
            let Some(last) = page.last().filter(|_| page.len() == GROUPED_PAGE) else { return Ok(true) };
            let (at, sync) = (last.entry.at, last.entry.sync.clone());
            query.after = Some(FailedRowCursor { at, sync, key: last.key });
        }
        Ok(false)
    }

    /// Counts rows of the history. Returns whether these were all.
    async fn group_all(&self, engine: &Engine, by: GroupBy, grouping: &mut Grouping) -> Result<bool, Error> {
        // Delivered rows have no reason, and are not read for one.
        let statuses = match (by, self.status) {
            (GroupBy::Reason, None) => vec![Some(StatusKind::Rejected), Some(StatusKind::InDoubt)],
            (_, status) => vec![status],
        };
        let mut complete = true;
        for status in statuses {
            let query = RowQuery {
                sync: self.sync.clone(),
                run: self.run.as_ref().map(|run| run.id.clone()),
                user: self.user.clone(),
                status,
                from: self.from,
                to: self.to,
                limit: GROUPED_MAX,
                without_payload: true,
            };
            let entries = engine.rows(&query).await?;
            complete &= entries.len() < GROUPED_MAX;
            entries.iter().for_each(|entry| grouping.add(entry));
        }
        Ok(complete)
    }

    /// Returns the rows that were dismissed last, and their notes.
    async fn dismissals(&self, engine: &Engine, limit: usize) -> Result<(Vec<RowEntry>, Vec<String>), Error> {
        let query = FailedRowQuery {
            sync: self.sync.clone(),
            run: self.run.as_ref().map(|run| run.id.clone()),
            user: self.user.clone(),
            status: self.status,
            from: self.from,
            to: self.to,
            limit,
            ..FailedRowQuery::default()
        };
        let dismissed = engine.dismissed_rows(&query).await?;
        Ok(dismissed.into_iter().map(|row| (row.entry, row.note)).unzip())
    }

    /// Returns the number of these rows, if it can be known without reading them.
    async fn total(&self, engine: &Engine) -> Result<Option<u64>, Error> {
        /// Runs whose counts are added.
        const RUNS_MAX: usize = 100_000;
        if self.dismissed || self.user.is_some() || self.from.is_some() || self.to.is_some() {
            return Ok(None);
        }
        if self.open {
            let query = FailedRowGroupQuery {
                without_users: true,
                ..FailedRowGroupQuery::all_of(self.sync.as_ref())
            };
            let groups = engine.failed_row_groups(&query).await?;
            let groups =
                groups.iter().filter(|group| self.status.is_none_or(|status| group.status == status));
            return Ok(self.run.is_none().then(|| groups.map(|group| group.rows).sum()));
        }
        let of_status = |run: &Run| match self.status {
            Some(StatusKind::Delivered) => run.counts.delivered,
            Some(StatusKind::Rejected) => run.counts.rejected,
            Some(StatusKind::InDoubt) => run.counts.in_doubt,
            None => run.counts.delivered + run.counts.rejected + run.counts.in_doubt,
        };
        let is_export =
            |run: &Run| engine.project().syncs.get(&run.sync).is_some_and(|sync| sync.as_import().is_none());
        let runs = match &self.run {
            Some(run) => vec![run.clone()],
            None => engine.runs(self.sync.as_ref(), RUNS_MAX).await?,
        };
        // Delivered events of an export are counted, and not listed.
        Ok((!runs.iter().any(is_export)).then(|| runs.iter().map(of_status).sum()))
    }
}

async fn list(engine: &Engine, selection: &Selection, limit: usize, out: Output) -> Result<(), Error> {
    let (entries, notes) = match selection.dismissed {
        true => selection.dismissals(engine, limit).await?,
        false => (selection.entries(engine, limit).await?, Vec::new()),
    };
    let shown = entries.len() as u64;
    let total = match entries.len() < limit {
        true => Some(shown),
        false => selection.total(engine).await?.map(|total| total.max(shown)),
    };
    if out != Output::Text {
        let notes = notes.iter().map(|note| Some(note.as_str())).chain(std::iter::repeat(None));
        let rows = entries.iter().zip(notes).map(|(entry, note)| to_json(entry, note)).collect();
        let listed = Listed { rows, total };
        output::listing(out, &listed, &listed.rows);
        return Ok(());
    }
    match entries.is_empty() {
        true => note(selection.none()),
        false => output::table(&table(&entries, &notes)),
    }
    match total {
        Some(total) if total > shown => {
            note(format!("{} of {}; `--limit N` shows more", number(shown), counted(total, "row")));
        }
        None => note(format!("the newest {}; `--limit N` shows more", counted(shown, "row"))),
        Some(_) => {}
    }
    Ok(())
}

/// What `rows` lists.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listed<L> {
    /// The status of each row, newest first: `at`, `sync`, `run`, `object`, `user`, `key`, `status`,
    /// `reason` (`code` and `message`, `null` if delivered), `row` (its columns while it counts
    /// as failed, else `null`) and `note` (of a row that was dismissed, with `--dismissed`, else `null`).
    rows: Vec<L>,
    /// The number of rows without `--limit`; `null` if they would have to be counted one by one.
    total: Option<u64>,
}

/// The status of a row, in JSON.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    sync: &'a SyncId,
    run: &'a RunId,
    object: ObjectKind,
    user: &'a str,
    key: &'a str,
    status: StatusKind,
    reason: Option<&'a Reason>,
    row: Option<Box<RawValue>>,
    note: Option<&'a str>,
}

fn to_json<'a>(entry: &'a RowEntry, note: Option<&'a str>) -> Line<'a> {
    Line {
        at: entry.at,
        sync: &entry.sync,
        run: &entry.run,
        object: entry.object,
        user: &entry.user,
        key: &entry.key,
        status: entry.status,
        reason: entry.reason.as_ref(),
        row: entry.payload.as_ref().and_then(|row| output::raw(row.to_json().as_str())),
        note,
    }
}

/// Returns the key of a row. One without a key and a user is named by its first value, as long as its columns are
/// kept: lines that look the same would name no row.
fn named(entry: &RowEntry) -> String {
    /// The longest value that is shown.
    const CHARS_MAX: usize = 40;
    let Some(row) = entry.payload.as_ref().filter(|_| entry.key.is_empty() && entry.user.is_empty()) else {
        return entry.key.clone();
    };
    let row: serde_json::Value = serde_json::from_str(row.to_json().as_str()).unwrap_or_default();
    let mut values = row.as_object().into_iter().flatten();
    let Some((name, value)) = values.find(|(_, value)| !value.is_null() && *value != "") else {
        return String::new();
    };
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{name}={}…", &value[..end]),
        None => format!("{name}={value}"),
    }
}

/// The rows; dismissed ones with their notes.
fn table(entries: &[RowEntry], notes: &[String]) -> Table {
    let columns = [
        word("at"),
        word("sync"),
        word("object").optional(),
        word("user"),
        word("key"),
        word("status"),
        sentence("reason"),
        sentence(if notes.is_empty() { "" } else { "note" }),
    ];
    let mut table = Table::new(columns);
    for (at, entry) in entries.iter().enumerate() {
        let reason = entry.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
        table.row([
            moment(entry.at).into(),
            entry.sync.to_string().into(),
            entry.object.as_str().into(),
            entry.user.as_str().into(),
            named(entry).into(),
            state(entry.status.as_str()),
            reason.unwrap_or_default().into(),
            notes.get(at).cloned().unwrap_or_default().into(),
        ]);
    }
    table
}
