//! One master key: 32 bytes, known by a name that only it can compute.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::{Aead as _, Generate as _, Key, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tidegate_model::{Error, ErrorKind};

pub(super) const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 24;
/// Not a nonce that a secret could meet by chance: those are 24 random bytes.
const KEY_ID_NONCE: [u8; NONCE_BYTES] = *b"tidegate master key name";
/// Standard base64, padding optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes as they are stored.
pub(crate) struct Sealed {
    /// Which master key they need.
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// A master key, ready to seal.
pub(crate) struct MasterKey {
    cipher: XChaCha20Poly1305,
    id: String,
}

impl MasterKey {
    /// Reads a key as people write it; `place` says where it was written.
    pub(super) fn read(text: &str, place: &str) -> Result<MasterKey, Error> {
        let bytes = BASE64.decode(text.trim()).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::Denied, format!("{place} is not a master key"))
                .hint("a master key is 32 bytes in base64, as `openssl rand -base64 32` prints them")
        })?;
        let cipher = XChaCha20Poly1305::new(&bytes.into());
        // What only this key can compute names it, and gives nothing of it away.
        let tag = cipher.encrypt(&KEY_ID_NONCE.into(), Payload { msg: b"", aad: b"key id" });
        let tag = tag.map_err(|_| Error::internal("the master key could not be named"))?;
        let id = tag.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(MasterKey { cipher, id })
    }

    /// Returns a new key as text.
    pub(super) fn generate() -> String {
        BASE64.encode(Key::<XChaCha20Poly1305>::generate())
    }

    /// Returns the name of the key.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Seals bytes; they open under the same name only.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> Result<Sealed, Error> {
        let nonce = XNonce::generate();
        let bytes = self.cipher.encrypt(&nonce, Payload { msg: plain, aad: name.as_bytes() });
        let bytes = bytes.map_err(|_| Error::internal(format!("`{name}` could not be sealed")))?;
        Ok(Sealed { key_id: self.id.clone(), nonce: nonce.to_vec(), bytes })
    }

    /// Opens what this key sealed under that name; `None` if it was changed since.
    pub(crate) fn open(&self, name: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        let nonce = XNonce::try_from(sealed.nonce.as_slice()).ok()?;
        self.cipher.decrypt(&nonce, Payload { msg: &sealed.bytes, aad: name.as_bytes() }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_its_padding_or_without() {
        let key = MasterKey::generate();
        let named = MasterKey::read(&key, "here").expect("a key");
        assert_eq!(MasterKey::read(key.trim_end_matches('='), "here").expect("a key").id(), named.id());
        for wrong in ["", "a b", "c2hvcnQ=", &format!("{key}{key}")] {
            assert!(MasterKey::read(wrong, "here").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_opens_only_under_its_own_name() {
        let key = MasterKey::read(&MasterKey::generate(), "here").expect("a key");

        let sealed = key.seal("braze", b"hunter2").expect("sealed");

        assert!(!sealed.bytes.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(key.open("braze", &sealed).as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(key.open("shop", &sealed), None);
    }

    #[test]
    fn the_same_secret_never_looks_the_same_twice() {
        let key = MasterKey::read(&MasterKey::generate(), "here").expect("a key");
        let sealed = || key.seal("braze", b"hunter2").expect("sealed").bytes;
        assert_ne!(sealed(), sealed());
    }
}
