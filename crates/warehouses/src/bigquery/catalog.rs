//! What BigQuery knows of datasets and tables. Asking costs nothing.
//!
//! Source: BigQuery REST reference, `datasets.list`, `tables.list`, `tables.get`.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tidegate_model::address::encoded;
use tidegate_model::source::Column;
use tidegate_model::{Dataset, Error, ErrorKind};

use super::client::Client;
use super::types::{Field, Schema};

/// Pages that are asked for at most, of one list.
const PAGES_MAX: usize = 1_000;
/// Tables that are described at a time.
const AT_A_TIME: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datasets {
    #[serde(default)]
    datasets: Vec<DatasetEntry>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatasetEntry {
    dataset_reference: DatasetReference,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatasetReference {
    dataset_id: String,
}

#[derive(Deserialize)]
struct DatasetInfo {
    location: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tables {
    #[serde(default)]
    tables: Vec<TableEntry>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableEntry {
    table_reference: TableReference,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableReference {
    table_id: String,
}

/// A table or view, as BigQuery describes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableInfo {
    #[serde(default)]
    schema: Schema,
    /// Where it is.
    pub location: Option<String>,
    table_constraints: Option<Constraints>,
    time_partitioning: Option<Partitioning>,
    range_partitioning: Option<Partitioning>,
    clustering: Option<Clustering>,
    /// `TABLE`, `VIEW`, `MATERIALIZED_VIEW`, `EXTERNAL` …
    #[serde(default, rename = "type")]
    pub kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Constraints {
    primary_key: Option<PrimaryKey>,
}

#[derive(Debug, Deserialize)]
struct PrimaryKey {
    #[serde(default)]
    columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Partitioning {
    field: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Clustering {
    #[serde(default)]
    fields: Vec<String>,
}

impl TableInfo {
    /// Takes the columns out of it.
    pub fn take_fields(&mut self) -> Vec<Field> {
        std::mem::take(&mut self.schema).fields.into_iter().map(Field::from).collect()
    }

    /// Returns the columns of the primary key; none if there is no such key.
    pub fn key(&self) -> Vec<String> {
        let key = self.table_constraints.as_ref().and_then(|constraints| constraints.primary_key.as_ref());
        key.map(|key| key.columns.clone()).unwrap_or_default()
    }

    /// Returns whether a read by this column reads only a part of the table.
    pub fn is_ordered_by(&self, column: &str) -> bool {
        let partitions = [&self.time_partitioning, &self.range_partitioning];
        let partitioned = partitions.into_iter().flatten().filter_map(|one| one.field.as_deref());
        let clustered = self.clustering.iter().filter_map(|clustering| clustering.fields.first());
        partitioned.chain(clustered.map(String::as_str)).any(|name| name.eq_ignore_ascii_case(column))
    }
}

/// Returns the path of a table.
pub fn table_path([project, dataset, table]: [&String; 3]) -> String {
    format!("/{}/datasets/{}/tables/{}", encoded(project), encoded(dataset), encoded(table))
}

/// Returns the description of a column.
pub fn column(field: &Field) -> Column {
    Column { name: field.name.clone(), data_type: field.data_type(), type_name: field.to_string() }
}

impl Client {
    /// Returns what BigQuery knows of a table.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn table_info(&self, [project, dataset, table]: &[String; 3]) -> Result<TableInfo, Error> {
        self.get(&format!("{}?prettyPrint=false", table_path([project, dataset, table]))).await
    }

    /// Returns where a dataset is.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn dataset_location(&self, project: &str, dataset: &str) -> Result<Option<String>, Error> {
        let path = format!("/{}/datasets/{}?prettyPrint=false", encoded(project), encoded(dataset));
        self.get::<DatasetInfo>(&path).await.map(|info| info.location)
    }

    /// Lists the names of the tables and views of a dataset.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn table_names(&self, project: &str, dataset: &str) -> Result<Vec<String>, Error> {
        let path = format!("/{}/datasets/{}/tables", encoded(project), encoded(dataset));
        let tables = self.pages(&path, |page: Tables| (page.tables, page.next_page_token)).await?;
        Ok(tables.into_iter().map(|entry| entry.table_reference.table_id).collect())
    }

    /// Lists the tables and views of the connection's dataset, or of all datasets of its project.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn tables(&self) -> Result<Vec<Dataset>, Error> {
        let mut names = Vec::new();
        let project = &self.settings.project;
        for dataset in self.datasets().await? {
            match self.table_names(project, &dataset).await {
                Err(error) if self.settings.dataset.is_none() && error.kind() == ErrorKind::Denied => {}
                tables => {
                    names.extend(tables?.into_iter().map(|table| [project.clone(), dataset.clone(), table]));
                }
            }
        }
        let described = stream::iter(names).map(async |names| {
            let mut info = match self.table_info(&names).await {
                Ok(info) => info,
                // It was removed meanwhile, or is not for us.
                Err(error) if matches!(error.kind(), ErrorKind::Missing | ErrorKind::Denied) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let key = info.key();
            let columns = info.take_fields().iter().map(column).collect();
            Ok(Some(Dataset { name: names.join("."), columns, key, open: false }))
        });
        let mut found: Vec<Dataset> =
            described.buffered(AT_A_TIME).try_filter_map(async |found| Ok(found)).try_collect().await?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn datasets(&self) -> Result<Vec<String>, Error> {
        if let Some(dataset) = &self.settings.dataset {
            return Ok(vec![dataset.clone()]);
        }
        let path = self.path("datasets");
        let datasets = self.pages(&path, |page: Datasets| (page.datasets, page.next_page_token)).await?;
        Ok(datasets.into_iter().map(|entry| entry.dataset_reference.dataset_id).collect())
    }

    async fn pages<P: serde::de::DeserializeOwned, T>(
        &self,
        path: &str,
        take: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = match &token {
                None => format!("{path}?maxResults=1000&prettyPrint=false"),
                Some(token) => {
                    format!("{path}?maxResults=1000&prettyPrint=false&pageToken={}", encoded(token))
                }
            };
            let (more, next) = take(self.get(&page).await?);
            found.extend(more);
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Unexpected, "the list of tables does not end")
            .hint("set `dataset` in the connection"))
    }
}
