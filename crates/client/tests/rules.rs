//! The machine by the rules of the protocol, frame by frame; the tests own the time.

#![expect(clippy::unwrap_used, reason = "tests")]

use chirrup_client::Follow;
use chirrup_client::limits::{BACKOFF_MS_MAX, EVENTS_WAITING_MAX, REPLY_MS};
use chirrup_client::machine::{AppRequest, Body, ClientEvent, Config, Entry, Failure, Lesson, Machine, Output, Status, Withdrawal};
use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::error::{Code, Error as Refusal};
use chirrup_protocol::limits::Limits;
use chirrup_protocol::request::{Devices, Request, Send};
use serde_json::{Value, json};

const CHAT: ConversationId = ConversationId([1; 16]);
const HEARTBEAT_MS: u64 = 25_000;

fn machine() -> Machine {
    let config = Config { token: Some("t".to_owned()), follow: Follow::FromHead, ..Config::default() };
    Machine::new(config, None, Vec::new())
}

/// What the machine wants done, with frames as JSON.
#[derive(Default, Debug)]
struct Done {
    frames: Vec<Value>,
    connects: usize,
    disconnects: usize,
    answers: Vec<(u64, String)>,
    settled: Vec<ClientId>,
}

impl Done {
    fn methods(&self) -> Vec<&str> {
        self.frames.iter().map(|frame| frame["method"].as_str().unwrap()).collect()
    }
}

/// Does all of it; the outbox's disk is quick.
fn act(machine: &mut Machine, now_ms: u64) -> Done {
    let mut done = Done::default();
    while let Some(output) = machine.poll() {
        match output {
            Output::Connect => done.connects += 1,
            Output::Disconnect => done.disconnects += 1,
            Output::Frame(text) => done.frames.push(serde_json::from_str(&text).unwrap()),
            Output::Save(records) => machine.saved(now_ms, &records),
            Output::Answer((ticket, outcome)) => done.answers.push((ticket, format!("{outcome:?}"))),
            Output::Settled(client_id, _) => done.settled.push(client_id),
            Output::Dropped(_) => {}
        }
    }
    done
}

fn about(head: u64) -> Value {
    json!({"conversation": CHAT.to_string(), "kind": "group", "title": "t", "history": "full", "leaver": "keeps", "members": 2,
        "joined": true, "head": head, "read": 0, "delivered": 0, "unread": {"count": 0}, "mentions": {"count": 0}})
}

/// A session, in a group of this head.
fn live(head: u64) -> Machine {
    let mut machine = machine();
    machine.connect(0);
    machine.opened(0);
    let hello = act(&mut machine, 0).frames.remove(0);
    let me = chirrup_core::ids::UserId([9; 16]).to_string();
    let ready = json!({"user": {"user": me, "name": "me", "display_name": "Me"},
        "device": chirrup_core::ids::DeviceId([0; 16]).to_string(), "administrator": false, "version": 1, "feature_level": 1,
        "reset": false, "limits": Limits::new(HEARTBEAT_MS, 5_000, 1_000), "user_head": 0, "conversations": [about(head)], "cursor": "c"});
    reply(&mut machine, 0, &hello, &ready);
    assert_eq!(*machine.status(), Status::Live);
    while machine.next_event(0).is_some() {}
    act(&mut machine, 0);
    machine
}

fn reply(machine: &mut Machine, now_ms: u64, request: &Value, ok: &Value) {
    machine.frame(now_ms, &json!({"id": request["id"], "ok": ok}).to_string());
}

fn refuse(machine: &mut Machine, now_ms: u64, request: &Value, refusal: &Refusal) {
    machine.frame(now_ms, &json!({"id": request["id"], "error": refusal}).to_string());
}

fn message(seq: u64) -> Value {
    json!({"seq": seq, "time": "2026-01-01T00:00:00.000Z", "type": "message.created", "ordinal": seq, "text": format!("m{seq}")})
}

fn push(machine: &mut Machine, seq: u64) {
    let data = json!({"conversation": CHAT.to_string(), "event": message(seq)});
    machine.frame(0, &json!({"push": "event", "data": data}).to_string());
}

fn entry(n: u8) -> Entry {
    let send = json!({"client_id": ClientId([n; 16]).to_string(), "conversation": CHAT.to_string(), "text": format!("{n}")});
    let send: Send = serde_json::from_value(send).unwrap();
    Entry { client_id: send.client_id, conversation: CHAT, body: Body::of(&Request::Send(send)) }
}

fn given(machine: &mut Machine) -> Vec<u64> {
    let events = std::iter::from_fn(|| machine.next_event(0));
    events.filter_map(|event| if let ClientEvent::Event { event, .. } = event { Some(event.seq) } else { None }).collect()
}

fn waits_until(machine: &Machine) -> u64 {
    match machine.status() {
        Status::Waiting { until_ms, .. } => *until_ms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn c6_a_heartbeat_is_answered_and_its_absence_ends_the_connection() {
    let mut machine = live(0);
    let heartbeat = json!({"push": "heartbeat", "data": {"time": "2026-01-01T00:00:00.000Z", "cursor": "d"}});
    machine.frame(10, &heartbeat.to_string());
    assert_eq!(act(&mut machine, 10).methods(), ["idle"]);
    assert_eq!(machine.deadline_ms(), Some(10 + 2 * HEARTBEAT_MS));
    machine.tick(9 + 2 * HEARTBEAT_MS);
    assert_eq!(*machine.status(), Status::Live);
    machine.tick(10 + 2 * HEARTBEAT_MS);
    assert_eq!(act(&mut machine, 0).disconnects, 1);
    assert!(matches!(machine.status(), Status::Waiting { failure: Failure::Silent, .. }));
}

#[test]
fn a_request_that_is_never_answered_ends_the_connection() {
    let mut machine = live(0);
    machine.typing(0, CHAT, true);
    assert_eq!(act(&mut machine, 0).methods(), ["typing"]);
    for now_ms in [20_000, 40_000, REPLY_MS] {
        machine.frame(now_ms, r#"{"push":"news","data":1}"#);
        machine.tick(now_ms);
    }
    assert_eq!(act(&mut machine, REPLY_MS).disconnects, 1);
}

#[test]
fn c7_the_server_says_when_to_come_back() {
    let mut machine = live(0);
    let ask =
        AppRequest { ticket: 1, body: Body::of(&Request::Devices(Devices {})), deadline_ms: 90_000, insist: true, lesson: Lesson::None };
    machine.request(0, ask);
    let asked = act(&mut machine, 0).frames.remove(0);
    machine.frame(5, r#"{"push":"reconnect","data":{"after_ms":7000}}"#);
    assert_eq!(act(&mut machine, 5).disconnects, 0, "an answer is still to come");
    reply(&mut machine, 6, &asked, &json!({"devices": []}));
    let done = act(&mut machine, 6);
    assert_eq!((done.disconnects, done.answers.len()), (1, 1));
    assert_eq!(waits_until(&machine), 7_006);
    machine.tick(7_006);
    assert_eq!(act(&mut machine, 7_006).connects, 1);
}

#[test]
fn x2_what_never_helps_is_not_tried_again_and_what_helps_at_once_is() {
    let mut machine = live(0);
    let refusal = Refusal::new(Code::TokenInvalid, "log in again");
    machine.frame(1, &json!({"push": "closing", "data": refusal}).to_string());
    machine.closed(1, Failure::Lost("closed".to_owned()), Some((4004, "")));
    assert_eq!(*machine.status(), Status::Ended(refusal));
    assert_eq!(machine.deadline_ms(), None);

    // Only the close code came through.
    let mut machine = live(0);
    machine.closed(1, Failure::Lost("closed".to_owned()), Some((4004, "")));
    assert!(matches!(machine.status(), Status::Ended(refusal) if refusal.code == Code::TokenInvalid));

    let mut machine = live(0);
    machine.closed(1, Failure::Lost("closed".to_owned()), Some((4008, "")));
    assert_eq!(waits_until(&machine), 1);

    let mut machine = live(0);
    machine.frame(1, &json!({"push": "closing", "data": Refusal::after(Code::Busy, "later", 4_321)}).to_string());
    machine.closed(1, Failure::Lost("closed".to_owned()), None);
    assert_eq!(waits_until(&machine), 4_322);
}

#[test]
fn waits_double_up_to_a_bound_and_are_never_all_the_same() {
    let (mut machine, mut now_ms, mut longest, mut bound) = (machine(), 0, 0, 500);
    machine.connect(now_ms);
    for _ in 0..40 {
        machine.closed(now_ms, Failure::Connect("refused".to_owned()), None);
        let wait_ms = waits_until(&machine) - now_ms;
        assert!(wait_ms <= bound, "{wait_ms} > {bound}");
        longest = longest.max(wait_ms);
        bound = (bound * 2).min(BACKOFF_MS_MAX);
        now_ms = waits_until(&machine);
        machine.tick(now_ms);
    }
    assert!(longest > BACKOFF_MS_MAX / 2, "{longest}");
}

#[test]
fn r8_a_refused_entry_is_sent_again_first_and_alone() {
    let mut machine = live(0);
    for n in 1..=3 {
        machine.say(0, entry(n)).unwrap();
    }
    let sent = act(&mut machine, 0).frames;
    assert_eq!(sent.iter().map(|frame| frame["params"]["text"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2", "3"]);
    refuse(&mut machine, 0, &sent[0], &Refusal::after(Code::Busy, "later", 300));
    machine.say(0, entry(4)).unwrap();
    refuse(&mut machine, 0, &sent[1], &Refusal::new(Code::EarlierUnsettled, "1 first"));
    machine.tick(400);
    assert!(act(&mut machine, 400).frames.is_empty(), "the third is still in flight");
    refuse(&mut machine, 400, &sent[2], &Refusal::new(Code::EarlierUnsettled, "1 first"));
    machine.tick(1_000);
    let again = act(&mut machine, 1_000).frames;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["params"], sent[0]["params"]);
    reply(&mut machine, 1_000, &again[0], &json!({"seq": 1, "time": "2026-01-01T00:00:00.000Z"}));
    let rest = act(&mut machine, 1_000);
    assert_eq!(rest.frames.iter().map(|frame| frame["params"]["text"].as_str().unwrap()).collect::<Vec<_>>(), ["2", "3", "4"]);
    assert_eq!(rest.settled, [ClientId([1; 16])]);
}

#[test]
fn r8_what_was_refused_for_good_does_not_hold_the_others() {
    let mut machine = live(0);
    machine.say(0, entry(1)).unwrap();
    machine.say(0, entry(2)).unwrap();
    let sent = act(&mut machine, 0).frames;
    refuse(&mut machine, 0, &sent[0], &Refusal::new(Code::TextRefused, "no"));
    reply(&mut machine, 0, &sent[1], &json!({"seq": 1, "time": "2026-01-01T00:00:00.000Z"}));
    assert_eq!(act(&mut machine, 0).settled, [ClientId([1; 16]), ClientId([2; 16])]);
    assert_eq!(machine.outbox().count(), 0);
}

#[test]
fn r8_an_entry_is_withdrawn_only_while_it_surely_has_no_effect() {
    let mut machine = live(0);
    machine.say(0, entry(1)).unwrap();
    let sent = act(&mut machine, 0).frames;
    assert_eq!(machine.withdraw(0, ClientId([1; 16])), Withdrawal::TooLate);
    refuse(&mut machine, 0, &sent[0], &Refusal::new(Code::Unknown, "perhaps"));
    assert_eq!(machine.withdraw(0, ClientId([1; 16])), Withdrawal::TooLate);
    machine.tick(60);
    let sent = act(&mut machine, 60).frames;
    refuse(&mut machine, 60, &sent[0], &Refusal::after(Code::Busy, "later", 5_000));
    assert_eq!(machine.withdraw(60, ClientId([1; 16])), Withdrawal::Withdrawn(CHAT));
    assert_eq!(act(&mut machine, 60).methods(), ["withdraw"]);
    assert_eq!(machine.withdraw(60, ClientId([1; 16])), Withdrawal::Absent);
}

#[test]
fn r6_after_a_break_the_outbox_goes_out_again_under_the_same_ids() {
    let mut machine = live(0);
    machine.say(0, entry(1)).unwrap();
    machine.say(0, entry(2)).unwrap();
    let before = act(&mut machine, 0).frames;
    machine.closed(0, Failure::Lost("reset".to_owned()), None);
    machine.tick(waits_until(&machine));
    machine.opened(1_000);
    let hello = act(&mut machine, 1_000).frames.remove(0);
    assert_eq!(hello["params"]["cursor"], "c", "S-3: from where the connection was");
    let me = chirrup_core::ids::UserId([9; 16]).to_string();
    let ready = json!({"user": {"user": me, "name": "me", "display_name": "Me"},
        "device": chirrup_core::ids::DeviceId([0; 16]).to_string(), "administrator": false, "version": 1, "feature_level": 1,
        "reset": false, "limits": Limits::new(HEARTBEAT_MS, 5_000, 1_000), "user_head": 0, "conversations": [], "cursor": "d"});
    reply(&mut machine, 1_000, &hello, &ready);
    let after = act(&mut machine, 1_000).frames;
    assert_eq!(after.iter().map(|f| &f["params"]).collect::<Vec<_>>(), before.iter().map(|f| &f["params"]).collect::<Vec<_>>());
}

#[test]
fn s1_a_gap_is_pulled_and_what_comes_twice_is_given_once() {
    let mut machine = live(3);
    for seq in [4, 4, 7, 6, 3, 7] {
        push(&mut machine, seq);
    }
    assert_eq!(given(&mut machine), [4]);
    let asked = act(&mut machine, 0).frames;
    let pull = asked.iter().find(|frame| frame["method"] == "events").unwrap();
    assert_eq!((&pull["params"]["after"], &pull["params"]["limit"]), (&json!(4), &json!(2)));
    reply(&mut machine, 0, pull, &json!({"events": [message(5), message(6)], "head": 7}));
    assert_eq!(given(&mut machine), [5, 6, 7]);
    let unread = machine.view().conversation(CHAT).unwrap().unread();
    assert_eq!(unread.count, 4);
}

#[test]
fn s5_a_heartbeat_that_names_a_log_makes_it_be_pulled() {
    let mut machine = live(3);
    let behind = json!([{"conversation": CHAT.to_string(), "head": 5}]);
    let heartbeat = json!({"push": "heartbeat", "data": {"time": "2026-01-01T00:00:00.000Z", "cursor": "d", "behind": behind}});
    machine.frame(0, &heartbeat.to_string());
    assert!(act(&mut machine, 0).methods().contains(&"events"));
    while machine.next_event(0).is_some() {}
    let place = machine.resume().conversations[&CHAT.to_string()];
    assert_eq!((machine.resume().cursor.as_deref(), place.handled, place.head), (Some("d"), Some(3), 5), "S-3: kept with what is behind");
}

#[test]
fn an_application_that_does_not_read_costs_no_memory_and_loses_nothing() {
    let mut machine = live(0);
    let last = EVENTS_WAITING_MAX as u64 + 700;
    for seq in 1..=last {
        push(&mut machine, seq);
    }
    assert!(act(&mut machine, 0).frames.is_empty(), "there is no room for more");
    let mut all = Vec::new();
    while all.len() < last as usize {
        all.extend(given(&mut machine));
        for asked in act(&mut machine, 0).frames {
            let after = asked["params"]["after"].as_u64().unwrap();
            let until = last.min(after + asked["params"]["limit"].as_u64().unwrap());
            let events: Vec<Value> = (after + 1..=until).map(message).collect();
            reply(&mut machine, 0, &asked, &json!({"events": events, "head": last}));
        }
    }
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
}

#[test]
fn r5_what_is_not_known_is_ignored() {
    let mut machine = live(0);
    for frame in [
        "",
        "[]",
        "{",
        r#"{"push":"new_thing","data":{"a":1}}"#,
        r#"{"push":"event","data":{"event":"?"}}"#,
        r#"{"id":4711,"ok":{}}"#,
        r#"{"id":null,"error":{"code":"bad_request","message":"m","retry":"never"}}"#,
    ] {
        machine.frame(0, frame);
    }
    let unknown = json!({"seq": 1, "time": "2026-01-01T00:00:00.000Z", "type": "message.pinned", "target": 1});
    machine.frame(0, &json!({"push": "event", "data": {"conversation": CHAT.to_string(), "event": unknown}}).to_string());
    assert_eq!(given(&mut machine), [1]);
    assert_eq!(*machine.status(), Status::Live);
}

#[test]
fn p4_a_request_ends_as_not_sent_or_unknown_but_never_as_refused_when_nobody_refused() {
    let ask = |ticket| AppRequest {
        ticket,
        body: Body::of(&Request::Devices(Devices {})),
        deadline_ms: 1_000,
        insist: true,
        lesson: Lesson::None,
    };
    let mut machine = machine();
    machine.connect(0);
    machine.request(0, ask(1));
    machine.tick(1_000);
    assert!(act(&mut machine, 0).answers[0].1.contains("NotConnected"));

    let mut machine = live(0);
    machine.request(0, ask(2));
    machine.tick(1_000);
    assert!(act(&mut machine, 0).answers[0].1.contains("Unknown"));
}

#[test]
fn c1_a_request_that_would_end_the_connection_is_not_sent() {
    let mut machine = live(0);
    let mut large = entry(1);
    large.body = Body::of(&Request::Find(chirrup_protocol::request::Find { name: "\u{1}".repeat(30_000) }));
    assert!(machine.say(0, large).is_err());
    assert!(act(&mut machine, 0).frames.is_empty());
}

#[test]
fn p7_typing_is_told_at_intervals_and_forgotten_after_two() {
    let mut machine = live(0);
    for now_ms in [0, 100, 4_999] {
        machine.typing(now_ms, CHAT, true);
    }
    assert_eq!(act(&mut machine, 4_999).methods(), ["typing"]);
    machine.typing(5_000, CHAT, true);
    machine.typing(5_001, CHAT, false);
    machine.typing(5_002, CHAT, false);
    assert_eq!(act(&mut machine, 5_002).methods(), ["typing", "typing"]);

    let ana = chirrup_core::ids::UserId([3; 16]);
    let typing = json!({"push": "typing", "data": {"conversation": CHAT.to_string(), "user": ana.to_string(), "typing": true}});
    machine.frame(6_000, &typing.to_string());
    assert_eq!(machine.view().typing(CHAT), [ana]);
    machine.tick(16_000);
    assert!(machine.view().typing(CHAT).is_empty());
}
