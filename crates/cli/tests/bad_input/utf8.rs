//! Text frames with bytes that are UTF-8, and with bytes that are not (RFC 6455, section 8.1).

use serde_json::json;

use super::raw;
use super::samples;
use super::wire::{Became, LAST, TEXT_BEGUN, frame};
use super::world::{Sender, World};

fn send(world: &World, text: &[u8]) -> Vec<u8> {
    let begin = format!(
        r#"{{"id":7,"method":"send","params":{{"client_id":"{}","conversation":"{}","text":""#,
        raw::client_id(),
        world.conversation
    );
    [begin.as_bytes(), text, br#""}}"#].concat()
}

pub async fn refused(sender: &mut Sender<'_>, world: &World, name: &str, bytes: &[u8]) {
    assert_eq!(sender.text(&send(world, bytes), 7).await.error(name), ("bad_frame".to_owned(), Some(1_007)), "{name}");
}

#[tokio::test]
async fn c1_text_that_is_not_utf8_closes_and_other_text_is_kept() {
    let mut world = World::new().await;
    let mut reader = world.ben.on(&world.server).await;
    let mut sender = Sender::new(&world);
    let (mut kept, mut closed) = (0, 0);
    for (name, bytes, valid) in samples::utf8() {
        assert_eq!(std::str::from_utf8(&bytes).is_ok(), valid, "{name}");
        if !valid {
            refused(&mut sender, &world, &name, &bytes).await;
            closed += 1;
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let became = sender.text(&send(&world, text.as_bytes()), 7).await;
        if let Became::Reply(reply) = &became
            && let Some(seq) = reply["ok"]["seq"].as_u64()
        {
            let push = reader.push(|push| push["data"]["event"]["seq"] == seq).await.expect("pushed");
            assert_eq!(push["data"]["event"]["text"], text, "{name}");
            let after = json!({"conversation": world.conversation, "after": seq - 1});
            assert_eq!(reader.ok("events", after.clone()).await["events"][0]["text"], text, "{name}");
            assert_eq!(reader.ok("history", after).await["messages"][0]["text"], text, "{name}");
            kept += 1;
        } else {
            // JSON has control characters as escapes only; a message of white space is none.
            let (code, _) = became.error(&name);
            let control = text.chars().any(|c| c < ' ');
            assert_eq!(code, if control { "bad_request" } else { "text_refused" }, "{name}: {text:?}");
            assert!(control || text.trim().is_empty(), "{name}: {text:?}");
        }
    }
    assert!(kept > 0 && closed > 0);
    world.goes_on().await;
}

#[tokio::test]
async fn c1_a_character_cut_in_two_fragments_is_whole_again_and_half_of_one_is_not_utf8() {
    let mut world = World::new().await;
    let text = send(&world, "\u{1f426}".as_bytes());
    let cut = text.len() - 5;
    let mut wire = world.wire().await;
    wire.say(&frame(TEXT_BEGUN, &text[..cut])).await;
    let became = wire.ask(&frame(LAST, &text[cut..]), 7).await;
    assert!(matches!(&became, Became::Reply(reply) if reply["ok"]["seq"].is_u64()), "{became:?}");
    wire.say(&frame(TEXT_BEGUN, &text[..cut])).await;
    let became = wire.ask(&frame(LAST, br#""}}"#), 7).await;
    assert_eq!(became.error("half a character"), ("bad_frame".to_owned(), Some(1_007)));
    world.goes_on().await;
}
