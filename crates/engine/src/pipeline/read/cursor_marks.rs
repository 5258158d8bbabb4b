//! How far the cursor had come at some items of a batch.

use std::cmp::Ordering;

use tidegate_model::Value;

/// Items between two marks.
const EVERY: u32 = 64;

/// Some items of a batch by their number, ascending, each with the highest cursor value of the items before it.
/// By these it is known which items no later run reads again, without a value for each of them.
#[derive(Debug, Default)]
pub(crate) struct CursorMarks {
    marks: Vec<(u32, Value)>,
}

impl CursorMarks {
    /// Notes the highest value of the items before this number; most numbers need none.
    #[inline]
    pub(crate) fn note(&mut self, number: u32, highest: Option<&Value>) {
        if number.is_multiple_of(EVERY)
            && let Some(highest) = highest
        {
            self.marks.push((number, highest.clone()));
        }
    }

    /// Returns the number of an item before which all have a value below `low`.
    pub(crate) fn below(&self, low: &Value) -> u32 {
        let below = self.marks.iter().take_while(|(_, highest)| highest.compare(low) == Some(Ordering::Less));
        below.last().map_or(0, |(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_low_value_on_lies_before_the_number() {
        // Values rise, but for one that came late.
        let value = |number: u32| i64::from(if number == 130 { 5 } else { number / 2 });
        let (mut marks, mut highest) = (CursorMarks::default(), None);
        for number in 0..1_000 {
            marks.note(number, highest.as_ref());
            if highest
                .as_ref()
                .is_none_or(|high| Value::Int(value(number)).compare(high).is_some_and(Ordering::is_gt))
            {
                highest = Some(Value::Int(value(number)));
            }
        }
        for low in [-1, 0, 1, 31, 32, 65, 300, 499, 500, 9_999] {
            let from = marks.below(&Value::Int(low));
            assert!((0..from).all(|number| value(number) < low), "{low}: {from}");
            let exact = (0..1_000).find(|number| value(*number) >= low && *number != 130).unwrap_or(1_000);
            assert!(exact - from <= 2 * EVERY, "{low}: {from} of {exact}");
        }
        assert_eq!(marks.below(&Value::Null), 0, "values that do not compare");
    }
}
