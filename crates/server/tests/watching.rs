//! Presence ends where acquaintance ends: whoever no longer shares a conversation with somebody is
//! told that they are offline, and then nothing more.

mod common;

use common::{Client, FELT_WITHIN, Server, client_id};
use serde_json::{Value, json};

async fn watch(client: &mut Client, users: &[&str]) -> Value {
    client.ok("watch", json!({"users": users})).await["presences"].take()
}

async fn remove(owner: &mut Client, group: &str, user: &str) {
    owner.ok("remove_member", json!({"client_id": client_id(), "conversation": group, "user": user})).await;
}

/// The next presence that a client is told.
async fn told(client: &mut Client) -> Value {
    client.push(|push| push["push"] == "presence.updated").await["data"].take()
}

/// What a client was told of presence until now: an answer to it comes behind all that was pushed.
async fn told_until_now(client: &mut Client) -> Vec<Value> {
    client.ok("devices", json!({})).await;
    client.take_pushes().into_iter().filter(|push| push["push"] == "presence.updated").collect()
}

/// That a client feels at once that it watches somebody no longer.
async fn feels_the_end(client: &mut Client, of: &str) {
    let told = tokio::time::timeout(FELT_WITHIN, told(client)).await.expect("felt in time");
    assert_eq!(told, json!({"user": of, "status": "offline"}), "without a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_who_shares_no_conversation_any_more_is_seen_offline_and_then_no_more() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben, mut eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let group = ana.group(&[&ben.user, &eve.user], &json!({})).await;
    let own = ana.user.clone();
    watch(&mut ana, &[&ben.user, &eve.user, &own]).await;
    watch(&mut ben, &[&ana.user, &eve.user]).await;
    // They share another conversation, so that they go on seeing each other.
    ben.direct(&eve.user).await;
    watch(&mut eve, &[&ben.user]).await;
    remove(&mut ana, &group, &ben.user).await;
    feels_the_end(&mut ana, &ben.user).await;
    feels_the_end(&mut ben, &ana.user).await;

    for idle in [true, false] {
        for client in [&mut ana, &mut ben, &mut eve] {
            client.ok("idle", json!({"idle": idle})).await;
        }
    }
    let (of_ana, of_ben, of_eve) = (told_until_now(&mut ana).await, told_until_now(&mut ben).await, told_until_now(&mut eve).await);
    let of = |told: &[Value], user: &str| told.iter().filter(|push| push["data"]["user"] == user).count();
    assert_eq!([of(&of_ana, &ana.user), of(&of_ana, &ben.user), of(&of_ana, &eve.user)], [2, 0, 2], "{of_ana:?}");
    assert_eq!([of(&of_ben, &ana.user), of(&of_ben, &eve.user)], [0, 2], "{of_ben:?}");
    assert_eq!(of(&of_eve, &ben.user), 2, "{of_eve:?}");
    assert_eq!(watch(&mut ana, &[&ben.user]).await, json!([{"user": ben.user, "status": "offline"}]));

    // Who comes back is seen again by whoever looks.
    ana.ok("add_members", json!({"client_id": client_id(), "conversation": group, "users": [ben.user]})).await;
    assert_eq!(watch(&mut ana, &[&ben.user]).await, json!([{"user": ben.user, "status": "online"}]));
    ben.ok("idle", json!({"idle": true})).await;
    assert_eq!(told(&mut ana).await["status"], "away");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_who_leaves_while_away_or_offline_is_not_seen_to_come_back() {
    let server = Server::start(&[("session.grace_ms", "50")]).await;
    let (mut ana, ben, mut eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let group = ana.group(&[&ben.user, &eve.user], &json!({})).await;
    watch(&mut ana, &[&ben.user, &eve.user]).await;
    let (gone, token) = (ben.user.clone(), ben.token.clone());
    drop(ben);
    let offline = told(&mut ana).await;
    assert!(offline["status"] == "offline" && offline["last_active_at"].is_string(), "{offline}");
    remove(&mut ana, &group, &gone).await;
    feels_the_end(&mut ana, &gone).await;
    eve.ok("idle", json!({"idle": true})).await;
    assert_eq!(told(&mut ana).await["status"], "away");
    eve.ok("leave", json!({"client_id": client_id(), "conversation": group})).await;
    feels_the_end(&mut ana, &eve.user).await;

    let mut back = server.connect().await;
    back.token = token;
    back.hello(None).await;
    back.ok("idle", json!({"idle": true})).await;
    eve.ok("idle", json!({"idle": false})).await;
    assert_eq!(told_until_now(&mut ana).await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_memberships_that_end_while_watching_begins_leave_nobody_watched() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    for _ in 0..30 {
        let group = ana.group(&[&ben.user], &json!({})).await;
        // Both on their way at once: whichever comes first, nothing may be left.
        let removing = ana.post("remove_member", json!({"client_id": client_id(), "conversation": group, "user": ben.user})).await;
        let watching = ben.post("watch", json!({"users": [ana.user]})).await;
        assert!(ana.reply(removing).await.get("ok").is_some());
        let seen = ben.reply(watching).await["ok"]["presences"][0].take();
        if seen["status"] == "online" {
            feels_the_end(&mut ben, &ana.user).await;
        }
        for idle in [true, false] {
            ana.ok("idle", json!({"idle": idle})).await;
        }
        assert_eq!(told_until_now(&mut ben).await, Vec::<Value>::new());
    }
    server.stop().await;
}
