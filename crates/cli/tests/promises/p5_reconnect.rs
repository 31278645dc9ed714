//! P5: a client reads its own writes, never reads backwards, and after a reconnect gets each event
//! that it missed once, or is told to begin anew (rules S-1 to S-4, S-7).

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::log;
use crate::random::Random;
use crate::raw::{Connection, Failure, User, server};
use crate::support::Server;

const SEED: u64 = 5;

/// A device as a client keeps it: what it has got of each log, and where it goes on.
struct Device {
    user: User,
    logs: HashMap<String, Vec<Value>>,
    cursor: Option<String>,
}

impl Device {
    /// Goes on from its cursor, and pulls exactly what it is told to have missed.
    async fn resume(&mut self, server: &Server) -> Connection {
        let (mut connection, mut page) = self.user.resume(server.address, self.cursor.as_deref()).await.expect("a session");
        assert_eq!(page["reset"], false, "its cursor is of use");
        loop {
            for listed in page["conversations"].as_array().expect("conversations") {
                let id = listed["conversation"].as_str().expect("an id");
                let log = self.logs.entry(id.to_owned()).or_default();
                let head = listed["head"].as_u64().expect("a head");
                assert!(head >= log.len() as u64, "backwards: {listed} after {}", log.len());
                let missed = log::events_after(&mut connection, id, log.len() as u64).await;
                log.extend(missed);
            }
            match page["next"].as_str() {
                Some(next) => page = connection.ok("sync", json!({"page": next})).await,
                None => break,
            }
        }
        self.cursor = page["cursor"].as_str().map(str::to_owned);
        assert!(self.cursor.is_some(), "the last page has one");
        connection
    }

    /// Takes a push: an event that comes next is kept, one that was pulled already is not, and
    /// nothing is left out between.
    fn take(&mut self, push: &Value) {
        match push["push"].as_str() {
            Some("event") => {
                let Some(conversation) = push["data"]["conversation"].as_str() else { return };
                let log = self.logs.entry(conversation.to_owned()).or_default();
                let (event, got) = (&push["data"]["event"], log.len() as u64);
                let seq = event["seq"].as_u64().expect("a seq");
                assert!(seq <= got + 1, "a gap: {seq} after {got}");
                if seq == got + 1 { log.push(event.clone()) } else { assert_eq!(log[seq as usize - 1], *event) }
            }
            Some("heartbeat") => {
                assert_eq!(push["data"]["behind"], Value::Null, "nothing was left out");
                self.cursor = push["data"]["cursor"].as_str().map(str::to_owned);
            }
            _ => {}
        }
    }

    fn heads(&self) -> HashMap<String, u64> {
        self.logs.iter().map(|(id, log)| (id.clone(), log.len() as u64)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_after_reconnects_at_random_points_each_missed_event_was_got_once() {
    let mut settings = [crate::raw::SOON, crate::support::SMALL_STORE].concat();
    settings.push(("session.heartbeat_ms", "50"));
    let mut server = Server::start_with(&settings);
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut random = Random(SEED);
    let mut device = Device { user: ben.clone(), logs: HashMap::new(), cursor: None };
    let mut heads: HashMap<String, u64> = HashMap::new();
    let mut conversations = Vec::new();
    for round in 0..40 {
        if round % 10 == 9 {
            server.kill();
            server.start_again();
        }
        // The short heartbeat would cut a connection off that is left alone for long.
        let mut writer = ana.on(&server).await;
        if round % 8 == 0 {
            let group = writer.group(&[&ben]).await;
            heads.insert(group.clone(), 1);
            conversations.push(group);
        }
        for n in 0..random.below(12) {
            let to = random.of(&conversations).clone();
            heads.insert(to.clone(), writer.send(&to, &format!("away {round} {n}")).await);
        }
        let mut connection = device.resume(&server).await;
        assert_eq!(device.heads(), heads, "nothing that was missed is left out in round {round}");
        let mut last = None;
        for n in 0..random.below(30) {
            let to = random.of(&conversations).clone();
            let seq = writer.send(&to, &format!("live {round} {n}")).await;
            heads.insert(to.clone(), seq);
            last = Some((to, seq));
        }
        // Leaves at a point of its own: before, among or after what is on its way.
        for _ in 0..random.below(40) {
            if last.as_ref().is_none_or(|(to, seq)| device.logs[to].len() as u64 >= *seq) {
                break;
            }
            let Ok(push) = connection.any_push().await else { break };
            device.take(&push);
        }
    }
    drop(device.resume(&server).await);
    let mut reader = ben.on(&server).await;
    for (conversation, log) in &device.logs {
        assert_eq!(*log, log::everything(&mut reader, conversation).await, "as who reads all at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_own_writes_are_read_at_once_on_every_connection_and_heads_never_go_back() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut random = Random(SEED);
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(ana.on(&server).await);
    }
    let conversation = connections[0].group(&[&ben]).await;
    let mut written = 0;
    for round in 0..60 {
        if round == 30 {
            server.kill();
            server.start_again();
            for connection in &mut connections {
                *connection = ana.on(&server).await;
            }
        }
        let writer = random.below(4) as usize;
        written = connections[writer].send(&conversation, &format!("round {round}")).await;
        let reader = &mut connections[random.below(4) as usize];
        let seen = reader.ok("conversation", json!({"conversation": conversation})).await;
        assert_eq!((&seen["head"], &seen["last_message"]["seq"]), (&json!(written), &json!(written)));
        let page = reader.ok("history", json!({"conversation": conversation, "limit": 1})).await;
        assert_eq!((&page["head"], &page["messages"][0]["seq"]), (&json!(written), &json!(written)));
        let page = reader.ok("events", json!({"conversation": conversation, "after": written - 1})).await;
        assert_eq!(page["events"][0]["seq"], written);
        let list = reader.ok("conversations", json!({})).await;
        assert_eq!(list["conversations"][0]["head"], written);
    }
    let (_, ready) = ana.resume(server.address, None).await.expect("a session");
    assert_eq!(ready["conversations"][0]["head"], written);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_cursor_that_is_of_no_use_is_answered_by_a_reset() {
    let (foreign, server) = (server(), server());
    let ana = User::sign_up(&server, "ana").await;
    let stranger = User::sign_up(&foreign, "ana").await;
    let conversation = ana.on(&server).await.group(&[]).await;
    let cursor = |ready: &Value| ready["cursor"].as_str().expect("a cursor").to_owned();
    let own = cursor(&ana.resume(server.address, None).await.expect("a session").1);
    let (_, ready) = ana.resume(server.address, Some(&own)).await.expect("a session");
    assert_eq!((&ready["reset"], &ready["conversations"]), (&json!(false), &json!([])), "this one is of use");
    let of_another_server = cursor(&stranger.resume(foreign.address, None).await.expect("a session").1);
    // Its highest epoch stands after the kind and the incarnation: sixteen restarts from now.
    let mut future = own.clone();
    future.replace_range(12..13, "E");
    assert_ne!(future, own);
    let endless = "A".repeat(30_000);
    let half = &own[..own.len() / 2];
    let bad = ["", "garbage", "🐦", "null", &endless, half, &format!("{own}A"), &of_another_server, &future];
    for cursor in bad {
        let (mut connection, ready) = ana.resume(server.address, Some(cursor)).await.expect("a session");
        assert_eq!(ready["reset"], true, "{cursor:.40}");
        assert_eq!(ready["conversations"][0]["conversation"], conversation, "and all is listed");
        connection.ok("events", json!({"conversation": conversation})).await;
    }
    // Any sign of it may be damaged: it is a session, or a reset, and never the end of the server.
    let mut random = Random(SEED);
    for _ in 0..100 {
        let mut damaged = own.clone().into_bytes();
        let at = random.below(damaged.len() as u64) as usize;
        damaged[at] = b"AEMZaz059-_"[random.below(11) as usize];
        let damaged = String::from_utf8(damaged).unwrap();
        match ana.resume(server.address, Some(&damaged)).await {
            Ok((_, ready)) => assert!(ready["reset"].is_boolean()),
            Err(Failure::Refused(error)) => panic!("{error}"),
            Err(Failure::Gone(code)) => panic!("closed with {code:?}"),
        }
    }
}
