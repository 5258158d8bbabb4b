//! Keeps requests away from addresses that give away secrets of the machine: people choose the addresses of
//! connections, registries and webhooks, and must not reach by them what only this process can reach.
//!
//! An address is judged after its name was resolved, at the moment of connecting: a name that leads elsewhere the
//! next time is judged again.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// What to do about a refused address.
pub(crate) const REMEDY: &str = "name the address of the system itself; credentials of a cloud's machine are found \
    without an address";

/// Where this process listens.
static OWN: RwLock<Vec<SocketAddr>> = RwLock::new(Vec::new());

/// Notes an address that this process listens on: from now on no request goes there but those of a sandbox.
pub fn listens_on(address: SocketAddr) {
    OWN.write().unwrap_or_else(PoisonError::into_inner).push(address);
}

/// Where this process listens on a port.
fn own(port: u16) -> Vec<IpAddr> {
    let own = OWN.read().unwrap_or_else(PoisonError::into_inner);
    own.iter().filter(|address| address.port() == port).map(|address| address.ip().to_canonical()).collect()
}

/// An address that no request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is a service of the cloud or the network for this machine alone.
    Machine(IpAddr),
    /// This process listens there.
    Own(IpAddr),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Machine(address) => {
                write!(f, "it leads to {address}, where a cloud hands out the secrets of its machine")
            }
            Refused::Own(address) => write!(f, "it leads to {address}, where tidegate itself listens"),
        }
    }
}

impl StdError for Refused {}

impl Refused {
    /// Returns the refusal among the causes of an error.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Option<Refused> {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(refused) = cause.downcast_ref::<Refused>() {
                return Some(*refused);
            }
            next = cause.source();
        }
        None
    }
}

/// Judges an address that was found for a request. `port` is that of the request if this process listens on it.
fn judge(address: IpAddr, port: Option<u16>) -> Result<(), Refused> {
    let address = embedded(address);
    if is_of_machine(address) {
        return Err(Refused::Machine(address));
    }
    let own = port.map(own).unwrap_or_default();
    let is_own = |listening: &IpAddr| match listening.is_unspecified() {
        true => is_here(address),
        // The system takes an unspecified address for this machine.
        false => address == *listening || address.is_unspecified() && listening.is_loopback(),
    };
    match own.iter().any(is_own) {
        true => Err(Refused::Own(address)),
        false => Ok(()),
    }
}

/// Judges the host of an address that needs no lookup.
pub(crate) fn judge_literal(url: &Url, port: Option<u16>) -> Result<(), Refused> {
    // As it will be connected to: `http://2852039166/` is 169.254.169.254 as well.
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    judge(address, port)
}

/// Returns the IPv4 address inside an IPv6 one, if there is one.
///
/// Source: RFC 4291, 2.5.5.2 (mapped); RFC 6052, 2.1 (`64:ff9b::/96`).
fn embedded(address: IpAddr) -> IpAddr {
    if let IpAddr::V6(v6) = address
        && let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments()
    {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address.to_canonical()
}

/// Whether an address is a service of the cloud or the network for this machine alone.
///
/// Source: AWS docs, "Use the Instance Metadata Service" (169.254.169.254, fd00:ec2::254), "Task IAM role"
/// (169.254.170.2) and "EKS Pod Identity" (169.254.170.23, fd00:ec2::23); Azure docs, "What is IP address
/// 168.63.129.16?"; Alibaba Cloud docs, "Instance metadata" (100.100.100.200); Oracle Cloud docs (192.0.0.192).
/// Google's is 169.254.169.254 and fd20:ce::254.
fn is_of_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local()
                || [[168, 63, 129, 16], [100, 100, 100, 200], [192, 0, 0, 192]].contains(&address.octets())
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || matches!(address.segments(), [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..])
        }
    }
}

/// Whether an address is one of this machine: the system lets a socket have it.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

/// How names are looked up.
pub(crate) type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Looks a name up as the system does.
pub(crate) fn by_the_system(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

/// Resolves names for requests to one port, and refuses those that lead where none may go.
pub(crate) struct Guarded {
    pub(crate) lookup: Lookup,
    /// The port, if this process listens on it.
    pub(crate) port: Option<u16>,
}

/// Returns the port of a request if this process listens on it.
pub(crate) fn own_port(url: &Url) -> Option<u16> {
    url.port_or_known_default().filter(|port| !own(*port).is_empty())
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, port) = (self.lookup, self.port);
        Box::pin(async move {
            let found = lookup(name.as_str().to_owned()).await?;
            for address in &found {
                judge(address.ip(), port)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, port: u16) -> Option<Refused> {
        judge(address.parse().expect("an address"), Some(port)).err()
    }

    #[test]
    fn services_that_give_away_secrets_of_the_machine_are_refused_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
        ] {
            assert!(matches!(refused(address, 80), Some(Refused::Machine(_))), "{address}");
        }
        for address in ["127.0.0.1", "::1", "10.0.0.7", "192.168.1.2", "100.64.0.1", "fd00::1", "2001:db8::1"]
        {
            assert_eq!(refused(address, 80), None, "{address}: databases and tests are there");
        }
        for written in
            ["http://2852039166/", "http://0xA9FEA9FE/", "http://169.254.43518/", "http://[fe80::1]/"]
        {
            assert!(judge_literal(&written.parse().expect("an address"), None).is_err(), "{written}");
        }
        assert!(judge_literal(&"http://example.com/".parse().expect("an address"), None).is_ok());
    }

    #[test]
    fn what_this_process_listens_on_is_refused_and_its_neighbors_are_not() {
        listens_on("127.0.0.1:1".parse().expect("an address"));
        listens_on("0.0.0.0:2".parse().expect("an address"));
        assert!(matches!(refused("127.0.0.1", 1), Some(Refused::Own(_))));
        assert!(matches!(refused("0.0.0.0", 1), Some(Refused::Own(_))));
        assert_eq!(refused("127.0.0.2", 1), None);
        for address in ["127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(matches!(refused(address, 2), Some(Refused::Own(_))), "{address}");
            assert_eq!(refused(address, 3), None, "{address}");
        }
        assert_eq!(refused("192.0.2.1", 2), None, "no address of this machine");
    }
}
