//! The dialect of Amazon Redshift.

use super::{Clock, Dialect, Number, utc};

/// Stands for the parameter: a cursor's query takes none, and no statement has this character.
const PARAMETER: &str = "\0";

/// The dialect of Amazon Redshift. A session whose time zone is UTC is taken for granted.
///
/// Sources: Amazon Redshift Database Developer Guide, "Data types", "Date and time functions", "Leader
/// node-only functions".
#[derive(Clone, Copy, Debug, Default)]
pub struct Redshift;

/// Returns a statement of the dialect with its parameter, in SQL.
pub fn with_parameter(statement: &str, parameter: &str) -> String {
    statement.replace(PARAMETER, parameter)
}

impl Dialect for Redshift {
    fn by_bytes(&self, expression: &str) -> String {
        // Texts are compared so, unless their column is `COLLATE CASE_INSENSITIVE`.
        expression.to_owned()
    }

    fn now(&self, shown: Clock, time_zone: &str) -> String {
        // `now()` runs on the leader node alone.
        utc::now(shown, time_zone, "(SYSDATE AT TIME ZONE 'UTC')", "SYSDATE")
    }

    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String {
        // Whether `NaN` equals itself is not documented; its text does.
        let text = format!("CAST({expression} AS VARCHAR)");
        utc::endless(&text, "'NaN', 'Infinity', '-Infinity'", number, is_endless)
    }

    fn parameter(&self, _: usize, cast: &str) -> String {
        format!("CAST({PARAMETER} AS {cast})")
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::DataType;

    use super::super::{CursorColumn, Incremental};
    use super::*;

    #[test]
    fn one_statement_of_redshift_has_the_rows_without_a_cursor_and_those_in_order() {
        let read = |data_type, cast: &str| {
            let cursor = CursorColumn { expression: "\"at\"".to_owned(), data_type, cast: cast.to_owned() };
            Incremental::new(Redshift, "\"id\"", "\"t\"", cursor, "Europe/Berlin").expect("a cursor")
        };
        assert_eq!(
            with_parameter(&read(&DataType::Timestamp, "TIMESTAMPTZ").all(true), "'2026-03-01'"),
            "SELECT \"id\" FROM \"t\" WHERE \"at\" IS NULL OR (\"at\" >= CAST('2026-03-01' AS TIMESTAMPTZ) AND \"at\" <= \
             (SYSDATE AT TIME ZONE 'UTC')) ORDER BY \"at\" NULLS FIRST"
        );
        let wall = "CONVERT_TIMEZONE('UTC', 'Europe/Berlin', SYSDATE)";
        let not_due = read(&DataType::Date, "DATE").not_due().expect("a statement");
        assert!(not_due.contains(&format!("\"at\" > CAST({wall} AS DATE)")), "{not_due}");
        let endless = "CAST(\"at\" AS VARCHAR) IN ('NaN', 'Infinity', '-Infinity')";
        let counted = read(&DataType::Float, "FLOAT8").not_due();
        assert_eq!(counted, Some(format!("SELECT count(*) FROM \"t\" WHERE {endless}")));
        assert_eq!(read(&DataType::Text, "VARCHAR").not_due(), None);
    }
}
