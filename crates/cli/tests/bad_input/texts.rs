//! Naughty strings wherever people write: each is refused by name, or kept byte for byte.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::raw::{Connection, Failure, User, client_id, message, seq};
use super::samples;
use super::support::PASSWORD;
use super::world::{World, fresh};

/// Whether a request was taken; if not it must be `text_refused`, or one of the others.
async fn taken(connection: &mut Connection, method: &str, params: Value, others: &[&str]) -> Option<Value> {
    match connection.call(method, params.clone()).await {
        Ok(ok) => Some(ok),
        Err(Failure::Refused(error)) => {
            let code = error["code"].as_str().expect("a code");
            assert!(code == "text_refused" || others.contains(&code), "{method} {params}: {error}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{method} {params}: {error}");
            None
        }
        Err(gone) => panic!("{method} {params}: {gone:?}"),
    }
}

/// Sends a text; its seq if it was taken. Only what has nothing to see in it may be refused.
pub async fn told(connection: &mut Connection, conversation: &str, text: &str) -> Option<u64> {
    let ok = taken(connection, "send", message(conversation, text), &[]).await;
    assert_eq!(ok.is_none(), text.trim().is_empty(), "{text:?}");
    ok.map(|done| seq(&done))
}

#[tokio::test]
async fn naughty_messages_are_kept_on_every_path() {
    let mut world = World::new().await;
    let (mut ana, mut ben) = (world.ana.on(&world.server).await, world.ben.on(&world.server).await);
    let mut kept = BTreeMap::new();
    for text in samples::naughty() {
        if let Some(seq) = told(&mut ana, &world.conversation, &text).await {
            kept.insert(seq, text);
        }
    }
    let mut pushed = BTreeMap::new();
    while pushed.len() < kept.len() {
        let push = ben.push(|push| push["data"]["event"]["type"] == "message.created").await.expect("pushed");
        put(&mut pushed, &push["data"]["event"]);
    }
    assert_eq!(pushed, kept, "live");
    let events = pages(&mut ben, &world.conversation, "events").await;
    assert_eq!(events, kept, "events");
    let history = pages(&mut ben, &world.conversation, "history").await;
    assert_eq!(history, kept, "history");
    world.goes_on().await;
}

fn put(texts: &mut BTreeMap<u64, String>, event: &Value) {
    texts.insert(seq(event), event["text"].as_str().expect("a text").to_owned());
}

/// All texts of a conversation, page by page.
async fn pages(reader: &mut Connection, conversation: &str, method: &str) -> BTreeMap<u64, String> {
    let (mut texts, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = reader.ok(method, json!({"conversation": conversation, "after": after, "limit": 100})).await;
        let list = if method == "events" { &page["events"] } else { &page["messages"] };
        let list = list.as_array().expect("a list");
        let Some(last) = list.last() else { return texts };
        after = seq(last);
        list.iter().filter(|entry| entry["text"].is_string()).for_each(|entry| put(&mut texts, entry));
    }
}

#[tokio::test]
async fn naughty_titles_are_kept_or_refused() {
    let mut world = World::new().await;
    let (mut ana, mut ben) = (world.ana.on(&world.server).await, world.ben.on(&world.server).await);
    let group = ana.group(&[&world.ben]).await;
    let mut kept = 0;
    for title in samples::naughty() {
        let params = fresh(json!({"conversation": group, "title": title}));
        if taken(&mut ana, "set_title", params, &[]).await.is_none() {
            continue;
        }
        let wanted = |push: &Value| push["data"]["event"]["type"] == "conversation.updated";
        assert_eq!(ben.push(wanted).await.expect("pushed")["data"]["event"]["title"], title);
        assert_eq!(ben.ok("conversation", json!({"conversation": group})).await["title"], title);
        kept += 1;
    }
    assert!(kept > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn naughty_display_names_are_kept_or_refused() {
    let mut world = World::new().await;
    let (mut ana, mut ben) = (world.ana.on(&world.server).await, world.ben.on(&world.server).await);
    let mut kept = 0;
    for name in samples::naughty() {
        if taken(&mut ana, "set_profile", fresh(json!({"display_name": name})), &[]).await.is_some() {
            let seen = ben.ok("users", json!({"users": [world.ana.id]})).await;
            assert_eq!(seen["users"][0]["display_name"], name);
            kept += 1;
        }
    }
    assert!(kept > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn naughty_emoji_are_kept_or_refused() {
    let mut world = World::new().await;
    let (mut ana, mut ben) = (world.ana.on(&world.server).await, world.ben.on(&world.server).await);
    let mut kept = 0;
    for emoji in samples::naughty() {
        let target = ana.send(&world.conversation, "look").await;
        let params = fresh(json!({"conversation": world.conversation, "target": target, "emoji": emoji}));
        if taken(&mut ana, "react", params, &[]).await.is_none() {
            continue;
        }
        let push = ben.push(|push| push["data"]["event"]["type"] == "reaction.added").await.expect("pushed");
        assert_eq!(push["data"]["event"]["emoji"], emoji);
        let around = json!({"conversation": world.conversation, "around": target, "limit": 1});
        assert_eq!(ben.ok("history", around).await["messages"][0]["reactions"][0]["emoji"], emoji);
        kept += 1;
    }
    assert!(kept > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn naughty_names_are_kept_or_refused() {
    let mut world = World::new().await;
    let mut ana = world.ana.on(&world.server).await;
    let code = world.server.first_code.clone().expect("a code");
    ana.ok("redeem_first_code", json!({"client_id": client_id(), "code": code})).await;
    let mut kept = 0;
    for name in samples::naughty() {
        // An empty name is no question, either.
        let found = taken(&mut ana, "find", json!({"name": name}), &["not_found"]).await;
        let Some(made) = taken(&mut ana, "import_user", fresh(json!({"name": name})), &["name_taken"]).await else { continue };
        assert!(found.is_none(), "{name:?} was there before");
        assert_eq!(ana.ok("find", json!({"name": name})).await, made);
        if name.is_ascii() {
            assert_eq!((&made["name"], &made["display_name"]), (&json!(name), &json!(name)));
        }
        kept += 1;
    }
    assert!(kept > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn naughty_device_labels_are_kept_or_refused() {
    let mut world = World::new().await;
    let mut labels: Vec<_> = samples::naughty().into_iter().step_by(29).collect();
    labels.extend(["\u{0}".to_owned(), "a\u{7}b".to_owned(), "\u{feff}x".to_owned(), "x".repeat(129), String::new()]);
    let mut kept = Vec::new();
    for label in labels {
        let mut fresh_connection = Connection::open(world.address()).await.expect("connected");
        let params = fresh(json!({"name": "ana", "password": PASSWORD, "device_label": label}));
        if let Some(told) = taken(&mut fresh_connection, "log_in", params, &[]).await {
            kept.push((User::of(&told).device, label));
        }
    }
    let listed = world.ana.on(&world.server).await.ok("devices", json!({})).await;
    let listed = listed["devices"].as_array().expect("a list");
    for (device, label) in &kept {
        let entry = listed.iter().find(|entry| entry["device"] == *device).expect("listed");
        assert_eq!(entry["label"], *label);
    }
    assert!(!kept.is_empty());
    world.goes_on().await;
}
