//! ID tokens: who signed them, for whom they are, and until when.
//!
//! Source: OpenID Connect Core 1.0, 3.1.3.7.

use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::Value;
use tidegate_model::{Error, ErrorKind};

/// What a provider may sign with. A token that is signed by a secret both sides share, or not at all, is none.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How much clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 60;

/// A token whose signature is still to be verified.
pub(super) struct IdToken<'t> {
    text: &'t str,
    header: Header,
}

impl<'t> IdToken<'t> {
    /// Reads the head of a token.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] if it is none, or is signed in a way that proves nothing.
    pub(super) fn read(text: &'t str) -> Result<IdToken<'t>, Error> {
        let header = jsonwebtoken::decode_header(text)
            .map_err(|cause| unfit("its head cannot be read").caused_by(cause.to_string()))?;
        match ALGORITHMS.contains(&header.alg) {
            true => Ok(IdToken { text, header }),
            false => Err(unfit(&format!("it is signed by {:?}, which proves nothing", header.alg))),
        }
    }

    /// Returns the key that signed it, among those of the provider.
    pub(super) fn key<'k>(&self, keys: &'k [Jwk]) -> Option<&'k Jwk> {
        let mut fitting = keys.iter().filter(|key| {
            let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
            let algorithm = key.common.key_algorithm.as_ref().map(|one| one.to_string().parse::<Algorithm>());
            signs && algorithm.is_none_or(|algorithm| algorithm.is_ok_and(|one| one == self.header.alg))
        });
        match &self.header.kid {
            Some(kid) => fitting.find(|key| key.common.key_id.as_ref() == Some(kid)),
            // A provider with one key need not name it.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// Returns the claims, once everything about the token is verified.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] with what does not fit.
    pub(super) fn verify(
        &self,
        key: &Jwk,
        issuer: &str,
        client: &str,
        now: Timestamp,
    ) -> Result<Value, Error> {
        let key = DecodingKey::from_jwk(key)
            .map_err(|cause| unfit("the key of the provider cannot be used").caused_by(cause.to_string()))?;
        let mut validation = Validation::new(self.header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[client]);
        // By the clock of the engine, below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(self.text, &key, &validation)
            .map_err(|cause| {
                unfit("its signature, issuer or audience does not fit").caused_by(cause.to_string())
            })?
            .claims;
        let several = claims["aud"].as_array().is_some_and(|audience| audience.len() > 1);
        let party = claims["azp"].as_str();
        if several && party != Some(client) || party.is_some_and(|party| party != client) {
            return Err(unfit("it was made for another program (`azp`)"));
        }
        // Some write it with a point.
        let ends = claims["exp"].as_i64().or_else(|| claims["exp"].as_f64().map(|ends| ends as i64));
        if ends.is_none_or(|ends| ends <= now.as_second() - SKEW_SECONDS) {
            return Err(unfit("it has expired: compare the clocks of both machines"));
        }
        Ok(claims)
    }
}

/// Returns the keys of a provider that can be used; others are left out.
pub(super) fn keys(document: &Value) -> Vec<Jwk> {
    let listed = document["keys"].as_array().into_iter().flatten();
    listed.filter_map(|key| serde_json::from_value(key.clone()).ok()).collect()
}

pub(super) fn unfit(why: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the ID token of the identity provider cannot be used: {why}"))
        .hint("sign in again; if it stays, compare `--oidc-issuer` and `--oidc-client-id` with the provider")
}
