//! What is measured, and the report.

use std::fmt::Write as _;
use std::time::Duration;

use crate::clock::median;

/// One way of doing the same work.
pub(crate) struct Way {
    /// For people.
    pub(crate) name: &'static str,
    /// Does it once and returns how long that took, preparations not counted.
    pub(crate) run: Box<dyn FnMut() -> Duration>,
    /// What else is to be said: the size of the result.
    pub(crate) note: String,
}

impl Way {
    /// Creates one without a note.
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Duration + 'static) -> Way {
        Way { name, run: Box::new(run), note: String::new() }
    }

    /// Adds a note.
    pub(crate) fn with_note(self, note: String) -> Way {
        Way { note, ..self }
    }
}

/// Work that is done by hand in the product.
pub(crate) struct Part {
    /// For people.
    pub(crate) name: &'static str,
    /// How many items one run has.
    pub(crate) items: usize,
    /// Ours first.
    pub(crate) ways: Vec<Way>,
}

/// Lets the ways of each part take turns, and returns their medians.
pub(crate) fn speed(parts: Vec<Part>, rounds: usize) -> String {
    let mut text =
        "| work | way | ns per item | times ours | spread | size |\n|---|---|---:|---:|---:|---|\n"
            .to_owned();
    for mut part in parts {
        let mut took = vec![Vec::new(); part.ways.len()];
        for _ in 0..rounds.max(1) {
            for (way, took) in part.ways.iter_mut().zip(&mut took) {
                took.push((way.run)());
            }
        }
        let mut ours = None;
        for (way, took) in part.ways.iter().zip(took) {
            let middle = median(took.clone()).as_nanos() as f64;
            let far = took.iter().map(|took| (took.as_nanos() as f64 - middle).abs()).fold(0.0, f64::max);
            let ratio = middle / *ours.get_or_insert(middle);
            let each = middle / part.items as f64;
            let spread = 100.0 * far / middle;
            let _ = writeln!(
                text,
                "| {} | {} | {each:.1} | {ratio:.2} | {spread:.0} % | {} |",
                part.name, way.name, way.note
            );
        }
    }
    text
}
