//! How much a mirror may change before a person has to say so.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::{Compared, Error, ErrorKind, SyncId};
use tidegate_project::{Limit, Limits, Removed};

/// A limit of a sync, and a run that would go beyond it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExceededLimit {
    /// The limit as the project file has it, such as `removed: 1000`.
    pub limit: String,
    /// The rows that the limit allows.
    pub allowed: u64,
    /// The rows that are beyond it.
    pub rows: u64,
    /// What the run would do, such as `delete 1200 users`.
    pub effect: String,
    /// Which rows the limit counts.
    #[serde(skip)]
    limited: Limited,
    /// The rows that a person has confirmed, if there are fewer of them than the run would send.
    #[serde(skip)]
    confirmed: Option<u64>,
}

/// Which rows a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limited {
    Removed,
    Changed,
    FirstRun,
}

/// What a person was shown of a run, and has confirmed: the run may go beyond its limits, and up to these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfirmedRows {
    /// Rows that were not sent before.
    pub added: u64,
    /// Rows that have changed since they were sent.
    pub changed: u64,
    /// Rows that are gone; with `object: deletion`, users to delete.
    pub removed: u64,
}

impl ConfirmedRows {
    /// Returns whether a run that exceeds a limit was confirmed as it is; otherwise what exceeds it, with what
    /// was confirmed.
    fn judge(self, exceeded: ExceededLimit) -> Option<ExceededLimit> {
        let confirmed = match exceeded.limited {
            Limited::Removed => self.removed,
            Limited::Changed => self.changed,
            Limited::FirstRun => self.added,
        };
        (exceeded.rows > confirmed).then_some(ExceededLimit { confirmed: Some(confirmed), ..exceeded })
    }
}

/// The share of removed rows that no limit has to allow.
const REMOVED: Limit = Limit::Percent(10.0);
/// Fewer removed rows than this are no accident, unless all are gone.
const FEW: u64 = 10;
/// Names of files that a message holds.
const FILES_SHOWN: usize = 3;

impl ExceededLimit {
    /// Returns what is exceeded by a run that deletes this many users.
    pub fn by_deletions(
        limit: Option<Limit>,
        rows: u64,
        confirmed: Option<ConfirmedRows>,
    ) -> Option<ExceededLimit> {
        let limit = limit?;
        // A sync of deletions does not know how many users there are, so it has no share.
        let effect = format!("delete {rows} users");
        let exceeded = ExceededLimit::beyond(Limited::Removed, limit, limit.rows(0), rows, effect)?;
        confirmed.map_or(Some(exceeded.clone()), |confirmed| confirmed.judge(exceeded))
    }

    /// Returns the first limit that is exceeded by a mirror that does this with removed rows;
    /// `vanished` are files that it has read before and that are gone.
    pub fn by_mirror(
        limits: &Limits,
        on_removed: Removed,
        compared: &Compared,
        vanished: &[String],
        confirmed: Option<ConfirmedRows>,
    ) -> Option<ExceededLimit> {
        let Compared { known, added, changed, removed, .. } = *compared;
        let removes = on_removed != Removed::Ignore;
        let at_the_platform = |rows: String| match on_removed {
            Removed::Update => format!("set the attributes of {rows} to null"),
            Removed::Delete | Removed::Ignore => format!("delete {rows} at the platform"),
        };
        let by_removed = || {
            let rows = at_the_platform(format!("{removed} of {known} rows"));
            let effect = format!("{rows}, because they are gone from the source");
            match limits.removed {
                Some(limit) => {
                    ExceededLimit::beyond(Limited::Removed, limit, limit.rows(known), removed, effect)
                }
                None if removed == known => {
                    ExceededLimit::beyond(Limited::Removed, REMOVED, 0, removed, effect)
                }
                None => {
                    let allowed = REMOVED.rows(known).max(FEW);
                    ExceededLimit::beyond(Limited::Removed, REMOVED, allowed, removed, effect)
                }
            }
        };
        let by_changed = |limit: Limit| {
            let effect = format!("send {changed} of {known} rows because they have changed");
            ExceededLimit::beyond(Limited::Changed, limit, limit.rows(known), changed, effect)
        };
        let by_first = |limit: Limit| {
            let effect = format!("send {added} rows in its first run");
            ExceededLimit::beyond(Limited::FirstRun, limit, limit.rows(0), added, effect)
        };
        let by_removed = removes.then(by_removed).flatten();
        let by_files = || {
            let files = vanished.iter().take(FILES_SHOWN).map(|name| format!("`{name}`"));
            let files = files.collect::<Vec<_>>().join(", ");
            let more = vanished.len().saturating_sub(FILES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let rows = at_the_platform(format!("{removed} rows"));
            let effect = format!("{rows}, because they are gone with these files: {files}{more}");
            let limit = limits.removed.unwrap_or(REMOVED);
            ExceededLimit::beyond(Limited::Removed, limit, 0, removed, effect)
        };
        // A file that is late must not look like a file whose rows were removed.
        let by_removed = by_removed.or_else(|| (removes && !vanished.is_empty()).then(by_files).flatten());
        let first = limits.first_run.filter(|_| known == 0);
        let all = [by_removed, limits.changed.and_then(by_changed), first.and_then(by_first)];
        let unconfirmed = |exceeded: ExceededLimit| match confirmed {
            None => Some(exceeded),
            Some(confirmed) => confirmed.judge(exceeded),
        };
        all.into_iter().flatten().find_map(unconfirmed)
    }

    fn beyond(
        limited: Limited,
        limit: Limit,
        allowed: u64,
        rows: u64,
        effect: String,
    ) -> Option<ExceededLimit> {
        let name = match limited {
            Limited::Removed => "removed",
            Limited::Changed => "changed",
            Limited::FirstRun => "first_run",
        };
        let limit = format!("{name}: {limit}");
        (rows > allowed).then_some(ExceededLimit { limit, allowed, rows, effect, limited, confirmed: None })
    }

    /// Returns the error of a run that was not made.
    pub fn error(&self, sync: &SyncId) -> Error {
        let ExceededLimit { limit, allowed, effect, limited, confirmed, .. } = self;
        if let Some(confirmed) = confirmed {
            return Error::new(
                ErrorKind::Unconfirmed,
                format!(
                    "skipped: the source has changed since the run was confirmed: it would now {effect}, but \
                     only {confirmed} were confirmed; nothing was sent"
                ),
            )
            .hint(format!("look at `tidegate plan {sync}` once more, then confirm the run as it is now"));
        }
        let first = match *limited == Limited::Removed {
            true => "find out whether these rows should be gone; if not, repair the source; if so, ",
            false => "",
        };
        Error::new(
            ErrorKind::Unconfirmed,
            format!(
                "skipped: the run would {effect}, and `limits: {{ {limit} }}` allows {allowed}; nothing was sent"
            ),
        )
        .hint(format!(
            "{first}look at `tidegate plan {sync}`, then run `tidegate run {sync} --yes` or raise the limit"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded(limits: Limits, known: u64, removed: u64, changed: u64) -> Option<String> {
        let compared = Compared { known, removed, changed, added: 7, ..Compared::default() };
        ExceededLimit::by_mirror(&limits, Removed::Delete, &compared, &[], None)
            .map(|exceeded| exceeded.limit)
    }

    #[test]
    fn an_emptied_table_is_beyond_the_limit_that_is_not_written() {
        let none = Limits::default();
        for (known, removed, brakes) in [
            (0, 0, false),
            (1, 1, true),
            (5, 4, false),
            (100, 10, false),
            (100, 11, true),
            (1_000, 101, true),
        ] {
            assert_eq!(exceeded(none, known, removed, 0).is_some(), brakes, "{removed} of {known}");
        }
        let all = Compared { known: 5, removed: 5, ..Compared::default() };
        assert_eq!(
            ExceededLimit::by_mirror(&none, Removed::Ignore, &all, &[], None),
            None,
            "nothing is done about them"
        );
    }

    #[test]
    fn a_file_that_is_gone_is_beyond_the_limit_if_rows_are_gone_with_it() {
        let gone = ["1.csv", "2.csv", "3.csv", "4.csv"].map(str::to_owned);
        let exceeded = |removed, on_removed| {
            let compared = Compared { known: 1_000, removed, ..Compared::default() };
            ExceededLimit::by_mirror(&Limits::default(), on_removed, &compared, &gone, None)
        };
        let effect = exceeded(5, Removed::Update).expect("exceeded").effect;
        let said = "set the attributes of 5 rows to null, because they are gone with these files: \
                    `1.csv`, `2.csv`, `3.csv` and 1 more";
        assert_eq!(effect, said);
        assert_eq!((exceeded(0, Removed::Delete), exceeded(5, Removed::Ignore)), (None, None));
    }

    #[test]
    fn written_limits_count_as_they_are_written() {
        let limits = Limits {
            removed: Some(Limit::Rows(3)),
            changed: Some(Limit::Percent(50.0)),
            first_run: Some(Limit::Rows(5)),
        };
        assert_eq!(exceeded(limits, 4, 4, 0).as_deref(), Some("removed: 3"));
        assert_eq!(exceeded(limits, 4, 3, 3).as_deref(), Some("changed: 50%"));
        assert_eq!(exceeded(limits, 4, 3, 2), None);
        assert_eq!(exceeded(limits, 0, 0, 0).as_deref(), Some("first_run: 5"));
    }
    #[test]
    fn a_run_that_was_confirmed_does_what_was_shown_and_not_one_row_more() {
        let limits = Limits { changed: Some(Limit::Rows(2)), ..Limits::default() };
        let gone = ["1.csv".to_owned()];
        let exceeded = |removed, changed, files: &[String]| {
            let shown = ConfirmedRows { added: 0, changed: 3, removed: 300 };
            let compared = Compared { known: 300, removed, changed, ..Compared::default() };
            ExceededLimit::by_mirror(&limits, Removed::Delete, &compared, files, Some(shown))
        };
        assert_eq!(exceeded(300, 3, &[]), None);
        assert_eq!(exceeded(5, 0, &gone), None, "fewer than were shown");
        let more = exceeded(300, 4, &[]).expect("more rows have changed").error(&SyncId::new("s"));
        assert!(more.message().contains("send 4 of 300 rows"), "{more:?}");
        assert!(more.message().contains("3 were confirmed; nothing was sent"), "{more:?}");
        let deletions = |rows| {
            let shown = ConfirmedRows { removed: 5, ..ConfirmedRows::default() };
            ExceededLimit::by_deletions(Some(Limit::Rows(3)), rows, Some(shown)).is_some()
        };
        assert_eq!((deletions(5), deletions(6)), (false, true));
    }
}
