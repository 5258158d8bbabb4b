//! How much memory a process holds.

use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Child;
use tokio::time;

/// How often the kernel's mark is read. The mark only rises, so what is missed
/// is what a process takes in its last moment.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// Waits for the end of a process; returns how it ended and its peak resident memory in bytes.
pub(crate) async fn wait(child: &mut Child) -> Result<(ExitStatus, u64)> {
    let id = child.id().context("the process has ended before it was looked at")?;
    let mut peak = 0;
    loop {
        peak = peak.max(peak_resident(id).unwrap_or(0));
        if let Ok(status) = time::timeout(SAMPLE_EVERY, child.wait()).await {
            return Ok((status?, peak));
        }
    }
}

/// Resident memory now, in bytes; `None` once the process is gone.
pub(crate) fn resident(id: u32) -> Option<u64> {
    line(id, "VmRSS:")
}

/// The high-water mark of resident memory, `None` once the process is gone.
pub(crate) fn peak_resident(id: u32) -> Option<u64> {
    line(id, "VmHWM:")
}

/// The time that a process has spent on processors; `None` once it is gone.
///
/// Linux counts it in hundredths of a second.
pub(crate) fn processor_time(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold spaces.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn line(id: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_holds_no_more_than_its_peak() {
        let (now, peak) = (resident(std::process::id()).unwrap(), peak_resident(std::process::id()).unwrap());
        assert!(now > 100 * 1024, "{now} bytes");
        assert!(peak > 100 * 1024, "{peak} bytes");
    }

    #[test]
    fn a_process_that_is_gone_holds_none() {
        assert_eq!((resident(u32::MAX), peak_resident(u32::MAX)), (None, None));
    }
}
