//! A sender's order into a conversation is kept across refusals (rule R-8), also by a server that
//! was started without enough room on its disk.

use serde_json::json;

use crate::log;
use crate::raw::{Failure, User, code, message, server};

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_senders_order_is_kept_across_refusals() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut writer = ana.on(&server).await;
    let (here, there) = (writer.group(&[&ben]).await, writer.group(&[&ben]).await);
    let sends = [1, 2, 3].map(|n| message(&here, &format!("send {n}")));
    // From now on there is never enough room on the disk.
    server.stop();
    server.environment = vec![("CHIRRUP_STORE_LOW_WATER_BYTES".to_owned(), (1_u64 << 50).to_string())];
    server.start_again();
    let mut writer = ana.on(&server).await;
    let mut ids = Vec::new();
    for request in &sends {
        ids.push(writer.post("send", request).await.expect("sent"));
    }
    let mut codes = Vec::new();
    for id in ids {
        match writer.reply(id).await {
            Err(Failure::Refused(error)) => codes.push(code(&error).to_owned()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(codes, ["storage_full", "earlier_unsettled", "earlier_unsettled"]);
    assert_eq!(writer.refused("send", message(&there, "elsewhere")).await, "storage_full", "other conversations wait for nothing");
    assert_eq!(writer.refused("send", sends[0].clone()).await, "storage_full", "its turn is the first one's");
    writer.ok("withdraw", json!({"conversation": here, "client_id": sends[0]["client_id"]})).await;
    assert_eq!(writer.refused("send", sends[1].clone()).await, "storage_full", "now it is the second one's");
    assert_eq!(writer.refused("send", sends[2].clone()).await, "earlier_unsettled");
    log::everything(&mut writer, &here).await;

    server.stop();
    server.environment.clear();
    server.start_again();
    let mut writer = ana.on(&server).await;
    for request in &sends[1..] {
        writer.ok("send", request.clone()).await;
    }
    let events = log::everything(&mut ben.on(&server).await, &here).await;
    let texts: Vec<_> = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(texts, ["send 2", "send 3"]);
}
