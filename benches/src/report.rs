//! Measurements as a table in Markdown.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::latency::{Latencies, Millis};
use crate::receiver::Counts;

/// One way of moving the rows once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// From the start of the process to its end, or from the first item to the last one.
    pub(crate) took: Duration,
    /// Peak resident memory in bytes, where it was watched.
    pub(crate) memory: Option<u64>,
    /// What arrived, if there was a receiver.
    pub(crate) arrived: Option<Counts>,
}

/// All rounds of one way over one size.
#[derive(Debug)]
pub(crate) struct Series {
    /// The way, for people.
    pub(crate) name: String,
    /// How many rows, messages or events each round moved.
    pub(crate) rows: u64,
    /// The rounds.
    pub(crate) rounds: Vec<Measure>,
}

impl Series {
    /// The round in the middle by time; the higher of two.
    pub(crate) fn median(&self) -> Measure {
        let mut rounds = self.rounds.clone();
        rounds.sort_by_key(|round| round.took);
        rounds[rounds.len() / 2]
    }

    fn rate(&self) -> f64 {
        self.rows as f64 / self.median().took.as_secs_f64()
    }

    /// The largest distance of a round from the median, in percent of the median.
    fn spread(&self) -> f64 {
        let median = self.median().took.as_secs_f64();
        let far =
            self.rounds.iter().map(|round| (round.took.as_secs_f64() - median).abs()).fold(0.0, f64::max);
        100.0 * far / median
    }
}

/// The text above the columns.
pub(crate) struct Heading<'a> {
    /// What is moved: `rows`, `messages`, `events`.
    pub(crate) items: &'a str,
    /// What the first way of each size is, which the others are held against.
    /// Nothing is held against anything if it is not said.
    pub(crate) limit: Option<&'a str>,
}

/// The table. The first series of each size is what the others are held against.
pub(crate) fn table(heading: &Heading<'_>, series: &[Series]) -> String {
    let Heading { items, limit } = heading;
    let (of, line) = limit.map_or(Default::default(), |limit| (format!(" of {limit} |"), "---:|"));
    let mut text = format!(
        "| {items} | way | seconds | {items}/s |{of} peak memory | requests/s | arrived | spread |\n\
         |---:|---|---:|---:|{line}---:|---:|---:|---:|\n",
    );
    for one in series {
        let median = one.median();
        let seconds = median.took.as_secs_f64();
        let base = series.iter().find(|other| other.rows == one.rows).map_or(f64::NAN, Series::rate);
        let ratio = limit.map_or(String::new(), |_| format!(" {:.2} |", one.rate() / base));
        let memory = median.memory.map_or("".into(), mebibytes);
        let (requests, arrived) = median.arrived.map_or(Default::default(), |counts| {
            (grouped((counts.requests as f64 / seconds) as u64), grouped(counts.objects))
        });
        writeln!(
            text,
            "| {} | {} | {seconds:.2} | {} |{ratio} {memory} | {requests} | {arrived} | ±{:.0} % |",
            grouped(one.rows),
            one.name,
            grouped(one.rate() as u64),
            one.spread(),
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// Bytes of memory, for tables.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores of {model}")
}

/// The file system of a folder, and what making data durable costs there.
///
/// # Errors
/// Nothing can be written to the folder.
pub(crate) fn disk(folder: &Path) -> io::Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((Path::new(words.next()?), words.next()?))
        })
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.as_os_str().len())
        .map_or("an unknown file system", |(_, kind)| kind);
    let path = folder.join("synced");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    fs::remove_file(path)?;
    let median = Millis(Latencies::of(times).at(0.5));
    Ok(format!("{kind}, where 4 KiB are durable after {median}"))
}

/// A number with a comma before each third digit.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, seconds: &[u64]) -> Series {
        let round = |&seconds| Measure { took: Duration::from_secs(seconds), memory: None, arrived: None };
        Series { name: name.to_owned(), rows: 1_000, rounds: seconds.iter().map(round).collect() }
    }

    #[test]
    fn the_median_counts_and_the_first_way_is_the_measure() {
        let heading = Heading { items: "rows", limit: Some("`\\copy`") };

        let table = table(&heading, &[series("copy", &[9, 1, 2]), series("ours", &[4, 4, 4])]);

        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows[0], "| 1,000 | copy | 2.00 | 500 | 1.00 |  |  |  | ±350 % |");
        assert_eq!(rows[1], "| 1,000 | ours | 4.00 | 250 | 0.50 |  |  |  | ±0 % |");
    }

    #[test]
    fn without_a_limit_no_ratio_is_told() {
        let table = table(&Heading { items: "events", limit: None }, &[series("ours", &[4])]);

        let cells: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [9, 9, 9]);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 100, 1_000, 1_234_567].map(grouped), ["7", "100", "1,000", "1,234,567"]);
    }
}
