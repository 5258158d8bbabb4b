//! What Unity Catalog knows: schemas, tables, columns and keys. Asking it starts no warehouse.
//!
//! Source: Databricks REST API reference, Unity Catalog: `catalogs`, `schemas`, `tables`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_model::address::encoded;
use tidegate_model::source::Column;
use tidegate_model::{Dataset, Error, ErrorKind};
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::table::ColumnSql as _;

use super::client::Client;
use super::relation::Names;
use super::types::parse;

/// Pages that are asked for at most, of one list.
const PAGES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Catalogs {
    #[serde(default)]
    catalogs: Vec<Named>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Schemas {
    #[serde(default)]
    schemas: Vec<Named>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    tables: Vec<TableInfo>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// A table or view, as Unity Catalog describes it.
#[derive(Debug, Deserialize)]
pub struct TableInfo {
    name: String,
    catalog_name: String,
    schema_name: String,
    #[serde(default)]
    columns: Vec<ColumnInfo>,
    #[serde(default)]
    table_constraints: Vec<Constraint>,
    #[serde(default)]
    table_id: String,
    properties: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct ColumnInfo {
    name: String,
    type_text: String,
    #[serde(default)]
    position: i64,
}

#[derive(Debug, Deserialize)]
struct Constraint {
    primary_key_constraint: Option<PrimaryKey>,
}

#[derive(Debug, Deserialize)]
struct PrimaryKey {
    #[serde(default)]
    child_columns: Vec<String>,
}

impl TableInfo {
    /// Returns the id of the table, which another one of its name has not; empty if it is not told.
    pub fn id(&self) -> &str {
        &self.table_id
    }

    /// Returns a property of the table, empty if it is not set; `None` if properties are not told.
    pub fn property(&self, name: &str) -> Option<&str> {
        let properties = self.properties.as_ref()?;
        Some(properties.get(name).map_or("", String::as_str))
    }

    /// Returns the columns of the primary key; none if there is no such key.
    pub fn key(&self) -> Vec<String> {
        let keys =
            self.table_constraints.iter().find_map(|constraint| constraint.primary_key_constraint.as_ref());
        keys.map(|key| key.child_columns.clone()).unwrap_or_default()
    }

    fn dataset(mut self) -> Dataset {
        let name =
            [&self.catalog_name, &self.schema_name, &self.name].map(|name| Names::shown(name)).join(".");
        let key = self.key();
        self.columns.sort_by_key(|column| column.position);
        Dataset {
            name,
            columns: self
                .columns
                .into_iter()
                .map(|column| described(column.name, &column.type_text))
                .collect(),
            key,
            open: false,
        }
    }
}

/// Returns a column with the type that a text names.
pub fn described(name: String, type_text: &str) -> Column {
    let sql_type = parse(type_text);
    Column { name, data_type: sql_type.data_type(), type_name: sql_type.to_string() }
}

impl Client {
    /// Returns what Unity Catalog knows of a table; `None` if it knows nothing, or does not tell us.
    ///
    /// # Errors
    /// What keeps the workspace from answering.
    pub async fn table_info(&self, names: &[String; 3]) -> Result<Option<TableInfo>, Error> {
        let full = names.join(".");
        let full = encoded(&full);
        match self.get::<TableInfo>(&format!("/api/2.1/unity-catalog/tables/{full}")).await {
            Ok(info) => Ok(Some(info)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Missing | ErrorKind::Denied | ErrorKind::Rejected | ErrorKind::Settings
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lists the tables and views of the connection's catalog and schema, or of all.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn tables(&self) -> Result<Vec<Dataset>, Error> {
        let mut found = Vec::new();
        for catalog in self.catalogs().await? {
            let schemas = match self.schemas(&catalog).await {
                Err(error) if self.settings.catalog.is_none() && error.kind() == ErrorKind::Denied => {
                    continue;
                }
                schemas => schemas?,
            };
            for schema in schemas {
                let query = format!("catalog_name={}&schema_name={}", form(&catalog), form(&schema));
                let path = format!("/api/2.1/unity-catalog/tables?{query}");
                let tables = self.pages(&path, |page: Tables| (page.tables, page.next_page_token)).await;
                match tables {
                    Err(error) if self.settings.schema.is_none() && error.kind() == ErrorKind::Denied => {}
                    tables => found.extend(tables?.into_iter().map(TableInfo::dataset)),
                }
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn catalogs(&self) -> Result<Vec<String>, Error> {
        if let Some(catalog) = &self.settings.catalog {
            return Ok(vec![catalog.clone()]);
        }
        let path = "/api/2.1/unity-catalog/catalogs?include_browse=false";
        let catalogs = self.pages(path, |page: Catalogs| (page.catalogs, page.next_page_token)).await?;
        // Those of the vendor hold nothing of the customer's.
        let own = |name: &String| !matches!(name.as_str(), "system" | "samples" | "__databricks_internal");
        Ok(catalogs.into_iter().map(|catalog| catalog.name).filter(own).collect())
    }

    async fn schemas(&self, catalog: &str) -> Result<Vec<String>, Error> {
        if let Some(schema) = &self.settings.schema {
            return Ok(vec![schema.clone()]);
        }
        let path = format!("/api/2.1/unity-catalog/schemas?catalog_name={}", form(catalog));
        let schemas = self.pages(&path, |page: Schemas| (page.schemas, page.next_page_token)).await?;
        Ok(schemas
            .into_iter()
            .map(|schema| schema.name)
            .filter(|name| name != "information_schema")
            .collect())
    }

    async fn pages<P: serde::de::DeserializeOwned, T>(
        &self,
        path: &str,
        take: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            // 0 is the page size that the server likes best; without one there are no pages.
            let page = match &token {
                None => format!("{path}&max_results=0"),
                Some(token) => format!("{path}&max_results=0&page_token={}", form(token)),
            };
            let (more, next) = take(self.get(&page).await?);
            found.extend(more);
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Unexpected, "the list of tables does not end")
            .hint("set `catalog` and `schema` in the connection"))
    }
}

fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
