//! Answers of the last log-ins, for retries that come while, or just after, the first is
//! answered: all of them get the same token, instead of each voiding the one before.
//!
//! The answer is found by a hash of the whole request, password included, under a key that this
//! process made: who does not know the password does not find it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chirrup_core::hash::{Hash, Salt};
use chirrup_core::ids::Time;
use chirrup_protocol::reply::LoggedIn;

use crate::edge;
use crate::limits::{RECENT_LOGIN_MS, RECENT_LOGINS_MAX};

/// The answer to one request: empty until it is made. Whoever holds the lock makes it.
pub type Slot = Arc<tokio::sync::Mutex<Option<LoggedIn>>>;

/// Slots of the last requests.
#[derive(Debug)]
pub struct RecentLogins {
    salt: Salt,
    slots: Mutex<HashMap<Hash, (Time, Slot)>>,
}

impl Default for RecentLogins {
    fn default() -> Self {
        Self { salt: Salt(edge::random()), slots: Mutex::default() }
    }
}

impl RecentLogins {
    /// The slot of a request. `request` is all of it, secrets included.
    pub fn slot(&self, request: &[u8], now_ms: Time) -> Slot {
        let key = Hash::salted(&self.salt, request);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, slot)) = slots.get(&key)
            && now_ms < since + RECENT_LOGIN_MS
        {
            return Arc::clone(slot);
        }
        if slots.len() >= RECENT_LOGINS_MAX {
            slots.retain(|_, (since, _)| now_ms < *since + RECENT_LOGIN_MS);
        }
        let slot = Slot::default();
        if slots.len() < RECENT_LOGINS_MAX {
            slots.insert(key, (now_ms, Arc::clone(&slot)));
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_has_one_slot_for_a_while() {
        let recent = RecentLogins::default();
        let first = recent.slot(b"request", 10);
        assert!(Arc::ptr_eq(&first, &recent.slot(b"request", 10 + RECENT_LOGIN_MS - 1)));
        assert!(!Arc::ptr_eq(&first, &recent.slot(b"another", 10)));
        assert!(!Arc::ptr_eq(&first, &recent.slot(b"request", 10 + RECENT_LOGIN_MS)));
    }

    #[test]
    fn slots_are_bounded() {
        let recent = RecentLogins::default();
        for n in 0..RECENT_LOGINS_MAX * 2 {
            recent.slot(&n.to_le_bytes(), 10);
        }
        assert_eq!(recent.slots.lock().expect("whole").len(), RECENT_LOGINS_MAX);
        recent.slot(b"later", 10 + RECENT_LOGIN_MS);
        assert_eq!(recent.slots.lock().expect("whole").len(), 1, "old ones are gone");
    }
}
