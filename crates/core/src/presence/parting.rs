//! The end of an acquaintance: who no longer shares a conversation with somebody watches them no
//! longer (rules P-6, P16).
//!
//! Must not know who shares what. When a membership ends, the pairs of watcher and watched that may
//! have stood on it are handed out as a [`Doubt`]; whoever can read the conversations says which of
//! them are strangers, while presence goes on.

use std::collections::BTreeSet;

use super::{Change, Presence, Seen, of};
use crate::ids::UserId;

/// Somebody, and all who watch them or are watched by them: do they still share a conversation?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who.
    pub user: UserId,
    /// With whom; each once, in order.
    pub others: Vec<UserId>,
    /// What was asked for by a later `watch` is not meant.
    watch: u64,
}

impl Presence {
    /// A membership of this user has ended. Whether that puts anything in doubt.
    pub fn membership_ended(&mut self, user: UserId) -> bool {
        self.memberships_ended += 1;
        self.doubt(user)
    }

    /// How many memberships have ended. Whoever finds out whom somebody may watch asks before and
    /// after; if it has risen in between, [`Presence::doubt`] has it found out again.
    pub fn memberships_ended(&self) -> u64 {
        self.memberships_ended
    }

    /// Puts in doubt whether a user still shares a conversation with those whom they watch, and
    /// who watch them. `false` if there is nobody.
    pub fn doubt(&mut self, user: UserId) -> bool {
        let paired = of(&self.watchers, user).chain(of(&self.watching, user)).next().is_some();
        if paired {
            self.doubted.insert(user);
        }
        paired
    }

    /// Somebody to be looked at; [`Presence::part`] is to be called with what was found.
    pub fn take_doubt(&mut self) -> Option<Doubt> {
        while let Some(user) = self.doubted.pop_first() {
            let watch = self.watches;
            let watching = of(&self.watchers, user).filter_map(|id| self.connections.get(&id)).map(|known| known.user);
            let watched = of(&self.watching, user).filter_map(|id| Some((id, self.connections.get(&id)?)));
            let watched = watched.flat_map(|(id, known)| known.watched.iter().map(move |other| (*other, id)));
            let watched = watched.filter(|pair| self.watchers.contains(pair)).map(|(other, _)| other);
            let mut others: BTreeSet<UserId> = watching.chain(watched).collect();
            others.remove(&user);
            if !others.is_empty() {
                return Some(Doubt { user, others: others.into_iter().collect(), watch });
            }
        }
        None
    }

    /// Those of a doubt who share no conversation with its user: each watcher sees the other
    /// offline, and nothing more until the next `watch`.
    pub fn part(&mut self, doubt: &Doubt, strangers: &[UserId]) {
        for stranger in strangers {
            for (watcher, watched) in [(doubt.user, *stranger), (*stranger, doubt.user)] {
                for connection in of(&self.watching, watcher) {
                    let meant = self.connections.get(&connection).is_some_and(|known| known.watch <= doubt.watch);
                    if meant && self.watchers.remove(&(watched, connection)) {
                        self.changes.push(Change { connection, seen: Seen::stranger(watched) });
                    }
                }
            }
        }
    }
}
