//! The URL of the PostgreSQL server that keeps the state.

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tidegate_model::{Error, Secret};
use url::Url;

/// The parameters that a URL may have. The library would log others with their values.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// Reads the URL. Without `sslmode`, the connection is encrypted and the server's certificate
/// verified, its name included; a socket on this machine needs neither.
pub(super) fn options(url: &Secret) -> Result<PgConnectOptions, Error> {
    // The cause may quote the URL, and with it the password.
    let unreadable = || {
        Error::settings("the URL of the PostgreSQL state database cannot be read")
            .hint("write it as postgres://user:password@host:5432/database?sslmode=verify-full")
    };
    let parsed = Url::parse(url.expose()).map_err(|_| unreadable())?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(unreadable());
    }
    let mut mode = None;
    let mut socket = parsed.host_str().is_none_or(|host| host.is_empty() || host.starts_with("%2F"));
    for (name, value) in parsed.query_pairs() {
        if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            return Err(Error::settings("the URL of the PostgreSQL state database has an unknown parameter")
                .hint(format!("it may have: {}", PARAMETERS.join(", "))));
        }
        match &*name {
            "sslmode" => mode = Some(value.into_owned()),
            "host" => socket = value.starts_with('/'),
            "hostaddr" => socket = false,
            _ => {}
        }
    }
    let options: PgConnectOptions = url.expose().parse().map_err(|_: sqlx::Error| unreadable())?;
    let options = options.application_name("tidegate").disable_statement_logging();
    match mode.as_deref() {
        None if socket => Ok(options.ssl_mode(PgSslMode::Disable)),
        // Whatever PGSSLMODE says.
        None => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
        Some("allow" | "prefer") => Err(Error::settings(
            "`sslmode` in the URL of the PostgreSQL state database would fall back to an unencrypted connection",
        )
        .hint("write verify-full, verify-ca or require, or disable if it may be unencrypted")),
        Some(_) => Ok(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> String {
        options(&Secret::new(url)).map_or_else(
            |error| error.message().to_owned(),
            |options| format!("{:?}", options.get_ssl_mode()),
        )
    }

    #[test]
    fn the_state_database_is_verified_unless_the_url_says_otherwise() {
        assert_eq!(mode("postgres://u:p@db.example.com/state"), "VerifyFull");
        assert_eq!(mode("postgresql://u@127.0.0.1:5433/state"), "VerifyFull");
        assert_eq!(mode("postgres://u:p@db.example.com/state?sslmode=require"), "Require");
        assert_eq!(mode("postgres://u:p@localhost/state?sslmode=disable"), "Disable");
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/state"), "Disable");
        assert_eq!(mode("postgres:///state?host=/run/postgresql"), "Disable");
        assert!(mode("postgres://u:p@h/state?sslmode=prefer").contains("fall back"));
    }

    #[test]
    fn what_a_url_holds_is_not_repeated() {
        for url in [
            "postgres://u:hunter2@h:port/state",
            "mysql://u:hunter2@h/state",
            "postgres://u@h/state?passwrd=hunter2",
            "postgres://u@h/state?sslmode=hunter2",
            "hunter2",
        ] {
            let error = options(&Secret::new(url)).expect_err(url);
            assert!(!format!("{error:?} {}", error.next_step()).contains("hunter2"), "{error:?}");
        }
    }
}
