//! The steps of an administrator.

use std::fmt::Write as _;

use tidegate_model::ConnectionId;

use crate::settings::TunnelSettings;

/// Returns the steps on the SSH server, as comments of SQL, for a connection to a database at `host` and `port`.
///
/// Source: OpenBSD manual pages, sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
pub fn setup(name: &ConnectionId, settings: &TunnelSettings, host: &str, port: u16) -> String {
    let TunnelSettings { host: server, port: at, user, .. } = settings;
    let line = authorized(host, port, "<the line above>");
    let mut text = String::new();
    let _ = write!(
        text,
        "
-- The tunnel, on {server}.
-- A key pair for {user}. The private half stays with Tidegate; this prints the public half:
--   tidegate secret generate-key {name}_ssh --ssh
-- In the connection, under `tunnel`: private_key: {{ secret: {name}_ssh }}
-- Append to ~/.ssh/authorized_keys of {user}, as one line. It allows connections to the database and nothing else:
--   {line}
-- The host key: `tidegate check {name}` prints it. Compare it on {server} with
--   ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
-- The database sees the address of {server}; let it through there. Let this machine through to port {at} of {server}.
-- To change the key, make another one under another name, append its line, change `private_key`, and remove the
-- former line after the next run.
"
    );
    text
}

/// Returns the line of `authorized_keys` that lets a key connect to one database and do nothing else.
pub(crate) fn authorized(host: &str, port: u16, key: &str) -> String {
    format!("restrict,port-forwarding,permitopen=\"{}\" {key}", target(host, port))
}

/// Returns an address as `permitopen` has it.
pub(crate) fn target(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
