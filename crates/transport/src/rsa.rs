//! Private RSA keys as people have them: encrypted or not, in a file or in a variable; and new ones.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::pem;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use tidegate_model::{Error, Secret};

use crate::jwt::RsaKey;

const MAKE: &str = "make one with: openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out key.p8";

/// Makes a private key of 2,048 bits, in PEM, PKCS#8 without encryption.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Internal`] if the machine has no randomness.
pub fn generate() -> Result<Secret, Error> {
    let failed = || Error::internal("an RSA key cannot be made");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|cause| failed().caused_by(cause))?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|cause| failed().caused_by(cause))?;
    let text = pem::encode_string("PRIVATE KEY", LineEnding::LF, der.as_ref());
    text.map(Secret::new).map_err(|cause| failed().caused_by(cause))
}

/// Reads a private key in PEM: PKCS#8, also encrypted with a passphrase, or PKCS#1. `setting` is the
/// name of the setting that holds it, that of the passphrase has `_passphrase` behind it.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for anything else; never with a part of the key.
pub fn open(setting: &str, text: &Secret, passphrase: Option<&Secret>) -> Result<RsaKey, Error> {
    let wrong = |what: &str| Error::settings(format!("`{setting}`: {what}"));
    if !text.expose().contains("-----BEGIN") {
        return Err(wrong("expected a private key in PEM, which begins with -----BEGIN")
            .hint(format!("of a file, write `{setting}: {{ file: key.p8 }}`")));
    }
    let text = Secret::new(trimmed(text.expose()));
    let (label, der) = pem::decode_vec(text.expose().as_bytes())
        .map_err(|_| wrong("the PEM text is damaged").hint("copy it with all of its lines"))?;
    let der: PrivateKeyDer<'static> = match (label, passphrase) {
        ("PRIVATE KEY", _) => PrivatePkcs8KeyDer::from(der).into(),
        ("RSA PRIVATE KEY", _) => PrivatePkcs1KeyDer::from(der).into(),
        ("ENCRYPTED PRIVATE KEY", None) => {
            return Err(wrong("the key is encrypted").hint(format!("set `{setting}_passphrase`")));
        }
        ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => {
            let sealed = EncryptedPrivateKeyInfoRef::try_from(&*der)
                .map_err(|_| wrong("the encrypted key is damaged"))?;
            let opened = sealed.decrypt(passphrase.expose()).map_err(|_| {
                wrong("the key cannot be decrypted").hint(format!(
                    "compare `{setting}_passphrase`; keys can be read that `openssl pkcs8 -topk8` has encrypted"
                ))
            })?;
            PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into()
        }
        ("PUBLIC KEY", _) => {
            return Err(wrong("this is the public half of a key").hint("give the private half"));
        }
        _ => return Err(wrong("expected a private RSA key in PEM").hint(MAKE)),
    };
    RsaKey::from_der(&der, setting)
        .map_err(|_| wrong("expected a private RSA key of 2,048 bits or more").hint(MAKE))
}

/// Returns the public half of a key: base64 of its `SubjectPublicKeyInfo` on one line, as services ask
/// for it.
pub fn public(key: &RsaKey) -> String {
    STANDARD.encode(key.public().unwrap_or_default())
}

/// Returns the SHA-256 of the public half of a key in base64.
pub fn fingerprint(key: &RsaKey) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, &key.public().unwrap_or_default()))
}

/// Returns a PEM text as files have it: variables often hold `\n` for its line ends, or blanks
/// around it.
fn trimmed(text: &str) -> String {
    let text = text.replace("\\n", "\n").replace('\r', "");
    let lines = text.trim().lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_key_that_was_made_is_read_back_from_a_variable_with_one_line() {
        let made = generate().unwrap();
        let key = open("private_key", &made, None).unwrap();
        let one_line = secret(&format!(" {}", made.expose().replace('\n', "\\n")));
        assert_eq!(public(&open("private_key", &one_line, None).unwrap()), public(&key));
        assert!(public(&key).starts_with("MIIB"), "{}", public(&key));
    }

    /// As `openssl pkcs8 -topk8 -v2 des3` and `-v2 aes-256-cbc` write them; the fingerprint as
    /// `openssl rsa -pubout -outform DER | openssl dgst -sha256 -binary | base64` prints it.
    #[test]
    fn a_key_encrypted_by_openssl_is_opened_by_its_passphrase_alone() {
        let key = open("private_key", &secret(include_str!("rsa/plain.p8")), None).unwrap();
        assert_eq!(fingerprint(&key), "GNGR8+IWorcaoA8OB19GozLjtmHu5TvXxeUasjFauwE=");
        for sealed in [include_str!("rsa/des3.p8"), include_str!("rsa/aes.p8")] {
            let opened = open("private_key", &secret(sealed), Some(&secret("tide"))).unwrap();
            assert_eq!(public(&opened), public(&key));
            let wrong = open("private_key", &secret(sealed), Some(&secret("ebb"))).unwrap_err();
            assert!(wrong.next_step().contains("private_key_passphrase"), "{wrong}");
            let none = open("private_key", &secret(sealed), None).unwrap_err();
            assert_eq!(none.next_step(), "set `private_key_passphrase`");
        }
        let old = open("private_key", &secret(include_str!("rsa/pkcs1.pem")), None).unwrap();
        assert_eq!(public(&old), public(&key));
    }

    #[test]
    fn what_is_no_private_key_is_refused_without_a_word_of_it() {
        for wrong in [
            "key.p8",
            "-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
        ] {
            let error = open("private_key", &secret(wrong), None).unwrap_err();
            assert!(error.message().starts_with("`private_key`: "), "{error}");
            assert!(!error.chain().contains("c2VjcmV0"), "{error}");
        }
    }
}
