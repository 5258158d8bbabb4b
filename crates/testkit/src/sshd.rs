//! An OpenSSH server of its own for a test, on loopback, with the key of one user.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = "/usr/sbin/sshd";

/// An OpenSSH server. Dropped, it ends.
pub struct Sshd {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Sshd {
    /// Starts a server that lets no key in yet.
    pub fn start() -> Sshd {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut server = Sshd { folder, port, child: None };
        server.make_host_key();
        server.allow(&[]);
        server.restart();
        server
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the only user that may sign in: the one that runs the test.
    pub fn user(&self) -> String {
        output(Command::new("id").arg("-un"))
    }

    /// Returns the host key, as `ssh-keyscan` prints it but for the name of the host.
    pub fn host_key(&self) -> String {
        let line = fs::read_to_string(self.path("host_key.pub")).expect("a key");
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Gives the server another host key, and starts it again.
    pub fn change_host_key(&mut self) {
        self.kill();
        fs::remove_file(self.path("host_key")).expect("removed");
        self.make_host_key();
        self.restart();
    }

    /// Lets the keys of these lines of `authorized_keys` in, and no others.
    pub fn allow(&self, lines: &[&str]) {
        fs::write(self.path("authorized_keys"), lines.join("\n") + "\n").expect("written");
    }

    /// Kills the server and all of its connections, as a machine that loses power does.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let own = descendants(child.id());
        // The process that accepts connections first: it would make more of the others.
        let _ = child.kill();
        let _ = child.wait();
        for process in own {
            let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// Starts the server again, on the same port and with the same keys.
    pub fn restart(&mut self) {
        self.kill();
        // Where it separates privileges, if it runs as root.
        let _ = fs::create_dir_all("/run/sshd");
        let path = |name| self.path(name).display().to_string();
        let settings = [
            "ListenAddress 127.0.0.1".to_owned(),
            format!("Port {}", self.port),
            format!("HostKey {}", path("host_key")),
            format!("AuthorizedKeysFile {}", path("authorized_keys")),
            "PidFile none".to_owned(),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "KbdInteractiveAuthentication no".to_owned(),
            "PermitRootLogin prohibit-password".to_owned(),
            "AllowTcpForwarding local".to_owned(),
            "MaxStartups 100".to_owned(),
            // Keys are exchanged again after each mebibyte: by default after a gigabyte or more.
            "RekeyLimit 1M none".to_owned(),
        ];
        fs::write(self.path("sshd_config"), settings.join("\n") + "\n").expect("written");
        let mut child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sshd of Debian's openssh-server, which scripts/setup installs");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        until_it_listens(&mut lines);
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    fn make_host_key(&self) {
        let path = self.path("host_key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
        assert!(made.expect("ssh-keygen").success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn until_it_listens(lines: &mut Lines<BufReader<ChildStderr>>) {
    let mut said = String::new();
    for line in lines {
        let line = line.expect("text");
        if line.contains("listening on") {
            return;
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("sshd does not start: {said}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("a program of every system");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Returns the processes that a process started, and those that they did.
fn descendants(process: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = parent(&entry.path()) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found.split_off(1)
}

fn parent(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name of the program stands in parentheses and may hold blanks.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
