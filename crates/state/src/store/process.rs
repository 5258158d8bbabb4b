//! Which process holds a lease, and whether it is still there.

use std::fs;

/// A process of this or another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// As people read it: `web-1, process 4242`.
    pub(super) shown: String,
    /// What no other process has: the boot of its machine, its number space, its number
    /// and the moment it started. Empty if the system does not tell.
    pub(super) identity: String,
}

impl Process {
    /// Returns the process that asks.
    pub(super) fn this() -> Process {
        let id = std::process::id();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => std::env::var("HOSTNAME").unwrap_or_else(|_| "an unnamed machine".to_owned()),
            name => name.to_owned(),
        };
        let identity = space().and_then(|space| Some(format!("{space}/{id}/{}", started(id)?)));
        Process { shown: format!("{host}, process {id}"), identity: identity.unwrap_or_default() }
    }

    /// Returns whether the process of this identity ran on this machine and has ended. A
    /// process of another machine or container cannot be told, and counts as running.
    pub(super) fn has_ended(identity: &str) -> bool {
        let mut parts = identity.rsplitn(3, '/');
        let (Some(start), Some(id), Some(of)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let Ok(id) = id.parse() else { return false };
        space().is_some_and(|space| space == of) && started(id).is_none_or(|started| started != start)
    }
}

/// Returns the boot of this machine and the space of its process numbers.
fn space() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), numbers.display()))
}

/// Returns when a process started, in ticks since the boot; `None` if it has ended.
/// Source: proc_pid_stat(5), fields 3 (state) and 22 (starttime).
fn started(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program is in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    fields.nth(18).filter(|_| !ended).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_was_killed_has_ended_and_one_that_runs_has_not() {
        assert!(!Process::has_ended(&Process::this().identity));
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        let identity = format!("{}/{}/{}", space().unwrap(), child.id(), started(child.id()).unwrap());
        assert!(!Process::has_ended(&identity));

        child.kill().expect("killed");
        child.wait().expect("ended");

        assert!(Process::has_ended(&identity));
        assert!(!Process::has_ended(&format!("another-boot/{identity}")), "another machine cannot be told");
        assert!(!Process::has_ended(""));
    }

    #[test]
    fn a_number_that_was_given_out_again_is_another_process() {
        let id = std::process::id();
        assert!(Process::has_ended(&format!("{}/{id}/1", space().unwrap())));
    }
}
