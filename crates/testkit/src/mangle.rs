//! Inputs that nothing good would send: good ones with bytes changed, cut out, doubled or moved.

use std::time::{Duration, Instant};

/// Gives `count` inputs to `read`, made of `seeds`; the same ones each time.
///
/// With `TIDEGATE_FUZZ_SECONDS` in the environment it continues for that long, with more of them.
///
/// # Panics
/// If `read` does, after printing the input.
pub fn mangled(seeds: &[&[u8]], count: usize, read: impl Fn(&[u8])) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or_default());
    let more = |number: &usize| *number < count || Instant::now() < until;
    for number in (0_usize..).take_while(more) {
        let mut input = seeds[number % seeds.len()].to_vec();
        for _ in 0..random.below(4) {
            random.change(&mut input, seeds);
        }
        let run = std::panic::AssertUnwindSafe(|| read(&input));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the input: b\"{}\"", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

/// Numbers in an order of their own (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % (end as u64 + 1)) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[&[u8]]) {
        let at = self.below(input.len());
        match self.below(5) {
            0 if at < input.len() => input[at] = self.below(255) as u8,
            1 if at < input.len() => input[at] ^= 1 << self.below(7),
            2 => input.truncate(at),
            3 => {
                let end = at + self.below(16.min(input.len() - at));
                input.drain(at..end);
            }
            4 => {
                let seed = seeds[self.below(seeds.len() - 1)];
                let from = self.below(seed.len());
                let piece = &seed[from..from + self.below(32.min(seed.len() - from))];
                input.splice(at..at, piece.iter().copied());
            }
            _ => input.insert(at, b"{}[]\",:\n \0\xff-"[self.below(11)]),
        }
    }
}
