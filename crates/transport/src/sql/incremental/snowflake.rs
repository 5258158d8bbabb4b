//! The dialect of Snowflake.

use super::{Clock, Dialect, Number, utc};

/// The dialect of Snowflake. A session whose time zone is UTC is taken for granted.
///
/// Source: Snowflake docs, SQL reference, "Data types" and "Functions".
#[derive(Clone, Copy, Debug, Default)]
pub struct Snowflake;

impl Dialect for Snowflake {
    fn by_bytes(&self, expression: &str) -> String {
        // Texts are compared so unless their column has a collation, which is taken off before.
        expression.to_owned()
    }

    fn now(&self, shown: Clock, time_zone: &str) -> String {
        utc::now(shown, time_zone, "CURRENT_TIMESTAMP()", "SYSDATE()")
    }

    fn endless(&self, expression: &str, number: Number, is_endless: bool) -> String {
        // `NaN` is equal to itself, and higher than all other numbers.
        utc::endless(expression, "'NaN'::FLOAT, 'inf'::FLOAT, '-inf'::FLOAT", number, is_endless)
    }

    fn parameter(&self, _: usize, cast: &str) -> String {
        format!("CAST(? AS {cast})")
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::DataType;

    use super::super::{CursorColumn, Incremental};
    use super::*;

    #[test]
    fn one_statement_of_snowflake_has_the_rows_without_a_cursor_and_those_in_order() {
        let read = |data_type, cast: &str| {
            let cursor = CursorColumn { expression: "\"AT\"".to_owned(), data_type, cast: cast.to_owned() };
            Incremental::new(Snowflake, "\"ID\"", "\"T\"", cursor, "Europe/Berlin").expect("a cursor")
        };
        assert_eq!(
            read(&DataType::Timestamp, "TIMESTAMP_LTZ(9)").all(true),
            "SELECT \"ID\" FROM \"T\" WHERE \"AT\" IS NULL OR (\"AT\" >= CAST(? AS TIMESTAMP_LTZ(9)) AND \"AT\" <= \
             CURRENT_TIMESTAMP()) ORDER BY \"AT\" NULLS FIRST"
        );
        let wall = "CONVERT_TIMEZONE('UTC', 'Europe/Berlin', SYSDATE())";
        let not_due = read(&DataType::DateTime, "TIMESTAMP_NTZ(9)").not_due().expect("a statement");
        assert!(not_due.contains(&format!("\"AT\" > {wall}")), "{not_due}");
        let share = read(&DataType::Float, "FLOAT");
        let endless = "\"AT\" IN ('NaN'::FLOAT, 'inf'::FLOAT, '-inf'::FLOAT)";
        assert_eq!(share.not_due(), Some(format!("SELECT count(*) FROM \"T\" WHERE {endless}")));
    }
}
