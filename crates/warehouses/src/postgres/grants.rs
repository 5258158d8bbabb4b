//! The statements that give a missing privilege, ready to copy.

use super::query::Relation;
use tidegate_transport::sql::quote;

/// Lets `role` read a table; with its schema, if that is known.
pub fn select(relation: &Relation, role: &str) -> Option<String> {
    Some(format!("GRANT SELECT ON {} TO {};", relation.quoted()?, quote(role)))
}

/// Lets `role` read these columns of a table; the whole table if there are none.
pub fn select_columns(relation: &Relation, columns: &[&str], role: &str) -> Option<String> {
    if columns.is_empty() {
        return select(relation, role);
    }
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    Some(format!("GRANT SELECT ({}) ON {} TO {};", columns.join(", "), relation.quoted()?, quote(role)))
}

/// Lets `role` look into a schema.
pub fn usage(schema: &str, role: &str) -> String {
    format!("GRANT USAGE ON SCHEMA {} TO {};", quote(schema), quote(role))
}

/// Lets `role` add events to a table and find those that are there.
pub fn insert(table: &str, role: &str) -> String {
    format!("GRANT SELECT, INSERT ON {table} TO {};", quote(role))
}

/// Lets `role` make tables in a schema that is there.
pub fn make_tables(schema: &str, role: &str) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {};", quote(schema), quote(role))
}

/// Gives `role` a schema to make tables in, without the right to make others.
pub fn own_schema(schema: &str, role: &str) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}; {}", quote(schema), make_tables(schema, role))
}

/// Lets `role` make temporary tables.
pub fn temporary(database: &str, role: &str) -> String {
    format!("GRANT TEMPORARY ON DATABASE {} TO {};", quote(database), quote(role))
}

/// Lets `role` log in to a database.
pub fn connect(database: &str, role: &str) -> String {
    format!("GRANT CONNECT ON DATABASE {} TO {};", quote(database), quote(role))
}

/// What a refusal names, from the server's words
/// (`permission denied for table orders`): its kind and its name.
pub fn refused(message: &str) -> Option<(&str, &str)> {
    let (_, object) = message.split_once("permission denied for ")?;
    object.split_once(' ')
}

/// Returns the statements for a refusal that met `role` while it read `relation`.
pub fn for_refusal(message: &str, relation: Option<&Relation>, database: &str, role: &str) -> String {
    match (refused(message), relation) {
        (Some(("schema", schema)), _) => usage(schema, role),
        (Some(("database", _)), _) => connect(database, role),
        (Some(("function", function)), _) => {
            format!("GRANT EXECUTE ON FUNCTION {function} TO {};  -- with its argument types", quote(role))
        }
        (_, Some(relation @ Relation::Table { .. })) => select(relation, role).unwrap_or_default(),
        (Some((_, name)), _) => {
            format!("GRANT SELECT ON {} TO {};  -- with its schema in front", quote(name), quote(role))
        }
        (None, _) => format!("grant {} what the query reads", quote(role)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_with_the_statement_that_lifts_it() {
        let orders = Relation::table("sales.Orders").unwrap();
        for (message, relation, statement) in [
            (
                "permission denied for table Orders",
                Some(&orders),
                "GRANT SELECT ON \"sales\".\"Orders\" TO \"tide gate\";",
            ),
            (
                "permission denied for relation Orders",
                Some(&orders),
                "GRANT SELECT ON \"sales\".\"Orders\" TO \"tide gate\";",
            ),
            (
                "permission denied for schema sales",
                Some(&orders),
                "GRANT USAGE ON SCHEMA \"sales\" TO \"tide gate\";",
            ),
            (
                "permission denied for database \"shop\"",
                None,
                "GRANT CONNECT ON DATABASE \"shop\" TO \"tide gate\";",
            ),
        ] {
            assert_eq!(for_refusal(message, relation, "shop", "tide gate"), statement);
        }
    }
}
