//! The tables of the router: connections, users and the conversations that connections hear.
//! A subscription is one entry in its conversation's list and one in its connection's; each holds
//! the other's place, so that fan-out walks one array and nothing is ever searched to be removed.
//!
//! Must not know: events, frames, who may hear what.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use chirrup_core::ids::{ConversationId, DeviceId, Seq, UserId};
use chirrup_core::visibility::Intervals;

use crate::sink::Sink;

/// Makes room for one more by a quarter instead of twice: these lists are many, and most stay small.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(1 + list.len() / 4);
    }
}

/// A vector with holes: indices stay, and are used again.
pub(super) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    fn insert(&mut self, item: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.items[index as usize] = Some(item);
            return index;
        }
        self.items.push(Some(item));
        (self.items.len() - 1) as u32
    }

    fn remove(&mut self, index: u32) -> Option<T> {
        let item = self.items.get_mut(index as usize)?.take();
        self.free.extend(item.is_some().then_some(index));
        item
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.items.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        self.items[index as usize].as_ref().expect("indices in the tables are of items that are there")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.items[index as usize].as_mut().expect("indices in the tables are of items that are there")
    }
}

/// A connection.
pub(super) struct Connected {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) id: u64,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    /// Place in the list of its user.
    at: u32,
    /// Pushed to in this batch, and not woken yet.
    pub(super) touched: bool,
    /// Has been told all conversations of its session.
    pub(super) listed: bool,
    /// Head of the user's own log, if the connection is behind in it; else 0.
    pub(super) own_behind: Seq,
    /// Heads of the conversations in which the connection is behind.
    pub(super) behind: BTreeMap<ConversationId, Seq>,
    hears: Vec<Hears>,
}

/// A subscription, from the connection's side.
struct Hears {
    room: u32,
    /// Place among the room's listeners.
    at: u32,
}

/// A conversation that somebody hears.
pub(super) struct Room {
    conversation: ConversationId,
    pub(super) listeners: Vec<Listener>,
}

/// A subscription, from the conversation's side.
pub(super) struct Listener {
    pub(super) connection: u32,
    /// Place in what the connection hears.
    at: u32,
    /// The event of the conversation that made the user what they are in it.
    pub(super) since: Seq,
    pub(super) visible: Arc<Intervals>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) connections: Slab<Connected>,
    pub(super) rooms: Slab<Room>,
    ids: HashMap<u64, u32>,
    users: HashMap<UserId, Vec<u32>>,
    conversations: HashMap<ConversationId, u32>,
    subscriptions: usize,
}

impl Table {
    /// Puts a connection; `false` if its id is there already.
    pub(super) fn insert(&mut self, id: u64, user: UserId, device: DeviceId, sink: Arc<dyn Sink>) -> bool {
        if self.ids.contains_key(&id) {
            return false;
        }
        let own = self.users.entry(user).or_insert_with(|| Vec::with_capacity(1));
        let connected = Connected {
            sink,
            id,
            user,
            device,
            at: own.len() as u32,
            touched: false,
            listed: false,
            own_behind: 0,
            behind: BTreeMap::new(),
            hears: Vec::new(),
        };
        let index = self.connections.insert(connected);
        own.push(index);
        self.ids.insert(id, index);
        true
    }

    /// Takes a connection out, with all that it hears.
    pub(super) fn remove(&mut self, index: u32) -> Option<Connected> {
        while let Some(hears) = self.connections.get_mut(index)?.hears.last() {
            let (room, at) = (hears.room, hears.at);
            self.unlink(room, at);
        }
        let gone = self.connections.remove(index)?;
        self.ids.remove(&gone.id);
        let own = self.users.get_mut(&gone.user)?;
        own.swap_remove(gone.at as usize);
        if let Some(moved) = own.get(gone.at as usize) {
            self.connections[*moved].at = gone.at;
        }
        if own.is_empty() {
            self.users.remove(&gone.user);
        }
        Some(gone)
    }

    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.ids.get(&id).copied()
    }

    /// The connections of a user.
    pub(super) fn of_user(&self, user: UserId) -> &[u32] {
        self.users.get(&user).map_or(&[], Vec::as_slice)
    }

    pub(super) fn room(&self, conversation: ConversationId) -> Option<u32> {
        self.conversations.get(&conversation).copied()
    }

    /// Makes room at once for so many more subscriptions of a connection.
    pub(super) fn reserve(&mut self, connection: u32, more: usize) {
        self.connections[connection].hears.reserve_exact(more);
    }

    /// Where a connection stands among the listeners of a room.
    pub(super) fn place(&self, connection: u32, room: u32) -> Option<u32> {
        let (hears, listeners) = (&self.connections[connection].hears, &self.rooms[room].listeners);
        if hears.len() < listeners.len() {
            hears.iter().find(|h| h.room == room).map(|h| h.at)
        } else {
            listeners.iter().position(|l| l.connection == connection).map(|at| at as u32)
        }
    }

    /// Lets a connection hear a conversation that it does not hear yet.
    pub(super) fn link(&mut self, connection: u32, conversation: ConversationId, since: Seq, visible: Arc<Intervals>) {
        let room =
            *self.conversations.entry(conversation).or_insert_with(|| self.rooms.insert(Room { conversation, listeners: Vec::new() }));
        let (hears, listeners) = (&mut self.connections[connection].hears, &mut self.rooms[room].listeners);
        let (of_connection, of_room) = (hears.len() as u32, listeners.len() as u32);
        grow(hears);
        grow(listeners);
        hears.push(Hears { room, at: of_room });
        listeners.push(Listener { connection, at: of_connection, since, visible });
        self.subscriptions += 1;
    }

    /// Ends the subscription at this place of a room.
    pub(super) fn unlink(&mut self, room: u32, at: u32) {
        let listeners = &mut self.rooms[room].listeners;
        let gone = listeners.swap_remove(at as usize);
        if let Some(moved) = listeners.get(at as usize) {
            self.connections[moved.connection].hears[moved.at as usize].at = at;
        }
        if self.rooms[room].listeners.is_empty()
            && let Some(empty) = self.rooms.remove(room)
        {
            self.conversations.remove(&empty.conversation);
        }
        let hears = &mut self.connections[gone.connection].hears;
        hears.swap_remove(gone.at as usize);
        if let Some(moved) = hears.get(gone.at as usize) {
            self.rooms[moved.room].listeners[moved.at as usize].at = gone.at;
        }
        self.subscriptions -= 1;
    }

    pub(super) fn connections(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Bytes that these tables hold, as allocated, without what sinks and intervals hold.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        use std::mem::size_of;
        /// Of a map's entry beyond its key and value: its control byte.
        const CONTROL: usize = 1;
        let connections = self.connections.items.capacity() * size_of::<Option<Connected>>();
        let hears: usize = self.connections.iter().map(|c| c.hears.capacity() * size_of::<Hears>()).sum();
        let rooms = self.rooms.items.capacity() * size_of::<Option<Room>>();
        let listeners: usize = self.rooms.iter().map(|r| r.listeners.capacity() * size_of::<Listener>()).sum();
        let users: usize = self.users.values().map(|own| own.capacity() * size_of::<u32>()).sum();
        let maps = self.ids.capacity() * (size_of::<(u64, u32)>() + CONTROL)
            + self.users.capacity() * (size_of::<(UserId, Vec<u32>)>() + CONTROL)
            + self.conversations.capacity() * (size_of::<(ConversationId, u32)>() + CONTROL);
        connections + hears + rooms + listeners + users + maps
    }
}
