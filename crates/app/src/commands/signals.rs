//! The signals by which a process is asked to end.

use std::future::pending;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What SIGHUP, the end of its terminal, means to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// It ends as by SIGTERM, unless it was started to outlive its terminal (`nohup`).
    Ends,
    /// The command handles it itself.
    IsHandled,
}

/// Fires when the process is asked to end: SIGTERM, Ctrl-C, or the end of its terminal.
pub(crate) fn stop_on_signals() -> CancellationToken {
    stop_on(Hangup::Ends)
}

/// Fires when the process is asked to end, with SIGHUP as it is named.
pub(crate) fn stop_on(hangup: Hangup) -> CancellationToken {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    // Listened for from the beginning: unheard, they end the process.
    let terminated = received(SignalKind::terminate(), "SIGTERM");
    let hung_up = match hangup {
        Hangup::Ends if hangups_are_heard() => Some(received(SignalKind::hangup(), "SIGHUP")),
        Hangup::Ends | Hangup::IsHandled => None,
    };
    tokio::spawn(async move {
        let hung_up = async {
            match hung_up {
                Some(hung_up) => hung_up.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = terminated => {}
            () = hung_up => {}
            result = tokio::signal::ctrl_c() => if result.is_err() { pending::<()>().await },
        }
        tracing::info!("asked to stop: requests under way are finished, then the run ends");
        fired.cancel();
    });
    stop
}

/// Listens for a signal at once, and resolves when it comes.
fn received(kind: SignalKind, name: &'static str) -> impl Future<Output = ()> + use<> {
    let heard = signal(kind).map_err(|cause| tracing::warn!(%cause, "{name} cannot be listened for"));
    async move {
        match heard {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(()) => pending().await,
        }
    }
}

/// Whether SIGHUP may be listened for: `nohup` lets a process ignore it, and a handler would undo that.
///
/// Only Linux says so in a file. Elsewhere SIGHUP keeps its meaning: it ends the process, or is ignored.
fn hangups_are_heard() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status) == Some(false))
}

/// Reads from a status of Linux whether the process ignores SIGHUP. Source: proc(5), `SigIgn`, a mask in
/// hexadecimal whose lowest bit is signal 1.
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn a_process_that_was_started_by_nohup_is_recognized() {
        let status = |mask: &str| format!("Name:\ttidegate\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\n");
        assert_eq!(ignores_hangup(&status("0000000000001001")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hangup("Name:\ttidegate\n"), None);
    }
}
