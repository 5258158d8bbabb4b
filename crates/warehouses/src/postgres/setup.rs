//! The steps of an administrator.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};

use super::query::Relation;
use super::settings::{PostgresSelection, PostgresSettings};
use tidegate_transport::sql::quote;

/// Returns the statements for the names in the settings; for the schema that the selection names, else
/// for a placeholder.
///
/// # Errors
/// Settings or a selection that cannot work.
pub fn setup(
    name: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    let settings = settings.parse::<PostgresSettings>()?.checked()?;
    let relation = match selection {
        Some(selection) => Some(selection.parse::<PostgresSelection>()?.relation()?),
        None => None,
    };
    let schema = match relation {
        Some(Relation::Table { schema: Some(schema), .. }) => schema,
        Some(Relation::Table { schema: None, .. }) => "public".to_owned(),
        Some(Relation::Query(_)) | None => "<your_schema>".to_owned(),
    };
    let (user, database, schema) = (quote(settings.role()), quote(&settings.database), quote(&schema));
    let mut text = String::new();
    let _ = write!(
        text,
        "-- Run as an administrator, connected to the database {database}.

-- 1. A user that can only read. Repeat the lines with {schema} for each schema.
CREATE USER {user} WITH PASSWORD '<strong-unique-password>';
GRANT CONNECT ON DATABASE {database} TO {user};
GRANT USAGE ON SCHEMA {schema} TO {user};
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};
-- Tables made later, by the user who runs this line:
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {user};
-- Only if queries or views call functions of the schema:
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {user};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT EXECUTE ON FUNCTIONS TO {user};

-- 2. Only if this database compares the rows of a mirror itself (`state: source`): a schema for its
--    bookkeeping. Without it the user stays read-only.
-- CREATE SCHEMA IF NOT EXISTS \"tidegate\";
-- GRANT ALL ON SCHEMA \"tidegate\" TO {user};
-- GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA \"tidegate\" TO {user};

-- 3. Only for exports of events to this database: a schema to make the table in,
--    and temporary tables. Put the export's `schema` in the place of the name.
-- CREATE SCHEMA IF NOT EXISTS \"<stream>_events\";
-- GRANT USAGE, CREATE ON SCHEMA \"<stream>_events\" TO {user};
-- GRANT TEMPORARY ON DATABASE {database} TO {user};

-- 4. The way to the server.
-- Let this machine's address through the firewall or the provider's allow list, and in pg_hba.conf:
--   hostssl {database} {user} <address of this machine>/32 scram-sha-256
-- Large reads are analytical: a replica keeps them away from the production server.
-- There, set hot_standby_feedback = on, so that long reads are not cancelled.
"
    );
    if let Some(tunnel) = &settings.tunnel {
        text.push_str(&tidegate_tunnel::setup(name, tunnel, &settings.host, settings.port));
    }
    Ok(text)
}
