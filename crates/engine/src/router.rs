//! Who is connected, and the fan-out of what became durable to those who may see it. A plain
//! machine for a lock to be put around: the thread that commits calls [`Router::publish`],
//! connections call the rest.
//!
//! What it promises to a connection, for its user's own log and for every conversation that it
//! hears: each event that is published is either pushed to its sink, in order, or the log is
//! *behind*, with its head at hand, until [`Router::take_behind`] or [`Router::heartbeat`] names
//! it; from then on pushes go on. So nothing is lost without being named (rules S-1, S-5, S-6).
//! What a connection must not see reaches it as a hidden event while it is a member, and not at all
//! afterwards.
//!
//! Whoever connects calls [`Router::connect`] first, then reads token, account and conversation
//! list, then calls [`Router::subscribe`]: what changes in between comes by `publish`, and the
//! later event wins whichever of the two is told first.
//!
//! Must not know: sockets, stores, clocks, how a cursor is written.

mod fanout;
mod frames;
mod heads;
mod moves;
mod table;
#[cfg(test)]
mod tests;
mod typing;

use std::sync::Arc;

use bytes::Bytes;
use chirrup_core::aggregate::AggregateId;
use chirrup_core::ids::{ConversationId, DeviceId, Seq, Time, UserId};
use chirrup_core::visibility::Intervals;
use chirrup_mutants::mutant;
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::RECEIPTS_MEMBERS_MAX;
use chirrup_protocol::push::{Head, PositionUpdated, Push, Reconnect, Typing};
use chirrup_store::offset::Offset;
use chirrup_store::record::PositionRow;

use crate::batch::Published;
use crate::recovery::Marks;
use crate::sink::Sink;
pub use frames::encode;
use heads::Heads;
pub use heads::RECENT_MAX;
pub use moves::MOVES_MAX;
use moves::{Move, Moves};
use table::{Connected, Table};
use typing::Throttle;
pub use typing::{TYPING_AGAIN_MS, TYPING_LISTENERS_MAX, TYPING_REMEMBERED_MAX};

/// A connection with a session.
pub struct Connection {
    /// Its own for ever.
    pub id: u64,
    /// Whose.
    pub user: UserId,
    /// By which login.
    pub device: DeviceId,
    /// Where its frames go.
    pub sink: Arc<dyn Sink>,
}

/// What a connection is to hear: a conversation that its user is a member of, as their list says.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Which.
    pub conversation: ConversationId,
    /// What the user may see of it.
    pub visible: Intervals,
    /// The event of the conversation that the list has this from.
    pub since: Seq,
}

/// What a heartbeat tells.
#[derive(Clone, Debug)]
pub struct Beat {
    /// All up to here was pushed to the connection's sink before, or is named in `behind`. None
    /// while pages of its session's conversations are still to come.
    pub marks: Option<Marks>,
    /// Logs of which less was pushed than there is.
    pub behind: Vec<Head>,
}

/// See the module.
pub struct Router {
    table: Table,
    heads: Heads,
    moves: Moves,
    typing: Throttle,
    /// Connections that were pushed to in this batch.
    touched: Vec<u32>,
    /// What most members see, shared by all of them.
    everything: Arc<Intervals>,
}

impl Router {
    /// Nobody is connected, and the shards are published up to `marks`: it remembers what changes
    /// from here on.
    pub fn new(marks: Marks) -> Self {
        Self {
            table: Table::default(),
            heads: Heads::new(marks, RECENT_MAX),
            moves: Moves::default(),
            typing: Throttle::default(),
            touched: Vec::new(),
            everything: Arc::new(Intervals::everything()),
        }
    }

    /// A session begins: from here on the connection gets its user's own log, and every
    /// conversation that the user becomes a member of. Another with a known id is not taken.
    pub fn connect(&mut self, connection: Connection) -> bool {
        self.table.insert(connection.id, connection.user, connection.device, connection.sink)
    }

    /// The connection hears these conversations from here on. What the router knows from a later
    /// event than `since` stands, be it another view or that the user is no member.
    pub fn subscribe(&mut self, connection: u64, subscriptions: Vec<Subscription>) {
        let Some(index) = self.table.find(connection) else { return };
        let user = self.table.connections[index].user;
        self.table.reserve(index, subscriptions.len());
        for Subscription { conversation, visible, since } in subscriptions {
            match self.moves.get(conversation, user).filter(|known| known.seq > since).cloned() {
                Some(Move { visible: None, .. }) => {}
                Some(Move { seq, visible: Some(visible) }) => self.hear(index, conversation, seq, visible),
                None => {
                    let visible = self.shared(visible);
                    self.hear(index, conversation, since, visible);
                }
            }
        }
    }

    /// The last page of its session's conversations was handed to the connection: from here on a
    /// heartbeat covers everything (S-3).
    pub fn listed(&mut self, connection: u64) {
        if let Some(index) = self.table.find(connection) {
            self.table.connections[index].listed = true;
        }
    }

    /// The connection is gone: nothing is pushed to it any more.
    pub fn disconnect(&mut self, connection: u64) {
        if let Some(index) = self.table.find(connection) {
            self.table.remove(index);
        }
    }

    /// Fans out what became durable, in order. Each connection is woken once, at the end.
    pub fn publish(&mut self, batch: &[Published]) {
        if mutant!(FanOutReordered) {
            return self.publish_each(batch.iter().rev());
        }
        self.publish_each(batch.iter());
    }

    fn publish_each<'a>(&mut self, events: impl Iterator<Item = &'a Published>) {
        for Published { aggregate, shard, offset, event } in events {
            match aggregate {
                AggregateId::Conversation(conversation) => {
                    self.heads.note(*conversation, event.seq(), *offset);
                    self.publish_conversation(*conversation, event);
                }
                AggregateId::User(user) => self.publish_user(*user, event),
                AggregateId::Name(_) | AggregateId::Server => {}
            }
            self.heads.mark(*shard, *offset);
        }
        for index in std::mem::take(&mut self.touched) {
            if let Some(connected) = self.table.connections.get_mut(index) {
                connected.touched = false;
                connected.sink.wake();
            }
        }
    }

    /// Hands out in which logs the connection is behind, its user's own first; from here on they
    /// are pushed again. To be called when the connection has written what waited for it.
    pub fn take_behind(&mut self, connection: u64) -> Vec<Head> {
        let Some(index) = self.table.find(connection) else { return Vec::new() };
        let connected = &mut self.table.connections[index];
        let own = std::mem::take(&mut connected.own_behind);
        let own = (own > 0).then_some(Head { conversation: None, head: own });
        let rest = std::mem::take(&mut connected.behind).into_iter();
        own.into_iter().chain(rest.map(|(conversation, head)| Head { conversation: Some(conversation), head })).collect()
    }

    /// What a heartbeat of the connection tells: see [`Beat`]. Its frame must be written behind
    /// all that was pushed before. None if the connection is not known.
    pub fn heartbeat(&mut self, connection: u64) -> Option<Beat> {
        let index = self.table.find(connection)?;
        let marks = self.table.connections[index].listed.then(|| *self.heads.marks());
        Some(Beat { marks, behind: self.take_behind(connection) })
    }

    /// Up to where each shard was published.
    pub fn marks(&self) -> &Marks {
        self.heads.marks()
    }

    /// From where on [`Router::recent`] knows every conversation that changed, by shard.
    pub fn floor(&self) -> &Marks {
        self.heads.floor()
    }

    /// The head of a conversation and the place in the feed of the event that made it. None if it
    /// has not changed since the floor.
    pub fn recent(&self, conversation: ConversationId) -> Option<(Seq, Offset)> {
        self.heads.get(conversation)
    }

    /// Tells the others in a conversation that the connection's user writes or has stopped. Lost
    /// where a queue is full; passed on only from who hears the conversation, and at most every
    /// [`TYPING_AGAIN_MS`] for each of the two (P-7).
    pub fn typing(&mut self, connection: u64, conversation: ConversationId, typing: bool, now_ms: Time) {
        let Some(index) = self.table.find(connection) else { return };
        let Some(room) = self.table.room(conversation) else { return };
        let user = self.table.connections[index].user;
        let crowd = self.table.rooms[room].listeners.len() > TYPING_LISTENERS_MAX;
        if crowd || self.table.place(index, room).is_none() || !self.typing.pass(conversation, user, typing, now_ms) {
            return;
        }
        self.tell(room, &Push::Typing(Typing { conversation, user, typing }), |other| other != user);
    }

    /// Tells that a member's positions have risen: to all in a conversation of up to
    /// [`RECEIPTS_MEMBERS_MAX`] members, in a larger one only to the member's own connections.
    /// Lost where a queue is full: positions can be asked for (P-3).
    pub fn position_updated(&mut self, conversation: ConversationId, user: UserId, position: PositionRow, members: u32) {
        let Some(room) = self.table.room(conversation) else { return };
        let update = PositionUpdated { conversation, user, read: position.read, delivered: position.delivered };
        self.tell(room, &Push::Position(update), |other| members <= RECEIPTS_MEMBERS_MAX || other == user);
    }

    /// Pushes a frame to one connection and wakes it; `false` if there is no such connection or
    /// no room, and then it is lost.
    pub fn push(&mut self, connection: u64, frame: Bytes) -> bool {
        let Some(index) = self.table.find(connection) else { return false };
        push(&self.table.connections[index], frame)
    }

    /// Tells every connection to come back after `least_ms` to `least_ms + spread_ms`, each after
    /// another time; `seed` is a random number.
    pub fn reconnect_all(&mut self, least_ms: u64, spread_ms: u64, seed: u64) {
        for connected in self.table.connections.iter() {
            let after_ms = least_ms + scatter(seed ^ connected.id) % (spread_ms + 1);
            push(connected, encode(&Push::Reconnect(Reconnect { after_ms })));
        }
    }

    /// Ends every connection with this error.
    pub fn close_all(&mut self, error: &Error) {
        let all: Vec<u64> = self.table.connections.iter().map(|c| c.id).collect();
        for id in all {
            if let Some(index) = self.table.find(id) {
                self.close(index, error);
            }
        }
    }

    /// Ends the connections of a device of a user.
    pub fn close_device(&mut self, user: UserId, device: DeviceId, error: &Error) {
        self.close_some(user, error, |connected| connected.device == device);
    }

    /// Whether a user has a connection.
    pub fn connected(&self, user: UserId) -> bool {
        !self.table.of_user(user).is_empty()
    }

    /// Whether a device of a user has a connection.
    pub fn device_connected(&self, user: UserId, device: DeviceId) -> bool {
        self.table.of_user(user).iter().any(|index| self.table.connections[*index].device == device)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.table.connections()
    }

    /// How many users are connected.
    pub fn users(&self) -> usize {
        self.table.users()
    }

    /// How many (connection, conversation) pairs are served.
    pub fn subscriptions(&self) -> usize {
        self.table.subscriptions()
    }

    fn shared(&self, visible: Intervals) -> Arc<Intervals> {
        if visible == *self.everything { Arc::clone(&self.everything) } else { Arc::new(visible) }
    }

    /// Pushes to those who hear a room and whose user is wanted. Lost where there is no room.
    fn tell(&self, room: u32, what: &Push, wanted: impl Fn(UserId) -> bool) {
        let mut frame: Option<Bytes> = None;
        for listener in &self.table.rooms[room].listeners {
            let connected = &self.table.connections[listener.connection];
            if wanted(connected.user) {
                push(connected, frame.get_or_insert_with(|| encode(what)).clone());
            }
        }
    }

    fn close_some(&mut self, user: UserId, error: &Error, which: impl Fn(&Connected) -> bool) {
        let own = self.table.of_user(user).iter().copied();
        let doomed: Vec<u32> = own.filter(|index| which(&self.table.connections[*index])).collect();
        for index in doomed {
            self.close(index, error);
        }
    }

    fn close(&mut self, index: u32, error: &Error) {
        if let Some(gone) = self.table.remove(index) {
            gone.sink.close(error.clone());
        }
    }
}

fn push(connected: &Connected, frame: Bytes) -> bool {
    let taken = connected.sink.push(frame);
    connected.sink.wake();
    taken
}

/// Spreads numbers evenly over all 64-bit numbers (the finaliser of `SplitMix64`; Steele, Lea and
/// Flood 2014).
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
