//! Connecting through an SSH server.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult, Config};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{Preferred, SshId, compression};
use tidegate_model::Error;

use crate::host_key::{Pinned, pinned, types};
use crate::key;
use crate::settings::TunnelSettings;
use crate::stream::TunnelStream;

/// How long a server may be silent before it is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Questions without an answer after which it is not.
const KEEPALIVE_MAX: usize = 4;
/// The address that connections are said to come from: servers write it into their log.
const ORIGINATOR: (&str, u32) = ("127.0.0.1", 0);

/// An SSH server and the key to it.
#[derive(Clone)]
pub struct Tunnel {
    inner: Arc<Inner>,
}

struct Inner {
    settings: TunnelSettings,
    key: Arc<PrivateKey>,
    pinned: Vec<PublicKey>,
    config: Arc<Config>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tunnel").field(&self.server()).finish()
    }
}

impl Tunnel {
    /// Reads the keys of these settings. Nothing is connected yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub fn new(settings: &TunnelSettings) -> Result<Tunnel, Error> {
        for (name, text) in [("host", &settings.host), ("user", &settings.user)] {
            if text.is_empty() || text.contains(|part: char| part.is_whitespace() || part.is_control()) {
                return Err(Error::settings(format!("`tunnel.{name}`: expected a name")));
            }
        }
        if settings.host.contains(['/', '@']) {
            return Err(Error::settings("`tunnel.host`: expected a host name or an address").hint(
                "write only the name, for example bastion.example.com; port and user have their own settings",
            ));
        }
        let pinned = pinned(&settings.host_key)?;
        let preferred = Preferred {
            key: Cow::Owned(types(&pinned, &Preferred::DEFAULT.key)),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        };
        let config = Config {
            client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-tidegate")),
            keepalive_interval: Some(KEEPALIVE),
            keepalive_max: KEEPALIVE_MAX,
            nodelay: true,
            preferred,
            ..Config::default()
        };
        let key = key::open(&settings.private_key, settings.private_key_passphrase.as_ref())?;
        let inner =
            Inner { settings: settings.clone(), key: Arc::new(key), pinned, config: Arc::new(config) };
        Ok(Tunnel { inner: Arc::new(inner) })
    }

    /// Returns the SSH server, for messages: `bastion.example.com:22`.
    pub fn server(&self) -> String {
        format!("{}:{}", self.inner.settings.host, self.inner.settings.port)
    }

    /// Connects to a server through the SSH server, by the name or address that it has there.
    ///
    /// The caller limits the time.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) for a host key that is not pinned,
    /// [`Denied`](tidegate_model::ErrorKind::Denied) if the key or the connection is not allowed, and
    /// [`Unavailable`](tidegate_model::ErrorKind::Unavailable) if one of the two servers cannot be reached.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TunnelStream, Error> {
        let Inner { settings, key, pinned, config } = &*self.inner;
        let address = (settings.host.as_str(), settings.port);
        let mut session = client::connect(Arc::clone(config), address, Pinned(pinned.clone()))
            .await
            .map_err(|failure| self.explain(failure))?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
        let signed_in = session.authenticate_publickey(&settings.user, key).await;
        match signed_in.map_err(|cause| self.explain(cause.into()))? {
            AuthResult::Success => {}
            AuthResult::Failure { .. } => return Err(self.refused(host, port)),
        }
        let (from, from_port) = ORIGINATOR;
        let channel = session.channel_open_direct_tcpip(host, port.into(), from, from_port).await;
        let channel = channel.map_err(|cause| self.explain_forwarding(cause, host, port))?;
        Ok(TunnelStream::new(channel, session))
    }

    pub(crate) fn settings(&self) -> &TunnelSettings {
        &self.inner.settings
    }

    pub(crate) fn pinned(&self) -> &[PublicKey] {
        &self.inner.pinned
    }

    pub(crate) fn public_key(&self) -> Result<String, Error> {
        key::public(&self.inner.key)
    }
}
