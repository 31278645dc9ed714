//! P16: whoever is logged out, shut out or removed feels it on open connections, and nothing that
//! is later arrives by any path (rules C-8, E-5).

use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::log;
use crate::raw::{Connection, Failure, User, client_id, code, server};
use crate::support::{PASSWORD, Server};

/// As promised, from the answer to whoever asked for it.
const FELT_WITHIN: Duration = Duration::from_secs(1);

/// That a connection is told why and closed, while somebody goes on writing where its user was.
async fn assert_closed(connection: &mut Connection, writer: &mut Connection, conversation: &str, why: &str, close: u16) {
    connection.forbidden.push("what came later".to_owned());
    let (closed, _) = tokio::join!(timeout(FELT_WITHIN, connection.closed()), writer.send(conversation, "what came later"));
    let closed = closed.expect("felt in time");
    assert_eq!((closed, connection.closing.as_ref().map(code)), (Some(close), Some(why)));
}

/// That a device cannot come back.
async fn assert_shut_out(user: &User, server: &Server, why: &str) {
    match user.connect(server.address).await {
        Err(Failure::Refused(error)) => assert_eq!(code(&error), why),
        other => panic!("{:?}", other.map(|_| "a session")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_a_removed_member_gets_nothing_that_is_later() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut owner = ana.on(&server).await;
    let direct = owner.ok("create_direct", json!({"client_id": client_id(), "with": ben.id})).await;
    let direct = direct["conversation"].as_str().unwrap().to_owned();
    for leaver in ["keeps", "loses"] {
        let made = json!({"client_id": client_id(), "title": "a group", "members": [ben.id], "leaver": leaver});
        let group = owner.ok("create_group", made).await["conversation"].as_str().unwrap().to_owned();
        let mut removed = ben.on(&server).await;
        owner.send(&group, "what was before").await;
        owner.ok("remove_member", json!({"client_id": client_id(), "conversation": group, "user": ben.id})).await;
        removed.forbidden.push("what came later".to_owned());
        let gone = |push: &Value| push["data"]["event"]["type"] == "conversation.removed" && push["data"]["event"]["conversation"] == group;
        timeout(FELT_WITHIN, removed.push(gone)).await.expect("felt in time").expect("pushed");
        for n in 0..5 {
            owner.send(&group, &format!("what came later, {n}")).await;
        }
        // What is sent elsewhere after it does arrive, and nothing came before it.
        let marker = owner.send(&direct, "a marker").await;
        let arrived = |push: &Value| push["data"]["conversation"] == direct && push["data"]["event"]["seq"] == marker;
        removed.push(arrived).await.expect("pushed");
        for restarted in [false, true] {
            if restarted {
                server.kill();
                server.start_again();
                (owner, removed) = (ana.on(&server).await, ben.on(&server).await);
                removed.forbidden.push("what came later".to_owned());
            }
            if leaver == "keeps" {
                let events = log::everything(&mut removed, &group).await;
                assert_eq!((events.len(), &events[2]["type"]), (3, &json!("member.removed")), "up to its end");
            } else {
                for method in ["events", "history", "conversation", "members"] {
                    assert_eq!(removed.refused(method, json!({"conversation": group})).await, "not_found");
                }
            }
            removed.ok("conversations", json!({})).await;
            let send = crate::raw::message(&group, "from outside");
            assert_eq!(removed.refused("send", send).await, "not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_a_device_that_is_revoked_or_logged_out_is_shut_out() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let (phone, tablet) = (User::log_in(&server, "ben").await, User::log_in(&server, "ben").await);
    let (mut own, mut revoked) = (ben.on(&server).await, phone.on(&server).await);
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    own.ok("revoke_device", json!({"client_id": client_id(), "device": phone.device})).await;
    assert_closed(&mut revoked, &mut writer, &conversation, "token_invalid", 4004).await;
    assert_shut_out(&phone, &server, "token_invalid").await;
    let (mut leaving, mut beside) = (tablet.on(&server).await, tablet.on(&server).await);
    leaving.ok("log_out", json!({})).await;
    assert_closed(&mut beside, &mut writer, &conversation, "token_invalid", 4004).await;
    assert_shut_out(&tablet, &server, "token_invalid").await;
    log::everything(&mut own, &conversation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_another_password_and_a_closed_account_shut_every_device_out() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let phone = User::log_in(&server, "ben").await;
    let (mut administrator, mut own, mut other) = (ana.on(&server).await, ben.on(&server).await, phone.on(&server).await);
    let conversation = administrator.group(&[&ben]).await;
    let changed = json!({"client_id": client_id(), "old": PASSWORD, "new": "another horse battery"});
    own.ok("change_password", changed).await;
    assert_closed(&mut other, &mut administrator, &conversation, "token_invalid", 4004).await;
    assert_shut_out(&phone, &server, "token_invalid").await;
    log::everything(&mut own, &conversation).await;

    let first_code = server.first_code.as_ref().expect("there is no administrator yet");
    administrator.ok("redeem_first_code", json!({"client_id": client_id(), "code": first_code})).await;
    let close = json!({"client_id": client_id(), "user": ben.id});
    administrator.ok("disable_user", close).await;
    assert_closed(&mut own, &mut administrator, &conversation, "account_disabled", 4006).await;
    assert!(matches!(ben.connect(server.address).await, Err(Failure::Refused(_))));
    let mut stranger = Connection::open(server.address).await.expect("connected");
    let params = json!({"client_id": client_id(), "name": "ben", "password": "another horse battery"});
    assert!(matches!(stranger.refused("log_in", params).await.as_str(), "account_disabled" | "credentials_invalid"));
}
