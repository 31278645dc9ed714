//! Each limit of what may be asked: what just meets it is taken, what crosses it is refused as a
//! whole (rule X-4).

mod common;

use chirrup_core::limits::{
    DEVICES_MAX, EDITS_MAX, EMOJI_BYTES_MAX, MEMBERS_AT_ONCE_MAX, MENTIONS_MAX, NAME_CHARS_MAX, REACTIONS_MAX, TEXT_CHARS_MAX,
    TITLE_CHARS_MAX,
};
use chirrup_protocol::limits::{
    CONVERSATIONS_PAGE_MAX, EVENTS_PAGE_MAX, HISTORY_PAGE_MAX, MEMBERS_PAGE_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN,
    RECEIPTS_MEMBERS_MAX, USERS_AT_ONCE_MAX, USERS_PAGE_MAX, WATCH_MAX,
};
use common::{Client, Server, client_id, in_conversation};
use serde_json::{Value, json};

/// So many ids of users whom there are not.
fn nobodies(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("u_{n:026}")).collect()
}

/// An administrator.
async fn administrator(server: &Server) -> Client {
    let mut ana = server.join("ana").await;
    let code = server.info.first_code.clone().expect("a code");
    ana.ok("redeem_first_code", json!({"client_id": client_id(), "code": code})).await;
    ana
}

/// So many accounts that nobody logs in to.
async fn accounts(administrator: &mut Client, count: usize) -> Vec<String> {
    let mut users = Vec::new();
    while users.len() < count {
        let mut asked = Vec::new();
        for n in users.len()..count.min(users.len() + 32) {
            asked.push(administrator.post("import_user", json!({"client_id": client_id(), "name": format!("user{n}")})).await);
        }
        for id in asked {
            users.push(administrator.reply(id).await["ok"]["user"].as_str().expect("an id").to_owned());
        }
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_pages_and_lists_have_a_size() {
    let server = Server::start(&[]).await;
    let mut ana = administrator(&server).await;
    let group = ana.group(&[], &json!({})).await;
    for (method, most, of_conversation) in [
        ("conversations", CONVERSATIONS_PAGE_MAX, false),
        ("history", HISTORY_PAGE_MAX, true),
        ("events", EVENTS_PAGE_MAX, true),
        ("events", EVENTS_PAGE_MAX, false),
        ("members", MEMBERS_PAGE_MAX, true),
        ("list_users", USERS_PAGE_MAX, false),
    ] {
        let ask = |limit: u32| {
            let mut params = json!({"limit": limit});
            if of_conversation {
                params["conversation"] = json!(group);
            }
            params
        };
        for good in [1, most] {
            ana.ok(method, ask(good)).await;
        }
        for bad in [0, most + 1] {
            assert_eq!(ana.code(method, ask(bad)).await, "bad_request", "{method} {bad}");
        }
    }
    for (method, most) in [("users", USERS_AT_ONCE_MAX), ("watch", WATCH_MAX)] {
        ana.ok(method, json!({"users": nobodies(most)})).await;
        assert_eq!(ana.code(method, json!({"users": nobodies(most + 1)})).await, "bad_request", "{method}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_texts_have_a_length() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let group = ana.group(&[], &json!({})).await;
    let message = ana.send(&group, &"\u{1f426}".repeat(TEXT_CHARS_MAX)).await;
    let of = |count: usize| "x".repeat(count);
    for (method, field, most, more) in [
        ("send", "text", TEXT_CHARS_MAX, json!({})),
        ("edit", "text", TEXT_CHARS_MAX, json!({"target": message})),
        ("set_title", "title", TITLE_CHARS_MAX, json!({})),
        ("react", "emoji", EMOJI_BYTES_MAX, json!({"target": message})),
    ] {
        let params = |count: usize| {
            let mut params = in_conversation(&group, &more);
            params[field] = of(count).into();
            params
        };
        ana.ok(method, params(most)).await;
        let head = ana.events(&group).await.len();
        for wrong in [0, most + 1] {
            assert_eq!(ana.code(method, params(wrong)).await, "text_refused", "{method} {wrong}");
        }
        assert_eq!(ana.events(&group).await.len(), head, "nothing of it was taken");
    }
    for count in [TITLE_CHARS_MAX + 1, 0] {
        let profile = json!({"client_id": client_id(), "display_name": of(count)});
        assert_eq!(ana.code("set_profile", profile).await, "text_refused");
    }
    let sign_up = |field: &str, text: String| {
        let mut params = json!({"client_id": client_id(), "name": "ben", "password": "correct horse battery"});
        params[field] = text.into();
        params
    };
    let mixed = |count: usize| (0..count).map(|n| char::from(b'a' + (7 * n % 23) as u8)).collect::<String>();
    let mut guest = server.connect().await;
    for (field, text, code) in [
        ("name", of(NAME_CHARS_MAX + 1), "text_refused"),
        ("device_label", of(TITLE_CHARS_MAX + 1), "text_refused"),
        ("password", mixed(PASSWORD_CHARS_MIN - 1), "password_refused"),
        ("password", mixed(PASSWORD_CHARS_MAX + 1), "password_refused"),
    ] {
        assert_eq!(guest.code("sign_up", sign_up(field, text.clone())).await, code, "{field} {}", text.len());
    }
    assert_eq!(ana.code("find", json!({"name": "ben"})).await, "not_found", "none of these made an account");
    guest.ok("sign_up", sign_up("password", mixed(PASSWORD_CHARS_MAX))).await;
    let mut longest = sign_up("name", of(NAME_CHARS_MAX));
    longest["password"] = mixed(PASSWORD_CHARS_MIN).into();
    server.connect().await.ok("sign_up", longest).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_a_message_has_so_many_edits_emoji_and_mentions() {
    let server = Server::start(&[]).await;
    let mut ana = administrator(&server).await;
    let users = accounts(&mut ana, MENTIONS_MAX + 1).await;
    let group = ana.group(&users.iter().map(String::as_str).collect::<Vec<_>>(), &json!({})).await;
    let message = ana.change("send", &group, &json!({"text": "called", "mentions": users[..MENTIONS_MAX]})).await;
    assert_eq!(ana.refused("send", &group, &json!({"text": "called", "mentions": users})).await, "bad_request");
    let edit = |n: usize| json!({"target": message, "text": format!("version {n}")});
    let react = |n: usize, add: bool| json!({"target": message, "emoji": format!("e{n}"), "add": add});
    for n in 0..EDITS_MAX {
        ana.change("edit", &group, &edit(n)).await;
    }
    for n in 0..REACTIONS_MAX {
        ana.change("react", &group, &react(n, true)).await;
    }
    assert_eq!(ana.refused("edit", &group, &edit(EDITS_MAX)).await, "limit_reached");
    assert_eq!(ana.refused("react", &group, &react(REACTIONS_MAX, true)).await, "limit_reached");
    ana.change("react", &group, &react(0, false)).await;
    ana.change("react", &group, &react(REACTIONS_MAX, true)).await;
    let page = ana.ok("history", json!({"conversation": group})).await;
    let told = &page["messages"][0];
    assert_eq!((&told["text"], &told["edits"]), (&json!(format!("version {}", EDITS_MAX - 1)), &json!(EDITS_MAX)));
    assert_eq!(told["reactions"].as_array().map(Vec::len), Some(REACTIONS_MAX));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_so_many_members_come_at_once_and_so_many_are_told_positions() {
    let server = Server::start(&[]).await;
    let mut ana = administrator(&server).await;
    let users = accounts(&mut ana, MEMBERS_AT_ONCE_MAX + 1).await;
    let group = ana.group(&[&users[0]], &json!({})).await;
    for wrong in [json!([]), json!(users)] {
        assert_eq!(ana.refused("add_members", &group, &json!({"users": wrong})).await, "bad_request");
    }
    let title = json!({"client_id": client_id(), "title": "t", "members": users});
    assert_eq!(ana.code("create_group", title).await, "bad_request");
    let members = async |ana: &mut Client| ana.ok("conversation", json!({"conversation": group})).await["members"].clone();
    assert_eq!(members(&mut ana).await, 2, "none of them was added");
    // P-3: up to here positions are told; with one member more they are not.
    let most = RECEIPTS_MEMBERS_MAX as usize;
    ana.change("add_members", &group, &json!({"users": users[1..most - 1]})).await;
    assert_eq!(members(&mut ana).await, most);
    let ask = json!({"conversation": group});
    ana.ok("positions", ask.clone()).await;
    ana.change("add_members", &group, &json!({"users": users[..MEMBERS_AT_ONCE_MAX]})).await;
    assert_eq!(members(&mut ana).await, most + 1);
    assert_eq!(ana.code("positions", ask).await, "limit_reached");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_a_user_has_so_many_devices() {
    let server = Server::start(&[("auth.address_attempts", "1000")]).await;
    let mut ana = server.join("ana").await;
    let mut guest = server.connect().await;
    let log_in = || json!({"client_id": client_id(), "name": "ana", "password": common::PASSWORD});
    let mut last = Value::Null;
    for _ in 1..DEVICES_MAX {
        last = guest.ok("log_in", log_in()).await["device"].clone();
    }
    assert_eq!(guest.code("log_in", log_in()).await, "limit_reached");
    assert_eq!(ana.ok("devices", json!({})).await["devices"].as_array().map(Vec::len), Some(DEVICES_MAX));
    ana.ok("revoke_device", json!({"client_id": client_id(), "device": last})).await;
    guest.ok("log_in", log_in()).await;
    server.stop().await;
}
