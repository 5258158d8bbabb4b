//! What a failed connection is called, without the words of the libraries in between.

use std::error::Error;

/// Returns why a connection failed: the last cause of an error, in the words of the system.
pub fn why(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    plain(&last.to_string())
}

/// Returns what a system says without what is put around it for programmers.
pub fn plain(said: &str) -> String {
    let said = said.strip_prefix("failed to lookup address information: ").unwrap_or(said);
    let said = said.split(" (os error ").next().unwrap_or(said);
    match said {
        "connection closed before message completed" => "the connection was closed".to_owned(),
        said => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_is_told_in_the_words_of_the_system() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert_eq!(why(&refused), refused.to_string().split(" (os").next().unwrap());
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(plain(unknown), "Name or service not known");
    }
}
