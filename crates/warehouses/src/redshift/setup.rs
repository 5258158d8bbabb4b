//! The steps of an administrator.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;

use super::errors::select;
use super::iam::statement;
use super::relation::{Names, in_database};
use super::settings::{RedshiftSelection, RedshiftSettings};

/// Returns the statements for the names in the settings; for the table that the selection names, else for
/// placeholders.
///
/// Sources: Amazon Redshift Database Developer Guide, `CREATE USER`, `GRANT`, `ALTER DEFAULT PRIVILEGES`;
/// Amazon Redshift Management Guide, "Configuring security options for connections".
///
/// # Errors
/// Settings or a selection that cannot work.
pub fn setup(
    name: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    let given = settings.parse::<RedshiftSettings>()?;
    let identity = given.identity()?;
    let settings = given.connection()?;
    let relation = match selection {
        Some(selection) => Some(selection.parse::<RedshiftSelection>()?.relation()?),
        None => None,
    };
    let found = relation.as_ref().and_then(|relation| in_database(relation, &settings.database));
    let (schema, table) = match found {
        Some((schema, table)) => (schema.unwrap_or("public").to_owned(), table.to_owned()),
        None => ("<your_schema>".to_owned(), "<table>".to_owned()),
    };
    let (user, database) = (quote(&settings.user), quote(&settings.database));
    let grant = select(&Names::quoted(&[schema.clone(), table]), &settings.user);
    let schema = quote(&schema);
    let user_made = match identity {
        None => format!(
            "-- 1. A user that can only read. The password has 8 to 64 characters, among them an upper-case and a lower-case
--    letter and a digit; with `sha256|` in front of it, it is stored and proved by SHA-256 instead of MD5.
CREATE USER {user} PASSWORD 'sha256|<strong-unique-password>';"
        ),
        Some((home, aws)) => format!(
            "-- 1. A user without a password, for the identity of AWS. For a workgroup, its name is IAMR: and the name of the
--    role, or IAM: and that of the user.
CREATE USER {user} PASSWORD DISABLE;
--    The policy of the identity needs this statement:
--    {}",
            statement(&home, aws, &settings.database, &settings.user)
        ),
    };
    let mut text = String::new();
    let _ = write!(
        text,
        "-- Run as an administrator, in the query editor or in psql, connected to the database {database}.

{user_made}

-- 2. To read tables. Repeat the lines with {schema} for each schema.
GRANT USAGE ON SCHEMA {schema} TO {user};
{grant}
-- or for all tables and views of the schema, and for those that are made later by the user who runs this line:
-- GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};
-- ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {user};

-- 3. Optional: a schema for bookkeeping, if Redshift compares the rows of a mirror (`state: source`). Leave it out to
--    stay read-only.
-- CREATE SCHEMA IF NOT EXISTS \"tidegate\";
-- GRANT USAGE, CREATE ON SCHEMA \"tidegate\" TO {user};

-- 4. Only for exports of events. Put the export's `schema` in the place of the name. The user owns the table that it
--    makes; of a table that is there, it has to be the owner.
-- GRANT CREATE, TEMPORARY ON DATABASE {database} TO {user};
-- or, in a schema that is there:
-- GRANT USAGE, CREATE ON SCHEMA \"<stream>_events\" TO {user};
--    `COPY` reads the files by the default role of the cluster or the workgroup, or by `copy_role`: allow it
--    s3:GetObject and s3:ListBucket. The identity of `aws` needs s3:PutObject, s3:DeleteObject and s3:ListBucket.
--    With `read: unload`, the role needs s3:PutObject and s3:GetBucketLocation as well, and the identity s3:GetObject.

-- 5. The way to the server.
-- Security group of the cluster or the workgroup: allow TCP {port} from the address of this machine.
-- `Publicly accessible` has to be on unless this machine is in the VPC, peered with it, or behind a tunnel of yours.
-- Certificates are signed by an authority that systems know. For one that does not, Amazon publishes a bundle
-- (\"Configuring security options for connections\" in the management guide): save it, and set `ca_file` to it.
-- Then: tidegate check {name}
",
        port = settings.port,
    );
    if let Some(tunnel) = &settings.tunnel {
        text.push_str(&tidegate_tunnel::setup(name, tunnel, &settings.host, settings.port));
    }
    Ok(text)
}
