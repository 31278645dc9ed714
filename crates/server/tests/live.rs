//! What is told live: typing, presence, positions, membership; and coming back with a cursor.

mod common;

use chirrup_protocol::limits::CONVERSATIONS_PAGE_MAX;
use common::{Client, FELT_WITHIN, Server, client_id};
use serde_json::{Value, json};

async fn presence(client: &mut Client, of: &str) -> Value {
    client.push(|p| p["push"] == "presence.updated" && p["data"]["user"] == of).await["data"].clone()
}

/// Rules P-5 and P-6.
#[tokio::test(flavor = "multi_thread")]
async fn p5_p6_presence_is_told_to_those_who_watch() {
    let server = Server::start(&[("session.grace_ms", "50")]).await;
    let (mut ana, mut ben, stranger) = (server.join("ana").await, server.join("ben").await, server.join("stranger").await);
    ana.direct(&ben.user).await;
    let (user, token) = (ben.user.clone(), ben.token.clone());
    let seen = ana.ok("watch", json!({"users": [stranger.user, user, user]})).await;
    let expected = json!([{"user": stranger.user, "status": "offline"}, {"user": user, "status": "online"}]);
    assert_eq!(seen["presences"], expected, "strangers are offline, everybody is answered once");
    ben.ok("idle", json!({"idle": true})).await;
    let away = presence(&mut ana, &user).await;
    assert!(away["status"] == "away" && away["last_active_at"].is_string(), "{away}");
    let mut second = server.connect().await;
    second.ok("hello", json!({"token": token, "background": true})).await;
    ben.ok("idle", json!({"idle": false})).await;
    assert_eq!(presence(&mut ana, &user).await["status"], "online");
    drop(ben);
    let gone = presence(&mut ana, &user).await;
    assert_eq!(gone["status"], "offline", "a connection in the background makes nobody online");
    assert!(gone["last_active_at"].is_string());
    second.token = token;
    let mut back = server.connect().await;
    back.token.clone_from(&second.token);
    back.hello(None).await;
    assert_eq!(presence(&mut ana, &user).await["status"], "online");
    ana.ok("watch", json!({"users": []})).await;
    let many: Vec<&str> = vec![&user; 201];
    assert_eq!(ana.ok("watch", json!({"users": many})).await["presences"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

/// Rule P-7.
#[tokio::test(flavor = "multi_thread")]
async fn p7_typing_is_told_to_the_other_members() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben, mut eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let conversation = ana.direct(&ben.user).await;
    assert_eq!(ana.ok("typing", json!({"conversation": conversation})).await, json!({}));
    let push = ben.push(|p| p["push"] == "typing").await;
    assert_eq!(push["data"], json!({"conversation": conversation, "user": ana.user, "typing": true}));
    assert_eq!(eve.code("typing", json!({"conversation": conversation})).await, "not_found");
    server.stop().await;
}

/// Rules P-1 and P-3.
#[tokio::test(flavor = "multi_thread")]
async fn p1_p3_positions_are_told_and_checked() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben, mut eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let conversation = ana.direct(&ben.user).await;
    let seq = ana.send(&conversation, "one").await;
    let at = |seq: Value| json!({"conversation": conversation, "seq": seq});
    let list = ben.ok("conversation", json!({"conversation": conversation})).await;
    assert_eq!((&list["unread"]["count"], &list["read"]), (&json!(1), &json!(0)));
    assert_eq!(ben.ok("delivered", at(json!(seq))).await, json!({"read": 0, "delivered": seq}));
    assert_eq!(ben.ok("read", at(json!(seq))).await, json!({"read": seq, "delivered": seq}));
    let told = ana.push(|p| p["push"] == "position.updated" && p["data"]["user"] == ben.user && p["data"]["read"] == seq).await;
    assert_eq!(told["data"]["conversation"], conversation);
    assert_eq!(ben.ok("read", at(json!(1))).await["read"], seq, "positions never go back");
    // There is nothing beyond the head to be read: that is refused, and not cut to fit.
    for wrong in [json!(seq + 1), json!(0), json!(-1), json!(1_u64 << 53), json!(1.5), json!("1"), Value::Null] {
        assert_eq!(ben.code("read", at(wrong.clone())).await, "bad_request", "{wrong}");
    }
    assert_eq!(eve.code("read", at(json!(1))).await, "not_found");
    assert_eq!(eve.code("positions", json!({"conversation": conversation})).await, "not_found");
    let positions = ana.ok("positions", json!({"conversation": conversation})).await;
    assert_eq!(positions["positions"].as_array().map(Vec::len), Some(2));
    assert_eq!(ben.ok("conversation", json!({"conversation": conversation})).await["unread"]["count"], 0);
    server.stop().await;
}

/// Rule P-2.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_message_moves_its_authors_positions_and_nothing_else_tells_so() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    let root = ana.send(&conversation, "one").await;
    let own = async |ana: &mut Client| {
        let told = ana.ok("conversation", json!({"conversation": conversation})).await;
        (told["read"].clone(), told["delivered"].clone(), told["unread"]["count"].clone())
    };
    assert_eq!(own(&mut ana).await, (json!(root), json!(root), json!(0)));
    let thread = json!({"client_id": client_id(), "conversation": conversation, "text": "in a thread", "thread_root": root});
    let reply = ana.ok("send", thread).await["seq"].as_u64().expect("a seq");
    assert_eq!(own(&mut ana).await, (json!(root), json!(root), json!(0)), "it is not in the timeline");
    // Her positions rise by request, which is told; then what she sends raises them again, which is
    // not; then his rise, which is told behind whatever was told of hers.
    ana.ok("read", json!({"conversation": conversation, "seq": reply})).await;
    let last = ana.send(&conversation, "two").await;
    assert_eq!(own(&mut ana).await, (json!(last), json!(last), json!(0)));
    ben.ok("read", json!({"conversation": conversation, "seq": last})).await;
    let (mut told, mut moved) = (Vec::new(), Vec::new());
    while moved.is_empty() || told.last() != Some(&(json!(ben.user), json!(last))) {
        let push = ana.push(|_| true).await;
        let (kind, data) = (push["push"].as_str(), &push["data"]);
        if kind == Some("position.updated") {
            told.push((data["user"].clone(), data["read"].clone()));
        } else if data["event"]["type"] == "positions.moved" {
            moved.push(data["event"]["positions"].clone());
        }
    }
    assert_eq!(told, [(json!(ana.user), json!(reply)), (json!(ben.user), json!(last))]);
    assert_eq!(moved, [json!([{"conversation": conversation, "read": reply, "delivered": reply}])]);
    let positions = ben.ok("positions", json!({"conversation": conversation})).await["positions"].take();
    let of_ana = positions.as_array().expect("a list").iter().find(|position| position["user"] == ana.user);
    assert_eq!(of_ana.expect("told")["read"], last, "the others may ask");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_s3_a_cursor_tells_what_changed_since() {
    let server = Server::start(&[("session.heartbeat_ms", "300")]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let quiet = ana.direct(&ben.user).await;
    let busy = ana.ok("create_group", json!({"client_id": client_id(), "title": "busy", "members": [ben.user]})).await;
    let busy = busy["conversation"].as_str().expect("an id").to_owned();
    let come_back = async |cursor: Option<&str>| {
        let mut client = server.connect().await;
        client.token.clone_from(&ben.token);
        client.hello(cursor).await
    };
    let listed = |ready: &Value| -> Vec<String> {
        let all = ready["conversations"].as_array().expect("a list").iter();
        all.map(|c| c["conversation"].as_str().expect("an id").to_owned()).collect()
    };
    let all = come_back(None).await;
    assert_eq!((listed(&all).len(), &all["reset"]), (2, &json!(false)));
    let cursor = all["cursor"].as_str().expect("a cursor").to_owned();
    ana.send(&busy, "news").await;
    let since = come_back(Some(&cursor)).await;
    assert_eq!(listed(&since), std::slice::from_ref(&busy));
    let later = since["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(listed(&come_back(Some(&later)).await), Vec::<String>::new());
    assert_eq!(listed(&come_back(Some(&cursor)).await), [busy], "an older cursor tells it again");
    let reset = come_back(Some("nonsense")).await;
    assert_eq!((listed(&reset).len(), &reset["reset"]), (2, &json!(true)));
    // A heartbeat's cursor covers what was pushed before it.
    let mut live = server.connect().await;
    live.token.clone_from(&ben.token);
    live.hello(None).await;
    let seq = ana.send(&quiet, "heard live").await;
    live.push(|p| p["data"]["event"]["seq"] == seq).await;
    let beat = live.push(|p| p["push"] == "heartbeat").await["data"].clone();
    assert_eq!(listed(&come_back(beat["cursor"].as_str()).await), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_a_heartbeat_has_no_cursor_before_the_last_page() {
    let server = Server::start(&[("session.heartbeat_ms", "100")]).await;
    let mut ana = server.join("ana").await;
    for n in 0..=CONVERSATIONS_PAGE_MAX {
        ana.ok("create_group", json!({"client_id": client_id(), "title": format!("{n}"), "members": []})).await;
    }
    let mut later = server.connect().await;
    later.token.clone_from(&ana.token);
    let ready = later.hello(None).await;
    let beat = later.push(|p| p["push"] == "heartbeat").await;
    assert!(beat["data"]["cursor"].is_null() && ready["cursor"].is_null(), "what is on the second page was not told yet");
    let page = later.ok("sync", json!({"page": ready["next"]})).await;
    assert!(page["cursor"].is_string() && page["next"].is_null());
    later.take_pushes();
    let beat = later.push(|p| p["push"] == "heartbeat").await;
    assert!(beat["data"]["cursor"].is_string());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_who_is_removed_hears_nothing_more() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let params = json!({"client_id": client_id(), "title": "group", "members": [ben.user], "history": "from_join", "leaver": "loses"});
    let group = ana.ok("create_group", params).await["conversation"].as_str().expect("an id").to_owned();
    ana.send(&group, "for both").await;
    ben.push(|p| p["data"]["event"]["text"] == "for both").await;
    ana.ok("remove_member", json!({"client_id": client_id(), "conversation": group, "user": ben.user})).await;
    let removed = ben.push(|p| p["data"]["event"]["type"] == "conversation.removed");
    let removed = tokio::time::timeout(FELT_WITHIN, removed).await.expect("felt in time");
    assert_eq!(removed["data"]["event"]["conversation"], group);
    ana.send(&group, "for one").await;
    let ask = json!({"conversation": group});
    for method in ["conversation", "history", "events", "members", "positions", "typing"] {
        assert_eq!(ben.code(method, ask.clone()).await, "not_found", "{method}");
    }
    let send = json!({"client_id": client_id(), "conversation": group, "text": "let me in"});
    assert_eq!(ben.code("send", send).await, "not_found");
    let heard = ben.take_pushes();
    assert!(heard.iter().all(|p| p["data"]["event"]["text"] != "for one"), "{heard:?}");
    ana.ok("add_members", json!({"client_id": client_id(), "conversation": group, "users": [ben.user]})).await;
    ana.send(&group, "for both again").await;
    ben.push(|p| p["data"]["event"]["text"] == "for both again").await;
    let events = ben.ok("events", ask).await;
    let kinds: Vec<&str> = events["events"].as_array().expect("events").iter().map(|e| e["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["hidden", "hidden", "hidden", "hidden", "member.added", "message.created"]);
    server.stop().await;
}
