//! What a customer's administrator does once.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;

use super::auth::accepting;
use super::bookkeeping::SCHEMA;
use super::checks::grant;
use super::relation::{Names, Relation, folded};
use super::settings::{SnowflakeSelection, SnowflakeSettings};

/// Returns the steps for the names in the settings; for the table that the selection names, else
/// for placeholders.
///
/// Source: Snowflake docs, "Key-pair authentication and key-pair rotation", `CREATE USER`, "Types of
/// users", "Access control privileges", "Controlling network traffic with network policies".
///
/// # Errors
/// Settings or a selection that cannot work.
pub fn setup(
    name: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    // Before there is a key, the text says how to make one.
    let mut members = settings.members().clone();
    if !["private_key", "token", "oauth_token"].iter().any(|way| members.contains_key(*way)) {
        members.insert("private_key".to_owned(), "to be made".into());
        members.entry("user").or_insert_with(|| "TIDEGATE".into());
    }
    let settings = Settings::new(members).parse::<SnowflakeSettings>()?.checked()?;
    let relation = match selection {
        Some(selection) => Some(selection.parse::<SnowflakeSelection>()?.relation(&settings)?),
        None => None,
    };
    let or = |set: &Option<String>, blank: &str| set.as_deref().map_or_else(|| blank.to_owned(), folded);
    let table = match relation {
        Some(Relation::Table(names, _)) => names,
        _ => [
            or(&settings.database, "<YOUR_DATABASE>"),
            or(&settings.schema, "<YOUR_SCHEMA>"),
            "<TABLE>".to_owned(),
        ],
    };
    let (user, role) = (or(&settings.user, "TIDEGATE"), or(&settings.role, "TIDEGATE_ROLE"));
    let warehouse = or(&settings.warehouse, "TIDEGATE_WH");
    Ok(text(name, &user, &role, &warehouse, &table))
}

fn text(name: &ConnectionId, user: &str, role: &str, warehouse: &str, table: &[String; 3]) -> String {
    let (schema, whole) = (Names::quoted(&table[..2]), Names::quoted(table));
    let (quoted_user, quoted_role, quoted_warehouse) = (quote(user), quote(role), quote(warehouse));
    let usage = |kind, name: &str| grant("USAGE", kind, name, role);
    let database = quote(&table[0]);
    let bookkeeping = Names::quoted(&[table[0].clone(), SCHEMA.to_owned()]);
    let accept = accepting(user, "<the line above>");
    let mut text = String::new();
    let _ = write!(
        text,
        "-- 1. A key pair, on the machine of Tidegate. The private half stays there: it is `private_key` of the
--    connection `{name}`. Snowflake gets the public half, which is the line that this prints:
--      tidegate secret generate-key snowflake_key
--    In the connection: private_key: {{ secret: snowflake_key }}
--    A key of your own works too, in PEM, PKCS#8, also encrypted (`private_key_passphrase`):
--      openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out tidegate.p8
--      openssl rsa -in tidegate.p8 -pubout | grep -v -- ----- | tr -d '\\n'
--    Passwords are no way in for services any more: Snowflake has ended sign-in by password alone for them.

-- 2. A role, a warehouse and a user, run in a worksheet as SECURITYADMIN and SYSADMIN, or as ACCOUNTADMIN.
--    One user for each installation: a user has two places for keys, the second one is for rotation, so
--    two installations would have to change keys at the same moment. The history of queries then
--    also shows which installation asked.
CREATE ROLE IF NOT EXISTS {quoted_role};
CREATE WAREHOUSE IF NOT EXISTS {quoted_warehouse} WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;
CREATE USER IF NOT EXISTS {quoted_user} TYPE = SERVICE DEFAULT_ROLE = {quoted_role} DEFAULT_WAREHOUSE = {quoted_warehouse};
{accept}
GRANT ROLE {quoted_role} TO USER {quoted_user};
{}
-- Only for a warehouse without AUTO_RESUME, so that Tidegate may resume it:
-- {}

-- 3. To read tables.
{}
{}
{}
-- or for all tables and views of the schema, also those that are made later:
-- GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO ROLE {quoted_role};
-- GRANT SELECT ON FUTURE TABLES IN SCHEMA {schema} TO ROLE {quoted_role};
-- GRANT SELECT ON ALL VIEWS IN SCHEMA {schema} TO ROLE {quoted_role};

-- 4. Optional: a schema for bookkeeping, if Snowflake compares the rows of a mirror (`state: source`). Leave it out to
--    stay read-only.
-- CREATE SCHEMA IF NOT EXISTS {bookkeeping};
-- {}

-- 5. Only for exports of events. Put the export's `database` and `schema` in the place of {schema} if it has
--    them. Schema and table are made with the first events:
-- GRANT CREATE SCHEMA ON DATABASE {database} TO ROLE {quoted_role};
--    or, in a schema that is there:
-- GRANT USAGE, CREATE TABLE ON SCHEMA {schema} TO ROLE {quoted_role};
-- GRANT SELECT, INSERT ON TABLE {schema}.\"MESSAGE_EVENTS\" TO ROLE {quoted_role};   -- if another role made it

--    Many events are loaded through an external stage: a folder that Tidegate writes to and Snowflake reads. Its
--    storage integration is made by an ACCOUNTADMIN, as \"Configuring a Snowflake storage integration\" in Snowflake's
--    documentation says for S3, Google Cloud Storage and Azure:
-- CREATE STAGE IF NOT EXISTS {schema}.\"TIDEGATE_STAGE\" URL = 's3://<bucket>/<folder>/' STORAGE_INTEGRATION = <integration>;
-- GRANT USAGE ON STAGE {schema}.\"TIDEGATE_STAGE\" TO ROLE {quoted_role};
-- GRANT CREATE TABLE ON SCHEMA {schema} TO ROLE {quoted_role};   -- the schema of the export, for staging tables
--    In the connection: stage: {{ name: TIDEGATE_STAGE, folder: {{ path: 's3://<bucket>/<folder>', region: <region> }} }}

-- 6. If the account or the user has a network policy, add the address of this machine to it.

-- 7. To rotate the key: both halves count while the change is under way.
--    ALTER USER {quoted_user} SET RSA_PUBLIC_KEY_2 = '<the new public half>';
--    then change `private_key`, run `tidegate check {name}`, and
--    ALTER USER {quoted_user} UNSET RSA_PUBLIC_KEY;
",
        usage("WAREHOUSE", &quoted_warehouse),
        grant("OPERATE", "WAREHOUSE", &quoted_warehouse, role),
        usage("DATABASE", &quote(&table[0])),
        usage("SCHEMA", &schema),
        grant("SELECT", "TABLE", &whole, role),
        grant("USAGE, CREATE TABLE", "SCHEMA", &bookkeeping, role),
    );
    text
}
