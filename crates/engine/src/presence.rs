//! Bringing presence to those who watch, and what is to be stored of it. What presence is, is the
//! core's.
//!
//! Changes are told under the lock of the presence, then that of the router, in this order
//! everywhere: so everybody hears of changes in their order.

use bytes::Bytes;
use chirrup_core::presence::{Presence, Seen};
use chirrup_protocol::push::Push;
use chirrup_store::kv::Row;
use chirrup_store::{keys, record};

use crate::router::{Router, encode};

/// Pushes what has changed to those who watch. Where a queue is full it is told by
/// [`tell_missed`].
pub fn tell(presence: &mut Presence, router: &mut Router) {
    let mut last: Option<(Seen, Bytes)> = None;
    for change in presence.take_changes() {
        // All who watch a user follow each other: their frame is made once.
        let frame = match last.take() {
            Some((seen, frame)) if seen == change.seen => frame,
            _ => frame(change.seen),
        };
        if !router.push(change.connection, frame.clone()) {
            presence.missed(change.connection);
        }
        last = Some((change.seen, frame));
    }
}

/// Pushes how all that a connection watches is seen now, if a change did not reach it; to be
/// called when the connection has written what waited for it.
pub fn tell_missed(presence: &mut Presence, router: &mut Router, connection: u64) {
    for seen in presence.take_missed(connection) {
        if !router.push(connection, frame(seen)) {
            presence.missed(connection);
        }
    }
}

/// Rows of last active times; to be committed at most once a second, and then
/// [`Presence::activity_stored`] is called. None if there is nothing to store.
pub fn activity_rows(presence: &mut Presence) -> Vec<Row> {
    let row = |(user, time)| Row { key: keys::activity(user), value: Some(record::encode_time(time)), version: time };
    presence.take_activity().into_iter().map(row).collect()
}

fn frame(seen: Seen) -> Bytes {
    encode(&Push::Presence(seen.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chirrup_core::aggregate::SHARDS;
    use chirrup_core::ids::{DeviceId, UserId};
    use chirrup_protocol::error::Error;
    use chirrup_protocol::reply::{Presence as Told, Status};
    use chirrup_store::offset::Offset;

    use super::*;
    use crate::router::Connection;
    use crate::sink::Sink;

    /// Takes frames while it has room.
    struct Kept {
        room: Mutex<usize>,
        frames: Mutex<Vec<Bytes>>,
    }

    impl Sink for Kept {
        fn push(&self, frame: Bytes) -> bool {
            let mut room = self.room.lock().unwrap();
            let taken = *room > 0;
            if taken {
                *room -= 1;
                self.frames.lock().unwrap().push(frame);
            }
            taken
        }

        fn wake(&self) {}

        fn close(&self, _: Error) {}
    }

    impl Kept {
        fn told(&self) -> Vec<(UserId, Status)> {
            let frames = std::mem::take(&mut *self.frames.lock().unwrap());
            let told = |frame: &Bytes| match serde_json::from_slice(frame).unwrap() {
                Push::Presence(Told { user, status, .. }) => (user, status),
                other => panic!("{other:?}"),
            };
            frames.iter().map(told).collect()
        }
    }

    fn user(n: u8) -> UserId {
        UserId([n; 16])
    }

    #[test]
    fn p12_who_watches_is_told_and_what_was_lost_is_told_again() {
        let mut presence = Presence::new(0);
        let mut router = Router::new([Offset::default(); SHARDS as usize]);
        let watcher = |room| Arc::new(Kept { room: Mutex::new(room), frames: Mutex::default() });
        let (quick, slow) = (watcher(usize::MAX), watcher(0));
        for (id, sink) in [(1, &quick), (2, &slow)] {
            let (device, sink) = (DeviceId([0; 16]), Arc::clone(sink) as Arc<dyn Sink>);
            router.connect(Connection { id, user: user(id as u8), device, sink });
            presence.connect(id, user(id as u8), false, 1_000);
            presence.watch(id, &[user(7), user(8)], 1_000);
        }
        presence.connect(7, user(7), false, 2_000);
        presence.connect(8, user(8), false, 2_000);
        tell(&mut presence, &mut router);
        assert_eq!(quick.told(), [(user(7), Status::Online), (user(8), Status::Online)]);
        assert_eq!(slow.told(), []);

        presence.disconnect(8, 3_000);
        tell(&mut presence, &mut router);
        assert_eq!(quick.told(), [(user(8), Status::Offline)]);
        *slow.room.lock().unwrap() = 1;
        tell_missed(&mut presence, &mut router, 2);
        *slow.room.lock().unwrap() = usize::MAX;
        tell_missed(&mut presence, &mut router, 2);
        tell_missed(&mut presence, &mut router, 2);
        let all = [(user(7), Status::Online), (user(8), Status::Offline)];
        assert_eq!(slow.told(), [&all[..1], &all].concat());
        tell_missed(&mut presence, &mut router, 1);
        assert_eq!(quick.told(), []);
    }

    #[test]
    fn last_activity_is_a_row_that_only_grows() {
        let mut presence = Presence::new(0);
        presence.connect(1, user(1), false, 1_000);
        presence.idle(1, true, 2_000);
        let row = Row { key: keys::activity(user(1)), value: Some(record::encode_time(2_000)), version: 2_000 };
        assert_eq!(activity_rows(&mut presence), std::slice::from_ref(&row));
        presence.activity_stored(false);
        assert_eq!(activity_rows(&mut presence), [row]);
        presence.activity_stored(true);
        assert_eq!(activity_rows(&mut presence), []);
    }
}
