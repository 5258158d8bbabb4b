//! Columns from the names of folders: `day=2026-11-22/` as Hive writes them.

use tidegate_model::Value;
use tidegate_model::address::decoded;

/// What Hive calls a folder whose column has no value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the columns that the folders of a file say, the first of two with one name.
pub fn columns(name: &str) -> Vec<(String, Value)> {
    let mut columns: Vec<(String, Value)> = Vec::new();
    let Some((folders, _)) = name.rsplit_once('/') else { return columns };
    for (column, value) in folders.split('/').filter_map(|folder| folder.split_once('=')) {
        let column = unescaped(column);
        if !column.is_empty() && !columns.iter().any(|(known, _)| *known == column) {
            let value = if value == NULL { Value::Null } else { Value::Text(unescaped(value).into()) };
            columns.push((column, value));
        }
    }
    columns
}

/// Returns a text in which characters that a name cannot have are written as `%3A`.
fn unescaped(text: &str) -> String {
    decoded(text).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_an_equals_sign_are_columns() {
        let text = |value: &str| Value::Text(value.into());
        assert_eq!(
            columns("drops/day=2026-11-22/at=10%3A30/zone=__HIVE_DEFAULT_PARTITION__/day=x/part=0.csv"),
            [
                ("day".to_owned(), text("2026-11-22")),
                ("at".to_owned(), text("10:30")),
                ("zone".to_owned(), Value::Null)
            ]
        );
        assert_eq!(columns("a=100%/b.csv"), [("a".to_owned(), text("100%"))]);
        assert!(columns("a=b.csv").is_empty());
    }
}
