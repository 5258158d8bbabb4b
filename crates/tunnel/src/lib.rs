//! The way to servers that only another machine reaches: SSH tunnels.
//!
//! A tunnel is a connection to an SSH server, on which that server connects to a database for us
//! (`direct-tcpip`). Nothing listens on this machine, so no other user of it can use the tunnel. Each
//! connection to a database has a tunnel of its own: one that waits for a slow destination holds up no other.
//!
//! The host key is pinned: no key and no byte of a database goes to a server with another one.

mod error;
mod host_key;
mod key;
mod settings;
mod setup;
mod stream;
mod tunnel;

pub use key::{KeyPair, generate};
pub use settings::{HostKeys, TunnelSettings};
pub use setup::setup;
pub use stream::TunnelStream;
pub use tunnel::Tunnel;
