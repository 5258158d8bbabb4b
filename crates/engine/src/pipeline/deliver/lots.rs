//! Turns of a limit that processes share: each leases a lot of them, uses it and leases the next one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The longest lot: what a process that dies leaves unused.
const LONGEST: Duration = Duration::from_secs(1);
/// A lot ends a little after its last turn, so that turns can be taken a little late: this part of it later.
const SLACK: u32 = 50;
/// The same for a lot of one turn, which is lost if it is taken too late.
const SLACK_OF_ONE: u32 = 10;
const SLACK_LEAST: Duration = Duration::from_millis(10);
/// How soon it is looked whether a lot has been booked.
const LOOK: Duration = Duration::from_millis(5);
/// How soon it is asked again if there was none.
const AGAIN: Duration = Duration::from_millis(250);

/// The lots that this process has leased.
#[derive(Default)]
pub(super) struct Lots {
    held: VecDeque<Lot>,
    /// Whether it was asked for one, or until when nothing is asked.
    asking: Asking,
    /// How many turns the next one has, less one.
    more: u32,
    /// Before this the turn that was taken last is not over.
    free_at: Option<Instant>,
}

#[derive(Default)]
enum Asking {
    #[default]
    No,
    Now,
    Later(Instant),
}

/// A span of time in which no other process sends.
struct Lot {
    starts: Instant,
    ends: Instant,
    turns: u32,
    used: u32,
}

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may be sent.
    Now,
    /// It is looked again after this.
    Wait(Duration),
}

impl Lots {
    /// Takes a turn. The span is that of a lot to book, if one should be.
    pub(super) fn take(&mut self, interval: Duration, now: Instant) -> (Turn, Option<Duration>) {
        let turn = loop {
            let Some(lot) = self.held.front_mut() else {
                break match self.asking {
                    Asking::Later(at) if at > now => Turn::Wait(at - now),
                    _ => Turn::Wait(LOOK),
                };
            };
            let at = self.free_at.map_or(now, |free_at| free_at.max(now)).max(lot.starts);
            if at + interval > lot.ends {
                self.more = match lot.used * 2 >= lot.turns {
                    true => (self.more + 1).saturating_mul(2) - 1,
                    false => self.more / 2,
                };
                self.held.pop_front();
                continue;
            }
            if at > now {
                break Turn::Wait(at - now);
            }
            lot.used += 1;
            self.free_at = Some(at + interval);
            break Turn::Now;
        };
        (turn, self.next_booking(interval, now))
    }

    /// Returns the span of the next lot if it is time to book one: before the last one has ended.
    fn next_booking(&mut self, interval: Duration, now: Instant) -> Option<Duration> {
        let is_due = match self.asking {
            Asking::No => true,
            Asking::Now => false,
            Asking::Later(at) => at <= now,
        };
        let is_short = match self.held.back() {
            None => true,
            Some(lot) => self.held.len() == 1 && lot.starts <= now && lot.used * 2 >= lot.turns,
        };
        if !is_due || !is_short {
            return None;
        }
        self.asking = Asking::Now;
        Some(self.span(interval))
    }

    fn span(&mut self, interval: Duration) -> Duration {
        let most = (LONGEST.as_nanos() / interval.as_nanos().max(1)).clamp(1, 1 << 20);
        self.more = self.more.min(u32::try_from(most).unwrap_or(1) - 1);
        let turns = interval * (self.more + 1);
        let slack = turns / if self.more == 0 { SLACK_OF_ONE } else { SLACK };
        turns + slack.max(SLACK_LEAST)
    }

    /// Adds a lot that was booked: it begins at `starts`.
    pub(super) fn add(&mut self, starts: Instant, span: Duration, interval: Duration) {
        let turns = span.as_nanos() / interval.as_nanos().max(1);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX).max(1);
        self.held.push_back(Lot { starts, ends: starts + span, turns, used: 0 });
        self.asking = Asking::No;
    }

    /// Notes that there is none for now.
    pub(super) fn none(&mut self, now: Instant) {
        self.asking = Asking::Later(now + AGAIN);
    }

    /// Gives back everything: this process is alone. Returns whether there was anything.
    pub(super) fn give_back(&mut self) -> bool {
        let had = self.free_at.is_some() || !self.held.is_empty();
        *self = Lots::default();
        had
    }
}
