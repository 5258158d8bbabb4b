//! The address that is listened on, as it is written on a command line.

use std::net::SocketAddr;

/// Reads `ADDRESS:PORT`; `localhost` is this machine.
pub(super) fn listened_on(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_answered_with_one_that_has_both() {
        assert_eq!(listened_on("localhost:8081").unwrap(), "127.0.0.1:8081".parse().unwrap());
        for text in ["18594", "localhost", ":8080", "example.com:80", "127.0.0.1:99999"] {
            assert!(listened_on(text).unwrap_err().starts_with("expected ADDRESS:PORT"), "{text}");
        }
    }
}
