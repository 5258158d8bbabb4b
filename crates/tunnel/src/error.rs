//! What an SSH server says, as people understand it.

use std::io;

use russh::keys::PublicKey;
use russh::{AlgorithmKind, ChannelOpenFailure, Error as SshError};
use tidegate_model::{Error, ErrorKind};

use crate::host_key::{fingerprint, line};
use crate::tunnel::Tunnel;

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the library reports.
    Ssh(SshError),
    /// The server shows a host key that is not pinned.
    HostKey(Box<PublicKey>),
}

impl From<SshError> for Failure {
    fn from(error: SshError) -> Failure {
        Failure::Ssh(error)
    }
}

impl Tunnel {
    /// Returns what prevented the connection, and what to do about it.
    pub(crate) fn explain(&self, failure: Failure) -> Error {
        match failure {
            Failure::HostKey(shown) => self.explain_host_key(&shown),
            Failure::Ssh(SshError::IO(cause)) => self.unreachable(&cause),
            Failure::Ssh(SshError::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => self.no_host_key(),
            Failure::Ssh(SshError::NoCommonAlgo { .. }) => Error::settings(format!(
                "the SSH server {} offers no way to encrypt that is safe today",
                self.server()
            ))
            .hint("update its OpenSSH, or allow curve25519-sha256 and aes256-gcm@openssh.com there"),
            Failure::Ssh(SshError::WrongServerSig | SshError::UnknownKey) => Error::settings(format!(
                "the SSH server {} does not have the private half of the host key that it shows",
                self.server()
            ))
            .hint("check that `tunnel.host` is the right machine"),
            Failure::Ssh(SshError::Version) => Error::settings(format!("{} is no SSH server", self.server()))
                .hint("check `tunnel.host` and `tunnel.port`"),
            Failure::Ssh(cause) => self.broken(&cause),
        }
    }

    /// Returns what prevents the server from connecting to the database.
    pub(crate) fn explain_forwarding(&self, cause: SshError, host: &str, port: u16) -> Error {
        let server = self.server();
        match cause {
            SshError::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => Error::new(
                ErrorKind::Denied,
                format!("the SSH server {server} does not allow connections to {host}:{port}"),
            )
            .hint(format!(
                "allow it there: `AllowTcpForwarding local` in sshd_config, and `permitopen=\"{}\"` in authorized_keys",
                crate::setup::target(host, port)
            )),
            SshError::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => Error::new(
                ErrorKind::Unavailable,
                format!("the SSH server {server} cannot reach {host}:{port}"),
            )
            .hint("`host` and `port` are those that the SSH server sees; check the firewall between the two"),
            SshError::ChannelOpenFailure(_) => Error::new(
                ErrorKind::Unavailable,
                format!("the SSH server {server} did not connect to {host}:{port}"),
            ),
            cause => self.broken(&cause),
        }
    }

    /// Returns the error for a key that the server does not accept.
    pub(crate) fn refused(&self, host: &str, port: u16) -> Error {
        let user = &self.settings().user;
        let message =
            format!("the SSH server {} does not accept the key of `tunnel.user` {user}", self.server());
        let line = match self.public_key() {
            Ok(key) => crate::setup::authorized(host, port, &key),
            Err(error) => return error,
        };
        Error::new(ErrorKind::Denied, message)
            .hint(format!("append this line to ~/.ssh/authorized_keys of {user} there: {line}"))
    }

    fn explain_host_key(&self, shown: &PublicKey) -> Error {
        let (server, seen, key) = (self.server(), fingerprint(shown), line(shown));
        match self.pinned() {
            [] => Error::settings(format!("`tunnel.host_key` is missing: the SSH server {server} shows {seen}")).hint(
                format!(
                    "compare it there with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, then write under `tunnel`: \
                     host_key: {key}"
                ),
            ),
            pinned => {
                let pinned: Vec<String> = pinned.iter().map(fingerprint).collect();
                Error::settings(format!(
                    "the SSH server {server} shows the host key {seen}, and `tunnel.host_key` is {}: nothing was sent to it",
                    pinned.join(", ")
                ))
                .hint(format!(
                    "another machine may answer in its place; if its key was changed, compare it there with \
                     `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, then write: host_key: {key}"
                ))
            }
        }
    }

    fn no_host_key(&self) -> Error {
        let server = self.server();
        match self.pinned() {
            [] => Error::settings(format!("the SSH server {server} has no Ed25519 and no ECDSA host key"))
                .hint("as root, there: ssh-keygen -A; then restart its SSH server"),
            _ => Error::settings(format!(
                "the SSH server {server} has no host key of the type of `tunnel.host_key`"
            ))
            .hint("remove `host_key`: `tidegate check` then prints the key that the server shows"),
        }
    }

    fn unreachable(&self, cause: &io::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("the SSH server {} cannot be reached: {cause}", self.server()),
        )
        .hint("check `tunnel.host`, `tunnel.port` and the firewall in between")
    }

    fn broken(&self, cause: &SshError) -> Error {
        tracing::debug!(server = self.server(), %cause, "the SSH connection ended");
        Error::new(ErrorKind::Unavailable, format!("the SSH server {} closed the connection", self.server()))
            .hint("its log has the reason; an OpenSSH server allows ten connections that are not signed in yet (`MaxStartups`)")
    }
}
