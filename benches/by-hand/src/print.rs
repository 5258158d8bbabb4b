//! Times as text against jiff's printers.

use std::hint::black_box;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use tidegate_model::print::Printed;

use crate::clock::on_thread;
use crate::table::{Part, Way};

const TIMES: usize = 200_000;

/// Printing moments in microseconds.
pub(crate) fn parts() -> Vec<Part> {
    let moment = |at: usize| Timestamp::from_microsecond(1_764_000_000_000_000 + at as i64 * 7_654_321);
    let moments: Arc<Vec<Timestamp>> = Arc::new((0..TIMES).filter_map(|at| moment(at).ok()).collect());
    let (one, two) = (Arc::clone(&moments), Arc::clone(&moments));
    let ways = vec![
        Way::new("ours", move || {
            let mut out = String::with_capacity(64);
            on_thread(|| {
                for at in one.iter() {
                    out.clear();
                    out.push_str(Printed::moment(*at).as_str());
                    black_box(&out);
                }
            })
        }),
        Way::new("jiff, `print_timestamp`", move || {
            const PRINTER: DateTimePrinter = DateTimePrinter::new();
            let mut out = String::with_capacity(64);
            on_thread(|| {
                for at in two.iter() {
                    out.clear();
                    let _ = PRINTER.print_timestamp(at, &mut out);
                    black_box(&out);
                }
            })
        }),
        Way::new("jiff, `to_string`", move || {
            on_thread(|| moments.iter().for_each(|at| drop(black_box(at.to_string()))))
        }),
    ];
    vec![Part { name: "print a time", items: TIMES, ways }]
}
