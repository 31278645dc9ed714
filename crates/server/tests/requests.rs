//! Requests and what they may do: answers, ids, what is not for the asker, groups, replies, finding.

mod common;

use chirrup_protocol::limits::IN_FLIGHT_MAX;
use chirrup_protocol::request::Request;
use common::{Client, Server, client_id, in_conversation};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn r1_params_may_be_left_out_and_ids_are_the_clients_own() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    for (id, params) in [("0", ""), ("9007199254740991", r#","params":null"#), ("500", r#","params":{}"#)] {
        ana.text(&format!(r#"{{"id":{id},"method":"devices"{params}}}"#)).await;
        let reply = ana.reply(id.parse().expect("a number")).await;
        assert!(reply["ok"]["devices"].is_array() && reply.as_object().map(serde_json::Map::len) == Some(2), "{reply}");
    }
    ana.text(r#"{"id":9007199254740992,"method":"devices"}"#).await;
    assert_eq!(ana.closed().await.code, 4000, "an id that JSON does not carry exactly");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_each_request_is_answered_once_in_any_order_and_so_many_wait() {
    // Positions are answered when they are written, which takes a while here.
    let server = Server::start(&[("session.merge_ms", "300")]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    let read = json!({"conversation": conversation, "seq": 1});
    // The order of answers: of those that wait, then of one that does not.
    let mut order = async |waiting: usize| {
        let mut ids = Vec::new();
        for _ in 0..waiting {
            ids.push(ana.post("read", read.clone()).await);
        }
        let quick = ana.post("devices", json!({})).await;
        ids.push(quick);
        let mut answered = Vec::new();
        while answered.len() < ids.len() {
            let frame = ana.frame().await.expect("no close");
            if let Some(id) = frame["id"].as_u64() {
                assert!(frame.get("ok").is_some() && ids.contains(&id) && !answered.contains(&id), "{frame}");
                answered.push(id);
            }
        }
        answered.iter().position(|id| *id == quick).expect("answered")
    };
    let mut overtaken = false;
    for _ in 0..5 {
        // It comes before those that it was sent behind, unless they were written just then.
        overtaken |= order(10).await == 0;
        assert!(order(IN_FLIGHT_MAX).await > 0, "it is not read before one of those in flight is answered");
    }
    assert!(overtaken, "an answer waits for no other");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_ids_and_times_have_one_form() {
    let server = Server::start(&[]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let conversation = ana.direct(&ben.user).await;
    for (id, prefix) in [(&ana.user, "u_"), (&ana.device, "d_"), (&conversation, "c_")] {
        assert!(id.starts_with(prefix) && id.len() == 28, "{id}");
    }
    let own = "01936B2E-8F3C-7C4E-B1A2-9D3E4F5A6B7C";
    let sent = ana.ok("send", json!({"client_id": own, "conversation": conversation, "text": "hi"})).await;
    let time = sent["time"].as_str().expect("a time");
    assert!(time.len() == 24 && time.as_bytes()[19] == b'.' && time.ends_with('Z'), "{time}");
    let event = ana.events(&conversation).await.pop().expect("events");
    assert_eq!((&event["client_id"], &event["time"]), (&json!(own.to_lowercase()), &sent["time"]));
    assert!(event["seq"].is_u64() && event["ordinal"].is_u64());
    let user = ana.user.clone();
    for wrong in [&user, &conversation.replace('c', "C"), &conversation[..27], &format!("{conversation}0"), ""] {
        assert_eq!(ana.code("history", json!({"conversation": wrong})).await, "bad_request", "{wrong}");
    }
    for wrong in ["01936b2e8f3c7c4eb1a29d3e4f5a6b7c", "{01936b2e-8f3c-7c4e-b1a2-9d3e4f5a6b7c}", "1", ""] {
        let send = json!({"client_id": wrong, "conversation": conversation, "text": "hi"});
        assert_eq!(ana.code("send", send).await, "bad_request", "{wrong}");
    }
    server.stop().await;
}

/// The id of a user whom there is not.
fn nobody(client: &Client) -> String {
    format!("u_{}", &client.device[2..])
}

/// A request of every method that names a conversation, as far as `params` has its fields.
fn about(conversation: &str, user: &str) -> Vec<(&'static str, Value)> {
    let fields = json!({
        "conversation": conversation, "user": user, "users": [user], "text": "hi", "target": 1,
        "emoji": "x", "role": "owner", "title": "t", "muted": true, "marked": true, "seq": 1
    });
    let only = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), fields[*name].clone())).collect::<Value>();
    let change = |names: &[&str]| in_conversation(conversation, &only(names));
    vec![
        ("conversation", only(&["conversation"])),
        ("members", only(&["conversation"])),
        ("positions", only(&["conversation"])),
        ("events", only(&["conversation"])),
        ("history", only(&["conversation"])),
        ("typing", only(&["conversation"])),
        ("read", only(&["conversation", "seq"])),
        ("delivered", only(&["conversation", "seq"])),
        ("send", change(&["text"])),
        ("edit", change(&["target", "text"])),
        ("delete", change(&["target"])),
        ("react", change(&["target", "emoji"])),
        ("add_members", change(&["users"])),
        ("remove_member", change(&["user"])),
        ("leave", change(&[])),
        ("set_role", change(&["user", "role"])),
        ("set_title", change(&["title"])),
        ("mute", change(&["muted"])),
        ("mark_unread", change(&["marked"])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_what_is_not_there_and_what_is_not_for_one_are_the_same_answer() {
    let server = Server::start(&[]).await;
    let (mut ana, mut eve) = (server.join("ana").await, server.join("eve").await);
    let real = ana.group(&[], &json!({})).await;
    ana.send(&real, "a secret").await;
    let none = format!("c_{}", "0".repeat(26));
    for ((method, of_real), (_, of_none)) in about(&real, &ana.user).into_iter().zip(about(&none, &ana.user)) {
        let (real, none) = (eve.call(method, of_real).await, eve.call(method, of_none).await);
        let refused = none.expect_err("there is none");
        assert_eq!((real.expect_err("not for her"), &refused["code"]), (refused.clone(), &json!("not_found")), "{method}");
    }
    let named: Vec<&str> = about(&real, "").iter().map(|(method, _)| *method).collect();
    // Of what is left, one is answered the same whatever there is, and the other is for administrators.
    let apart = ["withdraw", "import_message"];
    for method in Request::METHODS.iter().filter(|method| !named.contains(method) && !apart.contains(method)) {
        let error = eve.call(method, json!({"conversation": real})).await.expect_err("of no conversation");
        assert!(error["message"].to_string().contains("unknown field `conversation`"), "{method} is not asked here: {error}");
    }

    // Within a conversation: what came before her, what is no message, and what is not there.
    let shared = ana.group(&[], &json!({"history": "from_join"})).await;
    let before = ana.send(&shared, "before her").await;
    let joined = ana.change("add_members", &shared, &json!({"users": [eve.user]})).await;
    for target in [before, joined, 99] {
        for (method, more) in [
            ("edit", json!({"target": target, "text": "x"})),
            ("delete", json!({"target": target})),
            ("react", json!({"target": target, "emoji": "x"})),
            ("send", json!({"text": "x", "reply_to": target})),
            ("send", json!({"text": "x", "thread_root": target})),
        ] {
            assert_eq!(eve.refused(method, &shared, &more).await, "message_not_found", "{method} {target}");
        }
        let thread = json!({"conversation": shared, "thread_root": target});
        assert_eq!(eve.code("history", thread).await, "message_not_found", "{target}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_there_is_one_direct_conversation_of_two_and_it_stays_theirs() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben, eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let create = |with: &str| json!({"client_id": client_id(), "with": with});
    let (of_ana, of_ben) = (ana.post("create_direct", create(&ben.user)).await, ben.post("create_direct", create(&ana.user)).await);
    let (first, second) = (ana.reply(of_ana).await, ben.reply(of_ben).await);
    assert_eq!(first["ok"]["conversation"], second["ok"]["conversation"]);
    let direct = first["ok"]["conversation"].as_str().expect("an id").to_owned();
    assert_eq!(ana.direct(&ben.user).await, direct);
    let own = ana.user.clone();
    assert_eq!(ana.code("create_direct", create(&own)).await, "bad_request", "with oneself");
    for (method, more) in [
        ("add_members", json!({"users": [eve.user]})),
        ("remove_member", json!({"user": ben.user})),
        ("leave", json!({})),
        ("set_role", json!({"user": ben.user, "role": "owner"})),
        ("set_title", json!({"title": "ours"})),
    ] {
        assert_eq!(ana.refused(method, &direct, &more).await, "not_a_group", "{method}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_members_add_and_owners_govern_and_one_owner_stays() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben, eve) = (server.join("ana").await, server.join("ben").await, server.join("eve").await);
    let group = ana.group(&[&ben.user], &json!({})).await;
    let (of_ana, of_ben) = (ana.send(&group, "of the owner").await, ben.send(&group, "of a member").await);
    ben.change("add_members", &group, &json!({"users": [eve.user]})).await;
    let owner_may = |user: &str, target: u64| {
        [
            ("remove_member", json!({"user": user})),
            ("set_role", json!({"user": user, "role": "owner"})),
            ("set_title", json!({"title": "another"})),
            ("delete", json!({"target": target})),
        ]
    };
    for (method, more) in owner_may(&ana.user, of_ana) {
        assert_eq!(ben.refused(method, &group, &more).await, "forbidden", "{method}");
    }
    assert_eq!(ana.refused("leave", &group, &json!({})).await, "last_one");
    let plain = json!({"user": ana.user, "role": "member"});
    assert_eq!(ana.refused("set_role", &group, &plain).await, "last_one");
    assert_eq!(ana.refused("remove_member", &group, &json!({"user": ana.user})).await, "last_one");
    assert_eq!(ana.refused("remove_member", &group, &json!({"user": nobody(&ana)})).await, "not_a_member");
    for (method, more) in owner_may(&eve.user, of_ben).into_iter().rev() {
        ana.change(method, &group, &more).await;
    }
    // Eve is an owner no more and gone; with Ben as one, Ana may go, and he may as the only one left.
    ana.change("set_role", &group, &json!({"user": ben.user, "role": "owner"})).await;
    ana.change("leave", &group, &json!({})).await;
    assert_eq!(ben.refused("set_role", &group, &json!({"user": ben.user, "role": "member"})).await, "last_one");
    ben.change("leave", &group, &json!({})).await;
    assert_eq!(ben.refused("send", &group, &json!({"text": "hello?"})).await, "not_found");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_replies_and_threads_stand_where_they_belong() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let group = ana.group(&[], &json!({})).await;
    let root = ana.send(&group, "root").await;
    let other = ana.send(&group, "another root").await;
    let answer = ana.change("send", &group, &json!({"text": "an answer", "reply_to": root})).await;
    let inside = ana.change("send", &group, &json!({"text": "in the thread", "thread_root": root})).await;
    let both = json!({"text": "in both", "thread_root": root, "reply_to": inside, "also_in_conversation": true});
    let both = ana.change("send", &group, &both).await;
    for mismatch in [
        json!({"text": "a thread in a thread", "thread_root": inside}),
        json!({"text": "a thread in a thread", "thread_root": both}),
        json!({"text": "out of the thread", "reply_to": inside}),
        json!({"text": "into another", "reply_to": inside, "thread_root": other}),
    ] {
        assert_eq!(ana.refused("send", &group, &mismatch).await, "thread_mismatch", "{mismatch}");
    }
    for later in [both + 1, both + 2] {
        assert_eq!(ana.refused("send", &group, &json!({"text": "x", "reply_to": later})).await, "message_not_found", "not earlier");
    }
    let seqs = |page: &Value| -> Vec<u64> {
        page["messages"].as_array().expect("messages").iter().map(|m| m["seq"].as_u64().expect("a seq")).collect()
    };
    let timeline = ana.ok("history", json!({"conversation": group})).await;
    assert_eq!(seqs(&timeline), [root, other, answer, both]);
    let of_root = &timeline["messages"][0];
    assert_eq!((&of_root["replies"], &of_root["last_reply"]), (&json!(2), &json!(both)));
    assert_eq!((&timeline["messages"][2]["reply_to"], &timeline["messages"][3]["thread_root"]), (&json!(root), &json!(root)));
    let thread = ana.ok("history", json!({"conversation": group, "thread_root": root})).await;
    assert_eq!(seqs(&thread), [inside, both]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_people_are_found_by_their_exact_name_alone() {
    let server = Server::start(&[]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("Benedict").await);
    assert_eq!(ana.ok("find", json!({"name": "BENEDICT"})).await["user"], ben.user);
    for near in ["Bene", "benedict.", "Benedict ", "%", "*", "", "Bénédict", "Вenedict"] {
        assert_eq!(ana.code("find", json!({"name": near})).await, "not_found", "{near}");
    }
    let unknown = nobody(&ben);
    let known = ana.ok("users", json!({"users": [unknown, ben.user]})).await;
    assert_eq!(known["users"].as_array().map(Vec::len), Some(1), "{known}");
    assert_eq!(ana.code("list_users", json!({})).await, "forbidden");
    assert_eq!(ana.code("create_direct", json!({"client_id": client_id(), "with": unknown})).await, "not_found");
    assert_eq!(ana.code("create_group", json!({"client_id": client_id(), "title": "t", "members": [unknown]})).await, "not_found");
    let group = ana.group(&[], &json!({})).await;
    assert_eq!(ana.code("add_members", in_conversation(&group, &json!({"users": [ben.user, unknown]}))).await, "not_found");
    assert_eq!(ana.ok("members", json!({"conversation": group})).await["members"].as_array().map(Vec::len), Some(1), "none was added");
    server.stop().await;
}
