//! Two people and a server: from sign-up to messages that reach the other, and what is left after
//! a restart.

mod common;

use common::{Server, client_id};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_people_chat() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let mut ben = server.join("ben").await;
    let found = ana.ok("find", json!({"name": "Ben"})).await;
    assert_eq!(found["user"], ben.user);
    let conversation = ana.direct(&ben.user).await;
    assert_eq!(ben.direct(&ana.user).await, conversation, "there is one, whoever begins it");
    let seq = ana.send(&conversation, "good morning").await;
    let push = ben.push(|p| p["data"]["event"]["type"] == "message.created").await;
    assert_eq!(push["data"]["conversation"], conversation);
    assert_eq!((push["data"]["event"]["seq"].as_u64(), &push["data"]["event"]["text"]), (Some(seq), &json!("good morning")));
    let read = ben.ok("read", json!({"conversation": conversation, "seq": seq})).await;
    assert_eq!(read, json!({"read": seq, "delivered": seq}));
    let history = ben.ok("history", json!({"conversation": conversation})).await;
    assert_eq!(history["messages"][0]["text"], "good morning");

    let token = ben.token.clone();
    drop((ana, ben));
    let server = server.restart().await;
    let mut again = server.connect().await;
    again.token = token;
    let ready = again.hello(None).await;
    assert_eq!(ready["conversations"][0]["conversation"], conversation);
    assert_eq!(ready["conversations"][0]["last_message"]["text"], "good morning");
    assert_eq!(ready["conversations"][0]["unread"]["count"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_the_first_try() {
    let server = Server::start(&[]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    let request = json!({"client_id": client_id(), "conversation": conversation, "text": "once"});
    let first = ana.ok("send", request.clone()).await;
    let second = ana.ok("send", request.clone()).await;
    assert_eq!((&first["seq"], &second["seq"], &second["duplicate"]), (&second["seq"], &first["seq"], &json!(true)));
    let mut other = request;
    other["text"] = "twice".into();
    assert_eq!(ana.code("send", other).await, "client_id_conflict");
    server.stop().await;
}
