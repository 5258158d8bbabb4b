//! What a customer's administrator does once.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};
use tidegate_transport::sql::backtick;
use tidegate_transport::sql::relation::Naming as _;

use super::relation::{Names, Relation};
use super::settings::{DatabricksSelection, DatabricksSettings, Login};

/// Returns the steps for the names in the settings; for the table that the selection names, else
/// for placeholders.
///
/// Source: Databricks docs, "Service principals", "Unity Catalog privileges and securable objects",
/// "What are the privileges for volumes?", "SQL warehouse ACLs".
///
/// # Errors
/// Settings or a selection that cannot work.
pub fn setup(
    name: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    let settings = settings.parse::<DatabricksSettings>()?.checked()?;
    let relation = match selection {
        Some(selection) => Some(selection.parse::<DatabricksSelection>()?.relation(&settings)?),
        None => None,
    };
    let or = |set: &Option<String>, blank: &str| set.clone().unwrap_or_else(|| blank.to_owned());
    let (catalog, schema) = match &relation {
        Some(Relation::Table([catalog, schema, _], _)) => (catalog.clone(), schema.clone()),
        _ => (or(&settings.catalog, "<your_catalog>"), or(&settings.schema, "<your_schema>")),
    };
    let principal = backtick(&match settings.login()? {
        Login::Principal { id, .. } => id,
        Login::Token(_) => "<application id of the service principal>".to_owned(),
    });
    let warehouse = settings.warehouse()?;
    let whole = Names::quoted(&[catalog.clone(), schema]);
    let table = match &relation {
        Some(Relation::Table(names, _)) => Names::quoted(names),
        _ => format!("{whole}.<table>"),
    };
    let catalog = backtick(&catalog);
    let mut text = String::new();
    let _ = write!(
        text,
        "-- 1. A service principal (workspace admin: Settings > Identity and access > Service principals > Add).
--    It needs the entitlement \"Databricks SQL access\". Under Secrets, generate an OAuth secret:
--    its application id is `client_id`, the secret is `client_secret` of the connection `{name}`.
--    A personal access token works too, but belongs to a person. Let it end after 90 days at most.

-- 2. The warehouse (SQL Warehouses > {warehouse} > Permissions): add the service principal with \"Can use\".
--    A serverless warehouse starts in seconds, others in 2 to 5 minutes.

-- 3. To read tables. Run in the SQL editor, as the owner of the catalog or a metastore admin.
GRANT USE CATALOG ON CATALOG {catalog} TO {principal};
GRANT USE SCHEMA ON SCHEMA {whole} TO {principal};
GRANT SELECT ON TABLE {table} TO {principal};
-- or for all tables of the schema, also those that are made later:
-- GRANT SELECT ON SCHEMA {whole} TO {principal};

-- 4. Optional: a read by cursor looks at the files that may hold new rows only.
--    ALTER TABLE {table} CLUSTER BY (<cursor column>);   -- liquid clustering, then: OPTIMIZE {table};
--    An older table can be partitioned by date, and ordered by OPTIMIZE … ZORDER BY (<cursor column>).

-- 5. Optional: a schema for bookkeeping, if Databricks compares the rows of a mirror (`state: source`). Leave it out to
--    stay read-only.
-- CREATE SCHEMA IF NOT EXISTS {catalog}.`tidegate`;
-- GRANT USE SCHEMA, CREATE TABLE ON SCHEMA {catalog}.`tidegate` TO {principal};

-- 6. Only for exports of events. Put the export's `schema` in the place of {whole} if it has one.
--    Schema and table are made with the first events:
-- GRANT USE CATALOG, CREATE SCHEMA ON CATALOG {catalog} TO {principal};
--    or, in a schema that is there:
-- GRANT USE SCHEMA, CREATE TABLE, CREATE VOLUME ON SCHEMA {whole} TO {principal};
-- GRANT SELECT, MODIFY ON TABLE {whole}.`message_events` TO {principal};   -- if another principal made it
--    Events are staged in a volume. Without a right to it they are sent inside of statements, which is slower:
-- GRANT READ VOLUME, WRITE VOLUME ON VOLUME {whole}.`tidegate_staging` TO {principal};

-- 7. If the workspace has an IP access list, add the address of this machine. Results come from the
--    workspace's cloud storage: let connections to it out as well.
"
    );
    Ok(text)
}
