//! What a connection promises while it is read slowly, or while the server is stopping: rules S-6
//! and C-7.

use crate::log;
use crate::raw::{SOON, User, message, server};
use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_slow_reader_is_told_what_to_pull() {
    let server = Server::start_with(SOON);
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    let mut slow = ben.on(&server).await;
    // More than the kernel takes for it and the server keeps for it.
    let long = "x".repeat(8_192);
    let mut ids = Vec::new();
    for _ in 0..2_000 {
        ids.push(writer.post("send", &message(&conversation, &long)).await.expect("sent"));
        if ids.len() == 50 {
            for id in ids.drain(..) {
                writer.reply(id).await.expect("ok");
            }
        }
    }
    let mut pushed = 0;
    let head = loop {
        let push = slow.any_push().await.expect("a connection");
        match push["push"].as_str() {
            Some("event") => pushed += 1,
            Some("behind") => break push["data"]["logs"].as_array().unwrap()[0]["head"].as_u64().unwrap(),
            _ => {}
        }
    };
    assert!(pushed < 2_000, "it was spared some");
    assert_eq!(head, 2_001);
    assert_eq!(log::everything(&mut slow, &conversation).await.len(), 2_001);
    let next = writer.send(&conversation, "and goes on").await;
    slow.push(|push| push["data"]["event"]["seq"] == next).await.expect("pushed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_server_that_is_asked_to_stop_tells_its_clients_when_to_come_back() {
    let mut server = server();
    let ana = User::sign_up(&server, "ana").await;
    let mut connection = ana.on(&server).await;
    let conversation = connection.group(&[]).await;
    let request = message(&conversation, "just before");
    let id = connection.post("send", &request).await.expect("sent");
    connection.reply(id).await.expect("ok");
    tokio::task::block_in_place(|| server.stop());
    let told = connection.push(|push| push["push"] == "reconnect").await.expect("told before the end");
    assert!(told["data"]["after_ms"].as_u64().unwrap() > 0);
    assert_eq!(connection.closed().await, Some(4012));
    server.start_again();
    assert_eq!(ana.on(&server).await.ok("send", request).await["duplicate"], true);
}
