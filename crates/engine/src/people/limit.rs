//! Limits attempts to sign in: by name and by address, with waits that double.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Attempts that fail before there is a wait.
const FREE: u32 = 5;
/// The first wait.
const FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest wait.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// How long failures are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// Names and addresses that are remembered at most.
const KNOWN_MAX: usize = 10_000;

/// What is limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// The attempts that failed lately.
#[derive(Default)]
pub(crate) struct SignInLimit(Mutex<HashMap<Key, Failures>>);

impl SignInLimit {
    /// Returns how long to wait before the next attempt; `None` if it may be made now.
    pub(super) fn wait(&self, name: &str, address: IpAddr, now: Timestamp) -> Option<SignedDuration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys(name, address).into_iter().filter_map(|key| {
            let failures = known.get(&key)?;
            let over = failures.count.checked_sub(FREE)?;
            let doubled = 1_i32.checked_shl(over.min(20)).unwrap_or(i32::MAX);
            let wait = FIRST.checked_mul(doubled).map_or(LONGEST, |wait| wait.min(LONGEST));
            let left = wait.checked_sub(now.duration_since(failures.last))?;
            left.is_positive().then_some(left)
        });
        waits.max()
    }

    /// Notes an attempt that failed.
    pub(super) fn failed(&self, name: &str, address: IpAddr, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, failures| now.duration_since(failures.last) < LONGEST);
        }
        if known.len() >= KNOWN_MAX {
            // An attack by many addresses: those that failed longest ago give way.
            let mut times: Vec<Timestamp> = known.values().map(|failures| failures.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            known.retain(|_, failures| failures.last > middle);
        }
        for key in keys(name, address) {
            let failures = known.entry(key).or_insert(Failures { count: 0, last: now });
            if now.duration_since(failures.last) > REMEMBERED {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// Forgets the failures of someone who signed in.
    pub(super) fn succeeded(&self, name: &str, address: IpAddr) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(name, address) {
            known.remove(&key);
        }
    }
}

fn keys(name: &str, address: IpAddr) -> [Key; 2] {
    /// Longer names are no names of people.
    const NAME_CHARS_MAX: usize = 64;
    let name = name.chars().take(NAME_CHARS_MAX).collect();
    [Key::Name(name), Key::Address(network(address))]
}

/// An IPv6 address counts as its network: one machine has as many addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_attempt_waits_and_the_waits_double_up_to_a_quarter_of_an_hour() {
        let (limit, now) = (SignInLimit::default(), Timestamp::UNIX_EPOCH);
        let here: IpAddr = "10.0.0.7".parse().expect("an address");
        for _ in 0..4 {
            limit.failed("ada", here, now);
        }
        assert_eq!(limit.wait("ada", here, now), None);
        let mut waits = Vec::new();
        for _ in 0..13 {
            limit.failed("ada", here, now);
            waits.push(limit.wait("ada", here, now).expect("a wait").as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        let other: IpAddr = "10.0.0.8".parse().expect("an address");
        assert!(limit.wait("ada", other, now).is_some(), "the account is guarded from everywhere");
        assert!(limit.wait("lin", here, now).is_some(), "the address may not try other names");
        assert_eq!(limit.wait("lin", other, now), None);
        assert_eq!(limit.wait("ada", here, now + SignedDuration::from_mins(15)), None);
        limit.succeeded("ada", here);
        assert_eq!(limit.wait("ada", here, now), None);
    }

    #[test]
    fn addresses_of_one_network_count_as_one_and_memory_is_bounded() {
        let (limit, now) = (SignInLimit::default(), Timestamp::UNIX_EPOCH);
        for number in 0..10 {
            limit.failed(&format!("n{number}"), format!("2001:db8:1:2::{number}").parse().expect("one"), now);
        }
        assert!(limit.wait("x", "2001:db8:1:2:ffff::1".parse().expect("one"), now).is_some());
        for number in 0..30_000_u32 {
            let at = now + SignedDuration::from_secs(i64::from(number));
            limit.failed(&format!("n{number}"), IpAddr::from(number.to_be_bytes()), at);
        }
        assert!(limit.0.lock().expect("free").len() <= KNOWN_MAX + 2);
    }
}
