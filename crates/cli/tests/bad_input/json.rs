//! The JSON test suite: as whole frames, in the place of params, and its strings as messages.

use serde_json::json;

use super::raw;
use super::samples;
use super::wire::Became;
use super::world::{Sender, World};

/// No file of the suite is a request; what is one neither whole nor as params is told so.
pub async fn refused_whole(sender: &mut Sender<'_>, name: &str, bytes: &[u8]) {
    let (code, close) = sender.text(bytes, 7).await.error(name);
    let (expected, number) = expected(bytes, bytes.len());
    assert_eq!((code.as_str(), close), (expected, Some(number)), "{name}");
}

pub async fn refused_as_params(sender: &mut Sender<'_>, name: &str, bytes: &[u8]) {
    let frame = [br#"{"id":7,"method":"idle","params":"#, bytes, b"}"].concat();
    let (code, close) = sender.text(&frame, 7).await.error(name);
    let (expected, number) = expected(bytes, frame.len());
    assert_eq!(code, expected, "{name}");
    if name.starts_with("n_") || expected != "bad_request" || std::str::from_utf8(bytes).is_err() {
        assert_eq!(close, Some(number), "{name}");
    }
    if name.starts_with("y_") {
        assert_eq!(close, None, "{name}: the frame is JSON with an id");
    }
}

/// The error, and the close code if the connection is closed for it.
fn expected(bytes: &[u8], length: usize) -> (&'static str, u16) {
    if length > 65_536 {
        ("bad_frame", 4_001)
    } else if std::str::from_utf8(bytes).is_err() {
        ("bad_frame", 1_007)
    } else {
        ("bad_request", 4_000)
    }
}

#[tokio::test]
async fn r4_the_json_suite_is_refused_by_name() {
    let mut world = World::new().await;
    let files = samples::json();
    assert!(["y_", "n_", "i_"].iter().all(|kind| files.iter().any(|(name, _)| name.starts_with(kind))));
    let mut sender = Sender::new(&world);
    for (name, bytes) in &files {
        refused_whole(&mut sender, name, bytes).await;
        refused_as_params(&mut sender, name, bytes).await;
    }
    world.goes_on().await;
}

#[tokio::test]
async fn strings_of_the_json_suite_are_kept_as_they_are() {
    let mut world = World::new().await;
    let mut reader = world.ben.on(&world.server).await;
    let mut sender = Sender::new(&world);
    let mut kept = 0;
    for (name, bytes) in samples::json() {
        let Ok([text]) = serde_json::from_slice::<[String; 1]>(&bytes) else { continue };
        // As it is written there: with its escapes.
        let written = String::from_utf8(bytes).unwrap();
        let written = written.trim().trim_start_matches('[').trim_end_matches(']').trim();
        let params = format!(r#"{{"client_id":"{}","conversation":"{}","text":{written}}}"#, raw::client_id(), world.conversation);
        match sender.request("send", &params).await {
            Became::Reply(reply) if reply.get("ok").is_some() => {
                let push = reader.push(|push| push["data"]["event"]["type"] == "message.created").await.expect("pushed");
                assert_eq!(push["data"]["event"]["text"], text, "{name}");
                let after = json!({"conversation": world.conversation, "after": reply["ok"]["seq"].as_u64().unwrap() - 1});
                assert_eq!(reader.ok("history", after).await["messages"][0]["text"], text, "{name}");
                kept += 1;
            }
            refused => assert_eq!(refused.error(&name), ("text_refused".to_owned(), None), "{name}: {text:?}"),
        }
    }
    assert!(kept > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn r4_deep_json_is_not_followed() {
    let mut world = World::new().await;
    let mut sender = Sender::new(&world);
    for (open, shut) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [200, 10_000, 100_000] {
            let deep = format!("{}1{}", open.repeat(depth), shut.repeat(depth));
            for (name, text) in [("open", open.repeat(depth)), ("whole", deep.clone())] {
                refused_whole(&mut sender, name, text.as_bytes()).await;
                refused_as_params(&mut sender, name, text.as_bytes()).await;
            }
            let params = format!(r#"{{"idle":{deep}}}"#);
            sender.request("idle", &params).await.error("deep");
        }
    }
    world.goes_on().await;
}
