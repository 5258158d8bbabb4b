//! Machines with network cables of their own, which are pulled without a word to either end.
//!
//! A machine is a network namespace with two cables: one leads to the services that machines share, the
//! other one to the platform. Each cable ends in a bridge of this machine. One that is pulled out of its
//! bridge loses every packet: no connection is refused, and none is closed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where a cable of a machine leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cable {
    Services,
    Platform,
}

impl Cable {
    const ALL: [Cable; 2] = [Cable::Services, Cable::Platform];

    fn name(self) -> &'static str {
        match self {
            Cable::Services => "services",
            Cable::Platform => "platform",
        }
    }

    /// The name by which machines know the other side: one that may be spoken to without TLS.
    pub(super) fn host(self) -> &'static str {
        match self {
            // moto takes what precedes another name for that of a bucket.
            Cable::Services => "localhost",
            Cable::Platform => "platform.localhost",
        }
    }

    /// The first half of its addresses: those that are set aside for tests of networks (RFC 2544).
    fn network(self) -> &'static str {
        match self {
            Cable::Services => "198.18",
            Cable::Platform => "198.19",
        }
    }
}

/// A machine, by the last number of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine(u8);

pub(super) const FIRST: Machine = Machine(2);
pub(super) const SECOND: Machine = Machine(3);

/// The two networks and the machines in them, removed with the test.
pub(super) struct Networks {
    process: u32,
}

impl Networks {
    /// Makes both networks and machines. Says why and returns nothing where this process may not.
    pub(super) fn new() -> Option<Networks> {
        let networks = Networks { process: std::process::id() };
        if let Err(trouble) = ip(&format!("netns add {}", networks.namespace(FIRST))) {
            let refused = ["not permitted", "Permission denied", "No such file"];
            assert!(refused.iter().any(|why| trouble.contains(why)), "{trouble}");
            eprintln!("skipped: machines in networks of their own need root and iproute2: {trouble}");
            return None;
        }
        for cable in Cable::ALL {
            let (bridge, hub) = (networks.bridge(cable), networks.hub(cable));
            does(&format!("link add {bridge} address {} type bridge", networks.hardware(cable)));
            does(&format!("addr add {hub}/24 dev {bridge}"));
            does(&format!("link set {bridge} up"));
        }
        does(&format!("netns add {}", networks.namespace(SECOND)));
        networks.connect(FIRST);
        networks.connect(SECOND);
        Some(networks)
    }

    fn connect(&self, machine: Machine) {
        let inside = self.namespace(machine);
        does(&format!("-n {inside} link set lo up"));
        let hosts = Cable::ALL.map(|cable| format!("{} {}\n", self.hub(cable), cable.host())).concat();
        std::fs::create_dir_all(self.files(machine)).expect("made");
        std::fs::write(self.files(machine).join("hosts"), hosts).expect("written");
        for cable in Cable::ALL {
            let (end, name) = (self.end(machine, cable), cable.name());
            does(&format!("link add {end} type veth peer name {name} netns {inside}"));
            does(&format!("link set {end} master {} up", self.bridge(cable)));
            does(&format!("-n {inside} addr add {}/24 dev {name}", self.address(machine, cable)));
            does(&format!("-n {inside} link set {name} up"));
            // Whoever is looked for in vain is soon unreachable, which is no silence.
            let (hub, hardware) = (self.hub(cable), self.hardware(cable));
            does(&format!("-n {inside} neigh replace {hub} lladdr {hardware} dev {name} nud permanent"));
        }
    }

    /// Pulls a cable of a machine: from now on each packet is lost.
    pub(super) fn pull(&self, machine: Machine, cable: Cable) {
        does(&format!("link set {} nomaster", self.end(machine, cable)));
    }

    /// Takes a machine away, with its cables.
    pub(super) fn remove(&self, machine: Machine) {
        does(&format!("netns delete {}", self.namespace(machine)));
    }

    /// The namespace of a machine, as `ip netns exec` takes it.
    pub(super) fn namespace(&self, machine: Machine) -> String {
        format!("tidegate-{}-{}", self.process, machine.0)
    }

    /// What `ip netns exec` puts into the place of files in `/etc`.
    fn files(&self, machine: Machine) -> PathBuf {
        Path::new("/etc/netns").join(self.namespace(machine))
    }

    /// The address of a machine on a cable.
    pub(super) fn address(&self, machine: Machine, cable: Cable) -> IpAddr {
        self.numbered(cable, machine.0)
    }

    /// The address of this side of a cable, where services listen.
    pub(super) fn hub(&self, cable: Cable) -> IpAddr {
        self.numbered(cable, 1)
    }

    fn numbered(&self, cable: Cable, number: u8) -> IpAddr {
        let address = format!("{}.{}.{number}", cable.network(), self.process % 256);
        address.parse().expect("an address")
    }

    fn hardware(&self, cable: Cable) -> String {
        format!("02:00:00:00:{:02x}:{:02x}", self.process % 256, cable as u8 + 1)
    }

    fn bridge(&self, cable: Cable) -> String {
        format!("tg{}{}", self.process, &cable.name()[..1])
    }

    /// This side's end of a cable.
    fn end(&self, machine: Machine, cable: Cable) -> String {
        format!("{}{}", self.bridge(cable), machine.0)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for machine in [FIRST, SECOND] {
            let _ = ip(&format!("netns delete {}", self.namespace(machine)));
            // A connection whose packets were lost keeps its network for minutes after its process.
            for cable in Cable::ALL {
                let _ = ip(&format!("link delete {}", self.end(machine, cable)));
            }
            let _ = std::fs::remove_dir_all(self.files(machine));
        }
        for cable in Cable::ALL {
            let _ = ip(&format!("link delete {}", self.bridge(cable)));
        }
    }
}

fn does(words: &str) {
    ip(words).unwrap_or_else(|trouble| panic!("{trouble}"));
}

fn ip(words: &str) -> Result<(), String> {
    let done =
        Command::new("ip").args(words.split_whitespace()).output().map_err(|cause| format!("ip: {cause}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("ip {words}: {}", said.trim())) }
}

/// Carries connections from an address that machines reach to a server on the loopback of this machine.
#[derive(Clone)]
pub(super) struct Relay {
    pub(super) port: u16,
    heard: Arc<Mutex<BTreeMap<IpAddr, (Instant, Instant)>>>,
}

impl Relay {
    pub(super) async fn start(host: IpAddr, port: u16) -> Relay {
        let listener = TcpListener::bind((host, 0)).await.expect("a port");
        let near = listener.local_addr().expect("an address").port();
        let relay = Relay { port: near, heard: Arc::default() };
        let accepting = relay.clone();
        tokio::spawn(async move {
            while let Ok((near, from)) = listener.accept().await {
                tokio::spawn(accepting.clone().carry(near, from.ip(), port));
            }
        });
        relay
    }

    async fn carry(self, near: TcpStream, from: IpAddr, port: u16) {
        let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        let back = tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = near_in.read(&mut buffer).await {
            self.note(from);
            if far_out.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        drop(far_out);
        let _ = back.await;
    }

    fn note(&self, from: IpAddr) {
        let now = Instant::now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.entry(from).or_insert((now, now)).1 = now;
    }

    /// When the first and the last bytes of a machine came, if any did.
    pub(super) fn heard(&self, from: IpAddr) -> Option<(Instant, Instant)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(&from).copied()
    }
}
