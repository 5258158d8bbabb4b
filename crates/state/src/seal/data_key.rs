//! A key that seals many small things, itself sealed by the master key.

use chacha20poly1305::aead::{Aead as _, AeadInOut as _, Generate as _, Key, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tidegate_model::Error;

use super::key::{KEY_BYTES, NONCE_BYTES};

/// Bytes of the tag behind a sealed text (RFC 8439, section 2.8).
const TAG_BYTES: usize = 16;

/// XChaCha20-Poly1305 with a random nonce in front of each sealed text.
pub(crate) struct DataKey {
    bytes: [u8; KEY_BYTES],
    cipher: XChaCha20Poly1305,
}

impl DataKey {
    /// Makes a new key.
    pub(crate) fn generate() -> DataKey {
        DataKey::of(Key::<XChaCha20Poly1305>::generate().into())
    }

    /// Reads a key; `None` if it has another length.
    pub(crate) fn read(bytes: &[u8]) -> Option<DataKey> {
        bytes.try_into().ok().map(DataKey::of)
    }

    fn of(bytes: [u8; KEY_BYTES]) -> DataKey {
        DataKey { cipher: XChaCha20Poly1305::new(&bytes.into()), bytes }
    }

    /// Returns the key itself, to be sealed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a text, sealed; it opens with the same `about` only.
    pub(crate) fn seal(&self, about: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let nonce = XNonce::generate();
        out.reserve(NONCE_BYTES + plain.len() + TAG_BYTES);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self.cipher.encrypt_inout_detached(&nonce, about, (&mut out[start..]).into());
        out.extend_from_slice(&tag.map_err(|_| Error::internal("a row could not be sealed"))?);
        Ok(())
    }

    /// Opens what [`DataKey::seal`] appended; `None` if it was changed since.
    pub(crate) fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: about }).ok()
    }

    /// Returns a hash that only holders of the key can compute (HMAC-SHA-256).
    pub(crate) fn keyed_hash(&self, text: &[u8]) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.bytes);
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_for_what_it_was_sealed_for_and_not_if_it_was_changed() {
        let key = DataKey::generate();
        let mut sealed = Vec::new();
        key.seal(b"row 1", b"hunter2", &mut sealed).expect("sealed");

        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        let read = DataKey::read(key.bytes()).expect("a key");
        assert_eq!(read.open(b"row 1", &sealed).as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(read.open(b"row 2", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(read.open(b"row 1", &changed), None, "byte {at}");
        }
        assert_eq!(read.open(b"row 1", &sealed[..10]), None);
        assert_ne!(read.keyed_hash(b"ann"), DataKey::generate().keyed_hash(b"ann"));
    }
}
