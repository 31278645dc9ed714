//! P4 across logs: a creation that a crash has cut off between its own log and those of its members
//! is complete when its retry is answered (rules ).

use serde_json::json;

use crate::log;
use crate::raw::{Failure, User, client_id, server};

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_creation_that_was_cut_off_is_in_the_list_of_every_member() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    server.stop();
    server.dies_at = Some("effects-unsent:1".to_owned());
    server.start_again();
    let request = json!({"client_id": client_id(), "title": "a group", "members": [ben.id]});
    let answer = ana.on(&server).await.call("create_group", request.clone()).await;
    assert!(matches!(answer, Err(Failure::Gone(_))), "{answer:?}");
    server.died();
    server.dies_at = None;
    server.start_again();
    let mut owner = ana.on(&server).await;
    let made = owner.ok("create_group", request).await;
    assert_eq!(made["duplicate"], true, "it was durable before the crash");
    for mut member in [owner, ben.on(&server).await] {
        let list = member.ok("conversations", json!({})).await;
        assert_eq!(list["conversations"][0]["conversation"], made["conversation"], "in the list of every member");
        log::everything(&mut member, made["conversation"].as_str().unwrap()).await;
    }
}
