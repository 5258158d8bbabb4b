//! JSON Web Tokens that are signed with an RSA key: how service accounts and key pairs log in.
//!
//! Source: RFC 7519; RFC 7518, 3.3 (`RS256`).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde_json::{Value, json};
use tidegate_model::{Error, Secret};

/// A private RSA key that signs tokens.
#[derive(Clone)]
pub struct RsaKey(Arc<dyn SigningKey>);

impl RsaKey {
    /// Reads a key in PEM, PKCS#8 or PKCS#1, that is not encrypted; `setting` holds it.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] with the name of the setting, without any of the key.
    pub fn from_pem(pem: &str, setting: &str) -> Result<RsaKey, Error> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| no_key(setting))?;
        RsaKey::from_der(&key, setting)
    }

    /// Takes a key that was read before; `setting` holds it.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] with the name of the setting for a key that is damaged
    /// or not RSA.
    pub fn from_der(key: &PrivateKeyDer<'_>, setting: &str) -> Result<RsaKey, Error> {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).map_err(|_| no_key(setting))?;
        match key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]) {
            Some(_) => Ok(RsaKey(key)),
            None => Err(Error::settings(format!("`{setting}`: expected an RSA key")).hint("make an RSA key")),
        }
    }

    /// Returns the public half: the DER of its `SubjectPublicKeyInfo`.
    pub fn public(&self) -> Option<Vec<u8>> {
        self.0.public_key().map(|key| key.to_vec())
    }

    /// Returns a token with these claims. `key_id` goes into its header (`kid`).
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn token(&self, key_id: Option<&str>, claims: &Value) -> Result<Secret, Error> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(key_id) = key_id {
            header["kid"] = key_id.into();
        }
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encoded(&header), encoded(claims));
        let unsigned = || Error::internal("the private key does not sign");
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(unsigned)?;
        let signature = signer.sign(signed.as_bytes()).map_err(|cause| unsigned().caused_by(cause))?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(…)")
    }
}

fn no_key(setting: &str) -> Error {
    Error::settings(format!("`{setting}`: expected a private key in PEM"))
        .hint("it begins with -----BEGIN PRIVATE KEY----- and has line breaks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_header_and_its_claims_and_always_the_same_signature() {
        let key = RsaKey::from_pem(&tidegate_testkit::tls::rsa_key(), "private_key").unwrap();
        let claims = json!({ "iss": "me" });
        let token = key.token(Some("k1"), &claims).unwrap();
        let parts: Vec<Vec<u8>> =
            token.expose().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        assert_eq!(parts[0], br#"{"alg":"RS256","typ":"JWT","kid":"k1"}"#);
        assert_eq!(parts[1], br#"{"iss":"me"}"#);
        assert_eq!(parts[2].len(), 256);
        assert_eq!(key.token(Some("k1"), &claims).unwrap(), token);
        assert!(key.public().is_some_and(|der| der.len() > 256));
        assert_eq!(format!("{key:?}"), "RsaKey(…)");
    }

    #[test]
    fn what_is_no_rsa_key_is_named_without_being_shown() {
        for wrong in ["", "zanzibar", "-----BEGIN PRIVATE KEY-----\nzanzibar\n-----END PRIVATE KEY-----\n"] {
            let error = RsaKey::from_pem(wrong, "private_key").unwrap_err();
            assert!(error.message().starts_with("`private_key`: expected"), "{error:?}");
            assert!(!format!("{error:?}").contains("zanzibar"));
        }
    }
}
