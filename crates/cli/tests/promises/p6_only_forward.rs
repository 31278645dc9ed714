//! P6: read and delivered positions only grow, and nothing deleted comes back by any path (rules
//! P-1, R-11, E-3).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::log;
use crate::random::Random;
use crate::raw::{Connection, User, client_id, message, seq, server};

const SEED: u64 = 6;
const MESSAGES: u64 = 200;

/// Both positions of a reply or a push.
fn positions(told: &Value) -> [u64; 2] {
    ["read", "delivered"].map(|which| told[which].as_u64().unwrap_or_else(|| panic!("no {which}: {told}")))
}

fn assert_grows(before: &mut [u64; 2], now: [u64; 2]) {
    assert!(before[0] <= now[0] && before[1] <= now[1] && now[0] <= now[1], "{before:?}, then {now:?}");
    *before = now;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_positions_only_grow_over_devices_parallel_and_late_requests_and_kills() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let second = User::log_in(&server, "ben").await;
    assert!(second.id == ben.id && second.device != ben.device);
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    let mut head = 0;
    for n in 0..MESSAGES {
        head = writer.send(&conversation, &format!("message {n}")).await;
    }
    let mut reached = [0, 0];
    for round in 0..3 {
        let mut tasks = JoinSet::new();
        for (n, device) in [&ben, &second, &ben, &second].into_iter().enumerate() {
            let mut connection = device.on(&server).await;
            let (conversation, mut told) = (conversation.clone(), reached);
            let mut random = Random(SEED + round * 10 + n as u64);
            tasks.spawn(async move {
                let mut asked = [0, 0];
                for _ in 0..25 {
                    let which = random.below(2) as usize;
                    // Early and late ones in any order, up to a part that grows by the round.
                    let to = 1 + random.below(head * (round + 1) / 4);
                    let params = json!({"conversation": conversation, "seq": to});
                    let answer = positions(&connection.ok(["read", "delivered"][which], params).await);
                    asked[which] = asked[which].max(to);
                    assert!(answer[0] >= asked[0] && answer[1] >= asked[1], "{answer:?} after {asked:?} were answered");
                    assert_grows(&mut told, answer);
                }
                told
            });
        }
        let answered = tasks.join_all().await;
        server.kill();
        server.start_again();
        let mut late = second.on(&server).await;
        for answer in answered {
            let now = positions(&late.ok("read", json!({"conversation": conversation, "seq": 1})).await);
            assert!(answer[0] <= now[0] && answer[1] <= now[1], "what was answered is kept: {answer:?}, then {now:?}");
            assert_grows(&mut reached, now);
        }
        let listed = late.ok("conversation", json!({"conversation": conversation})).await;
        assert_eq!(positions(&listed), reached);
        let seen = ana.on(&server).await.ok("positions", json!({"conversation": conversation})).await;
        let of_ben = seen["positions"].as_array().unwrap().iter().find(|position| position["user"] == ben.id).unwrap();
        assert_eq!(positions(of_ben), reached, "and by the other member");
    }
    // Live, the other member never sees them go back either.
    let (mut watcher, mut reader) = (ana.on(&server).await, ben.on(&server).await);
    let mut random = Random(SEED);
    for n in 0..40 {
        let to = if n == 39 { head } else { 1 + random.below(head) };
        reader.post("read", &json!({"conversation": conversation, "seq": to})).await.expect("sent");
    }
    let mut seen = reached;
    while seen[0] < head {
        let push = watcher.push(|push| push["push"] == "position.updated" && push["data"]["user"] == ben.id).await.expect("pushed");
        assert_grows(&mut seen, positions(&push["data"]));
    }
    assert_eq!(seen, [head, head]);
    let beyond = json!({"conversation": conversation, "seq": head + 1});
    assert_eq!(reader.refused("read", beyond).await, "bad_request", "a position beyond the head is refused");
}

/// Every path by which a conversation is read; whoever reads on it fails at a forbidden word.
async fn every_path(reader: &mut Connection, conversation: &str, target: u64) {
    let events = log::events(reader, conversation).await;
    let about = |event: &&Value| event["seq"] == target || event["target"] == target;
    assert!(events.iter().filter(about).all(|event| event.get("text").is_none() && event.get("mentions").is_none()));
    let history = log::history(reader, conversation).await;
    let deleted = history.iter().find(|message| message["seq"] == target).expect("it keeps its place");
    assert_eq!((&deleted["deleted"], deleted.get("text")), (&json!(true), None));
    for page in [json!({"around": target}), json!({"thread_root": target}), json!({"after": target - 1}), json!({"before": target + 1})] {
        let mut params = page;
        params["conversation"] = conversation.into();
        reader.ok("history", params).await;
    }
    reader.ok("conversation", json!({"conversation": conversation})).await;
    reader.ok("conversations", json!({})).await;
    reader.ok("events", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_nothing_deleted_comes_back_by_any_path() {
    const CANARIES: [&str; 3] = ["canary-said", "canary-edited", "canary-of-the-thread"];
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    let mut said = message(&conversation, CANARIES[0]);
    said["mentions"] = json!([ben.id]);
    let target = seq(&writer.ok("send", said.clone()).await);
    let edit = json!({"client_id": client_id(), "conversation": conversation, "target": target, "text": CANARIES[1]});
    writer.ok("edit", edit.clone()).await;
    let mut in_thread = message(&conversation, CANARIES[2]);
    in_thread["thread_root"] = target.into();
    let reply = seq(&writer.ok("send", in_thread).await);
    let reaction = json!({"client_id": client_id(), "conversation": conversation, "target": target, "emoji": "👍"});
    ben.on(&server).await.ok("react", reaction).await;
    // Has seen nothing so far, and goes on from here.
    let (stopped, ready) = ben.resume(server.address, None).await.expect("a session");
    drop(stopped);
    let cursor = ready["cursor"].as_str().expect("a cursor").to_owned();
    let mut live = ben.on(&server).await;
    for gone in [reply, target] {
        writer.ok("delete", json!({"client_id": client_id(), "conversation": conversation, "target": gone})).await;
    }
    live.forbidden = CANARIES.map(str::to_owned).to_vec();
    live.push(|push| push["data"]["event"]["type"] == "message.deleted" && push["data"]["event"]["target"] == target)
        .await
        .expect("pushed");
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server.start_again();
        }
        for user in [&ana, &ben] {
            let mut reader = user.on(&server).await;
            reader.forbidden = CANARIES.map(str::to_owned).to_vec();
            every_path(&mut reader, &conversation, target).await;
        }
        let (_, ready) = ben.resume(server.address, None).await.expect("a session");
        let (_, resumed) = ben.resume(server.address, Some(&cursor)).await.expect("a session");
        assert_eq!(resumed["reset"], false);
        for told in [&ready, &resumed].map(Value::to_string) {
            assert!(CANARIES.iter().all(|canary| !told.contains(canary)), "{told}");
        }
        let mut author = ana.on(&server).await;
        let again = author.ok("send", said.clone()).await;
        assert_eq!((&again["duplicate"], seq(&again)), (&json!(true), target), "its retry makes no other");
        author.ok("edit", edit.clone()).await;
        let revive = json!({"client_id": client_id(), "conversation": conversation, "target": target, "text": "back"});
        assert_eq!(author.refused("edit", revive).await, "message_deleted");
        author.forbidden = CANARIES.map(str::to_owned).to_vec();
        every_path(&mut author, &conversation, target).await;
    }
}
