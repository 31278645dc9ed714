//! Who somebody is: passwords, tokens, and how often one may try.
//!
//! Must not know: connections, what a session may do.

pub mod attempts;
pub mod password;
pub mod recent;
pub mod token;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chirrup_core::ids::Time;
use chirrup_protocol::error::{Code, Error};

use crate::config;
use crate::limits::{ADDRESS_ATTEMPT_MS, NAME_ATTEMPT_MS, NAME_ATTEMPTS, SIGN_UP_MS};
use attempts::Attempts;
use password::Passwords;
use recent::RecentLogins;

/// Everything that signing up and logging in shares.
pub struct Auth {
    /// Hashing, in turn.
    pub passwords: Passwords,
    /// Answers for retries that come at the same time.
    pub recent: RecentLogins,
    names: Mutex<Attempts<String>>,
    addresses: Mutex<Attempts<IpAddr>>,
    sign_ups: Mutex<Attempts<IpAddr>>,
}

impl Auth {
    /// As configured.
    pub fn new(config: &config::Auth) -> Self {
        Self {
            passwords: Passwords::new(config.hashes_at_once),
            recent: RecentLogins::default(),
            names: Mutex::new(Attempts::new(NAME_ATTEMPTS, NAME_ATTEMPT_MS)),
            addresses: Mutex::new(Attempts::new(config.address_attempts, ADDRESS_ATTEMPT_MS)),
            sign_ups: Mutex::new(Attempts::new(config.address_sign_ups, SIGN_UP_MS)),
        }
    }

    /// Takes an attempt at a password, before it is looked at: so many at once count as many.
    /// `too_many` says when the next one is free.
    pub fn attempt(&self, folded_name: &str, address: IpAddr, now_ms: Time) -> Result<(), Error> {
        take(&self.addresses, attempts::network(address), now_ms)?;
        take(&self.names, folded_name.to_owned(), now_ms)
    }

    /// Gives an attempt back: the password was right, or nothing was learnt about it.
    pub fn forgive(&self, folded_name: &str, address: IpAddr) {
        lock(&self.addresses).give_back(&attempts::network(address));
        lock(&self.names).give_back(&folded_name.to_owned());
    }

    /// Takes a sign-up from an address.
    pub fn sign_up(&self, address: IpAddr, now_ms: Time) -> Result<(), Error> {
        take(&self.sign_ups, attempts::network(address), now_ms)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counts are right after a panic, too.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<K: std::hash::Hash + Eq>(attempts: &Mutex<Attempts<K>>, key: K, now_ms: Time) -> Result<(), Error> {
    lock(attempts)
        .take(key, now_ms)
        .map_err(|after_ms| Error::after(Code::TooMany, "there were too many attempts; wait before the next", after_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_limited_by_name_and_by_address() {
        let auth = Auth::new(&config::Auth { hashes_at_once: 1, address_attempts: 15, address_sign_ups: 1 });
        let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..NAME_ATTEMPTS {
            auth.attempt("ana", here, 1_000).expect("still free");
        }
        let error = auth.attempt("ana", there, 1_000).expect_err("the name has had its attempts");
        assert_eq!((error.code, error.after_ms), (Code::TooMany, Some(NAME_ATTEMPT_MS)));
        auth.attempt("ana", there, 1_000 + NAME_ATTEMPT_MS).expect("one was earned");
        for n in 0..5 {
            auth.attempt(&format!("name{n}"), here, 1_000).expect("other names are free");
        }
        let error = auth.attempt("another", here, 1_000).expect_err("the address has had its attempts");
        assert_eq!(error.after_ms, Some(ADDRESS_ATTEMPT_MS));
        auth.forgive("name0", here);
        auth.attempt("another", here, 1_000).expect("one was given back");
    }

    #[test]
    fn sign_ups_are_limited_by_address() {
        let auth = Auth::new(&config::Auth { hashes_at_once: 1, address_attempts: 1, address_sign_ups: 1 });
        let here = [192, 0, 2, 1].into();
        auth.sign_up(here, 5).expect("free");
        assert_eq!(auth.sign_up(here, 5).expect_err("one was all").after_ms, Some(SIGN_UP_MS));
        auth.sign_up(here, 5 + SIGN_UP_MS).expect("earned");
    }
}
