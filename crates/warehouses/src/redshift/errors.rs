//! What Redshift says, as the engine and people understand it.
//!
//! Kinds follow the SQLSTATE, as far as Redshift has one of its own: many of its errors are `XX000`. The
//! server's own words are repeated only for classes whose messages name objects.

use tidegate_model::{Error, ErrorKind};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::Relation as _;
use tokio_postgres::error::DbError;

use crate::postgres::client::Access;
use crate::postgres::grants;

use super::relation::Relation;

/// Returns what happened, and what to do about it.
pub fn explained(access: &Access, error: &tokio_postgres::Error, relation: Option<&Relation>) -> Error {
    match error.as_db_error() {
        Some(said) => explain_server(access, said, relation),
        None => access.explain_connection(error),
    }
}

fn explain_server(access: &Access, said: &DbError, relation: Option<&Relation>) -> Error {
    let (code, words, place) = (said.code().code(), said.message(), access.place());
    let what = relation.map_or_else(|| place.clone(), Relation::label);
    let settings = &access.settings;
    match code {
        // Redshift has PostgreSQL's older code for a wrong password.
        "28000" | "28P01" => Error::new(ErrorKind::Denied, format!("Amazon Redshift at {place}: {words}"))
            .hint(sign_in_hint(words)),
        "3D000" => Error::new(
            ErrorKind::Missing,
            format!("Amazon Redshift at {place} has no database `{}`", settings.database),
        )
        .hint("correct `database`"),
        "42501" => Error::new(ErrorKind::Denied, format!("reading {what}: {words}"))
            .hint(format!("as its owner, run: {}", grant_for(words, relation, &settings.user))),
        "42P01" | "42703" | "3F000" | "42883" | "42704" => {
            Error::new(ErrorKind::Missing, format!("reading {what}: {words}")).hint(
                "correct the name; names are in lower case unless enable_case_sensitive_identifier is on",
            )
        }
        "57014" => Error::new(ErrorKind::Unavailable, format!("reading {what} was cancelled at the server"))
            .hint("look for a time limit: `statement_timeout`, a rule of the workload queue, or a person"),
        "25006" => Error::settings(format!("the query writes: {words}"))
            .hint("a source only reads: give a SELECT without side effects"),
        _ if words.contains("1023") || words.contains("Serializable isolation violation") => {
            Error::new(ErrorKind::Unavailable, format!("reading {what}: another transaction was in the way"))
        }
        _ if words.contains("Invalid snapshot identifier") => {
            Error::new(ErrorKind::Unavailable, format!("reading {what}: {words}"))
                .hint("a view is read while its tables are loaded: read a materialized view instead")
        }
        _ if words.contains("exceeds the max size of") => Error::settings(format!(
            "reading {what}: a SUPER value has more JSON than a VARCHAR holds"
        ))
        .hint("select the parts that are needed by a `query`, or leave the column out of the mapping"),
        _ if words.contains("cursor") && words.contains("size") => {
            Error::settings(format!("reading {what}: {words}"))
                .hint("the result is larger than a cursor of this cluster may be: read less by a `query`")
        }
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" | "57" | "55" | "40" => {
                Error::new(ErrorKind::Unavailable, format!("Amazon Redshift at {place}: {words}"))
            }
            "42" | "0A" | "2B" => Error::settings(format!("reading {what}: {words}"))
                .hint("run the statement in the query editor until it works, then try again; it has to be one SELECT or WITH"),
            "22" => Error::settings(format!("reading {what}: a value of a row stops it (SQLSTATE {code})"))
                .hint("run the statement in the query editor to see the value; its text stays out of logs"),
            _ => Error::new(
                ErrorKind::Unexpected,
                format!("reading {what}: Amazon Redshift answered with SQLSTATE {code}"),
            )
            .hint("the system view SYS_QUERY_HISTORY has the server's words"),
        },
    }
}

/// Returns what happened while rows were unloaded to a folder in S3, and what to do about it.
pub fn explained_unloading(access: &Access, error: &tokio_postgres::Error, folder: &str) -> Error {
    let error = match error.as_db_error() {
        Some(said) if said.message().contains("S3") || said.message().contains("IAM") => Error::new(
            ErrorKind::Denied,
            format!("Amazon Redshift cannot write to {folder}: {}", said.message()),
        ),
        _ => return explained(access, error, None),
    };
    error.hint(
        "the role of `UNLOAD`, `staging.copy_role` or the default one, needs s3:PutObject, s3:GetBucketLocation and s3:ListBucket on the folder of `staging`, and has to be associated with the cluster or the workgroup",
    )
}

/// Returns what happened while events were written to a table, and what to do about it.
pub fn explained_writing(access: &Access, error: &tokio_postgres::Error, label: &str, quoted: &str) -> Error {
    let Some(said) = error.as_db_error() else { return access.explain_connection(error) };
    let (code, words, user) = (said.code().code(), said.message(), &access.settings.user);
    let doing = format!("writing to {label}");
    let told = |kind| Error::new(kind, format!("{doing}: {words}"));
    match code {
        "42501" => told(ErrorKind::Denied).hint(match grants::refused(words) {
            Some(("schema", schema)) => format!("as an administrator, run: {}", grants::make_tables(schema, user)),
            Some(("database", _)) => {
                format!("as an administrator, run: GRANT CREATE, TEMPORARY ON DATABASE {} TO {};", quote(&access.settings.database), quote(user))
            }
            _ => format!("as an administrator, run: ALTER TABLE {quoted} OWNER TO {};", quote(user)),
        }),
        "42P01" | "42703" | "3F000" => {
            told(ErrorKind::Missing).hint("resume the export: what is missing is made again")
        }
        // Another process made it at the same moment.
        "42P06" | "42P07" | "42701" | "23505" => told(ErrorKind::Unavailable),
        "23502" => Error::settings(format!(
            "{doing}: the column `{}` must not be empty, and events have no value for it",
            said.column().unwrap_or("?")
        ))
        .hint("give the column a default, or choose another `table`"),
        _ if words.contains("1023") || words.contains("Serializable isolation violation") => {
            Error::new(ErrorKind::Unavailable, format!("{doing}: another transaction was in the way"))
        }
        _ if words.contains("S3ServiceException") || words.contains("S3 prefix") => {
            told(ErrorKind::Denied).hint(
                "the role of `COPY` needs s3:GetObject and s3:ListBucket on the folder of `staging`, and has to be associated with the cluster or the workgroup",
            )
        }
        _ if words.contains("default IAM role") || words.contains("assume role") => {
            told(ErrorKind::Denied).hint("set `copy_role`, or make a role the default one of the cluster or the workgroup")
        }
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" | "55" | "57" | "40" => told(ErrorKind::Unavailable),
            "28" | "3D" => explain_server(access, said, None),
            "22" | "23" => Error::new(
                ErrorKind::Rejected,
                format!("{doing}: the table does not take a value (SQLSTATE {code})"),
            ),
            "42" | "0A" | "2B" => Error::settings(format!("{doing}: {words}")),
            _ => Error::new(ErrorKind::Unexpected, format!("{doing}: Amazon Redshift answered with SQLSTATE {code}"))
                .hint("the system view SYS_LOAD_ERROR_DETAIL has the reason if a file could not be loaded"),
        },
    }
}

fn sign_in_hint(words: &str) -> &'static str {
    if words.contains("SSL") || words.contains("encryption") {
        return "the server wants an encrypted connection: set `tls: verify-full` or `tls: require`";
    }
    "correct `user` or `password`; `tidegate setup` prints the statements that create the user"
}

/// Returns the statement for a refusal that met a user while it read `relation`.
pub fn grant_for(words: &str, relation: Option<&Relation>, user: &str) -> String {
    match (grants::refused(words), relation.and_then(Relation::quoted)) {
        (Some(("schema", schema)), _) => grants::usage(schema, user),
        (_, Some(table)) => select(&table, user),
        (Some((_, name)), None) => format!("{}  -- with its schema in front", select(&quote(name), user)),
        (None, None) => format!("grant {} what the query reads", quote(user)),
    }
}

/// Returns the statement that lets a user read a table, whose name is quoted.
pub fn select(table: &str, user: &str) -> String {
    format!("GRANT SELECT ON TABLE {table} TO {};", quote(user))
}
