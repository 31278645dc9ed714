//! Frames that break RFC 6455, or the bounds of C-1; and floods of frames that do not.

use std::time::Duration;

use serde_json::json;

use super::heap::live_bytes;
use super::wire::{BINARY, Became, CLOSE, LAST, MORE, PING, Said, TEXT, TEXT_BEGUN, Wire, close, frame};
use super::world::World;

/// A request without an effect.
const GOOD: &[u8] = br#"{"id":7,"method":"devices"}"#;
const TOO_LARGE: usize = (64 << 10) + 1;
const PROTOCOL_ERROR: u16 = 1_002;
const NOT_UTF8: u16 = 1_007;

/// A frame that claims this length in the long form, with a mask and nothing behind it.
fn claim(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

/// What closes a connection at once, and with which code.
pub fn violations() -> Vec<(String, Vec<u8>, u16)> {
    let bad_frame = 4_001;
    let of = |name: &str, bytes: Vec<u8>, code: u16| (name.to_owned(), bytes, code);
    let mut all = vec![
        of("a byte too many", frame(TEXT, &vec![b' '; TOO_LARGE]), bad_frame),
        of("a byte too many in fragments", too_large_in_fragments(), bad_frame),
        of("a claim of 2^31 bytes", claim(TEXT, 1 << 31), bad_frame),
        of("a claim of 2^63 bytes", claim(TEXT, 1 << 63), bad_frame),
        of("a claim of 2^64 - 1 bytes", claim(TEXT, u64::MAX), bad_frame),
        of("a binary frame", frame(BINARY, GOOD), bad_frame),
        of("an empty binary frame", frame(BINARY, b""), bad_frame),
        of("an unmasked frame", [&[TEXT, u8::try_from(GOOD.len()).unwrap()], GOOD].concat(), PROTOCOL_ERROR),
        of("a continuation of nothing", frame(LAST, GOOD), PROTOCOL_ERROR),
        of("a text within a text", [frame(TEXT_BEGUN, b"{"), frame(TEXT, GOOD)].concat(), PROTOCOL_ERROR),
        of("a ping in fragments", frame(0x09, b""), PROTOCOL_ERROR),
        of("a ping of 126 bytes", frame(PING, &[0; 126]), PROTOCOL_ERROR),
        of("a close of one byte", frame(CLOSE, &[3]), PROTOCOL_ERROR),
        of("a close of 126 bytes", frame(CLOSE, &close(1_000, &[b'x'; 124])), PROTOCOL_ERROR),
        of("a close whose reason is not UTF-8", frame(CLOSE, &close(1_000, b"\xff\xfe")), NOT_UTF8),
    ];
    for bit in [0x40, 0x20, 0x10] {
        all.push((format!("reserved bit {bit:#x}"), frame(TEXT | bit, GOOD), PROTOCOL_ERROR));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        all.push((format!("opcode {opcode:#x}"), frame(0x80 | opcode, b""), PROTOCOL_ERROR));
    }
    all
}

fn too_large_in_fragments() -> Vec<u8> {
    let half = vec![b' '; TOO_LARGE / 2 + 1];
    [frame(TEXT_BEGUN, &half), frame(LAST, &half)].concat()
}

/// One violation on a connection of its own.
pub async fn violated(mut wire: Wire, name: &str, bytes: &[u8], code: u16) {
    wire.say(bytes).await;
    let became = wire.end().await;
    assert_eq!(became.error(name), ("bad_frame".to_owned(), Some(code)), "{name}");
}

/// Close codes that nobody may send (RFC 6455, section 7.4).
pub const NO_CLOSE_CODES: &[u16] = &[0, 999, 1_004, 1_005, 1_006, 1_015, 1_016, 2_999, 5_000, 65_535];

/// Who closes with such a code is told so by the close frame that answers it, and only by it.
pub async fn closed_with(mut wire: Wire, code: u16) {
    wire.say(&frame(CLOSE, &close(code, b""))).await;
    let became = wire.end().await;
    assert!(matches!(became, Became::Ended(None, Some(PROTOCOL_ERROR))), "close code {code}: {became:?}");
}

/// A connection that ends in the middle of a frame, or of a message.
pub async fn cut_off(world: &World) {
    let whole = frame(TEXT, GOOD);
    for cut in 1..whole.len() {
        world.wire().await.say_last(&whole[..cut]).await;
    }
    let mut wire = world.wire().await;
    wire.say(&frame(TEXT_BEGUN, &GOOD[..9])).await;
    wire.say_last(b"").await;
    assert!(wire.rest().await.len() < 1_024);
}

async fn answered(wire: &mut Wire) {
    let became = wire.reply(7).await;
    assert!(matches!(&became, Became::Reply(reply) if reply.get("ok").is_some()), "{became:?}");
}

#[tokio::test]
async fn c1_frames_that_break_the_rules_close_with_the_code_for_it() {
    let mut world = World::new().await;
    for (name, bytes, code) in violations() {
        violated(world.wire().await, &name, &bytes, code).await;
        // Before a session it is the same.
        violated(Wire::open(world.address()).await, &name, &bytes, code).await;
    }
    for code in NO_CLOSE_CODES {
        closed_with(world.wire().await, *code).await;
    }
    world.goes_on().await;
}

#[tokio::test]
async fn a_frame_of_the_largest_size_is_read() {
    let mut world = World::new().await;
    let mut wire = world.wire().await;
    let mut padded = GOOD.to_vec();
    padded.resize(TOO_LARGE - 1, b' ');
    wire.say(&frame(TEXT, &padded)).await;
    answered(&mut wire).await;
    world.goes_on().await;
}

#[tokio::test]
async fn connections_that_end_in_the_middle_are_forgotten() {
    let mut world = World::new().await;
    cut_off(&world).await;
    let mut wire = world.wire().await;
    wire.say(&frame(TEXT_BEGUN, &GOOD[..9])).await;
    wire.say(&frame(CLOSE, &close(1_000, b"enough"))).await;
    assert!(matches!(wire.next().await, Said::Close(Some(1_000))), "a close in the middle of a message is answered");
    let mut wire = world.wire().await;
    wire.say(&[frame(CLOSE, &close(1_000, b"")), frame(TEXT, GOOD)].concat()).await;
    let mut said = Vec::new();
    loop {
        match wire.next().await {
            Said::Gone => break,
            other => said.push(other),
        }
    }
    assert!(matches!(said[..], [Said::Close(Some(1_000))]), "nothing is answered behind a close: {said:?}");
    world.goes_on().await;
}

#[tokio::test]
async fn a_message_in_many_fragments_is_one() {
    let mut world = World::new().await;
    let mut wire = world.wire().await;
    let send = json!({"id": 7, "method": "send", "params": world.message(&"\u{1f426}".repeat(1_000))}).to_string();
    let mut bytes = frame(TEXT_BEGUN, b"");
    for (n, byte) in send.as_bytes().iter().enumerate() {
        bytes.extend(frame(MORE, &[*byte]));
        if n % 100 == 0 {
            bytes.extend(frame(PING, b"between"));
        }
    }
    bytes.extend(frame(LAST, b""));
    wire.say(&bytes).await;
    answered(&mut wire).await;
    world.goes_on().await;
}

#[tokio::test]
async fn empty_fragments_take_no_room_and_no_one_elses_turn() {
    let mut world = World::new().await;
    let mut wire = world.wire().await;
    let before = live_bytes(&world).await;
    wire.say(&frame(TEXT_BEGUN, b"")).await;
    let some = frame(MORE, b"").repeat(10_000);
    for _ in 0..20 {
        wire.say(&some).await;
        world.goes_on().await;
    }
    let grown = live_bytes(&world).await.saturating_sub(before);
    // What the allocator's threads keep at hand counts: some hundred KiB. A fragment held would be more.
    assert!(grown < 1 << 20, "200,000 empty fragments hold {grown} bytes");
    wire.say(&frame(LAST, GOOD)).await;
    answered(&mut wire).await;
}

#[tokio::test]
async fn pings_are_answered_as_fast_as_the_answers_are_taken() {
    let mut world = World::new().await;
    let mut wire = world.wire().await;
    wire.say(&frame(PING, b"").repeat(50_000)).await;
    wire.say(&frame(TEXT, GOOD)).await;
    answered(&mut wire).await;
    let before = live_bytes(&world).await;
    // Nobody reads the answers from here on: so the server must stop to read, not gather them.
    let some = frame(PING, &[b'p'; 125]).repeat(64);
    let mut left = 64_usize << 20;
    let taken = async {
        while left > 0 {
            wire.say(&some).await;
            left = left.saturating_sub(some.len());
        }
    };
    let all_taken = tokio::time::timeout(Duration::from_secs(2), taken).await.is_ok();
    let grown = live_bytes(&world).await.saturating_sub(before);
    assert!(!all_taken, "{grown} bytes are held: 64 MiB of pings were taken from a client that reads nothing");
    assert!(grown < 1 << 20, "answers to pings hold {grown} bytes");
    world.goes_on().await;
}
