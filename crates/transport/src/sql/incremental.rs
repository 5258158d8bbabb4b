//! The statements of an incremental read, in the dialect of a database. Pure:
//! nothing here is sent.
//!
//! A run reads the rows whose cursor is null, then those from a value on, in order
//! and with all ties, as far as the server's own clock has come. Rows after that
//! are not due yet, and are counted.

mod redshift;
mod snowflake;
mod utc;

use tidegate_model::DataType;

use super::{backtick, literal, quote};
pub use redshift::{Redshift, with_parameter};
pub use snowflake::Snowflake;

/// How a database writes what an incremental read needs.
pub trait Dialect {
    /// Returns a name in quotes.
    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    /// Returns an expression of texts that is compared byte by byte, as this
    /// program compares them.
    fn by_bytes(&self, expression: &str) -> String;

    /// Returns what the server's clock shows, as a value of this type of times; of
    /// the wall clock in `time_zone` if the type has no zone.
    fn now(&self, shown: Clock, time_zone: &str) -> String;

    /// Returns the condition that a number is `NaN` or infinite, or that it is not.
    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String;

    /// Returns the statement that counts the numbers of a table that are `NaN` or infinite.
    fn count_endless(&self, from: &str, expression: &str, number: Number) -> String {
        format!("SELECT count(*) FROM {from} WHERE {}", self.endless(expression, number, true))
    }

    /// Returns the parameter of this number, a text, as a value of a type; `cast` is
    /// the type's name in the words of the database.
    fn parameter(&self, number: usize, cast: &str) -> String;
}

/// A type of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Instants.
    Timestamp,
    /// Date and time on a wall clock.
    DateTime,
    /// Days of a wall clock.
    Date,
}

/// A type of numbers that has values without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Binary floating-point numbers.
    Float,
    /// Decimal numbers.
    Decimal,
}

/// Rows behind the end of a read that are counted, at most: a run must not count a table.
const NOT_DUE_MAX: u32 = 10_000;

/// The dialect of PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgreSql;

impl Dialect for PostgreSql {
    fn by_bytes(&self, expression: &str) -> String {
        format!("{expression} COLLATE \"C\"")
    }

    fn now(&self, shown: Clock, time_zone: &str) -> String {
        let zoned = format!("now() AT TIME ZONE {}", literal(time_zone));
        match shown {
            Clock::Timestamp => "now()".to_owned(),
            Clock::DateTime => format!("({zoned})"),
            Clock::Date => format!("({zoned})::date"),
        }
    }

    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String {
        // Before PostgreSQL 14 'Infinity' is no numeric, but it is always a text.
        let cast = if number == Number::Decimal { "::text" } else { "" };
        let operator = if is_endless { "IN" } else { "NOT IN" };
        format!("{expression}{cast} {operator} ('NaN', 'Infinity', '-Infinity')")
    }

    /// They stand at both ends of the order, so an index on the column has them at once: `NaN` and
    /// infinity are higher than all other numbers.
    fn count_endless(&self, from: &str, expression: &str, _: Number) -> String {
        let end = |order: &str, words: &str| {
            let numbers = format!(
                "SELECT {expression} AS number FROM {from} WHERE {expression} IS NOT NULL \
                 ORDER BY {expression}{order} LIMIT {NOT_DUE_MAX}"
            );
            format!("(SELECT count(*) FROM ({numbers}) AS ends WHERE number::text IN ({words}))")
        };
        format!("SELECT {} + {}", end(" DESC", "'NaN', 'Infinity'"), end("", "'-Infinity'"))
    }

    fn parameter(&self, number: usize, cast: &str) -> String {
        format!("${number}::text::{cast}")
    }
}

/// The dialect of Databricks.
///
/// Source: Databricks docs, SQL language reference, "Data types" and "Functions".
#[derive(Clone, Copy, Debug, Default)]
pub struct Databricks;

impl Dialect for Databricks {
    fn quote(&self, name: &str) -> String {
        backtick(name)
    }

    fn by_bytes(&self, expression: &str) -> String {
        // A column may have a collation of its own, bytes have none.
        format!("CAST({expression} AS BINARY)")
    }

    fn now(&self, shown: Clock, time_zone: &str) -> String {
        // A backslash is an escape here; no time zone has one.
        let zone = literal(&time_zone.replace('\\', ""));
        let zoned = format!(
            "convert_timezone(current_timezone(), {zone}, CAST(current_timestamp() AS TIMESTAMP_NTZ))"
        );
        match shown {
            Clock::Timestamp => "current_timestamp()".to_owned(),
            Clock::DateTime => zoned,
            Clock::Date => format!("CAST({zoned} AS DATE)"),
        }
    }

    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String {
        match (number, is_endless) {
            (Number::Float, true) => {
                format!("(isnan({expression}) OR {expression} IN (double('Infinity'), double('-Infinity')))")
            }
            (Number::Float, false) => format!(
                "NOT (isnan({expression}) OR {expression} IN (double('Infinity'), double('-Infinity')))"
            ),
            (Number::Decimal, is_endless) => (!is_endless).to_string(),
        }
    }

    fn parameter(&self, number: usize, cast: &str) -> String {
        format!("CAST(:p{number} AS {cast})")
    }
}

/// The dialect of BigQuery: GoogleSQL.
///
/// Source: BigQuery docs, "Lexical structure", "Functions", "Query syntax".
#[derive(Clone, Copy, Debug, Default)]
pub struct BigQuery;

impl Dialect for BigQuery {
    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
    }

    /// Without a collation, texts are compared so: a column that has one is given without it.
    fn by_bytes(&self, expression: &str) -> String {
        expression.to_owned()
    }

    fn now(&self, shown: Clock, time_zone: &str) -> String {
        // No time zone has a quote or a backslash, which is an escape here.
        let zone = format!("'{}'", time_zone.replace(['\\', '\''], ""));
        match shown {
            Clock::Timestamp => "CURRENT_TIMESTAMP()".to_owned(),
            Clock::DateTime => format!("CURRENT_DATETIME({zone})"),
            Clock::Date => format!("CURRENT_DATE({zone})"),
        }
    }

    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String {
        match (number, is_endless) {
            (Number::Float, true) => format!("(IS_NAN({expression}) OR IS_INF({expression}))"),
            (Number::Float, false) => format!("NOT (IS_NAN({expression}) OR IS_INF({expression}))"),
            (Number::Decimal, is_endless) => (!is_endless).to_string(),
        }
    }

    /// A parameter has a type of its own: partitions are chosen by it before a query runs.
    fn parameter(&self, number: usize, _: &str) -> String {
        format!("@p{number}")
    }
}

/// The column that rows are read by.
#[derive(Clone, Debug)]
pub struct CursorColumn<'a> {
    /// The column, quoted; with a cast if its own type has no usable order.
    pub expression: String,
    /// Its type.
    pub data_type: &'a DataType,
    /// Its type as a cast of the database names it.
    pub cast: String,
}

/// Where an incremental read ends.
#[derive(Clone, Debug)]
enum End {
    /// Nowhere.
    Open,
    /// At the server's own clock: what is later waits for its time.
    Clock(String),
    /// Before `NaN` and the infinities: they compare with every number and would
    /// hide all rows below them forever.
    Finite(Number),
}

/// The statements of an incremental read, all for the same state of the database.
#[derive(Clone, Debug)]
pub struct Incremental<D> {
    dialect: D,
    /// What is selected, and from where: `SELECT … FROM …`.
    select: String,
    from: String,
    expression: String,
    cast: String,
    end: End,
}

impl<D: Dialect> Incremental<D> {
    /// Prepares the statements that select `columns` from `from`, both unchanged
    /// in SQL. Returns `None` if the column cannot be a cursor: its type has no order.
    pub fn new(
        dialect: D,
        columns: &str,
        from: &str,
        cursor: CursorColumn<'_>,
        time_zone: &str,
    ) -> Option<Incremental<D>> {
        let clock = |shown| End::Clock(dialect.now(shown, time_zone));
        let CursorColumn { expression, data_type, cast } = cursor;
        let (expression, end) = match data_type {
            DataType::Timestamp => (expression, clock(Clock::Timestamp)),
            DataType::DateTime => (expression, clock(Clock::DateTime)),
            DataType::Date => (expression, clock(Clock::Date)),
            DataType::Integer | DataType::Uuid => (expression, End::Open),
            DataType::Float => (expression, End::Finite(Number::Float)),
            DataType::Decimal { .. } => (expression, End::Finite(Number::Decimal)),
            DataType::Text => (dialect.by_bytes(&expression), End::Open),
            DataType::Boolean
            | DataType::Bytes
            | DataType::Time
            | DataType::Json
            | DataType::List(_)
            | DataType::Object
            | DataType::Any
            | DataType::Other => return None,
        };
        let select = format!("SELECT {columns} FROM {from}");
        Some(Incremental { dialect, select, from: from.to_owned(), expression, cast, end })
    }

    /// Returns the statement for the rows that have no cursor value.
    pub fn nulls(&self) -> String {
        format!("{} WHERE {} IS NULL", self.select, self.expression)
    }

    /// Returns the statement for the rows in order: those from the value of the
    /// first parameter on, itself included, if `is_bounded`; else all of them.
    pub fn rows(&self, is_bounded: bool) -> String {
        format!("{} WHERE {} ORDER BY {}", self.select, self.condition(is_bounded), self.expression)
    }

    /// Returns the condition of the rows in order.
    fn condition(&self, is_bounded: bool) -> String {
        let start = match is_bounded {
            true => format!("{} >= {}", self.expression, self.dialect.parameter(1, &self.cast)),
            false => format!("{} IS NOT NULL", self.expression),
        };
        let end = match &self.end {
            End::Open => String::new(),
            End::Clock(now) => format!(" AND {} <= {now}", self.expression),
            End::Finite(number) => {
                format!(" AND {}", self.dialect.endless(&self.expression, *number, false))
            }
        };
        format!("{start}{end}")
    }

    /// Returns the statement for all of these rows at once, those without a cursor value
    /// first: one statement reads one state of a table.
    pub fn all(&self, is_bounded: bool) -> String {
        let rows = self.condition(is_bounded);
        let expression = &self.expression;
        format!("{} WHERE {expression} IS NULL OR ({rows}) ORDER BY {expression} NULLS FIRST", self.select)
    }

    /// Returns the statement for the last of these rows.
    pub fn highest(&self) -> String {
        format!("{} DESC LIMIT 1", self.rows(false))
    }

    /// Returns the statement that counts the rows after the end, 10,000 at most; `None` if the
    /// read ends nowhere.
    pub fn not_due(&self) -> Option<String> {
        let (from, expression) = (&self.from, &self.expression);
        match &self.end {
            End::Open => None,
            End::Clock(now) => Some(format!(
                "SELECT count(*) FROM (SELECT 1 AS later FROM {from} WHERE {expression} > {now} \
                 LIMIT {NOT_DUE_MAX}) AS behind"
            )),
            End::Finite(number) => Some(self.dialect.count_endless(from, expression, *number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data_type: &DataType, cast: &str) -> Option<Incremental<PostgreSql>> {
        let cursor = CursorColumn { expression: "\"at\"".to_owned(), data_type, cast: cast.to_owned() };
        Incremental::new(PostgreSql, "\"id\", \"at\"", "\"t\"", cursor, "Europe/Berlin")
    }

    const SELECT: &str = "SELECT \"id\", \"at\" FROM \"t\" WHERE ";

    #[test]
    fn rows_are_read_from_a_value_on_with_its_ties_up_to_the_servers_clock() {
        let wall = "(now() AT TIME ZONE 'Europe/Berlin')";
        for (data_type, cast, now) in [
            (DataType::Timestamp, "timestamptz", "now()".to_owned()),
            (DataType::DateTime, "timestamp", wall.to_owned()),
            (DataType::Date, "date", format!("{wall}::date")),
        ] {
            let read = read(&data_type, cast).expect("a cursor");
            assert_eq!(
                read.rows(true),
                format!("{SELECT}\"at\" >= $1::text::{cast} AND \"at\" <= {now} ORDER BY \"at\"")
            );
            let behind = format!("SELECT 1 AS later FROM \"t\" WHERE \"at\" > {now} LIMIT 10000");
            assert_eq!(read.not_due(), Some(format!("SELECT count(*) FROM ({behind}) AS behind")));
            assert_eq!(read.nulls(), format!("{SELECT}\"at\" IS NULL"));
        }
    }

    #[test]
    fn numbers_without_an_order_are_not_due_and_hide_nothing() {
        let all = "('NaN', 'Infinity', '-Infinity')";
        for (data_type, text) in [(DataType::Float, ""), (DataType::DECIMAL, "::text")] {
            let read = read(&data_type, "n").expect("a cursor");
            let expected =
                format!("{SELECT}\"at\" IS NOT NULL AND \"at\"{text} NOT IN {all} ORDER BY \"at\"");
            assert_eq!(read.rows(false), expected);
            assert_eq!(read.highest(), format!("{expected} DESC LIMIT 1"));
            let counted = read.not_due().expect("a statement");
            let top = "WHERE \"at\" IS NOT NULL ORDER BY \"at\" DESC LIMIT 10000";
            assert!(counted.contains(top), "an index has them: {counted}");
        }
    }

    #[test]
    fn texts_are_compared_byte_by_byte_and_have_no_end() {
        let read = read(&DataType::Text, "text").expect("a cursor");
        let at = "\"at\" COLLATE \"C\"";
        assert_eq!(read.rows(true), format!("{SELECT}{at} >= $1::text::text ORDER BY {at}"));
        assert_eq!(read.not_due(), None);
    }

    #[test]
    fn a_type_without_an_order_is_no_cursor() {
        for data_type in [DataType::Boolean, DataType::Json, DataType::Other, DataType::Any] {
            assert!(read(&data_type, "t").is_none(), "{data_type}");
        }
    }

    #[test]
    fn one_statement_of_databricks_has_the_rows_without_a_cursor_and_those_in_order() {
        let cursor = |data_type| CursorColumn {
            expression: "`at`".to_owned(),
            data_type,
            cast: "TIMESTAMP".to_owned(),
        };
        let read =
            |data_type| Incremental::new(Databricks, "`id`", "`t`", cursor(data_type), "Europe/Berlin");
        let at = read(&DataType::Timestamp).expect("a cursor");
        assert_eq!(
            at.all(true),
            "SELECT `id` FROM `t` WHERE `at` IS NULL OR (`at` >= CAST(:p1 AS TIMESTAMP) AND `at` <= \
             current_timestamp()) ORDER BY `at` NULLS FIRST"
        );
        let cents = read(&DataType::DECIMAL).expect("a cursor");
        assert!(
            cents.rows(false).ends_with("`at` IS NOT NULL AND true ORDER BY `at`"),
            "{}",
            cents.rows(false)
        );
        let share = read(&DataType::Float).expect("a cursor");
        let endless = "(isnan(`at`) OR `at` IN (double('Infinity'), double('-Infinity')))";
        assert_eq!(share.not_due(), Some(format!("SELECT count(*) FROM `t` WHERE {endless}")));
        let wall = Databricks.now(Clock::Date, "Europe/Berlin");
        assert!(wall.contains("'Europe/Berlin'") && wall.ends_with(" AS DATE)"), "{wall}");
    }

    #[test]
    fn one_statement_of_bigquery_has_a_typed_parameter_and_no_cast_around_its_column() {
        let read = |data_type| {
            let cursor =
                CursorColumn { expression: "t.`at`".to_owned(), data_type, cast: "TIMESTAMP".to_owned() };
            Incremental::new(BigQuery, "`id`", "`t`", cursor, "Europe/Berlin").expect("a cursor")
        };
        assert_eq!(
            read(&DataType::Timestamp).all(true),
            "SELECT `id` FROM `t` WHERE t.`at` IS NULL OR (t.`at` >= @p1 AND t.`at` <= CURRENT_TIMESTAMP()) \
             ORDER BY t.`at` NULLS FIRST"
        );
        let rows = read(&DataType::Float).rows(true);
        assert!(rows.contains("t.`at` >= @p1 AND NOT (IS_NAN(t.`at`) OR IS_INF(t.`at`))"), "{rows}");
        assert_eq!(BigQuery.now(Clock::Date, "it's"), "CURRENT_DATE('its')");
        assert_eq!(BigQuery.quote("a`b\\"), "`a\\`b\\\\`");
    }

    #[test]
    fn a_time_zone_cannot_end_its_quotes() {
        assert_eq!(PostgreSql.now(Clock::DateTime, "it's"), "(now() AT TIME ZONE 'it''s')");
    }
}
