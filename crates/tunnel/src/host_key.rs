//! Host keys: the pinned ones, and the one that a server shows.

use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use tidegate_model::Error;

use crate::error::Failure;
use crate::settings::HostKeys;

/// Reads the pinned keys. A line may begin with the name of the host, as `ssh-keyscan` and `known_hosts` have it,
/// and end with a comment.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a line without a key.
pub(crate) fn pinned(keys: &HostKeys) -> Result<Vec<PublicKey>, Error> {
    let lines = keys.0.iter().flat_map(|text| text.lines()).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(read).collect()
}

fn read(line: &str) -> Result<PublicKey, Error> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| !is_type(word));
    let key = words.next().zip(words.next()).and_then(|(kind, key)| {
        let key = PublicKey::from_openssh(&format!("{kind} {key}")).ok()?;
        supported(&key.algorithm()).then_some(key)
    });
    key.ok_or_else(|| {
        Error::settings("`tunnel.host_key`: expected an Ed25519 or ECDSA key such as `ssh-ed25519 AAAA…`").hint(
            "copy the line that `tidegate check` or `ssh-keyscan -t ed25519 <host>` prints; remove `host_key` to see it",
        )
    })
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

fn supported(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Ed25519 | Algorithm::Ecdsa { .. })
}

/// Returns the types of host key that are asked for: those that are pinned, or all that are known.
pub(crate) fn types(pinned: &[PublicKey], known: &[Algorithm]) -> Vec<Algorithm> {
    let types = match pinned {
        [] => known.to_vec(),
        _ => known.iter().filter(|one| pinned.iter().any(|key| key.algorithm() == **one)).cloned().collect(),
    };
    types.into_iter().filter(supported).collect()
}

/// Returns a key as settings have it: its type and its text.
pub(crate) fn line(key: &PublicKey) -> String {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().unwrap_or_default().trim_end().to_owned()
}

/// Returns what `ssh-keygen -lf` prints of a key: `SHA256:…`.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Lets only a server with a pinned key through.
pub(crate) struct Pinned(pub(crate) Vec<PublicKey>);

impl russh::client::Handler for Pinned {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let shown = shown.public_key();
        match self.0.iter().any(|pinned| pinned.key_data() == shown.key_data()) {
            true => Ok(true),
            false => Err(Failure::HostKey(Box::new(shown))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_host_key_is_read_as_every_tool_prints_it() {
        for text in [
            KEY.to_owned(),
            format!("{KEY} root@bastion"),
            format!("bastion.example.com {KEY}"),
            format!("[bastion.example.com]:2222,10.0.0.1 {KEY}\n"),
            format!("# bastion:22 SSH-2.0-OpenSSH_9.2\n{KEY}"),
        ] {
            let keys =
                pinned(&HostKeys(vec![text.clone()])).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(keys.iter().map(line).collect::<Vec<_>>(), [KEY], "{text}");
        }
    }

    #[test]
    fn what_is_no_host_key_is_refused() {
        for text in [
            "SHA256:abc",
            "ssh-ed25519",
            "ssh-ed25519 nonsense",
            "bastion",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ==",
        ] {
            let error = pinned(&HostKeys(vec![text.to_owned()])).expect_err(text);
            assert!(error.message().starts_with("`tunnel.host_key`: "), "{text}: {error}");
        }
    }
}
