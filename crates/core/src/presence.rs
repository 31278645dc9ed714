//! Presence: who is online, away or offline (rule P-5), told to those who watch
//! (P-6). A pure machine: time is handed in, and every call first does what has become due. The
//! cost of a change is counted in watchers, never in members.
//!
//! Must not know: clocks, sockets, stores, who shares a conversation with whom. The caller only
//! watches users whom the watcher may see, and tells when that may have ended (`parting`).

mod parting;

use std::collections::{BTreeSet, HashMap};

use crate::ids::{Time, UserId};
pub use parting::Doubt;

/// Last active times that may wait to be stored while the store takes none; further ones are
/// dropped, and what the store has stays.
pub const ACTIVITY_WAITING_MAX: usize = 100_000;

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A connection that is neither idle nor in the background lives.
    Online,
    /// All connections that are not in the background are idle.
    Away,
    /// None lives, and the grace after the last has passed.
    Offline,
}

/// How somebody is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub user: UserId,
    /// How.
    pub status: Status,
    /// The last moment at which a connection in the foreground was not idle; none while online,
    /// and for who is offline if the machine does not remember it: then the store knows.
    pub last_active: Option<Time>,
}

impl Seen {
    /// How somebody is seen with whom one shares no conversation.
    pub fn stranger(user: UserId) -> Self {
        Self { user, status: Status::Offline, last_active: None }
    }
}

/// Something that a watching connection is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom to tell.
    pub connection: u64,
    /// What.
    pub seen: Seen,
}

#[derive(Debug)]
struct Connection {
    user: UserId,
    background: bool,
    idle: bool,
    /// A change did not reach it.
    missed: bool,
    /// As asked for; those who have become strangers since are not among the `watchers`.
    watched: Box<[UserId]>,
    /// The number of the `watch` that asked for them.
    watch: u64,
}

/// Somebody with a connection in the foreground, or within the grace after the last.
#[derive(Debug)]
struct Person {
    /// Connections in the foreground, and those of them that are not idle.
    open: u32,
    active: u32,
    /// As told to watchers: within the grace, as before it.
    status: Status,
    /// Since when no connection is active; none while one is.
    last_active: Option<Time>,
    /// While nothing is open: when the grace ends, in elapsed milliseconds.
    leaves: u64,
}

/// The time that has passed, whatever the clock does: a clock that is set back stands still for
/// a moment, so that no grace lasts longer by it.
#[derive(Debug, Default)]
struct Elapsed {
    last: Time,
    ms: u64,
}

impl Elapsed {
    fn advance(&mut self, now: Time) -> u64 {
        if self.last > 0 {
            self.ms += now.saturating_sub(self.last);
        }
        self.last = now;
        self.ms
    }
}

/// Presence of all users with connections here.
#[derive(Debug)]
pub struct Presence {
    grace_ms: u64,
    elapsed: Elapsed,
    connections: HashMap<u64, Connection>,
    people: HashMap<UserId, Person>,
    /// (watched, watching connection).
    watchers: BTreeSet<(UserId, u64)>,
    /// (watching user, watching connection).
    watching: BTreeSet<(UserId, u64)>,
    /// Calls of [`Presence::watch`].
    watches: u64,
    /// Memberships that ended, and users of whom it is in doubt whether they still share a
    /// conversation with those who watch them and those whom they watch.
    memberships_ended: u64,
    doubted: BTreeSet<UserId>,
    /// Ends of graces, in elapsed milliseconds.
    due: BTreeSet<(u64, UserId)>,
    /// Last active times to store, and those that are being stored.
    activity: HashMap<UserId, Time>,
    storing: HashMap<UserId, Time>,
    changes: Vec<Change>,
}

impl Presence {
    /// Nobody is there. Who closes their last connection goes offline `grace_ms` later.
    pub fn new(grace_ms: u64) -> Self {
        Self {
            grace_ms,
            elapsed: Elapsed::default(),
            connections: HashMap::new(),
            people: HashMap::new(),
            watchers: BTreeSet::new(),
            watching: BTreeSet::new(),
            watches: 0,
            memberships_ended: 0,
            doubted: BTreeSet::new(),
            due: BTreeSet::new(),
            activity: HashMap::new(),
            storing: HashMap::new(),
            changes: Vec::new(),
        }
    }

    /// A connection of a user began; one in the background does not make them online. Ids of
    /// connections are never reused; one that is known already changes nothing.
    pub fn connect(&mut self, connection: u64, user: UserId, background: bool, now_ms: Time) {
        self.tick(now_ms);
        if self.connections.contains_key(&connection) {
            return;
        }
        let new = Connection { user, background, idle: false, missed: false, watched: Box::default(), watch: 0 };
        self.connections.insert(connection, new);
        if background {
            return;
        }
        let nobody = Person { open: 0, active: 0, status: Status::Offline, last_active: Some(now_ms), leaves: 0 };
        let person = self.people.entry(user).or_insert(nobody);
        if person.open == 0 {
            self.due.remove(&(person.leaves, user));
        }
        person.open += 1;
        person.active += 1;
        self.settle(user, now_ms);
    }

    /// A connection ended.
    pub fn disconnect(&mut self, connection: u64, now_ms: Time) {
        self.tick(now_ms);
        let Some(gone) = self.connections.remove(&connection) else { return };
        for watched in &gone.watched {
            self.watchers.remove(&(*watched, connection));
        }
        self.watching.remove(&(gone.user, connection));
        if gone.background {
            return;
        }
        let leaves = self.elapsed.ms + self.grace_ms;
        if let Some(person) = self.people.get_mut(&gone.user) {
            person.open -= 1;
            person.active -= u32::from(!gone.idle);
            if person.open == 0 {
                person.leaves = leaves;
                self.due.insert((leaves, gone.user));
            }
        }
        self.settle(gone.user, now_ms);
        self.tick(now_ms);
    }

    /// A connection says whether its user sits idle.
    pub fn idle(&mut self, connection: u64, idle: bool, now_ms: Time) {
        self.tick(now_ms);
        let Some(known) = self.connections.get_mut(&connection) else { return };
        if known.idle == idle {
            return;
        }
        known.idle = idle;
        let (user, background) = (known.user, known.background);
        if background {
            return;
        }
        if let Some(person) = self.people.get_mut(&user) {
            if idle {
                person.active -= 1;
            } else {
                person.active += 1;
            }
        }
        self.settle(user, now_ms);
    }

    /// A connection watches these users from now on, instead of those before. How each is seen
    /// now, in the order asked; later changes come by [`Presence::take_changes`].
    pub fn watch(&mut self, connection: u64, users: &[UserId], now_ms: Time) -> Vec<Seen> {
        self.tick(now_ms);
        if let Some(known) = self.connections.get_mut(&connection) {
            self.watches += 1;
            (known.missed, known.watch) = (false, self.watches);
            for watched in std::mem::replace(&mut known.watched, users.into()) {
                self.watchers.remove(&(watched, connection));
            }
            self.watchers.extend(users.iter().map(|user| (*user, connection)));
            self.watching.insert((known.user, connection));
        }
        users.iter().map(|user| self.seen(*user)).collect()
    }

    /// Does what has become due: ends graces.
    pub fn tick(&mut self, now_ms: Time) {
        let elapsed = self.elapsed.advance(now_ms);
        while let Some((due, user)) = self.due.first().copied().filter(|(due, _)| *due <= elapsed) {
            self.due.remove(&(due, user));
            if let Some(person) = self.people.remove(&user) {
                self.tell(Seen { user, status: Status::Offline, last_active: person.last_active });
            }
        }
    }

    /// How a user is seen, as of the last call that was given a time.
    pub fn seen(&self, user: UserId) -> Seen {
        if let Some(person) = self.people.get(&user) {
            let last_active = person.last_active.filter(|_| person.status != Status::Online);
            return Seen { user, status: person.status, last_active };
        }
        let last_active = self.activity.get(&user).or_else(|| self.storing.get(&user)).copied();
        Seen { user, status: Status::Offline, last_active }
    }

    /// What is to be told to whom, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A change did not reach a watching connection: all that it watches is told again by
    /// [`Presence::take_missed`].
    pub fn missed(&mut self, connection: u64) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.missed = true;
        }
    }

    /// How all that a connection watches is seen now, if it missed a change; nothing otherwise.
    pub fn take_missed(&mut self, connection: u64) -> Vec<Seen> {
        let Some(known) = self.connections.get_mut(&connection) else { return Vec::new() };
        if !std::mem::take(&mut known.missed) {
            return Vec::new();
        }
        let watched = known.watched.clone();
        let seen = |user| if self.watchers.contains(&(user, connection)) { self.seen(user) } else { Seen::stranger(user) };
        watched.iter().map(|user| seen(*user)).collect()
    }

    /// Last active times to store, each user once; to be asked for at most once a second. Empty
    /// until [`Presence::activity_stored`] has told of those before.
    pub fn take_activity(&mut self) -> Vec<(UserId, Time)> {
        if !self.storing.is_empty() {
            return Vec::new();
        }
        self.storing = std::mem::take(&mut self.activity);
        let mut taken: Vec<_> = self.storing.iter().map(|(user, time)| (*user, *time)).collect();
        taken.sort_unstable();
        taken
    }

    /// What [`Presence::take_activity`] gave is durable, or is to be given again.
    pub fn activity_stored(&mut self, durable: bool) {
        for (user, time) in std::mem::take(&mut self.storing) {
            if !durable && self.activity.len() < ACTIVITY_WAITING_MAX {
                self.activity.entry(user).or_insert(time);
            }
        }
    }

    /// Brings somebody's status to what their connections say, and tells of it.
    fn settle(&mut self, user: UserId, now_ms: Time) {
        let Some(person) = self.people.get_mut(&user) else { return };
        let before = person.status;
        person.status = match (person.active, person.open) {
            (1.., _) => Status::Online,
            (0, 1..) => Status::Away,
            // The grace: as before.
            (0, 0) => before,
        };
        let told = person.status != before;
        let active = person.active > 0;
        if active != person.last_active.is_none() {
            person.last_active = (!active).then_some(now_ms);
            if self.activity.len() < ACTIVITY_WAITING_MAX || self.activity.contains_key(&user) {
                self.activity.insert(user, now_ms);
            }
        }
        if told {
            self.tell(self.seen(user));
        }
    }

    fn tell(&mut self, seen: Seen) {
        let watching = of(&self.watchers, seen.user);
        self.changes.extend(watching.map(|connection| Change { connection, seen }));
    }
}

/// The connections beside this user.
fn of(pairs: &BTreeSet<(UserId, u64)>, user: UserId) -> impl Iterator<Item = u64> + '_ {
    pairs.range((user, 0)..=(user, u64::MAX)).map(|(_, connection)| *connection)
}

#[cfg(test)]
mod tests;
