//! What all devices of a workload know together: users, conversations, recent messages, and what is
//! not settled. Bounded.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::history::{Act, Name, Seq};
use crate::random::Random;

/// Messages of a conversation that are answered, edited and deleted: its last ones.
const RECENT_MAX: usize = 48;
/// Messages of a conversation that others send under the same id.
const BORROWED_MAX: usize = 8;
/// Changes of a user that wait to be sent again; older ones are given up.
const UNSETTLED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) users: Vec<Name>,
    rooms: Mutex<Vec<Arc<Room>>>,
    /// So many conversations there may be; further ones are not begun.
    rooms_max: usize,
    /// By user: what nobody knows the outcome of.
    unsettled: Vec<Mutex<VecDeque<Act>>>,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: Name,
    pub(super) direct: bool,
    pub(super) owner: Name,
    state: Mutex<RoomState>,
}

#[derive(Debug)]
struct RoomState {
    recent: VecDeque<Sent>,
    members: BTreeSet<Name>,
    /// The last messages, as they were sent.
    acts: VecDeque<(Name, Act)>,
}

/// A message that was acked.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) seq: Seq,
    pub(super) author: Name,
    /// Whether it is a reply in a thread.
    pub(super) in_thread: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is left half by a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(users: Vec<Name>, rooms: Vec<Room>, rooms_max: usize) -> Self {
        let unsettled = users.iter().map(|_| Mutex::default()).collect();
        Self { users, rooms: Mutex::new(rooms.into_iter().map(Arc::new).collect()), rooms_max, unsettled }
    }

    /// All conversations.
    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        lock(&self.rooms).clone()
    }

    /// Whether one more conversation may begin.
    pub(super) fn has_room_for_more(&self) -> bool {
        lock(&self.rooms).len() < self.rooms_max
    }

    /// A conversation of which this user is a member, as far as anybody knows.
    pub(super) fn room_of(&self, user: &Name, random: &mut Random) -> Option<Arc<Room>> {
        let rooms: Vec<Arc<Room>> = self.rooms().into_iter().filter(|room| room.is_member(user)).collect();
        random.of(&rooms).cloned()
    }

    /// Enters a group that was begun.
    pub(super) fn began(&self, owner: &Name, act: &Act, id: Name) {
        let Act::CreateGroup { members, .. } = act else { return };
        let mut rooms = lock(&self.rooms);
        if rooms.iter().all(|room| room.id != id) {
            let members = std::iter::once(owner).chain(members).cloned().collect();
            rooms.push(Arc::new(Room::new(id, false, owner.clone(), members)));
        }
    }

    /// Keeps a change of a user that is to be sent again.
    pub(super) fn not_settled(&self, user: usize, act: Act) {
        let mut unsettled = lock(&self.unsettled[user]);
        if unsettled.len() == UNSETTLED_MAX {
            unsettled.pop_front();
        }
        unsettled.push_back(act);
    }

    /// A change that is to be sent again, if there is one.
    pub(super) fn unsettled(&self, user: usize) -> Option<Act> {
        lock(&self.unsettled[user]).pop_front()
    }

    /// Enters what was acked.
    pub(super) fn acked(&self, author: &Name, act: &Act, seq: Seq) {
        let Some(room) = act.conversation().and_then(|id| self.rooms().into_iter().find(|room| room.id == *id)) else { return };
        let mut state = lock(&room.state);
        match act {
            Act::Send { thread, .. } => {
                if state.recent.len() == RECENT_MAX {
                    state.recent.pop_front();
                }
                state.recent.push_back(Sent { seq, author: author.clone(), in_thread: thread.is_some() });
                if state.acts.len() == BORROWED_MAX {
                    state.acts.pop_front();
                }
                state.acts.push_back((author.clone(), act.clone()));
            }
            Act::Delete { target, .. } => state.recent.retain(|sent| sent.seq != *target),
            Act::AddMember { user, .. } => {
                state.members.insert(user.clone());
            }
            Act::RemoveMember { user, .. } => {
                state.members.remove(user);
            }
            _ => {}
        }
    }
}

impl Room {
    pub(super) fn new(id: Name, direct: bool, owner: Name, members: Vec<Name>) -> Self {
        let state = RoomState { recent: VecDeque::new(), members: members.into_iter().collect(), acts: VecDeque::new() };
        Self { id, direct, owner, state: Mutex::new(state) }
    }

    /// One of the last messages that fit.
    pub(super) fn recent(&self, random: &mut Random, fits: impl Fn(&Sent) -> bool) -> Option<Sent> {
        let state = lock(&self.state);
        let fitting: Vec<&Sent> = state.recent.iter().filter(|sent| fits(sent)).collect();
        random.of(&fitting).map(|sent| (*sent).clone())
    }

    /// What somebody else sent, to be sent by this user as well: with the same id.
    pub(super) fn borrowed(&self, user: &Name, random: &mut Random) -> Option<Act> {
        let state = lock(&self.state);
        let of_others: Vec<&Act> = state.acts.iter().filter(|(author, _)| author != user).map(|(_, act)| act).collect();
        random.of(&of_others).map(|act| (*act).clone())
    }

    /// The last message.
    pub(super) fn last(&self) -> Option<Seq> {
        lock(&self.state).recent.back().map(|sent| sent.seq)
    }

    pub(super) fn is_member(&self, user: &Name) -> bool {
        lock(&self.state).members.contains(user)
    }
}

/// Ids that are unlike those of any other device and seed, in the form of UUIDs.
#[derive(Debug)]
pub(super) struct Keys {
    seed: u64,
    device: usize,
    next: u64,
}

impl Keys {
    pub(super) fn new(seed: u64, device: usize) -> Self {
        Self { seed, device, next: 0 }
    }

    pub(super) fn next(&mut self) -> String {
        self.next += 1;
        let (seed, device) = (self.seed, self.device);
        format!("{:08x}-{:04x}-7{:03x}-b{:03x}-{:012x}", seed as u32, device, (seed >> 32) & 0xfff, (seed >> 44) & 0xfff, self.next)
    }

    /// What no other message says.
    pub(super) fn token(&self) -> String {
        format!("{:x}/{}/{}", self.seed, self.device, self.next)
    }

    pub(super) fn device(&self) -> usize {
        self.device
    }
}
