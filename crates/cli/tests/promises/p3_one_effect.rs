//! P3: one effect for each client id of a sender in a log, however often it is tried, without a
//! limit of age (rule R-6).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::log;
use crate::raw::{Connection, User, client_id, message, seq, server};
use crate::support::{PASSWORD, Server};

const LATER: u64 = 5_000;

/// Sends one request many times at once, over several connections of a user; the answers.
async fn at_once(
    server: &Server,
    user: Option<&User>,
    method: &'static str,
    params: &Value,
    connections: usize,
    each: usize,
) -> Vec<Value> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(match user {
            Some(user) => user.on(server).await,
            None => Connection::open(server.address).await.expect("connected"),
        });
    }
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let params = params.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..each {
                ids.push(connection.post(method, &params).await.expect("sent"));
            }
            let mut answers = Vec::new();
            for id in ids {
                answers.push(connection.reply(id).await.expect("ok"));
            }
            answers
        });
    }
    tasks.join_all().await.concat()
}

/// That one of these answers is of the first try, and all others of its retries.
fn assert_one_effect(answers: &[Value]) {
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] != true).count(), 1, "one took effect");
    for answer in answers {
        for field in ["seq", "time", "conversation"] {
            assert_eq!(answer[field], answers[0][field]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_hundred_parallel_retries_of_a_send_are_one_message() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut reader = ben.on(&server).await;
    let conversation = ana.on(&server).await.group(&[&ben]).await;
    let params = message(&conversation, "once");
    let answers = at_once(&server, Some(&ana), "send", &params, 10, 10).await;
    assert_eq!(answers.len(), 100);
    assert_one_effect(&answers);
    let events = log::everything(&mut reader, &conversation).await;
    let messages = log::messages(&events);
    assert_eq!(messages[params["client_id"].as_str().unwrap()], (seq(&answers[0]), "once".to_owned()));
    assert_eq!(messages.len(), 1);
    assert_eq!(events.len() as u64, seq(&answers[0]), "and nothing after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_retries_after_thousands_of_events_and_after_a_kill_are_answered_as_the_first_try() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    let sent = message(&conversation, "the first");
    let first = writer.ok("send", sent.clone()).await;
    let edit = json!({"client_id": client_id(), "conversation": conversation, "target": seq(&first), "text": "the very first"});
    let edited = writer.ok("edit", edit.clone()).await;
    // Refused for good, and decided in the log.
    let wrong = json!({"client_id": client_id(), "conversation": conversation, "target": 1_000_000, "text": "of nothing"});
    assert_eq!(writer.refused("edit", wrong.clone()).await, "message_not_found");

    let mut waiting = std::collections::VecDeque::new();
    for n in 0..LATER {
        if waiting.len() == 60 {
            let id = waiting.pop_front().unwrap();
            writer.reply(id).await.expect("ok");
        }
        waiting.push_back(writer.post("send", &message(&conversation, &format!("later {n}"))).await.expect("sent"));
    }
    for id in waiting {
        writer.reply(id).await.expect("ok");
    }
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server.start_again();
            writer = ana.on(&server).await;
        }
        for (method, params, answer) in [("send", &sent, &first), ("edit", &edit, &edited)] {
            let again = writer.ok(method, params.clone()).await;
            assert_eq!((&again["seq"], &again["time"], &again["duplicate"]), (&answer["seq"], &answer["time"], &json!(true)));
        }
        assert_eq!(writer.refused("edit", wrong.clone()).await, "message_not_found");
    }
    let head = writer.ok("conversation", json!({"conversation": conversation})).await["head"].clone();
    assert_eq!(head, seq(&edited) + LATER, "nothing more was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_creations_and_sign_ups_are_made_once() {
    let mut server = server();
    let opened = json!({"client_id": client_id(), "name": "ana", "password": PASSWORD});
    let told = at_once(&server, None, "sign_up", &opened, 4, 2).await;
    for field in ["user", "device", "token"] {
        assert!(told.iter().all(|answer| answer[field] == told[0][field]), "one account with one device");
    }
    let other = json!({"client_id": client_id(), "name": "Ana", "password": PASSWORD});
    let mut stranger = Connection::open(server.address).await.expect("connected");
    assert_eq!(stranger.refused("sign_up", other).await, "name_taken", "another sign-up is not a retry");

    let (mut ana, ben) = (User::of(&told[0]), User::sign_up(&server, "ben").await);
    let group = json!({"client_id": client_id(), "title": "a group", "members": [ben.id]});
    let direct = json!({"client_id": client_id(), "with": ben.id});
    let groups = at_once(&server, Some(&ana), "create_group", &group, 5, 10).await;
    assert_one_effect(&groups);
    let directs = at_once(&server, Some(&ana), "create_direct", &direct, 5, 10).await;
    assert_one_effect(&directs);

    server.kill();
    server.start_again();
    let mut again = ana.on(&server).await;
    for (method, params, first) in [("create_group", &group, &groups[0]), ("create_direct", &direct, &directs[0])] {
        let retried = again.ok(method, params.clone()).await;
        assert_eq!((&retried["conversation"], &retried["duplicate"]), (&first["conversation"], &json!(true)));
    }
    let mut other_side = ben.on(&server).await;
    let found = other_side.ok("create_direct", json!({"client_id": client_id(), "with": ana.id})).await;
    assert_eq!(found["conversation"], directs[0]["conversation"], "whoever begins it");
    let retried = Connection::open(server.address).await.expect("connected").ok("sign_up", opened).await;
    assert_eq!((&retried["user"], &retried["device"]), (&told[0]["user"], &told[0]["device"]));
    // A token is told once: the retry of a sign-up gives its device another.
    ana.token = User::of(&retried).token;
    for reader in [&mut ana.on(&server).await, &mut other_side] {
        let list = reader.ok("conversations", json!({})).await;
        assert_eq!(list["conversations"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_an_id_belongs_to_one_request_of_one_sender() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let (mut first, mut second) = (ana.on(&server).await, ben.on(&server).await);
    let conversation = first.group(&[&ben]).await;
    let elsewhere = first.group(&[&ben]).await;
    let request = message(&conversation, "mine");
    let done = first.ok("send", request.clone()).await;
    let id = request["client_id"].as_str().unwrap();
    let mut other_text = request.clone();
    other_text["text"] = "another".into();
    let other_request = json!({"client_id": id, "conversation": conversation, "target": seq(&done), "text": "mine"});
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server.start_again();
            (first, second) = (ana.on(&server).await, ben.on(&server).await);
        }
        assert_eq!(first.refused("send", other_text.clone()).await, "client_id_conflict");
        assert_eq!(first.refused("edit", other_request.clone()).await, "client_id_conflict");
        assert_eq!(first.ok("send", request.clone()).await["duplicate"], true, "the request itself is still known");
    }
    // The id is the sender's and the log's own: others may happen upon the same.
    let by_ben = second.ok("send", other_text.clone()).await;
    assert_eq!((&by_ben["duplicate"], seq(&by_ben)), (&Value::Null, seq(&done) + 1));
    let mut there = request.clone();
    there["conversation"] = elsewhere.into();
    assert_eq!(first.ok("send", there).await["duplicate"], Value::Null);
    let events = log::events(&mut first, &conversation).await;
    let under_it: Vec<_> = events.iter().filter(|event| event["client_id"] == id).map(|event| &event["text"]).collect();
    assert_eq!(under_it, ["mine", "another"]);
}
