//! Secrets at rest: XChaCha20-Poly1305 under one master key.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, Generate as _, Key, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tidegate_model::{Error, ErrorKind, Secret, json};
use uuid::Uuid;

use crate::folder;
use crate::store::failure;

const KEY_BYTES: usize = 32;
/// Not a nonce that a secret could meet by chance: those are 24 random bytes.
const KEY_ID_NONCE: [u8; 24] = *b"tidegate master key name";

/// A secret as it is stored.
pub(crate) struct Sealed {
    /// Which master key it needs.
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// Seals and opens secrets. The key is looked for when it is first needed.
pub(crate) struct Seal {
    given: Option<Secret>,
    file: PathBuf,
    ready: OnceLock<Cipher>,
}

struct Cipher {
    cipher: XChaCha20Poly1305,
    id: String,
}

impl Seal {
    /// With the key that was `given`, else with the one in `<data>/master.key`.
    pub(crate) fn new(given: Option<Secret>, data: &Path) -> Seal {
        Seal { given, file: data.join("master.key"), ready: OnceLock::new() }
    }

    /// Seals a secret; makes the master key if there is none yet.
    pub(crate) fn seal(&self, name: &str, secret: &Secret) -> Result<Sealed, Error> {
        let key = self.key(true)?;
        let nonce = XNonce::generate();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: name.as_bytes() };
        let bytes = key.cipher.encrypt(&nonce, payload);
        let bytes = bytes.map_err(|_| Error::internal(format!("the secret `{name}` could not be sealed")))?;
        Ok(Sealed { key_id: key.id.clone(), nonce: nonce.to_vec(), bytes })
    }

    /// Opens a secret.
    pub(crate) fn open(&self, name: &str, sealed: &Sealed) -> Result<Secret, Error> {
        let key = self.key(false)?;
        if key.id != sealed.key_id {
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "the secret `{name}` was sealed with the master key {}, but {} holds the key {}",
                    sealed.key_id,
                    self.place(),
                    key.id
                ),
            )
            .hint(format!("put the right key into {}, or set the secret again", self.place())));
        }
        let tampered = || {
            Error::new(ErrorKind::Storage, format!("the stored secret `{name}` is damaged"))
                .hint("set the secret again")
        };
        let nonce = XNonce::try_from(sealed.nonce.as_slice()).map_err(|_| tampered())?;
        let payload = Payload { msg: &sealed.bytes, aad: name.as_bytes() };
        let plain = key.cipher.decrypt(&nonce, payload).map_err(|_| tampered())?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| tampered())
    }

    fn place(&self) -> String {
        match self.given {
            Some(_) => "TIDEGATE_MASTER_KEY".to_owned(),
            None => self.file.display().to_string(),
        }
    }

    fn key(&self, make: bool) -> Result<&Cipher, Error> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let text = match &self.given {
            Some(given) => given.expose().to_owned(),
            None => self.read_or_make(make)?,
        };
        let bytes = decode_base64(text.trim()).and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::Denied, format!("{} is no master key", self.place()))
                .hint("a master key is 32 bytes in base64, as `openssl rand -base64 32` prints them")
        })?;
        let cipher = XChaCha20Poly1305::new(&bytes.into());
        // What only this key can compute names it, and gives nothing of it away.
        let tag = cipher.encrypt(&KEY_ID_NONCE.into(), Payload { msg: b"", aad: b"key id" });
        let tag = tag.map_err(|_| Error::internal("the master key could not be named"))?;
        let id = tag.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(self.ready.get_or_init(|| Cipher { cipher, id }))
    }

    fn read_or_make(&self, make: bool) -> Result<String, Error> {
        folder::close(&self.file);
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(text),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && make => {
                self.make().map_err(|cause| failure::of_io(cause, "making the master key", &self.file))?;
                fs::read_to_string(&self.file)
                    .map_err(|cause| failure::of_io(cause, "reading the master key", &self.file))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let file = self.file.display();
                Err(Error::new(ErrorKind::Denied, format!("the master key {file} is missing"))
                    .hint("restore that file, or set TIDEGATE_MASTER_KEY, or set the secrets again"))
            }
            Err(cause) => Err(failure::of_io(cause, "reading the master key", &self.file)),
        }
    }

    /// Writes a new key under a name of its own and links it into place, so that
    /// of two processes that start together one wins and nobody reads half a key.
    fn make(&self) -> io::Result<()> {
        let key = Bytes::copy_from_slice(&Key::<XChaCha20Poly1305>::generate());
        let fresh = self.file.with_extension(format!("{}.tmp", Uuid::new_v4().simple()));
        let mut file = folder::create_file(&fresh)?;
        writeln!(file, "{}", json::base64(&key))?;
        file.sync_all()?;
        let linked = fs::hard_link(&fresh, &self.file);
        fs::remove_file(&fresh)?;
        match linked {
            Ok(()) => {
                self.file.parent().map_or(Ok(()), folder::sync)?;
                tracing::info!(file = %self.file.display(), "made a new master key; keep a copy of it apart");
                Ok(())
            }
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(cause) => Err(cause),
        }
    }
}

/// Standard base64, padding optional.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_it_is_written() {
        for plain in [&b""[..], b"f", b"fo", b"foo", &[0, 255, 128, 7, 63, 62]] {
            let text = json::base64(&Bytes::copy_from_slice(plain));
            assert_eq!(decode_base64(&text).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(decode_base64("a b"), None);
    }

    #[test]
    fn a_secret_opens_only_under_its_own_name() {
        let data = tempfile::tempdir().expect("folder");
        let seal = Seal::new(None, data.path());

        let sealed = seal.seal("braze", &Secret::new("hunter2")).expect("sealed");

        assert!(!sealed.bytes.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(seal.open("braze", &sealed).expect("opened").expose(), "hunter2");
        assert_eq!(seal.open("shop", &sealed).expect_err("other name").kind(), ErrorKind::Storage);
    }

    #[test]
    fn the_same_secret_never_looks_the_same_twice() {
        let data = tempfile::tempdir().expect("folder");
        let seal = Seal::new(None, data.path());

        let first = seal.seal("braze", &Secret::new("hunter2")).expect("sealed");
        let second = seal.seal("braze", &Secret::new("hunter2")).expect("sealed");

        assert_ne!(first.bytes, second.bytes);
    }
}
