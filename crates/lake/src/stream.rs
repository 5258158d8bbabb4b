//! Events on their way from a delivery to the thread that writes them.
//!
//! A delivery only borrows its events. So it makes rows of them itself, a few at
//! a time, and the thread encodes the rows while the next ones are made.

use arrow_array::RecordBatch;
use jiff::Timestamp;
use tidegate_model::{Error, Layout, LoggedEvent};
use tokio::sync::mpsc;

use crate::batch::{Day, Days};

/// Events of one step: enough for columns, few enough that they stay in the cache.
const STEP: usize = 1024;
/// Steps that may wait for the thread.
const WAITING: usize = 4;

/// How events become rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Their columns.
    pub(crate) layout: Layout,
    /// The time of the delivery.
    pub(crate) synced: Timestamp,
    /// Whether each day has rows of its own.
    pub(crate) split: bool,
}

/// The rows of one step, by day.
type Step = Result<Vec<(Day, RecordBatch)>, Error>;

/// Where the rows of a delivery go to.
pub(crate) struct Sending(mpsc::Sender<Step>);

/// The rows of a delivery, on the thread that writes them.
pub(crate) struct Arriving {
    steps: mpsc::Receiver<Step>,
    /// Events that are still to come.
    left: usize,
}

/// A way for the rows of that many events.
pub(crate) fn rows(events: usize) -> (Sending, Arriving) {
    let (sender, steps) = mpsc::channel(WAITING);
    (Sending(sender), Arriving { steps, left: events })
}

impl Sending {
    /// Makes rows of all events. Ends early where the thread does not want more:
    /// it says itself why.
    pub(crate) async fn all(self, events: &[&LoggedEvent], shape: Shape) {
        for step in events.chunks(STEP) {
            let mut days = Days::new(shape, step.len());
            step.iter().for_each(|event| days.push(event));
            if self.0.send(days.finish()).await.is_err() {
                return;
            }
            // Other tasks have their turn.
            tokio::task::yield_now().await;
        }
    }
}

impl Iterator for Arriving {
    type Item = Step;

    /// Blocks until a step is there. A delivery that was given up ends with an
    /// error, so that a part of its events is not taken for all of them.
    fn next(&mut self) -> Option<Step> {
        if self.left == 0 {
            return None;
        }
        let step = self.steps.blocking_recv().unwrap_or_else(|| Err(given_up()));
        match &step {
            Ok(rows) => {
                let count: usize = rows.iter().map(|(_, rows)| rows.num_rows()).sum();
                self.left = self.left.saturating_sub(count);
            }
            Err(_) => self.left = 0,
        }
        Some(step)
    }
}

/// A wish for the rows of some events of a delivery.
pub(crate) struct Order {
    /// Their places in the delivery.
    wanted: Vec<usize>,
    shape: Shape,
    rows: Sending,
}

impl Order {
    /// Makes the rows.
    pub(crate) async fn serve(self, delivery: &[LoggedEvent]) {
        let events: Vec<&LoggedEvent> = self.wanted.iter().filter_map(|&at| delivery.get(at)).collect();
        self.rows.all(&events, self.shape).await;
    }
}

/// Hands out rows on the thread that finds out which events it needs.
pub(crate) struct Supply(mpsc::Sender<Order>);

/// A supply, and the orders that the delivery has to serve.
pub(crate) fn supply() -> (Supply, mpsc::Receiver<Order>) {
    let (sender, orders) = mpsc::channel(1);
    (Supply(sender), orders)
}

impl Supply {
    /// The rows of these events of the delivery.
    pub(crate) fn rows(&self, wanted: Vec<usize>, shape: Shape) -> Result<Arriving, Error> {
        let (sending, arriving) = rows(wanted.len());
        let order = Order { wanted, shape, rows: sending };
        self.0.blocking_send(order).map_err(|_| given_up())?;
        Ok(arriving)
    }
}

/// Nobody reads this: whoever waited for the delivery is gone.
fn given_up() -> Error {
    Error::internal("the delivery was given up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    fn shape() -> Shape {
        Shape { layout: Layout::Events, synced: Timestamp::UNIX_EPOCH, split: true }
    }

    #[tokio::test]
    async fn rows_arrive_in_the_order_of_the_events() {
        let events: Vec<LoggedEvent> = (0..10_000).map(|at| logged(at, "2026-03-01T00:00:00Z")).collect();
        let (supply, mut orders) = supply();
        let odd: Vec<usize> = (0..events.len()).filter(|at| at % 2 == 1).collect();
        let thread = std::thread::spawn(move || {
            let rows = supply.rows(odd, shape()).expect("rows");
            rows.flat_map(|step| step.expect("step")).flat_map(|(_, rows)| ids(&rows)).collect::<Vec<_>>()
        });

        while let Some(order) = orders.recv().await {
            order.serve(&events).await;
        }

        let expected: Vec<String> = (0..5_000).map(|at| format!("e{}", at * 2 + 1)).collect();
        assert_eq!(thread.join().expect("thread"), expected);
    }

    fn ids(rows: &RecordBatch) -> Vec<String> {
        let ids = arrow_array::cast::AsArray::as_string::<i32>(&rows["event_id"]);
        ids.iter().flatten().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_delivery_that_is_given_up_is_not_taken_for_a_short_one() {
        let event = logged(1, "2026-03-01T00:00:00Z");
        let (sending, mut arriving) = rows(2);
        sending.all(&[&event], shape()).await;

        let steps = std::thread::spawn(move || [arriving.next(), arriving.next(), arriving.next()]);

        let [first, second, third] = steps.join().expect("thread");
        assert!(matches!(first, Some(Ok(_))));
        assert!(matches!(second, Some(Err(_))), "one of two events came");
        assert!(third.is_none());
    }
}
