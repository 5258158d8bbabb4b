//! What is done with items whose response does not say whether they took effect.

use std::collections::HashSet;
use std::time::Duration;

use tidegate_model::store::RowStatus;
use tidegate_model::{Error, ErrorKind, Reason};
use tokio::time::Instant;

use crate::pipeline::deliver::delivery::{Decided, Delivery};
use crate::pipeline::deliver::part::{Failing, Part};
use crate::pipeline::item::Item;
use crate::pipeline::repeat::Doubt;
use crate::pipeline::transform::Transform;
use crate::pipeline::wait;

/// How often an item that would count twice is sent in all, where `in_doubt: resend` asks for it.
const SENDS_MAX: u32 = 5;
/// How often a request fails before it is split.
const WHOLE_MAX: u32 = 2;
/// How often an item that is alone fails before it is given up, beside others that do not.
const ALONE_MAX: u32 = 6;

/// Why something of a request is left to send.
pub(super) enum Cause {
    /// The rest of the request was decided.
    Progress,
    /// All of it had no effect, and is acceptable later.
    Deferred(Reason),
    /// Whether it took effect is not known.
    Unknown(Reason),
    /// Something of it was not accepted; it is not known what.
    Unnamed(Reason),
}

/// How the rest of a request is treated.
pub(super) enum Next<F: Transform> {
    /// It is sent again, in these parts.
    Send(Vec<Part<F>>),
    /// It is sent after the other parts of the request, which may prove that the platform is
    /// well.
    PutAside(Part<F>, Reason),
    /// It is decided.
    Decide(Part<F>, RowStatus),
    /// Nothing is left.
    Done,
    /// The run ends, or is halted: it stays undecided.
    End(Part<F>),
}

impl<F: Transform> Delivery<F> {
    /// Whether a repetition counts, and is only made because `resend` asks for it.
    fn counts_twice(&self, part: &Part<F>) -> bool {
        let age = part.unsure_since.map(|sent| sent.age(self.clock.now()));
        self.repeats.counts(age.unwrap_or_default())
    }

    /// Decides how the rest of a request is treated, after waiting as long as necessary.
    pub(super) async fn next(&self, mut part: Part<F>, cause: Cause) -> Next<F> {
        match cause {
            Cause::Progress => {
                self.shutdown.count_retry();
                (part.attempts, part.failing) = (0, None);
                Next::Send(vec![part])
            }
            Cause::Deferred(reason) => self.wait_and_send(part, unavailable(reason)).await,
            Cause::Unnamed(reason) => {
                part.is_in_doubt(&reason);
                if self.isolates && part.len() > 1 {
                    return self.isolate(part);
                }
                self.again_or_in_doubt(part, reason).await
            }
            Cause::Unknown(reason) => {
                part.is_in_doubt(&reason);
                self.again_or_in_doubt(part, reason).await
            }
        }
    }

    /// Sends what is uncertain again, with a growing wait: as it is, then in pieces, and an
    /// item alone until it is clear that the item is to blame and not the platform.
    async fn again_or_in_doubt(&self, mut part: Part<F>, reason: Reason) -> Next<F> {
        if !self.isolates {
            return self.wait_and_send(part, unavailable(reason)).await;
        }
        let failing = self.fails(&mut part);
        let others_are_answered = self.rate_limiter.health.answers() > failing.answers;
        if self.counts_twice(&part) && part.doubts >= SENDS_MAX {
            if others_are_answered || self.rate_limiter.health.benefit_of_the_doubt() {
                return Next::Decide(part, RowStatus::InDoubt(reason));
            }
            self.shutdown.fail(gave_up(unavailable(reason), part.doubts).at(&self.connection));
            return Next::End(part);
        }
        let is_alone = part.len() == 1;
        if is_alone && others_are_answered && part.attempts + 1 >= ALONE_MAX {
            return Next::Decide(part, RowStatus::InDoubt(reason));
        }
        if !is_alone && others_are_answered && part.attempts + 1 >= WHOLE_MAX {
            return self.isolate(part);
        }
        if part.is_piece && !others_are_answered && !part.was_put_aside {
            (part.was_put_aside, part.attempts) = (true, part.attempts + 1);
            return Next::PutAside(part, reason);
        }
        let wait = wait::backoff(part.attempts + 1);
        let is_over = failing.since.elapsed() + wait > self.retry_for;
        if is_alone && is_over && (others_are_answered || self.rate_limiter.health.benefit_of_the_doubt()) {
            return Next::Decide(part, RowStatus::InDoubt(reason));
        }
        let splits = !is_alone && part.attempts + 1 >= WHOLE_MAX;
        match self.send_after(wait, part, unavailable(reason)).await {
            Next::Send(parts) if splits => {
                Next::Send(parts.into_iter().flat_map(|part| self.pieces(part)).collect())
            }
            next => next,
        }
    }

    /// Returns a new request in the parts that it is sent in. What an earlier run sent already goes apart from what
    /// was never sent: it becomes too late for it sooner. If it counts each time, it goes in pieces, as it would have
    /// gone in that run.
    pub(super) fn parts(&self, records: Vec<F::Sent>, items: Vec<Item<F>>) -> Vec<Part<F>> {
        if items.iter().all(|item| item.doubt.is_none()) {
            return vec![Part::new(records, items)];
        }
        let (now, piece) = (self.clock.now(), records.len().isqrt());
        let counts = |doubt: &&Doubt| self.repeats.counts(doubt.age(now));
        let sends = |item: &Item<F>| item.doubt.as_deref().filter(counts).map_or(0, |doubt| doubt.sends);
        let (mut parts, mut records) = (Vec::new(), records.into_iter());
        let mut items = items.into_iter().peekable();
        let sort = |item: &Item<F>| (item.doubt.is_some(), sends(item));
        while let Some((was_sent, of)) = items.peek().map(&sort) {
            let mut part = Part::new(Vec::new(), Vec::new());
            while let Some(item) = items.next_if(|item| sort(item) == (was_sent, of)) {
                part.records.extend(records.next());
                part.resumes(&item, now);
                part.items.push(item);
            }
            match of {
                0 => parts.push(part),
                1 => parts.extend(part.split(piece)),
                _ => parts.extend(part.split(1)),
            }
        }
        parts
    }

    /// Splits a request that has an item to blame.
    fn isolate(&self, mut part: Part<F>) -> Next<F> {
        self.shutdown.count_retry();
        part.attempts += 1;
        Next::Send(self.pieces(part))
    }

    /// Halves are the fewest requests; if each repetition counts, no item goes through more
    /// than two smaller requests.
    fn pieces(&self, mut part: Part<F>) -> Vec<Part<F>> {
        (part.attempts, part.was_put_aside) = (part.attempts.min(WHOLE_MAX), false);
        let len = match (self.counts_twice(&part), part.is_piece) {
            (false, _) => part.len().div_ceil(2),
            (true, false) => part.len().isqrt(),
            (true, true) => 1,
        };
        part.split(len)
    }

    /// Puts a part after the others, unless that would change the order of a user's items: then
    /// it is waited for.
    pub(super) async fn put_aside(&self, part: Part<F>, reason: Reason, parts: &mut Vec<Part<F>>) -> Next<F> {
        let user = |sent: &F::Sent| self.transform.partition_hash(sent);
        let users: HashSet<u64> = part.records.iter().map(user).collect();
        let mut others = parts.iter().flat_map(|part| &part.records);
        if parts.is_empty() || others.any(|sent| users.contains(&user(sent))) {
            return self.wait_and_send(part, unavailable(reason)).await;
        }
        parts.insert(0, part);
        Next::Done
    }

    /// Waits before the next attempt, unless the budget is spent or the run halts.
    pub(super) async fn wait_and_send(&self, part: Part<F>, error: Error) -> Next<F> {
        let wait = wait::backoff(part.attempts + 1);
        self.send_after(wait, part, error).await
    }

    async fn send_after(&self, mut wait: Duration, mut part: Part<F>, error: Error) -> Next<F> {
        let since = self.fails(&mut part).since;
        part.attempts += 1;
        if let Some(until) = error.acceptable_at() {
            // Nothing else is sent there either; the budget still decides how long it is waited for.
            self.rate_limiter.block_until(Some(until), self.clock.as_ref());
            let asked = until.duration_since(self.clock.now());
            wait = wait.max(Duration::try_from(asked).unwrap_or_default());
        }
        if since.elapsed() + wait > self.retry_for {
            self.shutdown.fail(gave_up(error, part.attempts).at(&self.connection));
            return Next::End(part);
        }
        self.shutdown.count_retry();
        if self.shutdown.pause(wait).await { Next::Send(vec![part]) } else { Next::End(part) }
    }

    /// Lists what was sent and must not be sent endlessly, if the run ends by a failure:
    /// the next one would send it again.
    pub(super) fn give_up(&self, parts: Vec<Part<F>>, decided: &mut Decided) {
        if self.shutdown.stopped() {
            return;
        }
        for part in parts.into_iter().rev().filter(|part| self.counts_twice(part)) {
            if let Some(reason) = part.doubt.clone() {
                self.decide_all(part, &RowStatus::InDoubt(reason), decided);
            }
        }
    }

    fn fails(&self, part: &mut Part<F>) -> Failing {
        let answers = self.rate_limiter.health.answers();
        *part.failing.get_or_insert_with(|| Failing { since: Instant::now(), answers })
    }
}

fn gave_up(error: Error, attempts: u32) -> Error {
    error.context(format!("gave up after {attempts} attempts"))
}

fn unavailable(reason: Reason) -> Error {
    Error::new(ErrorKind::Unavailable, reason.message)
}
