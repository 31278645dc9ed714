//! Profiles at hand: a page of members names up to 1,000 users, whose logs would all be asked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chirrup_core::ids::UserId;
use chirrup_protocol::reply::User;

/// Profiles in one of the two generations of the cache.
const GENERATION_MAX: usize = 8_192;

/// Keeps the profiles that were asked for last: between [`GENERATION_MAX`] and twice as many.
#[derive(Default)]
pub(super) struct Profiles {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    young: HashMap<UserId, User>,
    old: HashMap<UserId, User>,
    /// Profiles that changed, ever.
    changes: u64,
}

/// Given before a profile is read, and asked back when it is kept: what changed in between may
/// not be what was read.
#[derive(Clone, Copy)]
pub(super) struct Ticket(u64);

impl Profiles {
    /// A profile at hand, or the leave to bring one.
    pub(super) fn get(&self, user: UserId) -> Result<User, Ticket> {
        let mut inner = self.lock();
        if let Some(profile) = inner.young.get(&user) {
            return Ok(profile.clone());
        }
        match inner.old.remove(&user) {
            Some(profile) => {
                inner.keep(profile.clone());
                Ok(profile)
            }
            None => Err(Ticket(inner.changes)),
        }
    }

    /// Keeps a profile that was read with this leave.
    pub(super) fn keep(&self, ticket: Ticket, profile: User) {
        let mut inner = self.lock();
        if inner.changes == ticket.0 {
            inner.keep(profile);
        }
    }

    /// The profile is another now.
    pub(super) fn forget(&self, user: UserId) {
        let mut inner = self.lock();
        inner.changes += 1;
        inner.young.remove(&user);
        inner.old.remove(&user);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, profile: User) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(profile.user, profile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(n: u32) -> User {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        User { user: UserId(id), name: n.to_string(), display_name: n.to_string(), disabled: false }
    }

    #[test]
    fn a_profile_read_before_a_change_is_not_kept() {
        let profiles = Profiles::default();
        let one = profile(1);
        let ticket = profiles.get(one.user).unwrap_err();
        profiles.forget(one.user);
        profiles.keep(ticket, one.clone());
        let ticket = profiles.get(one.user).expect_err("was read too early");
        profiles.keep(ticket, one.clone());
        assert_eq!(profiles.get(one.user).ok(), Some(one.clone()));
        profiles.forget(one.user);
        assert!(profiles.get(one.user).is_err());
    }

    #[test]
    fn those_asked_for_stay_and_the_number_is_bounded() {
        let profiles = Profiles::default();
        for n in 0..5 * GENERATION_MAX as u32 {
            let one = profile(n);
            let Err(ticket) = profiles.get(one.user) else { panic!("asked for the first time") };
            profiles.keep(ticket, one);
            assert!(profiles.get(profile(0).user).is_ok(), "asked for all the time");
        }
        let inner = profiles.lock();
        assert!(inner.young.len() + inner.old.len() <= 2 * GENERATION_MAX);
    }
}
