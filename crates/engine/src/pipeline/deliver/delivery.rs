//! One request until each of its rows has its status.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tidegate_model::store::{self, IntentId, IntentRow, RowStatus};
use tidegate_model::{
    Clock, Destination, Error, Idempotency, Outcome, Reaction, Reason, Receipt, RunId, Store,
};
use tokio::time::Instant;

use crate::pipeline::deliver::rate_limiter::RateLimiter;
use crate::pipeline::item::{Item, RequestResults};
use crate::pipeline::shutdown::Shutdown;
use crate::pipeline::transform::Transform;
use crate::pipeline::wait;

/// Delivers the requests of one run.
pub(crate) struct Delivery<F: Transform> {
    pub(crate) destination: Arc<dyn Destination<F::Sent>>,
    pub(crate) transform: Arc<F>,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) run: RunId,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) idempotency: Idempotency,
    /// Whether rows whose answer was lost are sent again though that is not safe.
    pub(crate) resend: bool,
    /// The least time between two requests, where each is about one user.
    pub(crate) interval: Duration,
    /// How long an unreachable platform is tried.
    pub(crate) retry_for: Duration,
}

impl<F: Transform> Clone for Delivery<F> {
    fn clone(&self) -> Delivery<F> {
        Delivery {
            destination: self.destination.clone(),
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

/// What became of a request.
pub(crate) struct Delivered {
    /// What is decided, that of one batch together.
    pub(crate) decided: Vec<(u64, RequestResults)>,
    /// When anything of it was sent last.
    pub(crate) last_sent: Option<Instant>,
}

/// A request, or what is left of one.
struct Part<F: Transform> {
    records: Vec<F::Sent>,
    items: Vec<Item<F>>,
    /// When an answer to it was lost first, for the deduplication window.
    unsure_since: Option<Instant>,
    /// When it first failed, for the retry budget.
    failing_since: Option<Instant>,
    attempts: u32,
}

impl<F: Transform> Part<F> {
    fn new(records: Vec<F::Sent>, items: Vec<Item<F>>) -> Part<F> {
        Part { records, items, unsure_since: None, failing_since: None, attempts: 0 }
    }

    fn halve(mut self) -> (Part<F>, Part<F>) {
        let middle = self.records.len() / 2;
        let (records, items) = (self.records.split_off(middle), self.items.split_off(middle));
        let second = Part { unsure_since: self.unsure_since, ..Part::new(records, items) };
        (self, second)
    }
}

/// What is decided of a request, that of one batch together.
struct Decided {
    batches: Vec<(u64, RequestResults)>,
    /// How many items are not decided yet.
    left: usize,
}

impl Decided {
    #[inline]
    fn of(&mut self, batch: u64) -> &mut RequestResults {
        if self.batches.last().is_none_or(|(last, _)| *last != batch) {
            let delivered = store::Delivered::with_capacity(self.left);
            self.batches.push((batch, RequestResults { delivered, others: Vec::new() }));
        }
        self.left = self.left.saturating_sub(1);
        &mut self.batches.last_mut().expect("it was just added").1
    }
}

impl<F: Transform> Delivery<F> {
    /// Sends until every row has its status. Rows that the halt of the run left without one
    /// are missing from the result.
    pub(crate) async fn deliver(&self, records: Vec<F::Sent>, items: Vec<Item<F>>) -> Delivered {
        let mut decided = Decided { batches: Vec::new(), left: records.len() };
        let mut parts = VecDeque::from([Part::new(records, items)]);
        let mut last_sent: Option<Instant> = None;
        while let Some(mut part) = parts.pop_front() {
            if part.records.is_empty() {
                continue;
            }
            let rest = last_sent.map_or(Duration::ZERO, |sent| self.interval.saturating_sub(sent.elapsed()));
            if !rest.is_zero() && !self.shutdown.pause(rest).await {
                break;
            }
            if !self.rate_limiter.acquire(&self.shutdown).await {
                break;
            }
            if let Some(since) = part.unsure_since
                && !self.may_repeat(since)
            {
                // Its key has expired while it waited.
                let reason = "the answer was lost, and it is too late to send the row again safely";
                self.decide_all(
                    part,
                    &RowStatus::InDoubt(Reason::new("response_lost", reason)),
                    &mut decided,
                );
                continue;
            }
            let intents = match self.intend(&part).await {
                Ok(intent) => intent,
                Err(error) => {
                    self.shutdown.fail(error.context("the ledger could not be written"));
                    break;
                }
            };
            // Writing that down may have taken long.
            if !self.shutdown.holds_lease() {
                break;
            }
            let sent_at = Instant::now();
            last_sent = Some(sent_at);
            let sent_at = part.unsure_since.unwrap_or(sent_at);
            match self.send(&part.records).await {
                Ok(receipt) => {
                    if let Some(pace) = receipt.rate_limit {
                        self.rate_limiter.observe(pace, self.clock.as_ref());
                    }
                    let (statuses, rest) = self.decide(part, receipt, sent_at, &mut decided);
                    self.answered(intents, statuses).await;
                    if let Some((rest, progress)) = rest {
                        match self.again(rest, progress).await {
                            Some(rest) => parts.push_front(rest),
                            None => break,
                        }
                    }
                }
                Err(error) => {
                    self.answered(intents, Vec::new()).await;
                    match error.reaction() {
                        Reaction::Wait(until) => {
                            self.shutdown.count_retry();
                            self.rate_limiter.block_until(until, self.clock.as_ref());
                            // A throttled response proves that it is reachable, so it does
                            // not count against the retry budget.
                            (part.attempts, part.failing_since) = (0, None);
                            parts.push_front(part);
                        }
                        Reaction::Halve if part.records.len() > 1 => {
                            self.shutdown.count_retry();
                            let (first, second) = part.halve();
                            parts.push_front(second);
                            parts.push_front(first);
                        }
                        Reaction::Halve => {
                            let reason = Reason::new("rejected", error.with_words());
                            self.decide_all(part, &RowStatus::Rejected(reason), &mut decided);
                        }
                        Reaction::BackOff => match self.back_off(part, error).await {
                            Some(part) => parts.push_front(part),
                            None => break,
                        },
                        Reaction::Pause | Reaction::Fail => {
                            self.shutdown.fail(error);
                            break;
                        }
                    }
                }
            }
        }
        Delivered { decided: decided.batches, last_sent }
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

    /// Gives each row its status, or puts it among those to send again. Returns the
    /// statuses in the order of the rows and what is left, with whether anything of the
    /// request was decided.
    fn decide(
        &self,
        part: Part<F>,
        receipt: Receipt,
        sent_at: Instant,
        decided: &mut Decided,
    ) -> (Vec<Outcome>, Option<(Part<F>, bool)>) {
        let total = part.records.len();
        // Only an intent needs the statuses in order.
        let mut noted = Vec::new();
        let told = self.needs_intent();
        let mut rest = Part::new(Vec::new(), Vec::new());
        (rest.attempts, rest.failing_since) = (part.attempts, part.failing_since);
        rest.unsure_since = part.unsure_since;
        // Nearly always nothing goes again: records are looked at where they lie.
        let mut again = Vec::new();
        let mut uncertain = false;
        for (index, (item, outcome)) in part.items.into_iter().zip(receipt.outcomes).enumerate() {
            let record = &part.records[index];
            let status = match outcome {
                Outcome::Delivered => {
                    if told {
                        noted.push(Outcome::Delivered);
                    }
                    let delivered = &mut decided.of(item.batch).delivered;
                    self.transform.delivered(item.at, item.keys, item.context, record, delivered);
                    continue;
                }
                Outcome::Rejected(reason) => RowStatus::Rejected(reason),
                Outcome::Deferred(reason) => {
                    if told {
                        noted.push(Outcome::Deferred(reason));
                    }
                    again.push(index);
                    rest.items.push(item);
                    continue;
                }
                Outcome::Unknown(reason) if self.may_repeat(sent_at) => {
                    uncertain = true;
                    if told {
                        noted.push(Outcome::Unknown(reason));
                    }
                    again.push(index);
                    rest.items.push(item);
                    continue;
                }
                Outcome::Unknown(reason) => RowStatus::InDoubt(reason),
            };
            if told {
                noted.push(match &status {
                    RowStatus::Rejected(reason) => Outcome::Rejected(reason.clone()),
                    RowStatus::InDoubt(reason) => Outcome::Unknown(reason.clone()),
                    RowStatus::Delivered => Outcome::Delivered,
                });
            }
            let row = self.transform.result(item.keys, item.context, Some(record), status);
            decided.of(item.batch).others.push((item.at, row));
        }
        if !again.is_empty() {
            let records = (0..).zip(part.records).filter(|(index, _)| again.binary_search(index).is_ok());
            rest.records = records.map(|(_, record)| record).collect();
        }
        if uncertain {
            rest.unsure_since = Some(sent_at);
        }
        let progress = !uncertain && rest.records.len() < total;
        (noted, (!rest.records.is_empty()).then_some((rest, progress)))
    }

    /// Whether a row whose answer was lost may be sent again.
    fn may_repeat(&self, first_sent: Instant) -> bool {
        match self.idempotency {
            Idempotency::Idempotent => true,
            Idempotency::Keyed(window) => first_sent.elapsed() < window || self.resend,
            Idempotency::None => self.resend,
        }
    }

    /// Prepares what is left of a request to be sent again.
    async fn again(&self, rest: Part<F>, progress: bool) -> Option<Part<F>> {
        if progress {
            self.shutdown.count_retry();
            return Some(Part { attempts: 0, failing_since: None, ..rest });
        }
        let lost = Error::new(tidegate_model::ErrorKind::Unavailable, "its answers do not arrive");
        self.back_off(rest, lost).await
    }

    /// Waits before the next attempt; `None` where the budget is spent or the run halts.
    async fn back_off(&self, mut part: Part<F>, error: Error) -> Option<Part<F>> {
        let since = *part.failing_since.get_or_insert_with(Instant::now);
        part.attempts += 1;
        let mut wait = wait::backoff(part.attempts);
        if let Some(until) = error.acceptable_at() {
            // Nothing else is sent there either; the budget still decides how long it is waited for.
            self.rate_limiter.block_until(Some(until), self.clock.as_ref());
            let asked = until.duration_since(self.clock.now());
            wait = wait.max(Duration::try_from(asked).unwrap_or_default());
        }
        if since.elapsed() + wait > self.retry_for {
            self.shutdown.fail(error.context(format!("gave up after {} attempts", part.attempts)));
            return None;
        }
        self.shutdown.count_retry();
        self.shutdown.pause(wait).await.then_some(part)
    }

    fn decide_all(&self, part: Part<F>, status: &RowStatus, decided: &mut Decided) {
        for (record, item) in part.records.iter().zip(part.items) {
            let row = self.transform.result(item.keys, item.context, Some(record), status.clone());
            decided.of(item.batch).others.push((item.at, row));
        }
    }

    /// Whether rows must be written down before they are sent.
    fn needs_intent(&self) -> bool {
        matches!(self.idempotency, Idempotency::None) && !self.resend
    }

    /// Records what is about to be sent: an intent for each batch in the request, so that a
    /// committed batch leaves none of its rows in one.
    async fn intend(&self, part: &Part<F>) -> Result<Vec<(IntentId, usize)>, Error> {
        if !self.needs_intent() {
            return Ok(Vec::new());
        }
        let mut records = part.records.iter();
        let intents = part.items.chunk_by(|a, b| a.batch == b.batch).map(|items| {
            let rows = items.iter().zip(records.by_ref());
            let rows = rows.map(|(item, record)| self.transform.intent(item.keys, &item.context, record));
            let (rows, batch): (Vec<IntentRow>, u64) = (rows.collect(), items[0].batch);
            async move { Ok((self.store.intend(&self.run, batch, rows).await?, items.len())) }
        });
        try_join_all(intents).await
    }

    /// Records the response: an outcome for each row, or none if nothing took effect.
    async fn answered(&self, intents: Vec<(IntentId, usize)>, outcomes: Vec<Outcome>) {
        let mut outcomes = outcomes.into_iter();
        let answers = intents.into_iter().map(|(intent, rows)| {
            let outcomes = outcomes.by_ref().take(rows).collect();
            self.store.answered(&self.run, intent, outcomes)
        });
        if let Err(error) = try_join_all(answers).await {
            self.shutdown.fail(error.context("the ledger could not be written"));
        }
    }
}
