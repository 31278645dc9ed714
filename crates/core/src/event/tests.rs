//! Known events have known bytes, for ever: they are hashed, and every store and every backup has
//! them. Each is written here in pieces, with what they say in CBOR (RFC 8949) beside them.

use std::fmt;

use super::*;
use crate::ids::{ConversationId, UserId};

const ANA: UserId = UserId([0xaa; 16]);
const BEN: UserId = UserId([0xbb; 16]);
const GROUP: AggregateId = AggregateId::Conversation(ConversationId([0xcc; 16]));

const BYTES_A: &str = "50aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const BYTES_B: &str = "50bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// That a value is written as these bytes, and read from them.
fn assert_bytes<T>(value: &T, pieces: &[&str])
where
    T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + fmt::Debug,
{
    let hex = pieces.concat();
    let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    let bytes: Vec<u8> = digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
    assert_eq!(codec::encode(value), bytes, "{hex}");
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn the_first_envelope_of_a_group_has_known_bytes_and_a_known_hash() {
    assert_bytes(&GROUP, &["82", "00", "81", "50cccccccccccccccccccccccccccccccc"]);
    let envelope = Envelope {
        seq: 1,
        time: 1_700_000_000_000,
        author: Some(ANA),
        client_id: Some(ClientId([0x11; 16])),
        fact: Fact::ConversationCreated {
            kind: ConversationKind::Group,
            history: History::FromJoin,
            leaver: Leaver::Loses,
            members: vec![ANA, BEN],
        },
        content_hash: Some(Hash([0x22; 32])),
        prev: Envelope::genesis(&GROUP),
    };
    let pieces = [
        "87",                                                                   // a list of 7
        "01",                                                                   // seq 1
        "1b0000018bcfe56800",                                                   // time
        BYTES_A,                                                                // author
        "5011111111111111111111111111111111",                                   // client id
        "820084",                                                               // fact 0, a list of 4
        "010101",                                                               // group, from_join, loses
        "82",                                                                   // two members
        BYTES_A,                                                                //
        BYTES_B,                                                                //
        "58202222222222222222222222222222222222222222222222222222222222222222", // hash of the content
        "58208df1df4058917e9e50b7f7785f4268d6f2dbad1ab83d73c1c01283020fde170c", // where its chain begins
    ];
    assert_bytes(&envelope, &pieces);
    assert_eq!(envelope.hash().to_string(), "325f4a95c4ffc06699b4ca97664ad13bdf03c3f8d50a0924dcd948ec0bb792ac");
}

#[test]
fn what_is_absent_at_the_end_takes_no_bytes_so_that_fields_can_be_added() {
    let mut fact = Fact::MessageCreated {
        form: Form::Action,
        ordinal: Some(24),
        thread: Some(ThreadPlace { root: 2, ordinal: 1 }),
        reply_to: None,
        original_time: None,
    };
    // Fact 1: done, ordinal 24, place 1 in the thread of 2; whether it answers anything or came from
    // elsewhere is not said.
    assert_bytes(&fact, &["8201", "83", "01", "1818", "820201"]);
    if let Fact::MessageCreated { original_time, .. } = &mut fact {
        *original_time = Some(5);
    }
    let said = "820185011818820201f605";
    assert_bytes(&fact, &[said]);
    let envelope = Envelope { seq: 300, time: 7, author: None, client_id: None, fact, content_hash: None, prev: Hash([0x33; 32]) };
    let prev = format!("5820{}", "33".repeat(32));
    assert_bytes(&envelope, &["87", "19012c", "07", "f6", "f6", said, "f6", &prev]);
}

#[test]
fn a_content_has_known_bytes_and_a_known_hash_under_its_salt() {
    let text = Text { text: "hi \u{1f426}".to_owned(), mentions: vec![ANA], mention_all: true };
    let content = Content::Message(text);
    assert_bytes(&content, &["8200", "81", "83", "67686920f09f90a6", "81", BYTES_A, "f5"]);
    assert_bytes(&Content::Title("t".to_owned()), &["8201", "81", "6174"]);
    let sealed = Sealed { salt: Salt([0x44; 16]), content };
    assert_eq!(sealed.hash().to_string(), "a86f299f6203900e3abaa1d70f6d9e6716a0013a501c95105b97e2501ddb4993");
}
