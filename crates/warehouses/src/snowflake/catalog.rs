//! What the information schema knows: tables, columns and keys.
//!
//! Source: Snowflake docs, "Snowflake Information Schema", view `COLUMNS`; `SHOW PRIMARY KEYS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::source::Column;
use tidegate_model::{Dataset, Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::table::ColumnSql as _;

use super::client::Client;
use super::relation::Names;
use super::statement::Sql;
use super::types::SqlType;
use super::warehouse::Shown;

/// Databases of the vendor, which hold nothing of the customer's.
const OWN: &[&str] = &["SNOWFLAKE", "SNOWFLAKE_SAMPLE_DATA"];

impl Client {
    /// Returns the columns of a table's primary key in order; none if there is no such key, or it may not
    /// be known.
    ///
    /// # Errors
    /// What keeps Snowflake from answering.
    pub async fn key(self: &Arc<Client>, names: &[String; 3]) -> Result<Vec<String>, Error> {
        let keys = self.keys(&format!("TABLE {}", Names::quoted(names))).await?;
        Ok(keys.into_values().next().unwrap_or_default())
    }

    /// Returns the primary keys of a place, by schema and table.
    async fn keys(self: &Arc<Client>, place: &str) -> Result<BTreeMap<[String; 2], Vec<String>>, Error> {
        let sql: Sql = format!("SHOW PRIMARY KEYS IN {place}").into();
        let listed = match self
            .query(&sql, "looking for primary keys")
            .await
            .map_err(RequestError::into_error)
        {
            Ok(listed) => listed,
            // Views have none.
            Err(error)
                if matches!(error.kind(), ErrorKind::Missing | ErrorKind::Denied | ErrorKind::Settings) =>
            {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(error),
        };
        let mut rows = Shown::all(listed);
        rows.sort_by_key(|row| row.get("key_sequence").parse::<u32>().unwrap_or_default());
        let mut keys: BTreeMap<[String; 2], Vec<String>> = BTreeMap::new();
        for row in rows {
            let table = ["schema_name", "table_name"].map(|part| row.get(part).to_owned());
            keys.entry(table).or_default().push(row.get("column_name").to_owned());
        }
        Ok(keys)
    }

    /// Lists the tables and views of the connection's database and schema, or of all.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn tables(self: &Arc<Client>) -> Result<Vec<Dataset>, Error> {
        let mut found = Vec::new();
        for database in self.databases().await? {
            match self.tables_of(&database).await {
                Ok(tables) => found.extend(tables),
                Err(error)
                    if self.names.database.is_none()
                        && matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn databases(self: &Arc<Client>) -> Result<Vec<String>, Error> {
        if let Some(database) = &self.names.database {
            return Ok(vec![database.clone()]);
        }
        let sql: Sql = "SHOW DATABASES".to_owned().into();
        let listed = self.query(&sql, "looking for databases").await.map_err(RequestError::into_error)?;
        let names = Shown::all(listed).into_iter().map(|row| row.get("name").to_owned());
        Ok(names.filter(|name| !OWN.contains(&name.as_str())).collect())
    }

    async fn tables_of(self: &Arc<Client>, database: &str) -> Result<Vec<Dataset>, Error> {
        let (condition, place) = match &self.names.schema {
            Some(schema) => ("TABLE_SCHEMA = ?", format!("SCHEMA {}.{}", quote(database), quote(schema))),
            None => ("TABLE_SCHEMA <> 'INFORMATION_SCHEMA'", format!("DATABASE {}", quote(database))),
        };
        let text = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE \
             FROM {}.INFORMATION_SCHEMA.COLUMNS WHERE {condition} \
             ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
            quote(database)
        );
        let sql = Sql { text, parameters: self.names.schema.iter().cloned().collect(), ..Sql::default() };
        let listed = self.query(&sql, "looking for tables").await.map_err(RequestError::into_error)?;
        let mut keys = self.keys(&place).await?;
        let mut tables: Vec<([String; 2], Vec<Column>)> = Vec::new();
        for row in Shown::all(listed) {
            let table = ["table_schema", "table_name"].map(|part| row.get(part).to_owned());
            if tables.last().is_none_or(|(last, _)| *last != table) {
                tables.push((table, Vec::new()));
            }
            let number = |part| row.get(part).parse().ok();
            let sql_type = SqlType::new(
                row.get("data_type"),
                number("numeric_precision"),
                number("numeric_scale"),
                None,
            );
            let column = Column {
                name: row.get("column_name").to_owned(),
                data_type: sql_type.data_type(),
                type_name: sql_type.to_string(),
            };
            if let Some((_, columns)) = tables.last_mut() {
                columns.push(column);
            }
        }
        let dataset = |(table, columns): ([String; 2], Vec<Column>)| Dataset {
            name: [database, &table[0], &table[1]].map(Names::shown).join("."),
            key: keys.remove(&table).unwrap_or_default(),
            columns,
            open: false,
        };
        Ok(tables.into_iter().map(dataset).collect())
    }
}
