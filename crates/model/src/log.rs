//! What may be logged.
//!
//! The program and the conformance suites read the same list: what the suites do not look through
//! is never logged.

/// The most talkative level of a log line that holds no value of a row and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLimit {
    /// Every level.
    Everything,
    /// Warnings and errors.
    Warnings,
    /// Errors alone.
    Errors,
}

/// Returns how much of an origin (the target of a log line, such as `sqlx::query`) may be logged.
///
/// At other levels libraries log what they send and receive: rows, keys and passwords.
pub fn limit_of(target: &str) -> LogLimit {
    let library = target.split("::").next().unwrap_or_default();
    if library == "tidegate" || library.starts_with("tidegate_") {
        return LogLimit::Everything;
    }
    // The AWS libraries warn, in words of Rust, of what becomes an error of ours.
    // sqlx warns of slow statements, which it quotes, and of waits for a connection.
    match target.starts_with("aws_") || target.starts_with("sqlx") {
        true => LogLimit::Errors,
        false => LogLimit::Warnings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_log_nothing_below_a_warning() {
        for (target, limit) in [
            ("tidegate", LogLimit::Everything),
            ("tidegate_engine::pipeline", LogLimit::Everything),
            ("tidegatekeeper", LogLimit::Warnings),
            ("tokio_postgres::query", LogLimit::Warnings),
            ("log", LogLimit::Warnings),
            ("delta_kernel", LogLimit::Warnings),
            ("sqlx::query", LogLimit::Errors),
            ("sqlx::pool::acquire", LogLimit::Errors),
            ("aws_config::meta::credentials::chain", LogLimit::Errors),
        ] {
            assert_eq!(limit_of(target), limit, "{target}");
        }
    }
}
