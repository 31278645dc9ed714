//! How often something may be tried: a bucket of attempts for each key, refilled with time.
//! Bounded: the keys seen longest ago are forgotten.
//!
//! Must not know: what is tried, what time it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use chirrup_core::ids::Time;

use crate::limits::ATTEMPTS_REMEMBERED_MAX;

/// Buckets by key. Each holds `burst` attempts and earns one every `refill_ms`.
#[derive(Debug)]
pub struct Attempts<K> {
    burst: u64,
    refill_ms: u64,
    /// When the bucket of a key is full again. Two generations: when the young one is full, the
    /// old one is forgotten.
    young: HashMap<K, Time>,
    old: HashMap<K, Time>,
}

impl<K: Hash + Eq> Attempts<K> {
    /// Buckets of this size.
    pub fn new(burst: u64, refill_ms: u64) -> Self {
        Self { burst, refill_ms, young: HashMap::new(), old: HashMap::new() }
    }

    /// Takes one attempt; if there is none, says after how many milliseconds there is.
    pub fn take(&mut self, key: K, now_ms: Time) -> Result<(), u64> {
        let full_at = self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(0);
        // A clock that was set back must not lock anybody out for longer than a whole bucket.
        let capacity_ms = self.burst * self.refill_ms;
        let full_at = full_at.clamp(now_ms, now_ms + capacity_ms) + self.refill_ms;
        if full_at > now_ms + capacity_ms {
            return Err(full_at - now_ms - capacity_ms);
        }
        if self.young.len() >= ATTEMPTS_REMEMBERED_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full_at);
        Ok(())
    }

    /// Gives one attempt back.
    pub fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.young.get_mut(key).or_else(|| self.old.get_mut(key)) {
            *full_at = full_at.saturating_sub(self.refill_ms);
        }
    }
}

/// What counts as one address: with IPv6 the /64, of which one subscriber has them all.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills() {
        let mut attempts = Attempts::new(2, 100);
        assert_eq!(attempts.take("a", 1_000), Ok(()));
        assert_eq!(attempts.take("a", 1_000), Ok(()));
        assert_eq!(attempts.take("a", 1_000), Err(100));
        assert_eq!(attempts.take("a", 1_060), Err(40));
        assert_eq!(attempts.take("b", 1_060), Ok(()));
        assert_eq!(attempts.take("a", 1_100), Ok(()));
        assert_eq!(attempts.take("a", 1_100), Err(100));
        attempts.give_back(&"a");
        assert_eq!(attempts.take("a", 1_100), Ok(()));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let mut attempts = Attempts::new(2, 100);
        assert_eq!(attempts.take("a", 1_000_000), Ok(()));
        assert_eq!(attempts.take("a", 5), Err(100));
        assert_eq!(attempts.take("a", 105), Err(100), "as if the bucket had just been emptied");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut attempts = Attempts::new(1, 1_000);
        for key in 0..ATTEMPTS_REMEMBERED_MAX * 3 {
            assert_eq!(attempts.take(key, 0), Ok(()));
        }
        assert!(attempts.young.len() + attempts.old.len() <= 2 * ATTEMPTS_REMEMBERED_MAX);
        assert_eq!(attempts.take(ATTEMPTS_REMEMBERED_MAX * 3 - 1, 0), Err(1_000), "the last ones are known");
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_address() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
