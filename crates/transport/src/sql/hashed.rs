//! Hashes that a warehouse makes of the rows of a table, and the statements that compare them. Pure: nothing here
//! is sent.
//!
//! Two rows have one hash if and only if they are read as the same values: each column is rendered as a text that
//! is exact, and the hash is made of the hashes of these texts, so that no text can be taken for the end of another, and
//! of the types of the columns, so that 5 is not taken for '5'.

use tidegate_model::Error;
use tidegate_model::source::Hashed;

use super::incremental::Dialect;
use super::literal;
use super::table::{Relation, SelectedColumn, SqlTable};

/// The columns of the hash of the key and of the hash of the row, in each statement.
pub const KEY: &str = "tidegate_key";
/// See [`KEY`].
pub const HASH: &str = "tidegate_hash";
/// The column that is not null if other rows have the same key.
pub const SEVERAL: &str = "tidegate_several";

/// A setting that needs hashes of rows, and the one that needs none.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// What needs them.
    pub setting: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

impl Needs {
    /// `state: source`.
    pub const BOOKKEEPING: Needs = Needs { setting: "`state: source`", instead: "`state: ours`" };
    /// `compare: hashes`.
    pub const HASHES: Needs = Needs { setting: "`compare: hashes`", instead: "`compare: rows`" };
}

/// A column that a warehouse can make a hash of.
pub trait HashedColumn: SelectedColumn {
    /// Returns a column of texts that a statement has besides those of the table.
    fn of_texts(name: &str) -> Self;

    /// Returns the column as a text that is exact: two values have one text if and only if they are read as the same
    /// value. `None` if its type has no such text.
    fn text(&self) -> Option<String>;

    /// Returns the name of its type, for people.
    fn type_name(&self) -> String;

    /// Returns the hash of a text as SQL: 32 hexadecimal digits.
    fn md5(text: &str) -> String {
        format!("MD5({text})")
    }
}

/// Returns the hash of columns as SQL: 32 hexadecimal digits.
fn hash_of<C: HashedColumn>(columns: &[&C], needs: Needs) -> Result<String, Error> {
    let Needs { setting, instead } = needs;
    let types: Vec<String> = columns.iter().map(|column| column.type_name()).collect();
    let part = |column: &&C| {
        let text = column.text().ok_or_else(|| {
            let (name, type_name) = (column.name(), column.type_name());
            Error::settings(format!(
                "{setting} compares hashes of rows, and column `{name}` of type {type_name} cannot be part of one"
            ))
            .hint(format!("leave the column out of `mapping`, or write {instead}, which reads the rows"))
        })?;
        Ok(format!("COALESCE({}, '-')", C::md5(&text)))
    };
    let parts = columns.iter().map(part).collect::<Result<Vec<_>, Error>>()?;
    Ok(C::md5(&format!("{} || {}", literal(&types.join(", ")), parts.join(" || "))))
}

/// Returns the exact text of a float: what the server writes for it, however many digits that has, and what remains
/// of the number without them. `types` are those of a float of 64 bits and of a text.
pub fn exact_float(column: &str, types: (&str, &str)) -> String {
    let (float, text_type) = types;
    let text = format!("CAST({column} AS {text_type})");
    format!("{text} || ' ' || CAST({column} - CAST({text} AS {float}) AS {text_type})")
}

/// A table and the hashes of its rows, as texts of SQL.
#[derive(Clone, Debug)]
pub struct HashedTable {
    /// What is selected for the columns: the list of a `SELECT`.
    pub list: String,
    /// The columns themselves, in quotes.
    pub columns: String,
    /// What is after `FROM`.
    pub from: String,
    /// The hash of the key.
    pub key: String,
    /// The hash of the columns.
    pub row: String,
    /// The condition that no column of the key is null.
    pub keyed: String,
    /// Whether the server takes care that a key has one row.
    pub is_unique: bool,
}

/// Where the entries of a mirror are, in quotes.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// The table.
    pub table: &'a str,
    /// Its columns: the name of the entries, the key in the ledger, the key of the source, and the hash.
    pub columns: &'a [String; 4],
    /// The name of the entries, which has no quotes.
    pub name: &'a str,
}

impl HashedTable {
    /// Returns a table by hashes of the exact texts of its columns. Several rows may have one key.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a key column that is not there, and
    /// [`tidegate_model::ErrorKind::Settings`] for a column whose values have no exact text.
    pub fn by_texts<D: Dialect + Copy, R: Relation, C: HashedColumn>(
        table: &SqlTable<D, R, C>,
        key: &[String],
        needs: Needs,
    ) -> Result<HashedTable, Error> {
        HashedTable::new(table, key, false, |columns| hash_of(columns, needs))
    }

    /// Returns a table by the hashes that `hash` makes of its key and of its columns.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a key column that is not there, and those of `hash`.
    pub fn new<D: Dialect + Copy, R: Relation, C: SelectedColumn>(
        table: &SqlTable<D, R, C>,
        key: &[String],
        is_unique: bool,
        hash: impl Fn(&[&C]) -> Result<String, Error>,
    ) -> Result<HashedTable, Error> {
        let key = key.iter().map(|name| table.find(name)).collect::<Result<Vec<&C>, Error>>()?;
        let all: Vec<&C> = table.columns.iter().collect();
        let quoted: Vec<String> = all.iter().map(|column| column.quoted()).collect();
        let keyed: Vec<String> =
            key.iter().map(|column| format!("{} IS NOT NULL", column.quoted())).collect();
        Ok(HashedTable {
            list: table.list(),
            columns: quoted.join(", "),
            from: table.relation.from(),
            key: hash(&key)?,
            row: hash(&all)?,
            keyed: keyed.join(" AND "),
            is_unique,
        })
    }

    /// Returns the statement for the rows with their hashes: all rows, or those that differ from `entries` and those
    /// whose key other rows have, too.
    pub fn differing(&self, entries: Option<Entries<'_>>) -> String {
        let HashedTable { list, columns, from, key, row, .. } = self;
        let (several, twice) = match self.is_unique {
            true => ("NULL", String::new()),
            false => (
                SEVERAL,
                format!(
                    " LEFT JOIN (SELECT {key} AS {SEVERAL} FROM {from} GROUP BY 1 HAVING COUNT(*) > 1) \
                     AS tidegate_twice ON {SEVERAL} = {KEY}"
                ),
            ),
        };
        let hashed = format!("SELECT {columns}, {key} AS {KEY}, {row} AS {HASH} FROM {from}");
        let select =
            format!("SELECT {list}, {KEY}, {HASH}, {several} FROM ({hashed}) AS tidegate_hashed{twice}");
        let Some(Entries { table, columns: [of, _, source_key, known], name }) = entries else {
            return select;
        };
        let several = if self.is_unique { String::new() } else { format!(" OR {SEVERAL} IS NOT NULL") };
        format!(
            "{select} LEFT JOIN (SELECT {source_key} AS tidegate_source_key, {known} AS tidegate_known \
             FROM {table} WHERE {of} = '{name}') AS tidegate_entries ON tidegate_source_key = {KEY} \
             WHERE tidegate_known IS NULL OR tidegate_known <> {HASH}{several}"
        )
    }

    /// Returns the statement for keys of entries whose rows are gone, in their order, behind `after`.
    pub fn removed(&self, entries: Entries<'_>, after: &str, limit: usize) -> String {
        let Entries { table, columns: [of, key, source_key, _], name } = entries;
        format!(
            "SELECT tidegate_entries.{key} FROM {table} AS tidegate_entries \
             LEFT JOIN (SELECT {} AS {KEY} FROM {}) AS tidegate_there ON {KEY} = tidegate_entries.{source_key} \
             WHERE tidegate_entries.{of} = '{name}' AND tidegate_entries.{key} > '{after}' AND {KEY} IS NULL \
             ORDER BY tidegate_entries.{key} LIMIT {limit}",
            self.key, self.from
        )
    }

    /// Returns the statement that counts the rows whose key has no null; `text` is the type of texts.
    pub fn count(&self, text: &str) -> String {
        format!("SELECT CAST(COUNT(*) AS {text}) FROM {} WHERE {}", self.from, self.keyed)
    }
}

impl<D: Dialect + Copy, R: Relation, C: HashedColumn> SqlTable<D, R, C> {
    /// Returns the statement that reads rows with their hashes, and the table as its rows are: the columns of the key
    /// or all of them, and the hash of all of them as the last one. A condition may be added behind the statement,
    /// which has none.
    ///
    /// # Errors
    /// As [`HashedTable::by_texts`] has them.
    pub fn with_hashes(self, key: &[String], what: Hashed<'_>) -> Result<(SqlTable<D, R, C>, String), Error> {
        let HashedTable { row, from, .. } = HashedTable::by_texts(&self, key, Needs::HASHES)?;
        let table = match what {
            Hashed::Keys => self.narrowed(Some(key))?,
            Hashed::Rows | Hashed::These(_) => self,
        };
        let text = format!("SELECT {}, {row} AS {HASH} FROM {from}", table.list());
        Ok((table.followed_by([C::of_texts(HASH)]), text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::AsCursor;
    use super::*;

    #[derive(Clone)]
    struct Named(&'static str, Option<&'static str>);

    impl SelectedColumn for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn quoted(&self) -> String {
            format!("\"{}\"", self.0)
        }

        fn asked(&self) -> String {
            self.quoted()
        }

        fn as_cursor(&self) -> AsCursor {
            unreachable!("no cursor is asked for")
        }
    }

    impl HashedColumn for Named {
        fn of_texts(_: &str) -> Named {
            Named(HASH, Some(HASH))
        }

        fn text(&self) -> Option<String> {
            self.1.map(str::to_owned)
        }

        fn type_name(&self) -> String {
            "sketch".to_owned()
        }
    }

    #[derive(Clone, Copy)]
    struct Standard;

    impl Dialect for Standard {
        fn by_bytes(&self, expression: &str) -> String {
            expression.to_owned()
        }

        fn now(&self, _: super::super::incremental::Clock, _: &str) -> String {
            unreachable!("no clock is asked for")
        }

        fn endless(&self, _: &str, _: super::super::incremental::Number, _: bool) -> String {
            unreachable!("no number is asked for")
        }

        fn parameter(&self, _: usize, _: &str) -> String {
            unreachable!("no parameter is asked for")
        }
    }

    #[derive(Clone)]
    struct Orders;

    impl Relation for Orders {
        fn label(&self) -> String {
            "orders".to_owned()
        }

        fn from(&self) -> String {
            "orders".to_owned()
        }
    }

    #[test]
    fn keys_are_read_with_the_hash_of_the_whole_row() {
        let columns = vec![Named("id", Some("id")), Named("city", Some("city"))];
        let table = SqlTable::new(Standard, Orders, columns, true).unwrap();
        let hash = "MD5('sketch, sketch' || COALESCE(MD5(id), '-') || COALESCE(MD5(city), '-'))";
        let read = |what| {
            let (table, text) = table.clone().with_hashes(&["id".to_owned()], what).unwrap();
            (table.names().names().join(" "), text)
        };
        let keys = format!("SELECT \"id\", {hash} AS tidegate_hash FROM orders");
        assert_eq!(read(Hashed::Keys), ("id tidegate_hash".to_owned(), keys));
        let rows = format!("SELECT \"id\", \"city\", {hash} AS tidegate_hash FROM orders");
        assert_eq!(read(Hashed::Rows), ("id city tidegate_hash".to_owned(), rows));
    }

    #[test]
    fn a_hash_is_made_of_hashes_so_that_no_text_ends_another() {
        let columns = [Named("a", Some("a")), Named("b", Some("CAST(b AS VARCHAR)"))];
        assert_eq!(
            hash_of(&columns.each_ref(), Needs::BOOKKEEPING).unwrap(),
            "MD5('sketch, sketch' || COALESCE(MD5(a), '-') || COALESCE(MD5(CAST(b AS VARCHAR)), '-'))"
        );
    }

    #[test]
    fn a_column_without_an_exact_text_is_refused_by_name() {
        let error = hash_of(&[&Named("h", None)], Needs::BOOKKEEPING).unwrap_err();
        assert_eq!(
            error.message(),
            "`state: source` compares hashes of rows, and column `h` of type sketch cannot be part of one"
        );
        assert!(error.next_step().ends_with("or write `state: ours`, which reads the rows"), "{error:?}");
    }
}
