//! What is told of a log: its events, and its messages as they stand, each reader what is for them.

mod common;

use common::{Client, Server, client_id};
use serde_json::{Value, json};

fn seqs(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().map(|entry| entry["seq"].as_u64().expect("a seq")).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

async fn history(client: &mut Client, conversation: &str, params: &Value) -> Value {
    let mut all = json!({"conversation": conversation});
    for (key, value) in params.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    client.ok("history", all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_what_is_not_for_a_reader_is_hidden_and_so_is_what_changes_it() {
    let server = Server::start(&[]).await;
    let (mut ana, mut eve) = (server.join("ana").await, server.join("eve").await);
    let group = ana.group(&[], &json!({"history": "from_join"})).await;
    let before = ana.send(&group, "before her").await;
    ana.change("add_members", &group, &json!({"users": [eve.user]})).await;
    let after = ana.send(&group, "for both").await;
    for target in [before, after] {
        ana.change("edit", &group, &json!({"target": target, "text": "edited"})).await;
        ana.change("react", &group, &json!({"target": target, "emoji": "x"})).await;
        ana.change("react", &group, &json!({"target": target, "emoji": "x", "add": false})).await;
        ana.change("delete", &group, &json!({"target": target})).await;
    }
    let last = ana.send(&group, "the last").await;
    let whole = ["message.edited", "reaction.added", "reaction.removed", "message.deleted"];
    let expected = [&["hidden"; 2][..], &["member.added", "message.created"], &["hidden"; 4], &whole, &["message.created"]].concat();
    let events = eve.events(&group).await;
    assert_eq!(types(&events), expected);
    let hidden = |event: &Value| event["type"] != "hidden" || *event == json!({"seq": event["seq"], "type": "hidden"});
    assert!(events.iter().all(hidden), "{events:?}");
    assert_eq!(types(&ana.events(&group).await)[..2], ["conversation.created", "message.created"]);

    // Pushed are the same events.
    let mut pushed = Vec::new();
    while pushed.last().is_none_or(|event: &Value| event["seq"] != last) {
        let push = eve.push(|push| push["push"] == "event" && push["data"]["conversation"] == group).await;
        pushed.push(push["data"]["event"].clone());
    }
    let texts = |events: &[Value]| -> Vec<Value> {
        let without_text = |event: &Value| {
            let mut event = event.clone();
            event.as_object_mut().map(|fields| fields.remove("text"));
            event
        };
        events.iter().map(without_text).collect()
    };
    // The event that made her a member is the first that she hears of.
    assert_eq!(texts(&pushed), texts(&events[2..]), "but for the texts that were removed since");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e5_members_see_by_the_groups_rules_and_former_ones_too() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    for (rule, leaver, at_first, kept) in [("full", "keeps", 2, 3), ("full", "loses", 2, 0), ("from_join", "keeps", 0, 1)] {
        let group = ana.group(&[], &json!({"history": rule, "leaver": leaver})).await;
        ana.send(&group, "one").await;
        ana.send(&group, "two").await;
        ana.change("add_members", &group, &json!({"users": [ben.user]})).await;
        let of = json!({"conversation": group});
        let unread = async |ben: &mut Client| ben.ok("conversation", of.clone()).await["unread"]["count"].clone();
        assert_eq!(unread(&mut ben).await, at_first, "{rule}");
        ana.send(&group, "three").await;
        assert_eq!(unread(&mut ben).await, at_first + 1, "{rule}");
        let end = ana.change("remove_member", &group, &json!({"user": ben.user})).await;
        ana.send(&group, "four").await;
        if kept == 0 {
            for method in ["conversation", "history", "events"] {
                assert_eq!(ben.code(method, of.clone()).await, "not_found", "{method}");
            }
        } else {
            let told = ben.ok("conversation", of.clone()).await;
            assert_eq!((&told["joined"], &told["head"], &told["members"]), (&json!(false), &json!(end), &json!(0)));
            assert_eq!(unread(&mut ben).await, kept);
            let messages = history(&mut ben, &group, &json!({})).await["messages"].take();
            assert_eq!(messages.as_array().map(Vec::len), Some(kept), "{messages}");
            assert_eq!(ben.events(&group).await.len() as u64, end, "up to the end of the membership");
        }
        // Told to a fresh connection as well, or not.
        let mut fresh = server.connect().await;
        fresh.token.clone_from(&ben.token);
        let ready = fresh.hello(None).await["conversations"].take();
        let listed = ready.as_array().expect("a list").iter().any(|c| c["conversation"] == group && c["last_message"]["text"] != "four");
        assert_eq!(listed, kept > 0, "{ready}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_e6_logs_are_dense_in_pages_and_readers_compare_them_by_digest() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let group = ana.group(&[], &json!({"history": "from_join"})).await;
    ana.send(&group, "before him").await;
    ana.change("add_members", &group, &json!({"users": [ben.user]})).await;
    for n in 0..5 {
        ana.send(&group, &format!("{n}")).await;
    }
    let head = 8;
    let mut digests = Vec::new();
    for after in 0..head {
        let ask = json!({"conversation": group, "after": after, "limit": 3});
        let (of_ana, of_ben) = (ana.ok("events", ask.clone()).await, ben.ok("events", ask).await);
        let wanted: Vec<u64> = (after + 1..=head.min(after + 3)).collect();
        assert_eq!((seqs(&of_ana["events"]), seqs(&of_ben["events"])), (wanted.clone(), wanted));
        assert_eq!((&of_ana["digest"], &of_ana["head"]), (&of_ben["digest"], &json!(head)), "whatever is hidden from whom");
        let digest = of_ana["digest"].as_str().expect("a digest").to_owned();
        assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{digest}");
        digests.push(digest);
    }
    assert!(digests[..6].windows(2).all(|two| two[0] != two[1]) && digests[5..].windows(2).all(|two| two[0] == two[1]));
    let beyond = ana.ok("events", json!({"conversation": group, "after": head})).await;
    assert_eq!(beyond, json!({"events": [], "head": head}));

    // One's own log, which is nobody else's.
    let own = ben.ok("events", json!({})).await;
    let events = own["events"].as_array().expect("events");
    assert_eq!(seqs(&own["events"]), (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(types(events), ["user.created", "device.added", "conversation.added"]);
    // E-9: what concerns one's devices stands there.
    ben.ok("mute", json!({"client_id": client_id(), "conversation": group, "muted": true})).await;
    ben.ok("mark_unread", json!({"client_id": client_id(), "conversation": group, "marked": true})).await;
    ben.ok("set_profile", json!({"client_id": client_id(), "display_name": "Ben"})).await;
    ana.change("remove_member", &group, &json!({"user": ben.user})).await;
    let more = ben.ok("events", json!({"after": 3})).await;
    let more = more["events"].as_array().expect("events");
    assert_eq!(types(more), ["mute.changed", "unread.marked", "user.updated", "conversation.removed"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e3_e7_messages_are_told_as_they_stand() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let direct = ana.direct(&ben.user).await;
    let edited = ana.send(&direct, "draft").await;
    let deleted = ana.change("send", &direct, &json!({"text": "a slip", "mentions": [ben.user]})).await;
    let plain = ana.send(&direct, "plain").await;
    ana.change("edit", &direct, &json!({"target": edited, "text": "final"})).await;
    ana.change("send", &direct, &json!({"text": "in a thread", "thread_root": edited})).await;
    ana.change("react", &direct, &json!({"target": edited, "emoji": "+1"})).await;
    let changed = ben.change("react", &direct, &json!({"target": edited, "emoji": "+1"})).await;
    let gone = ana.change("delete", &direct, &json!({"target": deleted})).await;
    let page = history(&mut ben, &direct, &json!({})).await;
    assert_eq!((&page["head"], &page["more_before"], &page["more_after"]), (&json!(gone), &json!(false), &json!(false)));
    let [first, second, third] = page["messages"].as_array().expect("messages").as_slice() else { panic!("{page}") };
    assert_eq!((&first["text"], &first["edits"], &first["replies"]), (&json!("final"), &json!(1), &json!(1)));
    let reactions = json!([{"emoji": "+1", "count": 2, "users": [ana.user, ben.user]}]);
    assert_eq!((&first["reactions"], &first["changed"]), (&reactions, &json!(changed)));
    assert_eq!(
        (&second["deleted"], &second["changed"], second.get("text"), second.get("mentions")),
        (&json!(true), &json!(gone), None, None)
    );
    assert_eq!((&third["seq"], third.get("changed")), (&json!(plain), None), "as it was created");
    let events = ben.events(&direct).await;
    let slip = &events[deleted as usize - 1];
    assert_eq!((slip.get("text"), slip.get("mentions"), &slip["ordinal"]), (None, None, &json!(2)), "the event has lost them too");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_pages_lie_before_after_and_around_a_place() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let group = ana.group(&[], &json!({})).await;
    for n in 2..=12 {
        assert_eq!(ana.send(&group, &format!("{n}")).await, n);
    }
    for (params, wanted, before, after) in [
        (json!({"limit": 4}), 9..=12, true, false),
        (json!({"limit": 4, "before": 6}), 2..=5, false, true),
        (json!({"limit": 3, "before": 6}), 3..=5, true, true),
        (json!({"limit": 4, "after": 6}), 7..=10, true, true),
        (json!({"limit": 4, "after": 0}), 2..=5, false, true),
        (json!({"limit": 5, "around": 7}), 5..=9, true, true),
        (json!({"limit": 5, "around": 12}), 8..=12, true, false),
    ] {
        let page = history(&mut ana, &group, &params).await;
        assert_eq!(seqs(&page["messages"]), wanted.collect::<Vec<u64>>(), "{params}");
        assert_eq!((&page["more_before"], &page["more_after"]), (&json!(before), &json!(after)), "{params}");
    }
    let two = json!({"conversation": group, "before": 5, "after": 2});
    assert_eq!(ana.code("history", two).await, "bad_request", "one place");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_ordinals_count_the_timeline_and_seqs_address_messages() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let group = ana.group(&[], &json!({})).await;
    let root = ana.send(&group, "one").await;
    ana.change("set_title", &group, &json!({"title": "no message"})).await;
    ana.change("send", &group, &json!({"text": "in a thread only", "thread_root": root})).await;
    let two = ana.change("send", &group, &json!({"text": "in both", "thread_root": root, "also_in_conversation": true})).await;
    ana.change("delete", &group, &json!({"target": two})).await;
    ana.send(&group, "three").await;
    let created = ana.events(&group).await.into_iter().filter(|event| event["type"] == "message.created");
    let ordinals: Vec<Value> = created.map(|event| event["ordinal"].clone()).collect();
    assert_eq!(ordinals, [json!(1), Value::Null, json!(2), json!(3)], "a deleted message keeps its place");
    let page = history(&mut ana, &group, &json!({})).await;
    let told: Vec<&Value> = page["messages"].as_array().expect("messages").iter().map(|message| &message["ordinal"]).collect();
    assert_eq!(told, [1, 2, 3]);
    let thread = history(&mut ana, &group, &json!({"thread_root": root})).await;
    assert_eq!((thread["messages"][0].get("ordinal"), &thread["messages"][1]["ordinal"]), (None, &json!(2)));
    for no_message in [1, 3] {
        let edit = json!({"target": no_message, "text": "x"});
        assert_eq!(ana.refused("edit", &group, &edit).await, "message_not_found", "{no_message} created none");
    }
    server.stop().await;
}
