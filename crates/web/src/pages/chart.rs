//! Charts: numbers become bars, which templates draw as SVG, with a table beside them.

use tidegate_engine::service::Hour;
use tidegate_model::{Ending, Run};

use super::show::{count, hour, number};

/// A bar, in units of the drawing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: u64,
    pub(super) height: u64,
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// Rows by hour: bars, and the rows of the table behind them.
pub(super) struct HoursChart {
    pub(super) bars: Vec<Bar>,
    pub(super) ticks: Vec<String>,
    pub(super) top: String,
    pub(super) table: Vec<[String; 4]>,
    pub(super) is_empty: bool,
}

/// The height of a chart of hours.
const HEIGHT: u64 = 120;
/// The distance between two hours.
const STEP: usize = 30;
/// Hours between two words of the axis.
const TICK: usize = 6;

/// Returns the bars of the last hours: delivered rows, and on top of them those that failed.
pub(super) fn hours(hours: &[Hour]) -> HoursChart {
    let total = |hour: &Hour| hour.delivered + hour.rejected + hour.in_doubt;
    let top = hours.iter().map(total).max().unwrap_or(0);
    let mut chart = HoursChart {
        bars: Vec::new(),
        ticks: Vec::new(),
        top: count(top, "row", "rows"),
        table: Vec::new(),
        is_empty: top == 0,
    };
    for (at, one) in hours.iter().enumerate() {
        let x = at * STEP;
        if at % TICK == 0 {
            chart.ticks.push(hour(one.at));
        }
        let failed = one.rejected + one.in_doubt;
        if total(one) > 0 {
            let cells = [hour(one.at), number(one.delivered), number(one.rejected), number(one.in_doubt)];
            chart.table.push(cells);
        }
        let title =
            format!("{}: {} delivered, {} failed", hour(one.at), number(one.delivered), number(failed));
        let low = scaled(one.delivered, top, HEIGHT);
        let high = scaled(failed, top, HEIGHT).min(HEIGHT);
        let low = low.min(HEIGHT - high);
        let bar = |height: u64, below: u64, class| Bar {
            x,
            y: HEIGHT - below - height,
            height,
            class,
            title: title.clone(),
        };
        chart.bars.extend((low > 0).then(|| bar(low, 0, "delivered")));
        chart.bars.extend((high > 0).then(|| bar(high, low, "failed")));
    }
    chart
}

/// A bar with a value above 0 is never too low to be seen.
fn scaled(value: u64, top: u64, height: u64) -> u64 {
    const LOWEST: u64 = 3;
    match (value, top) {
        (0, _) | (_, 0) => 0,
        _ => (value.saturating_mul(height) / top).max(LOWEST),
    }
}

/// Returns the last runs of a sync as a strip, oldest first: the height is the number of rows,
/// the class is the ending.
pub(super) fn strip(runs: &[Run]) -> Vec<Bar> {
    const HIGH: u64 = 24;
    const LOW: u64 = 5;
    const STRIDE: usize = 7;
    const SHOWN: usize = 20;
    let rows = |run: &Run| run.counts.delivered + run.counts.rejected + run.counts.in_doubt;
    let shown = &runs[..runs.len().min(SHOWN)];
    let top = shown.iter().map(rows).max().unwrap_or(0);
    let bar = |(at, run): (usize, &Run)| {
        let height = scaled(rows(run), top, HIGH - LOW) + LOW;
        let (class, word) = match run.ending {
            None => ("running", "running"),
            Some(Ending::Succeeded) => ("good", "succeeded"),
            Some(Ending::Partial) => ("look", "partial"),
            Some(Ending::Failed) => ("broken", "failed"),
            Some(Ending::Interrupted) => ("idle", "interrupted"),
        };
        let title = format!("{word}, {} rows", number(rows(run)));
        Bar { x: at * STRIDE, y: HIGH - height, height, class, title }
    };
    shown.iter().rev().enumerate().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_row_among_a_million_is_seen_and_no_bar_leaves_the_chart() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let one = Hour { at, delivered: 1_000_000, rejected: 1, in_doubt: 0 };
        let chart = hours(&[one, Hour { at, delivered: 0, rejected: 0, in_doubt: 0 }]);
        let [low, high] = &chart.bars[..] else { panic!("{:?}", chart.bars) };
        assert_eq!((low.class, high.class), ("delivered", "failed"));
        assert!(high.height >= 3 && high.y + high.height == low.y && low.y + low.height == HEIGHT);
        assert_eq!(chart.table.len(), 1);
    }
}
