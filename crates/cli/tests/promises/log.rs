//! A conversation read in full, by each path that there is; the paths must tell the same.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::raw::Connection;

/// All events of a conversation, in order; they must be dense.
pub async fn events(reader: &mut Connection, conversation: &str) -> Vec<Value> {
    events_after(reader, conversation, 0).await
}

/// The events beyond a seq, in order; they must be dense.
pub async fn events_after(reader: &mut Connection, conversation: &str, after: u64) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let next = after + all.len() as u64;
        let page = reader.ok("events", json!({"conversation": conversation, "after": next, "limit": 500})).await;
        let events = page["events"].as_array().expect("events");
        for (n, event) in events.iter().enumerate() {
            assert_eq!(event["seq"], next + 1 + n as u64, "dense");
        }
        all.extend(events.iter().cloned());
        if after + all.len() as u64 >= page["head"].as_u64().expect("a head") {
            return all;
        }
        assert!(!events.is_empty(), "there are more up to the head");
    }
}

/// All messages of the timeline, by pages from the newest back and from the oldest on, which must
/// be the same.
pub async fn history(reader: &mut Connection, conversation: &str) -> Vec<Value> {
    let mut forward: Vec<Value> = Vec::new();
    loop {
        let after = forward.last().map_or(json!(0), |message| message["seq"].clone());
        let page = reader.ok("history", json!({"conversation": conversation, "after": after, "limit": 100})).await;
        forward.extend(page["messages"].as_array().expect("messages").iter().cloned());
        if page["more_after"] == false {
            break;
        }
    }
    let mut backward: Vec<Value> = Vec::new();
    loop {
        let mut params = json!({"conversation": conversation, "limit": 100});
        if let Some(first) = backward.first() {
            params["before"] = first["seq"].clone();
        }
        let page = reader.ok("history", params).await;
        backward.splice(0..0, page["messages"].as_array().expect("messages").iter().cloned());
        if page["more_before"] == false {
            break;
        }
    }
    assert_eq!(forward, backward, "both directions");
    forward
}

/// The messages that events tell of, by client id: their seqs and texts. Each may stand once.
pub fn messages(events: &[Value]) -> HashMap<String, (u64, String)> {
    let mut found = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "message.created") {
        let id = event["client_id"].as_str().expect("a client id").to_owned();
        let text = event["text"].as_str().expect("a text").to_owned();
        let twice = found.insert(id, (event["seq"].as_u64().expect("a seq"), text));
        assert!(twice.is_none(), "twice: {event}");
    }
    found
}

/// All that a reader gets of a conversation, by events and by history, which must agree; the
/// events.
pub async fn everything(reader: &mut Connection, conversation: &str) -> Vec<Value> {
    let events = events(reader, conversation).await;
    let history = history(reader, conversation).await;
    let told: Vec<_> = events.iter().filter(|event| event["type"] == "message.created").collect();
    assert_eq!(told.len(), history.len());
    for (event, message) in told.into_iter().zip(&history) {
        for field in ["seq", "ordinal", "time", "author", "client_id", "text"] {
            assert_eq!(event[field], message[field], "{field} by events and by history");
        }
    }
    events
}
