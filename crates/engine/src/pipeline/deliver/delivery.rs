//! One request until each of its rows has its status.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::{
    self, IntendedRequest, IntentId, KeptUser, RowColumns, RowResult, RowStatus, RunLedger,
};
use tidegate_model::{Clock, ConnectionId, Destination, Error, Outcome, Reaction, Reason, Receipt, RunId};
use tokio::time::Instant;

use crate::pipeline::deliver::part::Part;
use crate::pipeline::deliver::rate_limiter::RateLimiter;
use crate::pipeline::deliver::uncertain::{Cause, Next};
use crate::pipeline::item::{Item, RequestResults};
use crate::pipeline::repeat::{RepeatPolicy, Sent};
use crate::pipeline::shutdown::Shutdown;
use crate::pipeline::transform::Transform;

/// Delivers the requests of one run.
pub(crate) struct Delivery<F: Transform> {
    pub(crate) destination: Arc<dyn Destination<F::Sent>>,
    /// The connection of the destination, for what fails there.
    pub(crate) connection: ConnectionId,
    pub(crate) transform: Arc<F>,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) store: Arc<dyn RunLedger>,
    pub(crate) run: RunId,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) repeats: RepeatPolicy,
    /// The least time between two requests, where each is about one user.
    pub(crate) interval: Duration,
    /// How long an unreachable platform is tried.
    pub(crate) retry_for: Duration,
    /// Whether an item that is never answered with certainty is listed, beside others that
    /// are; if not, the run ends.
    pub(crate) isolates: bool,
}

impl<F: Transform> Clone for Delivery<F> {
    fn clone(&self) -> Delivery<F> {
        Delivery {
            destination: self.destination.clone(),
            connection: self.connection.clone(),
            transform: self.transform.clone(),
            rate_limiter: self.rate_limiter.clone(),
            store: self.store.clone(),
            run: self.run.clone(),
            shutdown: self.shutdown.clone(),
            clock: self.clock.clone(),
            ..*self
        }
    }
}

/// Whether the rate limiter has let a request go.
pub(crate) enum Turn {
    Taken,
    Open,
}

impl Turn {
    /// Uses the turn up. Returns whether there was one.
    fn take(&mut self) -> bool {
        matches!(std::mem::replace(self, Turn::Open), Turn::Taken)
    }
}

/// The results of a request.
pub(crate) struct Delivered {
    /// The results, grouped by batch.
    pub(crate) decided: Vec<(u64, RequestResults)>,
    /// When anything of it was sent last.
    pub(crate) last_sent: Option<Instant>,
}

/// The results of a request so far, grouped by batch.
pub(super) struct Decided {
    batches: Vec<(u64, RequestResults)>,
    /// How many items are not decided yet.
    left: usize,
}

impl Decided {
    #[inline]
    fn of(&mut self, batch: u64) -> &mut RequestResults {
        if self.batches.last().is_none_or(|(last, _)| *last != batch) {
            self.batches.push((batch, RequestResults::default()));
        }
        &mut self.batches.last_mut().expect("it was just added").1
    }

    /// Adds delivered items of a batch.
    fn add(&mut self, batch: u64, delivered: store::Delivered) {
        self.left = self.left.saturating_sub(delivered.len());
        self.of(batch).delivered.push(delivered);
    }

    /// Returns where one more delivered item of a batch is added.
    #[inline]
    fn delivered(&mut self, batch: u64) -> &mut store::Delivered {
        let left = self.left;
        self.left = left.saturating_sub(1);
        let delivered = &mut self.of(batch).delivered;
        if delivered.is_empty() {
            delivered.push(store::Delivered::with_capacity(left));
        }
        delivered.last_mut().expect("it was just added")
    }
}

/// What was written of the items of one batch before they were sent.
struct Intended {
    id: IntentId,
    rows: Arc<RowColumns>,
}

impl<F: Transform> Delivery<F> {
    /// Sends until every row has its status. Rows that the halt of the run left without one
    /// are missing from the result.
    pub(crate) async fn deliver(
        &self,
        records: Vec<F::Sent>,
        items: Vec<Item<F>>,
        mut turn: Turn,
    ) -> Delivered {
        let mut decided = Decided { batches: Vec::new(), left: records.len() };
        // The next one to send is the last.
        let mut parts = self.parts(records, items);
        parts.reverse();
        let mut last_sent: Option<Instant> = None;
        while let Some(part) = parts.pop() {
            if part.records.is_empty() {
                continue;
            }
            let next = match turn.take() || self.wait_for_turn(last_sent).await {
                true => self.send_part(part, &mut last_sent, &mut decided).await,
                false => Next::End(part),
            };
            let next = match next {
                Next::PutAside(part, reason) => self.put_aside(part, reason, &mut parts).await,
                next => next,
            };
            match next {
                Next::Send(again) => parts.extend(again.into_iter().rev()),
                Next::Decide(part, status) => self.decide_all(part, &status, &mut decided),
                Next::Done | Next::PutAside(..) => {}
                Next::End(part) => {
                    parts.push(part);
                    break;
                }
            }
        }
        self.give_up(parts, &mut decided);
        Delivered { decided: decided.batches, last_sent }
    }

    /// Waits until a request may be sent. Returns false if the run halts first.
    async fn wait_for_turn(&self, last_sent: Option<Instant>) -> bool {
        let rest = last_sent.map_or(Duration::ZERO, |sent| self.interval.saturating_sub(sent.elapsed()));
        (rest.is_zero() || self.shutdown.pause(rest).await) && self.rate_limiter.acquire(&self.shutdown).await
    }

    /// Sends a part once, decides what can be decided, and says what is done with the rest.
    async fn send_part(
        &self,
        part: Part<F>,
        last_sent: &mut Option<Instant>,
        decided: &mut Decided,
    ) -> Next<F> {
        if let Some(since) = part.unsure_since
            && !self.repeats.allows(since.age(self.clock.now()))
        {
            // Its key has expired while it waited.
            let reason = "the answer was lost, and it is too late to send the row again safely";
            return Next::Decide(part, RowStatus::InDoubt(Reason::new("response_lost", reason)));
        }
        let intents = match self.intend(&part).await {
            Ok(intent) => intent,
            Err(error) => {
                self.shutdown.fail(error.context("the ledger could not be written"));
                return Next::End(part);
            }
        };
        // Writing that down may have taken long.
        if !self.shutdown.holds_lease() {
            return Next::End(part);
        }
        *last_sent = Some(Instant::now());
        let sent = part.unsure_since.unwrap_or_else(|| Sent::at(self.clock.now()));
        match self.send(&part.records).await {
            Ok(receipt) => {
                if let Some(pace) = receipt.rate_limit {
                    self.rate_limiter.observe(pace, self.clock.as_ref());
                }
                if receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) {
                    self.answered(&intents, receipt.outcomes).await;
                    self.all_delivered(&part, intents, decided);
                    return Next::Done;
                }
                let (statuses, rest) = self.decide(part, receipt, sent, decided);
                self.answered(&intents, statuses).await;
                match rest {
                    Some((rest, cause)) => self.next(rest, cause).await,
                    None => Next::Done,
                }
            }
            Err(error) => {
                self.answered(&intents, Vec::new()).await;
                self.had_no_effect(part, error).await
            }
        }
    }

    /// What is done with a part that certainly had no effect.
    async fn had_no_effect(&self, mut part: Part<F>, error: Error) -> Next<F> {
        match error.reaction() {
            Reaction::Wait(until) => {
                self.shutdown.count_retry();
                self.rate_limiter.block_until(until, self.clock.as_ref());
                // A throttled response proves that it is reachable, so it does not count
                // against the retry budget.
                (part.attempts, part.failing) = (0, None);
                Next::Send(vec![part])
            }
            Reaction::Halve if part.len() > 1 => {
                self.rate_limiter.health.answered();
                self.shutdown.count_retry();
                Next::Send(part.halve().into())
            }
            Reaction::Halve => {
                self.rate_limiter.health.answered();
                Next::Decide(part, RowStatus::Rejected(Reason::new("rejected", error.with_words())))
            }
            Reaction::BackOff => self.wait_and_send(part, error).await,
            Reaction::Pause | Reaction::Fail => {
                self.shutdown.fail(error.at(&self.connection));
                Next::End(part)
            }
        }
    }

    /// Sends once; an answer that does not come in time after a halt is lost.
    async fn send(&self, records: &[F::Sent]) -> Result<Receipt, Error> {
        let receipt = tokio::select! {
            receipt = self.destination.deliver(records) => receipt?,
            () = self.shutdown.out_of_grace() => {
                Receipt::unknown(records.len(), &Reason::new("response_lost", "the run was stopped before the answer came"))
            }
        };
        self.shutdown.count_request();
        if receipt.outcomes.len() != records.len() {
            let reason = Reason::new("response_unclear", "the answer does not say what became of each row");
            return Ok(Receipt { outcomes: vec![Outcome::Unknown(reason); records.len()], ..receipt });
        }
        Ok(receipt)
    }

    /// Gives all rows their status. What was written before they were sent says what is listed.
    fn all_delivered(&self, part: &Part<F>, intents: Vec<Intended>, decided: &mut Decided) {
        self.rate_limiter.health.answered();
        let mut intents = intents.into_iter();
        for (items, records) in part.batches() {
            let rows = match intents.next() {
                // The store has let go of it by now.
                Some(Intended { rows, .. }) => Arc::unwrap_or_clone(rows),
                None => {
                    let mut rows = RowColumns::with_capacity(items.len());
                    items.iter().zip(records).for_each(|(item, record)| self.list(item, record, &mut rows));
                    rows
                }
            };
            let indexes = items.iter().map(|item| item.at).collect();
            decided.add(items[0].batch, store::Delivered::of(indexes, rows));
        }
    }

    /// Adds a delivered item to those that are listed. Of one that is only counted, the hashes are enough.
    #[inline]
    fn list(&self, item: &Item<F>, record: &F::Sent, rows: &mut RowColumns) {
        match self.transform.lists_delivered() {
            true => self.transform.describe(item.keys, &item.context, record, rows),
            false => rows.push(item.keys.into(), |_| {}, ""),
        }
    }

    /// Gives each row its status, or puts it among those to send again. Returns the
    /// statuses in the order of the rows, what is left, and why.
    fn decide(
        &self,
        part: Part<F>,
        receipt: Receipt,
        sent: Sent,
        decided: &mut Decided,
    ) -> (Vec<Outcome>, Option<(Part<F>, Cause)>) {
        let total = part.len();
        // Only an intent needs the statuses in order.
        let mut noted = Vec::new();
        let told = self.repeats.needs_intent();
        let may_repeat = self.repeats.allows(sent.age(self.clock.now()));
        let mut rest = part.emptied();
        rest.response_lost |= receipt.outcomes.iter().any(|it| matches!(it, Outcome::Unknown(_)));
        // Usually nothing is repeated: records are not copied.
        let mut again = Vec::new();
        let mut cause = Cause::Progress;
        let mut certain = false;
        let single = receipt.outcomes.iter().filter(|it| matches!(it, Outcome::Unnamed(_))).count() == 1;
        for (index, (item, outcome)) in part.items.into_iter().zip(receipt.outcomes).enumerate() {
            let record = &part.records[index];
            if told {
                noted.push(match &outcome {
                    Outcome::Unnamed(reason) if single => Outcome::Rejected(reason.clone()),
                    outcome => outcome.clone(),
                });
            }
            let status = match outcome {
                Outcome::Delivered => {
                    certain = true;
                    let delivered = decided.delivered(item.batch);
                    delivered.add(item.at, |rows| self.list(&item, record, rows));
                    continue;
                }
                Outcome::Rejected(reason) => RowStatus::Rejected(reason),
                Outcome::Unnamed(reason) if single => RowStatus::Rejected(reason),
                Outcome::Deferred(reason) => {
                    if matches!(cause, Cause::Progress) {
                        cause = Cause::Deferred(reason);
                    }
                    again.push(index);
                    rest.items.push(item);
                    continue;
                }
                Outcome::Unknown(reason) if may_repeat => {
                    if !matches!(cause, Cause::Unnamed(_)) {
                        cause = Cause::Unknown(reason);
                    }
                    again.push(index);
                    rest.items.push(item);
                    continue;
                }
                Outcome::Unnamed(reason) if may_repeat => {
                    cause = Cause::Unnamed(reason);
                    again.push(index);
                    rest.items.push(item);
                    continue;
                }
                Outcome::Unknown(reason) => RowStatus::InDoubt(reason),
                Outcome::Unnamed(reason) => {
                    certain = true;
                    RowStatus::InDoubt(reason)
                }
            };
            certain |= matches!(status, RowStatus::Rejected(_));
            let row = self.transform.result(item.keys, item.context, Some(record), status);
            self.decide_one(item.batch, item.at, row, part.response_lost, decided);
        }
        if certain || matches!(cause, Cause::Unnamed(_)) {
            self.rate_limiter.health.answered();
        }
        if !again.is_empty() {
            let records = (0..).zip(part.records).filter(|(index, _)| again.binary_search(index).is_ok());
            rest.records = records.map(|(_, record)| record).collect();
        }
        match &cause {
            Cause::Deferred(_) if rest.len() < total => cause = Cause::Progress,
            Cause::Unknown(_) | Cause::Unnamed(_) => rest.unsure_since = Some(sent),
            Cause::Progress | Cause::Deferred(_) => {}
        }
        (noted, (!again.is_empty()).then_some((rest, cause)))
    }

    pub(super) fn decide_all(&self, part: Part<F>, status: &RowStatus, decided: &mut Decided) {
        for (record, item) in part.records.iter().zip(part.items) {
            let row = self.transform.result(item.keys, item.context, Some(record), status.clone());
            self.decide_one(item.batch, item.at, row, part.response_lost, decided);
        }
    }

    /// Notes the result of an item that was not delivered. If a response about it was lost, it may
    /// have taken effect though it is rejected now.
    fn decide_one(&self, batch: u64, at: u32, row: RowResult, response_lost: bool, decided: &mut Decided) {
        let results = decided.of(batch);
        if response_lost && self.repeats.notes && matches!(row.status, RowStatus::Rejected(_)) {
            results.uncertain.push((KeptUser { key: row.key, user: row.user.clone() }, row.row.changes()));
        }
        results.others.push((at, row));
    }

    /// Records what is about to be sent: an intent for each batch in the request, so that a
    /// committed batch leaves none of its rows in one.
    async fn intend(&self, part: &Part<F>) -> Result<Vec<Intended>, Error> {
        if !self.repeats.needs_intent() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let age = part.unsure_since.map(|sent| sent.age(now)).unwrap_or_default();
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let since = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let intents = part.batches().map(|(items, records)| {
            let mut rows = RowColumns::with_capacity(items.len());
            for (item, record) in items.iter().zip(records) {
                self.transform.describe(item.keys, &item.context, record, &mut rows);
            }
            let (rows, batch) = (Arc::new(rows), items[0].batch);
            let request = IntendedRequest { columns: Arc::clone(&rows), sends: part.doubts, since };
            async move { Ok(Intended { id: self.store.intend(&self.run, batch, request).await?, rows }) }
        });
        try_join_all(intents).await
    }

    /// Records the response: an outcome for each row, or none if nothing took effect.
    async fn answered(&self, intents: &[Intended], outcomes: Vec<Outcome>) {
        let mut outcomes = outcomes.into_iter();
        let answers = intents.iter().map(|intended| {
            let outcomes = outcomes.by_ref().take(intended.rows.len()).collect();
            self.store.answered(&self.run, intended.id, outcomes)
        });
        if let Err(error) = try_join_all(answers).await {
            self.shutdown.fail(error.context("the ledger could not be written"));
        }
    }
}
