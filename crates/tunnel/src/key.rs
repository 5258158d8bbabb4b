//! Key pairs of users.

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, Error as KeyError, PrivateKey, decode_secret_key};
use tidegate_model::{Error, Secret};

const MAKE: &str = "make one with: tidegate secret generate-key NAME --ssh";

/// A key pair that was made.
pub struct KeyPair {
    /// The private half, in the format of OpenSSH, without a passphrase.
    pub private: Secret,
    /// The public half as `authorized_keys` has it: `ssh-ed25519 AAAA… tidegate`.
    pub public: String,
}

/// Makes an Ed25519 key pair.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Internal`] if the key cannot be made.
pub fn generate() -> Result<KeyPair, Error> {
    let failed = |cause| Error::internal("an SSH key cannot be made").caused_by(cause);
    let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(failed)?;
    key.set_comment("tidegate");
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    Ok(KeyPair { private: Secret::new(private.as_str()), public: public(&key)? })
}

/// Returns the public half of a key as `authorized_keys` has it.
pub(crate) fn public(key: &PrivateKey) -> Result<String, Error> {
    let mut public = key.public_key().clone();
    public.set_comment("tidegate");
    public.to_openssh().map_err(|cause| Error::internal("an SSH key cannot be written").caused_by(cause))
}

/// Reads the private key of a tunnel, as files and variables have it.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`], without a part of the key.
pub(crate) fn open(text: &Secret, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let wrong = |what: &str| Error::settings(format!("`tunnel.private_key`: {what}"));
    if !text.expose().contains("-----BEGIN") {
        return Err(wrong("expected a private key, which begins with -----BEGIN")
            .hint("of a file, write `private_key: { file: id_ed25519 }`"));
    }
    let text = Secret::new(trimmed(text.expose()));
    decode_secret_key(text.expose(), passphrase.map(Secret::expose)).map_err(|cause| {
        match (cause, passphrase) {
            (KeyError::KeyIsEncrypted, None) => {
                wrong("the key is encrypted").hint("set `tunnel.private_key_passphrase`")
            }
            (KeyError::UnsupportedKeyType { .. } | KeyError::UnknownAlgorithm(_), _) => {
                wrong("expected an Ed25519 or ECDSA key").hint(MAKE)
            }
            (_, Some(_)) => wrong("the key cannot be decrypted, or is damaged")
                .hint("compare `tunnel.private_key_passphrase`, and copy the key with all of its lines"),
            (_, None) => {
                wrong("expected an Ed25519 or ECDSA key; this one is damaged, or of another type").hint(MAKE)
            }
        }
    })
}

/// Returns a PEM text as files have it: variables often hold `\n` for its line ends, or blanks around it.
fn trimmed(text: &str) -> String {
    let text = text.replace("\\n", "\n").replace('\r', "");
    let lines = text.trim().lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_back_from_a_variable_with_one_line() {
        let made = generate().unwrap();
        let one_line = Secret::new(format!(" {}", made.private.expose().replace('\n', "\\n")));

        let key = open(&one_line, None).unwrap();

        assert_eq!(public(&key).unwrap(), made.public);
        assert!(made.public.starts_with("ssh-ed25519 AAAA") && made.public.ends_with(" tidegate"));
    }

    #[test]
    fn what_is_no_private_key_is_refused_without_a_word_of_it() {
        for wrong in [
            "id_ed25519",
            "ssh-ed25519 c2VjcmV0",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
            "-----BEGIN NONSENSE-----\n",
        ] {
            for passphrase in [None, Some(Secret::new("hush"))] {
                let error = open(&Secret::new(wrong), passphrase.as_ref()).unwrap_err();
                assert!(error.message().starts_with("`tunnel.private_key`: "), "{error}");
                let told = format!("{} {}", error.chain(), error.next_step());
                assert!(!told.contains("c2VjcmV0") && !told.contains("hush"), "{told}");
            }
        }
    }
}
