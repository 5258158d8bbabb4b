//! TLS of the server: its certificate and key, which are read again when their files change.

#[cfg(test)]
mod tests;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_model::Error;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// How long the files are taken for unchanged after a look at them.
const LOOK: Duration = Duration::from_secs(1);

/// The certificate by which the server proves who it is, as its files have it.
///
/// Files that change are read again by the next connection that is accepted. A pair that cannot be used leaves
/// the one before in its place. Connections that are open keep theirs.
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

/// What is in use.
struct Current {
    config: Arc<ServerConfig>,
    /// The state of the files when they were read last, usable or not.
    read: Seen,
    looked_at: Instant,
}

/// The state of the two files.
type Seen = [Option<Stamp>; 2];

/// What changes with the content of a file: its device and number, its length and when it was written.
type Stamp = (u64, u64, u64, i64, i64);

impl ServerTls {
    /// Reads a certificate and its key from PEM files. Blocks for a moment.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if a file cannot be read or used, or the key is not that
    /// of the certificate.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<ServerTls, Error> {
        let read = seen(&certificate, &key);
        let config = configured(&certificate, &key)?;
        let current = Mutex::new(Current { config, read, looked_at: Instant::now() });
        Ok(ServerTls { certificate, key, current })
    }

    /// Reads both files again. Blocks for a moment.
    ///
    /// # Errors
    /// As for [`ServerTls::open`]; the certificate before stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        // Before they are read: a change meanwhile is noticed by the next look.
        let read = seen(&self.certificate, &self.key);
        let config = configured(&self.certificate, &self.key);
        let mut current = self.current();
        current.read = read;
        current.config = config?;
        Ok(())
    }

    /// Returns the certificate for a new connection.
    pub(crate) async fn acceptor(self: &Arc<ServerTls>) -> TlsAcceptor {
        if self.is_time_to_look() {
            let tls = self.clone();
            if let Err(fault) = tokio::task::spawn_blocking(move || tls.look()).await {
                tracing::error!(%fault, "internal error: the certificate could not be looked at");
            }
        }
        TlsAcceptor::from(self.current().config.clone())
    }

    /// Whether it is time for another look, which the caller has then.
    fn is_time_to_look(&self) -> bool {
        let mut current = self.current();
        let is_time = current.looked_at.elapsed() >= LOOK;
        if is_time {
            current.looked_at = Instant::now();
        }
        is_time
    }

    /// Reads the files again if they have changed.
    fn look(&self) {
        let seen = seen(&self.certificate, &self.key);
        if seen == self.current().read {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!("the certificate of the server has changed, and is in use"),
            Err(error) => {
                let (next, error) = (error.next_step().to_owned(), error.chain());
                tracing::warn!(error, next, "the certificate of the server stays the one before");
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing that panics is done while it is locked.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen(certificate: &Path, key: &Path) -> Seen {
    let stamp = |file: Metadata| (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec());
    [certificate, key].map(|path| std::fs::metadata(path).ok().map(stamp))
}

fn configured(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let chain = chain(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
        const FORMS: &str =
            "name a PEM file with a private key that is not encrypted, as PKCS#8, PKCS#1 or SEC 1 have it";
        unusable("--tls-key", key, "a private key", FORMS, &cause)
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::internal("TLS cannot be set up").caused_by(cause))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(|cause| {
        let (certificate, key) = (certificate.display(), key.display());
        let (what, next) = match cause {
            rustls::Error::InconsistentKeys(_) => (
                format!("`--tls-key`: the key in {key} is not that of the certificate in {certificate}"),
                "name the key that the certificate was issued for",
            ),
            _ => (
                format!("`--tls-cert`: the certificate in {certificate} and its key cannot be used"),
                "name a certificate with an RSA, ECDSA or Ed25519 key",
            ),
        };
        Error::settings(what).hint(next).caused_by(cause)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the certificates of a file, that of the server first.
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    const FORM: &str = "name a PEM file with the server's certificate, followed by its intermediates";
    let unusable = |cause: &PemError| unusable("--tls-cert", file, "a certificate", FORM, cause);
    let certificates = CertificateDer::pem_file_iter(file).map_err(|cause| unusable(&cause))?;
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|cause| unusable(&cause))?;
    match chain.is_empty() {
        true => Err(unusable(&PemError::NoItemsFound)),
        false => Ok(chain),
    }
}

fn unusable(option: &str, file: &Path, what: &str, form: &'static str, cause: &PemError) -> Error {
    let file = file.display();
    match cause {
        PemError::Io(cause) => Error::settings(format!("`{option}`: {file} cannot be read"))
            .hint("name a file that the user who runs tidegate may read")
            .caused_by(cause.to_string()),
        _ => Error::settings(format!("`{option}`: {file} does not hold {what}")).hint(form),
    }
}
