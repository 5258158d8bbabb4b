//! Passwords and secrets: made here, kept as hashes only.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use sha2::{Digest as _, Sha256};
use tidegate_model::Error;
use tokio::sync::Semaphore;

/// The shortest password. There is no rule about its letters (NIST SP 800-63B, 3.1.1.2).
const PASSWORD_CHARS_MIN: usize = 12;
/// The longest: hashing takes longer for longer ones.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Hashes at a time: each takes 19 MiB and a core for some milliseconds.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A hash of a password that no person has, so that an unknown name takes as long as a wrong
/// password.
static DECOY: LazyLock<String> = LazyLock::new(|| make("a decoy that is no password").unwrap_or_default());

/// Hashes a new password by Argon2id.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if it is too short or too long.
pub(super) async fn hash(password: &str) -> Result<String, Error> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Error::settings(format!("the password has fewer than {PASSWORD_CHARS_MIN} characters"))
            .hint("choose a longer one, such as four words"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::settings(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes"))
            .hint("choose a shorter one"));
    }
    let password = password.to_owned();
    turn(move || make(&password)).await?
}

/// Returns whether a password fits a hash; without a hash it never does, and that takes as long.
pub(super) async fn fits(password: &str, hash: Option<String>) -> Result<bool, Error> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let password = password.to_owned();
    turn(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| DECOY.clone());
        let fits = PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        known && fits
    })
    .await
}

fn make(password: &str) -> Result<String, Error> {
    // Argon2id with 19 MiB and two passes (OWASP Password Storage Cheat Sheet).
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|cause| Error::internal("a password cannot be hashed").caused_by(cause.to_string()))
}

async fn turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let _turn = TURNS.acquire().await.map_err(|cause| Error::internal("no turn").caused_by(cause))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("a password could not be hashed").caused_by(cause))
}

/// Makes a secret of 32 random bytes, in hexadecimal.
///
/// # Errors
/// [`Internal`](tidegate_model::ErrorKind::Internal) if the system gives no random bytes.
pub(crate) fn secret() -> Result<String, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|cause| Error::internal("the system gives no random bytes").caused_by(cause.to_string()))?;
    Ok(hex(&bytes))
}

/// Returns the SHA-256 of a secret, in hexadecimal. A secret of 32 random bytes needs no slower hash.
pub(super) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
