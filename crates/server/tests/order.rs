//! A sender's order, and a disk without room.

mod common;

use common::{Server, client_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn r8_sends_of_one_connection_stand_in_the_order_in_which_they_were_made() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    let mut ids = Vec::new();
    for n in 0..300 {
        let params = json!({"client_id": client_id(), "conversation": conversation, "text": format!("message {n}")});
        ids.push(ana.post("send", params).await);
    }
    let mut last = 0;
    for id in ids {
        let seq = ana.reply(id).await["ok"]["seq"].as_u64().expect("a seq");
        assert!(seq > last, "{seq} after {last}");
        last = seq;
    }
    for n in 0..300 {
        let push = ben.push(|p| p["data"]["event"]["type"] == "message.created").await;
        assert_eq!(push["data"]["event"]["text"], format!("message {n}"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_full_disk_refuses_what_takes_room_and_takes_what_frees_it() {
    let server = Server::start(&[]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    let other = ana.ok("create_group", json!({"client_id": client_id(), "title": "other"})).await["conversation"].clone();
    let seq = ana.send(&conversation, "to be deleted").await;
    let (token, user) = (ana.token.clone(), ben.user.clone());
    drop((ana, ben));

    // No disk has that much room.
    let server = server.restart_with(&[("store.low_water_bytes", &(1_u64 << 45).to_string())]).await;
    assert_eq!(server.info.first_code, None, "a code could not be kept");
    let mut ana = server.connect().await;
    ana.token = token;
    ana.hello(None).await;
    let send = |conversation: &Value, id: &str| json!({"client_id": id, "conversation": conversation, "text": "hi"});
    let (first, second) = (client_id(), client_id());
    let here = json!(conversation);
    let error = ana.call("send", send(&here, &first)).await.expect_err("no room");
    assert_eq!((&error["code"], &error["retry"]), (&json!("storage_full"), &json!("after")));
    assert_eq!(ana.code("send", send(&here, &second)).await, "earlier_unsettled");
    assert_eq!(ana.code("send", send(&other, &client_id())).await, "storage_full", "other conversations are not concerned");
    assert_eq!(ana.code("send", send(&here, &first)).await, "storage_full", "the first may be tried again");
    ana.ok("withdraw", json!({"conversation": here, "client_id": second})).await;
    assert_eq!(ana.code("send", send(&here, &second)).await, "earlier_unsettled", "it was the first that must be given up");
    ana.ok("withdraw", json!({"conversation": here, "client_id": first})).await;
    assert_eq!(ana.code("send", send(&here, &second)).await, "storage_full");
    assert_eq!(ana.code("read", json!({"conversation": here, "seq": seq})).await, "storage_full");
    assert_eq!(ana.code("create_direct", json!({"client_id": client_id(), "with": user})).await, "storage_full");

    ana.ok("delete", json!({"client_id": client_id(), "conversation": here, "target": seq})).await;
    let history = ana.ok("history", json!({"conversation": here})).await;
    assert_eq!((&history["messages"][0]["deleted"], history["messages"][0].get("text")), (&json!(true), None));
    server.stop().await;
}
