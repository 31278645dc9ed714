//! The rules of the router one by one; all of them over random histories in `histories`.

mod histories;
mod support;

use chirrup_core::event::{Fact, History};
use chirrup_protocol::error::Code;
use chirrup_protocol::event::Kind;
use chirrup_protocol::limits::RECEIPTS_MEMBERS_MAX;
use support::{Bench, START, TestSink, conversation, created, device, edited, message, user};

use super::*;

/// The seqs of a conversation's events among these pushes, whole ones positive.
fn seqs(pushes: &[Push]) -> Vec<i64> {
    let events = pushes.iter().filter_map(|push| match push {
        Push::Event(log) => Some(&log.event),
        _ => None,
    });
    events.map(|event| if event.kind == Kind::Hidden { -event.seq.cast_signed() } else { event.seq.cast_signed() }).collect()
}

fn open_from(from: Seq) -> Intervals {
    let mut visible = Intervals::default();
    visible.open(from, 0);
    visible
}

fn added(who: u8, visible: Intervals) -> Fact {
    Fact::MemberAdded { user: user(who), role: chirrup_core::event::Role::Member, visible }
}

fn removed(who: u8, visible: Intervals) -> Fact {
    Fact::MemberRemoved { user: user(who), role: chirrup_core::event::Role::Member, visible }
}

fn closed(from: Seq, until: Seq) -> Intervals {
    let mut visible = open_from(from);
    visible.close(until, 0);
    visible
}

#[test]
fn a_batch_reaches_all_in_order_and_wakes_each_once() {
    let mut bench = Bench::new();
    let (a, b) = (bench.connect(1, 1), bench.connect(2, 2));
    bench.publish(1, vec![created(&[1, 2], History::Full), message(), message()]);
    assert_eq!(seqs(&a.pushes()), [1, 2, 3]);
    assert_eq!(a.frames(), b.frames());
    assert_eq!((a.wakes(), b.wakes()), (1, 1));
    assert!(a.frames().iter().zip(b.frames()).all(|(one, other)| one.as_ptr() == other.as_ptr()), "encoded once");
}

#[test]
fn who_came_later_sees_changes_of_earlier_messages_as_hidden() {
    let mut bench = Bench::new();
    let (old, new) = (bench.connect(1, 1), bench.connect(2, 2));
    bench.publish(1, vec![created(&[1], History::FromJoin), message(), added(2, open_from(3)), edited(2), message(), edited(5)]);
    assert_eq!(seqs(&old.pushes()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&new.pushes()), [3, -4, 5, 6]);
    assert_eq!(
        new.frames()[1],
        r#"{"push":"event","data":{"conversation":"c_01040g2081040g2081040g2081","event":{"seq":4,"type":"hidden"}}}"#
    );
}

#[test]
fn p16_who_is_removed_hears_of_it_and_of_nothing_after() {
    let mut bench = Bench::new();
    let (stays, keeps, loses) = (bench.connect(1, 1), bench.connect(2, 2), bench.connect(3, 3));
    let facts = vec![created(&[1, 2, 3], History::Full), removed(2, closed(1, 2)), message(), removed(3, Intervals::default()), message()];
    bench.publish(1, facts);
    assert_eq!(seqs(&stays.pushes()), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&keeps.pushes()), [1, 2]);
    assert_eq!(seqs(&loses.pushes()), [1, 2, 3]);
    assert_eq!(bench.router.subscriptions(), 1);
}

#[test]
fn p16_a_list_that_does_not_know_of_the_removal_subscribes_nothing() {
    let mut bench = Bench::new();
    bench.publish(1, vec![created(&[1, 2], History::Full), removed(2, closed(1, 2))]);
    let former = bench.connect(2, 2);
    bench.subscribe(2, 1, Intervals::everything(), 1);
    bench.publish(1, vec![message()]);
    assert_eq!(seqs(&former.pushes()), [0_i64; 0]);

    // Added again, and the list still knows only of the first time.
    bench.publish(1, vec![added(2, open_from(4)), edited(3)]);
    assert_eq!(seqs(&former.pushes()), [4, -5]);
    let again = bench.connect(3, 2);
    bench.subscribe(3, 1, Intervals::everything(), 1);
    bench.publish(1, vec![edited(3)]);
    assert_eq!(seqs(&again.pushes()), [-6]);
}

#[test]
fn a_late_added_does_not_undo_a_removed() {
    let mut bench = Bench::new();
    let sink = bench.connect(2, 2);
    bench.publish(1, vec![created(&[1, 2], History::Full), removed(2, closed(1, 2))]);
    let visible = Intervals::everything();
    bench.publish_user(2, vec![Fact::ConversationAdded { conversation: conversation(1), visible, source: (1, 1) }]);
    bench.publish(1, vec![message()]);
    assert_eq!(seqs(&sink.pushes()), [1, 2, 1]);
}

#[test]
fn who_connects_before_the_list_knows_is_subscribed_by_the_list() {
    let mut bench = Bench::new();
    bench.publish(1, vec![created(&[1, 2], History::Full)]);
    let sink = bench.connect(2, 2);
    let visible = Intervals::everything();
    bench.publish_user(2, vec![Fact::ConversationAdded { conversation: conversation(1), visible, source: (1, 1) }]);
    bench.publish(1, vec![message()]);
    let visible = closed(1, 3);
    bench.publish_user(2, vec![Fact::ConversationRemoved { conversation: conversation(1), visible, source: (3, 0) }]);
    bench.publish(1, vec![message()]);
    assert_eq!(seqs(&sink.pushes()), [1, 2, 2]);
}

/// A router that has begun after the events that it is told of by lists and their effects.
#[test]
fn the_later_event_wins_whatever_the_router_saw_of_it() {
    let mut bench = Bench::new();
    bench.publish(1, vec![message(), message(), message()]);
    let sink = bench.connect(2, 2);
    bench.subscribe(2, 1, Intervals::everything(), 1);
    bench.subscribe(2, 1, open_from(3), 3);
    bench.subscribe(2, 1, Intervals::everything(), 1);
    bench.publish(1, vec![edited(1)]);
    let source = (2, 0);
    bench.publish_user(2, vec![Fact::ConversationRemoved { conversation: conversation(1), visible: closed(1, 2), source }]);
    bench.publish(1, vec![edited(3)]);
    assert_eq!(seqs(&sink.pushes()), [-4, 1, 5]);
}

#[test]
fn p16_a_revoked_device_is_closed_and_the_others_hear_of_it() {
    let mut bench = Bench::new();
    let (first, second) = (bench.connect(1, 1), bench.connect(2, 1));
    bench.publish_user(1, vec![Fact::DeviceRevoked { device: device(1) }]);
    assert_eq!(first.closed().map(|e| e.code), Some(Code::TokenInvalid));
    assert_eq!(second.closed(), None);
    assert_eq!((seqs(&first.pushes()), seqs(&second.pushes())), (vec![], vec![1]));
    assert!(!bench.router.device_connected(user(1), device(1)) && bench.router.device_connected(user(1), device(2)));

    bench.publish_user(1, vec![Fact::DisabledChanged { disabled: true }]);
    assert_eq!(second.closed().map(|e| e.code), Some(Code::AccountDisabled));
    assert_eq!(seqs(&second.pushes()), [1]);
    assert!(!bench.router.connected(user(1)));
}

#[test]
fn a_slow_reader_is_told_where_it_is_behind_and_then_hears_on() {
    let mut bench = Bench::new();
    let slow = bench.connect(1, 1);
    slow.make_room(2);
    bench.publish(1, vec![created(&[1], History::Full), message(), message()]);
    bench.publish_user(1, vec![Fact::ProfileUpdated]);
    slow.make_room(10);
    bench.publish(1, vec![message()]);
    bench.publish_user(1, vec![Fact::ProfileUpdated]);
    assert_eq!(seqs(&slow.pushes()), [1, 2], "a log that is behind is not pushed");
    let behind = [Head { conversation: None, head: 2 }, Head { conversation: Some(conversation(1)), head: 4 }];
    assert_eq!(bench.router.take_behind(1), behind);
    assert_eq!(bench.router.take_behind(1), []);
    bench.publish(1, vec![message()]);
    assert_eq!(seqs(&slow.pushes()), [1, 2, 5]);
}

#[test]
fn a_heartbeat_names_what_was_not_pushed_up_to_its_marks() {
    let mut bench = Bench::new();
    let slow = bench.connect(1, 1);
    bench.router.listed(1);
    slow.make_room(0);
    bench.publish(1, vec![created(&[1], History::Full)]);
    let beat = bench.router.heartbeat(1).expect("connected");
    assert_eq!(beat.marks, Some(bench.marks));
    assert_eq!(beat.behind, [Head { conversation: Some(conversation(1)), head: 1 }]);
    assert_eq!(bench.router.heartbeat(1).expect("connected").behind, []);
    assert!(bench.router.heartbeat(7).is_none());
}

#[test]
fn who_goes_while_behind_learns_up_to_where_they_may_read() {
    let mut bench = Bench::new();
    let (keeps, loses) = (bench.connect(2, 2), bench.connect(3, 3));
    keeps.make_room(1);
    loses.make_room(1);
    let facts = vec![created(&[1, 2, 3], History::Full), message(), removed(2, closed(1, 3)), removed(3, Intervals::default()), message()];
    bench.publish(1, facts);
    assert_eq!(bench.router.take_behind(2), [Head { conversation: Some(conversation(1)), head: 3 }]);
    assert_eq!(bench.router.take_behind(3), []);
}

#[test]
fn typing_reaches_the_others_and_comes_from_members_only() {
    let mut bench = Bench::new();
    let (own, other_device, peer, stranger) = (bench.connect(1, 1), bench.connect(2, 1), bench.connect(3, 2), bench.connect(4, 3));
    bench.publish(1, vec![created(&[1, 2], History::Full)]);
    let full = bench.connect(5, 2);
    full.make_room(0);
    bench.router.typing(1, conversation(1), true, 10_000);
    bench.router.typing(1, conversation(1), true, 10_500);
    bench.router.typing(4, conversation(1), true, 10_000);
    let told = Push::Typing(Typing { conversation: conversation(1), user: user(1), typing: true });
    assert_eq!(peer.pushes()[1..], [told]);
    assert_eq!((own.pushes().len(), other_device.pushes().len(), stranger.pushes().len()), (1, 1, 0));
    assert_eq!(bench.router.take_behind(5), []);
}

#[test]
fn in_a_great_crowd_nobody_is_told_of_typing() {
    let mut bench = Bench::new();
    let (_own, peer) = (bench.connect(1, 1), bench.connect(2, 2));
    for id in 3..=TYPING_LISTENERS_MAX as u64 {
        bench.connect(id, 2);
    }
    bench.publish(1, vec![created(&[1, 2], History::Full)]);
    bench.router.typing(1, conversation(1), true, 10_000);
    assert_eq!(peer.drain().len(), 2, "what made the conversation, and that somebody writes");
    bench.connect(TYPING_LISTENERS_MAX as u64 + 1, 2);
    bench.subscribe(TYPING_LISTENERS_MAX as u64 + 1, 1, Intervals::everything(), 1);
    bench.router.typing(1, conversation(1), true, 20_000);
    assert_eq!(peer.drain(), []);
}

#[test]
fn receipts_go_to_all_in_small_conversations_and_to_oneself_in_large_ones() {
    let mut bench = Bench::new();
    let (own, peer) = (bench.connect(1, 1), bench.connect(2, 2));
    bench.publish(1, vec![created(&[1, 2], History::Full)]);
    let position = PositionRow { read: 1, read_ordinal: 0, delivered: 1 };
    bench.router.position_updated(conversation(1), user(1), position, RECEIPTS_MEMBERS_MAX);
    bench.router.position_updated(conversation(1), user(1), position, RECEIPTS_MEMBERS_MAX + 1);
    let told = Push::Position(PositionUpdated { conversation: conversation(1), user: user(1), read: 1, delivered: 1 });
    assert_eq!(own.pushes()[1..], [told.clone(), told.clone()]);
    assert_eq!(peer.pushes()[1..], [told]);
}

#[test]
fn p7_everybody_is_told_another_time_to_come_back() {
    let mut bench = Bench::new();
    let sinks: Vec<Arc<TestSink>> = (1..=100).map(|id| bench.connect(id, 1)).collect();
    bench.router.reconnect_all(500, 10_000, 42);
    let mut times: Vec<u64> = sinks
        .iter()
        .map(|sink| match sink.pushes()[..] {
            [Push::Reconnect(Reconnect { after_ms })] => after_ms,
            ref other => panic!("{other:?}"),
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 90 && times[0] >= 500 && times[times.len() - 1] <= 10_500, "{times:?}");
    bench.router.close_all(&Error::new(Code::ShuttingDown, "stopping"));
    assert!(sinks.iter().all(|sink| sink.closed().map(|e| e.code) == Some(Code::ShuttingDown)));
    assert_eq!(bench.router.connections(), 0);
}

#[test]
fn a_known_id_is_not_taken_twice_and_an_unknown_one_is_harmless() {
    let mut bench = Bench::new();
    bench.connect(1, 1);
    let sink = Arc::new(TestSink::default());
    assert!(!bench.router.connect(Connection { id: 1, user: user(2), device: device(2), sink }));
    bench.subscribe(9, 1, Intervals::everything(), 1);
    bench.router.disconnect(9);
    assert!(!bench.router.push(9, Bytes::new()));
    assert_eq!((bench.router.connections(), bench.router.users(), bench.router.subscriptions()), (1, 1, 0));
}

/// Idle connections, each of a user of its own in 20 conversations of 10.
#[test]
fn p10_an_idle_connection_is_small() {
    const CONNECTIONS: u64 = 10_000;
    const CONVERSATIONS: u64 = 20;
    const BARE_BYTES_MAX: usize = 384;
    const BYTES_MAX: usize = 1_280;
    let mut router = Router::new(START);
    let sink: Arc<dyn Sink> = Arc::new(TestSink::default());
    let id = |n: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    };
    for n in 0..CONNECTIONS {
        router.connect(Connection { id: n, user: UserId(id(n)), device: DeviceId(id(n)), sink: Arc::clone(&sink) });
    }
    let bare = router.table.bytes() / CONNECTIONS as usize;
    for n in 0..CONNECTIONS {
        let hears = |c: u64| Subscription {
            conversation: ConversationId(id(n / 10 * CONVERSATIONS + c)),
            visible: Intervals::everything(),
            since: 1,
        };
        router.subscribe(n, (0..CONVERSATIONS).map(hears).collect());
    }
    let bytes = router.table.bytes() / CONNECTIONS as usize;
    println!("router: {bare} bytes a connection, {bytes} with {CONVERSATIONS} subscriptions");
    assert!(bare <= BARE_BYTES_MAX && bytes <= BYTES_MAX, "{bare} {bytes}");
    for n in 0..CONNECTIONS {
        router.disconnect(n);
    }
    assert_eq!((router.connections(), router.users(), router.subscriptions()), (0, 0, 0));
    assert_eq!(router.table.rooms.iter().count(), 0);
}
