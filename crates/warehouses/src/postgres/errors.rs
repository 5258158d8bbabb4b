//! What PostgreSQL says, as the engine and people understand it.
//!
//! Kinds follow the SQLSTATE (PostgreSQL handbook, appendix A). The server's own
//! words are repeated only for classes whose messages name objects; those of
//! class 22 and of unknown classes may hold values of rows.

use std::error::Error as StdError;
use std::io;

use tidegate_model::{Error, ErrorKind};
use tidegate_transport::network;
use tidegate_transport::tls::{Distrust, rustls_error};
use tokio_postgres::error::{DbError, ErrorPosition};

use super::client::Access;
use super::grants;
use super::query::{QUERY_PREFIX, Relation};
use tidegate_transport::sql::table::Relation as _;

impl Access {
    /// What happened, and what to do about it.
    pub fn explain(&self, error: &tokio_postgres::Error, relation: Option<&Relation>) -> Error {
        match error.as_db_error() {
            Some(said) => self.explain_server(said, relation),
            None => self.explain_connection(error),
        }
    }

    /// What happened to the connection, and what to do about it, in the name of the system.
    pub fn explain_connection(&self, error: &tokio_postgres::Error) -> Error {
        let title = self.wire.title;
        if let Some(cause) = rustls_error(error) {
            return self.explain_tls(cause);
        }
        let place = self.place();
        let said = describe(error);
        if said.contains("server does not support TLS") {
            return Error::settings(format!("{title} at {place} does not offer TLS"))
                .hint("switch `ssl` on at the server, or set `tls: disable` if the network is trusted");
        }
        if said.contains("password missing") {
            return Error::new(ErrorKind::Denied, format!("{title} at {place} asks for a password"))
                .hint("set `password`, for example to ${SHOP_PASSWORD}");
        }
        if let Some(cause) = io_error(error) {
            return Error::new(
                ErrorKind::Unavailable,
                format!("{title} at {place} cannot be reached: {}", network::plain(&cause.to_string())),
            )
            .hint("check `host`, `port` and the firewall; `tidegate check` shows whether it is back");
        }
        if error.is_closed() {
            return Error::new(ErrorKind::Unavailable, format!("{title} at {place} closed the connection"));
        }
        if said.contains("timeout") || said.contains("timed out") {
            return Error::new(ErrorKind::Unavailable, format!("{title} at {place} did not answer in time"))
                .hint("check `host`, `port` and the firewall in between; `connect_timeout` sets the limit");
        }
        Error::new(ErrorKind::Unexpected, format!("{title} at {place}: {said}"))
    }

    fn explain_server(&self, said: &DbError, relation: Option<&Relation>) -> Error {
        let code = said.code().code();
        let words = said.message();
        let place = self.place();
        let settings = &self.settings;
        let what = relation.map_or_else(|| place.clone(), Relation::label);
        match code {
            "28P01" | "28000" => Error::new(ErrorKind::Denied, format!("PostgreSQL at {place}: {words}"))
                .hint(self.login_hint(code, words)),
            "3D000" => Error::new(
                ErrorKind::Missing,
                format!("PostgreSQL at {place} has no database `{}`", settings.database),
            )
            .hint("correct `database`; names are case-sensitive"),
            "42501" => Error::new(ErrorKind::Denied, format!("reading {what}: {words}")).hint(format!(
                "as its owner, run: {}",
                grants::for_refusal(words, relation, &settings.database, settings.role())
            )),
            "42P01" | "42703" | "3F000" | "42883" | "42704" => {
                let error = Error::new(ErrorKind::Missing, format!("reading {what}: {words}"));
                match said.hint() {
                    Some(hint) => error.hint(hint),
                    None => error.hint("correct the name; names are case-sensitive"),
                }
            }
            "57014" if words.contains("statement timeout") => {
                Error::new(ErrorKind::Unavailable, format!("reading {what} took longer than its time limit"))
                    .hint(match settings.statement_timeout {
                        Some(_) => "raise `statement_timeout`, or add an index on the cursor column".to_owned(),
                        None => format!(
                            "the server limits this user: set `statement_timeout`, or run: ALTER ROLE {} SET statement_timeout = 0;",
                            tidegate_transport::sql::quote(settings.role())
                        ),
                    })
            }
            "57014" => Error::new(ErrorKind::Unavailable, format!("reading {what} was cancelled at the server")),
            "40001" => Error::new(
                ErrorKind::Unavailable,
                format!("reading {what}: {words}"),
            )
            .hint("on a replica, set hot_standby_feedback = on or raise max_standby_streaming_delay"),
            "53300" => Error::new(ErrorKind::Unavailable, format!("PostgreSQL at {place}: {words}"))
                .hint("raise max_connections, or give fewer syncs the same moment"),
            "25006" => Error::settings(format!("the query writes: {words}"))
                .hint("a source only reads: give a SELECT without side effects"),
            "22023" => Error::settings(format!("reading {what}: {words}")),
            _ => match code.get(..2).unwrap_or_default() {
                "08" | "53" | "57" | "55" | "40" => {
                    Error::new(ErrorKind::Unavailable, format!("PostgreSQL at {place}: {words}"))
                }
                "42" if code == "42601" => {
                    let error = Error::settings(format!("reading {what}: {words}{}", position(said, relation)));
                    error.hint(match relation.is_none_or(Relation::is_select) {
                        true => "run the statement in psql until it works, then try again; it has to be one SELECT or WITH",
                        false => "a source only reads: `query` is one SELECT or WITH, and this statement is neither",
                    })
                }
                "42" | "0A" | "2B" => Error::settings(format!("reading {what}: {words}{}", position(said, relation)))
                    .hint("run the statement in psql until it works, then try again"),
                "22" => Error::settings(format!("reading {what}: a value of a row stops it (SQLSTATE {code})"))
                    .hint("run the statement in psql to see the value; its text stays out of logs"),
                _ => Error::new(
                    ErrorKind::Unexpected,
                    format!("reading {what}: PostgreSQL answered with SQLSTATE {code}"),
                ),
            },
        }
    }

    fn login_hint(&self, code: &str, words: &str) -> String {
        let settings = &self.settings;
        if words.contains("no encryption") || words.contains("SSL off") {
            return "the server wants an encrypted connection: set `tls: verify-full` or `tls: require`"
                .to_owned();
        }
        if words.contains("pg_hba.conf") {
            return format!(
                "allow it at the server, in pg_hba.conf: hostssl {} {} <address of this machine>/32 scram-sha-256",
                settings.database, settings.user
            );
        }
        if code == "28P01" {
            return "correct `user` or `password`".to_owned();
        }
        "correct `user`; `tidegate setup` prints the statements that create it".to_owned()
    }

    fn explain_tls(&self, cause: &rustls::Error) -> Error {
        let (title, place) = (self.wire.title, self.place());
        let Some(distrust) = Distrust::of(cause) else {
            return Error::settings(format!("TLS with {title} at {place} failed: {cause}"))
                .hint("check that `port` is the database's own and that the server speaks TLS 1.2 or newer");
        };
        Error::settings(format!("the certificate of {title} at {place} {}", distrust.said()))
            .hint(format!("{}; `tls: require` encrypts without checking it", distrust.remedy("`host`")))
    }
}

/// Where in the user's query the server stumbled.
fn position(said: &DbError, relation: Option<&Relation>) -> String {
    let (Some(ErrorPosition::Original(at)), Some(Relation::Query(query))) = (said.position(), relation)
    else {
        return String::new();
    };
    let Some(at) = (*at as usize).checked_sub(QUERY_PREFIX.len() + 1) else { return String::new() };
    if at >= query.chars().count() {
        return " (at the end of the query)".to_owned();
    }
    let before: String = query.chars().take(at).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    format!(" (line {line}, column {column} of the query)")
}

/// The first I/O error among the causes.
fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
