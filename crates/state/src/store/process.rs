//! Which process holds a lease, and whether it is still there.

use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

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
        let identity = match (space(), seen(id, stat)) {
            (Some(space), Seen::Started(at)) => format!("{space}/{id}/{at}"),
            _ => String::new(),
        };
        Process { shown: format!("{host}, process {id}"), identity }
    }

    /// Returns whether the process of this identity ran on this machine and has ended. A
    /// process of another machine or container cannot be told, and counts as running, and so
    /// does a number in use whose process this one may not look at.
    pub(super) fn has_ended(identity: &str) -> bool {
        let mut parts = identity.rsplitn(3, '/');
        let (Some(start), Some(id), Some(of)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let Ok(id) = id.parse() else { return false };
        space().is_some_and(|space| space == of)
            && match seen(id, stat) {
                Seen::Started(at) => at != start,
                Seen::Ended => true,
                Seen::Hidden => false,
            }
    }
}

/// Returns the boot of this machine and the space of its process numbers.
fn space() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), numbers.display()))
}

/// What the system says about the number of a process.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It runs since then, in ticks since the boot.
    Started(String),
    Ended,
    /// It is in use, and more is not said: `/proc` may hide the processes of other users
    /// (`hidepid`, `ProtectProc=`).
    Hidden,
}

/// Looks at a process, with a reader of its line in `/proc`.
/// Source: proc_pid_stat(5), fields 3 (state) and 22 (starttime).
fn seen(id: u32, stat: impl Fn(u32) -> io::Result<String>) -> Seen {
    let Ok(stat) = stat(id) else {
        // A hidden process has no file either. Only a number that takes no signal is free.
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        return match pid.map(test_kill_process) {
            Some(Err(Errno::SRCH)) => Seen::Ended,
            _ => Seen::Hidden,
        };
    };
    // The name of the program is in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    match (fields.next(), fields.nth(18)) {
        // A signal still reaches one that its parent has not waited for: it does nothing any more.
        (Some("Z" | "X" | "x"), _) => Seen::Ended,
        (Some(_), Some(at)) => Seen::Started(at.to_owned()),
        _ => Seen::Hidden,
    }
}

fn stat(id: u32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{id}/stat"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_was_killed_has_ended_and_one_that_runs_has_not() {
        assert!(!Process::has_ended(&Process::this().identity));
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        let Seen::Started(at) = seen(child.id(), stat) else { panic!("it runs") };
        let identity = format!("{}/{}/{at}", space().unwrap(), child.id());
        assert!(!Process::has_ended(&identity));

        child.kill().expect("killed");
        child.wait().expect("ended");

        assert!(Process::has_ended(&identity));
        assert!(!Process::has_ended(&format!("another-boot/{identity}")), "another machine cannot be told");
        assert!(!Process::has_ended(""));
    }

    #[test]
    fn a_process_that_proc_hides_runs_until_it_takes_no_signal() {
        let hidden = |_: u32| Err(io::ErrorKind::NotFound.into());
        assert_eq!(seen(std::process::id(), hidden), Seen::Hidden);
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        assert_eq!(seen(child.id(), hidden), Seen::Hidden);

        child.kill().expect("killed");
        child.wait().expect("ended");

        assert_eq!(seen(child.id(), hidden), Seen::Ended);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a child that is not waited for does not say that it ended"
    )]
    fn a_process_that_was_killed_and_not_waited_for_has_ended() {
        let mut child = Command::new("true").spawn().expect("started");
        let ended = (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            seen(child.id(), stat) == Seen::Ended
        });
        assert!(ended, "{:?}", stat(child.id()));
        child.wait().expect("ended");
    }

    #[test]
    fn a_number_that_was_given_out_again_is_another_process() {
        let id = std::process::id();
        assert!(Process::has_ended(&format!("{}/{id}/1", space().unwrap())));
    }
}
