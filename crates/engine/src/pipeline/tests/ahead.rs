//! Requests that are prepared while the one before them is delivered.

use std::collections::VecDeque;

use tidegate_model::LoggedEvent;

use super::follow::{ExportStage, event};
use super::*;

/// What a sink was asked to do, with the ids of the events.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Prepare(Vec<u64>),
    Deliver(Vec<u64>),
    Done(Vec<u64>),
}

use Asked::{Deliver, Done, Prepare};

/// Notes what it is asked, and answers in the order of `answers`, then with success.
struct Notebook {
    limits: Limits,
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<VecDeque<Option<ErrorKind>>>,
    faulty: bool,
}

impl Notebook {
    fn new(answers: impl IntoIterator<Item = Option<ErrorKind>>) -> Notebook {
        Notebook {
            limits: Limits { max_items: 10, max_in_flight: 1, ..Limits::GENEROUS },
            asked: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
            faulty: false,
        }
    }

    fn note(&self, asked: Asked) {
        self.asked.lock().expect("no panic").push(asked);
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic"))
    }
}

fn numbers(items: &[LoggedEvent]) -> Vec<u64> {
    items.iter().map(|logged| logged.event.id.parse().expect("a number")).collect()
}

#[async_trait]
impl Destination<LoggedEvent> for Notebook {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn estimated_size(&self, _: &LoggedEvent) -> usize {
        1
    }

    fn validate(&self, _: &LoggedEvent) -> Result<(), Reason> {
        Ok(())
    }

    fn prepare(&self, items: &[LoggedEvent]) {
        assert!(!self.faulty || items[0].event.id != "10", "a fault of the sink");
        self.note(Prepare(numbers(items)));
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        self.note(Deliver(numbers(items)));
        crate::pipeline::wait::span(Duration::from_millis(10)).await;
        if let Some(kind) = self.answers.lock().expect("no panic").pop_front().flatten() {
            return Err(Error::new(kind, "not now"));
        }
        self.note(Done(numbers(items)));
        Ok(Receipt::delivered(items.len()))
    }
}

async fn stage(notebook: Notebook, events: u64) -> (ExportStage, Arc<Notebook>) {
    let notebook = Arc::new(notebook);
    let mut stage = ExportStage::new(notebook.limits);
    stage.export.sink = notebook.clone();
    stage.log((0..events).map(|id| event(id, "a"))).await;
    (stage, notebook)
}

fn ids(ids: std::ops::Range<u64>) -> Vec<u64> {
    ids.collect()
}

/// The events that took effect, in that order.
fn done(asked: &[Asked]) -> Vec<u64> {
    let done = asked.iter().filter_map(|asked| match asked {
        Done(ids) => Some(ids.clone()),
        _ => None,
    });
    done.flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_request_is_prepared_while_one_is_delivered() {
    let (stage, notebook) = stage(Notebook::new([]), 30).await;

    let run = stage.run(false, CancellationToken::new()).await;

    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 30));
    let expected = [
        Prepare(ids(0..10)),
        Deliver(ids(0..10)),
        Prepare(ids(10..20)),
        Done(ids(0..10)),
        Deliver(ids(10..20)),
        Prepare(ids(20..30)),
        Done(ids(10..20)),
        Deliver(ids(20..30)),
        Done(ids(20..30)),
    ];
    let asked = notebook.asked();
    // The thread may be quicker than the delivery that is begun with it.
    let sorted = |asked: &[Asked]| {
        let mut turns = asked.to_vec();
        turns.chunk_by_mut(|_, next| !matches!(next, Done(_))).for_each(|turn| {
            turn.sort_by_key(|asked| matches!(asked, Prepare(_)) && *asked != Prepare(ids(0..10)));
        });
        turns
    };
    assert_eq!(sorted(&asked), sorted(&expected));
}

#[tokio::test(start_paused = true)]
async fn what_is_prepared_waits_until_the_request_before_it_took_effect() {
    let away = [Some(ErrorKind::Unavailable), Some(ErrorKind::Throttled(None)), None];
    let (stage, notebook) = stage(Notebook::new(away), 100).await;

    let run = stage.run(false, CancellationToken::new()).await;

    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 100));
    let asked = notebook.asked();
    assert_eq!(done(&asked), ids(0..100));
    let times = |wanted: Asked| asked.iter().filter(|asked| **asked == wanted).count();
    assert_eq!((times(Deliver(ids(0..10))), times(Prepare(ids(10..20)))), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_halved_keeps_its_place_before_what_is_prepared() {
    // The first request, and then its first half.
    let refused = [Some(ErrorKind::Rejected), Some(ErrorKind::Rejected)];
    let (stage, notebook) = stage(Notebook::new(refused), 40).await;

    let run = stage.run(false, CancellationToken::new()).await;

    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 40));
    assert_eq!(done(&notebook.asked()), ids(0..40));
}

#[tokio::test(start_paused = true)]
async fn what_was_prepared_when_a_run_ended_is_delivered_by_the_next() {
    let (stage, notebook) = stage(Notebook::new([]), 100).await;

    let run = stage.run(false, stop_after(Duration::from_millis(25))).await;

    let (asked, mut all) = (notebook.asked(), Vec::new());
    assert_eq!(run.ending, Some(Ending::Interrupted));
    assert!(asked.contains(&Prepare(ids(30..40))) && !asked.contains(&Deliver(ids(30..40))), "{asked:?}");
    all.extend(done(&asked));
    stage.run(false, CancellationToken::new()).await;
    all.extend(done(&notebook.asked()));
    assert_eq!(all, ids(0..100));

    // The same where it ended by a failure.
    stage.log((100..200).map(|id| event(id, "a"))).await;
    notebook.answers.lock().expect("no panic").extend([None, Some(ErrorKind::Denied)]);
    let run = stage.run(false, CancellationToken::new()).await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 10));
    stage.run(false, CancellationToken::new()).await;
    assert_eq!(done(&notebook.asked()), ids(100..200));
}

#[tokio::test(start_paused = true)]
async fn a_fault_while_preparing_ends_the_run() {
    let (stage, notebook) = stage(Notebook { faulty: true, ..Notebook::new([]) }, 30).await;

    let run = stage.run(false, CancellationToken::new()).await;

    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 10));
    assert!(run.error.expect("an error").contains("preparing a request"));
    assert_eq!(done(&notebook.asked()), ids(0..10));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_enough_is_not_taken_before_its_turn() {
    let (stage, notebook) = stage(Notebook::new([]), 10).await;
    let more = async {
        // Two while the first request is delivered, the others before it is done.
        crate::pipeline::wait::span(Duration::from_millis(4)).await;
        stage.log((10..12).map(|id| event(id, "a"))).await;
        crate::pipeline::wait::span(Duration::from_millis(2)).await;
        stage.log((12..14).map(|id| event(id, "a"))).await;
    };

    tokio::join!(stage.run(true, stop_after(Duration::from_secs(1))), more);

    let delivered: Vec<Asked> =
        notebook.asked().into_iter().filter(|asked| matches!(asked, Deliver(_))).collect();
    assert_eq!(delivered, [Deliver(ids(0..10)), Deliver(ids(10..14))]);
}
