//! Requests with params that are not those of the protocol (R-4), positions above all (P-1).

use chirrup_protocol::request::Request;
use serde_json::{Map, Value, json};

use super::raw::{self, client_id};
use super::world::{Sender, World, fresh};

/// Numbers that no seq can be.
pub const NO_SEQS: &[&str] = &[
    "-1",
    "-0",
    "1.5",
    "1.0",
    "1e1",
    "1e300",
    "1e400",
    "-9007199254740993",
    "9007199254740992",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"1\"",
    "[1]",
    "{}",
    "true",
];

/// What no id is, of whatever kind.
const NO_IDS: &[&str] = &[
    "",
    "x",
    "u_",
    "c_",
    "../../etc/passwd",
    "c_0d4v7tq1m8x2a9k3f6h5w0z1n",
    "c_0d4v7tq1m8x2a9k3f6h5w0z1n44",
    "c_0D4V7TQ1M8X2A9K3F6H5W0Z1N4",
    "c_0l4v7tq1m8x2a9k3f6h5w0z1n4",
    " c_0d4v7tq1m8x2a9k3f6h5w0z1n4",
    "c_0d4v7tq1m8x2a9k3f6h5w0z1n4\u{0}",
    "u_\u{1f426}\u{1f426}\u{1f426}\u{1f426}\u{1f426}\u{1f426}xx",
    "01936b2e8f3c7c4eb1a29d3e4f5a6b7c",
    "{01936b2e-8f3c-7c4e-b1a2-9d3e4f5a6b7c}",
    "urn:uuid:01936b2e-8f3c-7c4e-b1a2-9d3e4f5a6b7c",
    "01936b2e-8f3c-7c4e-b1a2-9d3e4f5a6b7g",
];

/// Fields of ids that stand alone.
const IDS: &[&str] = &["client_id", "conversation", "user", "with", "device"];
/// Fields of lists of ids.
const LISTS: &[&str] = &["mentions", "members", "users"];
/// Fields that may be left out.
const OPTIONAL: &[&str] = &[
    "form",
    "mentions",
    "mention_all",
    "reply_to",
    "thread_root",
    "also_in_conversation",
    "add",
    "history",
    "leaver",
    "members",
    "after",
    "before",
    "limit",
    "typing",
];

/// Good params of the methods that have most to be wrong about.
pub fn good(world: &World) -> Vec<(&'static str, Value)> {
    let (conversation, user) = (&world.conversation, &world.ben.id);
    vec![
        (
            "send",
            fresh(json!({
                "conversation": conversation, "text": "hi", "form": "text", "mentions": [user], "mention_all": false, "reply_to": 1,
                "thread_root": 1, "also_in_conversation": true
            })),
        ),
        ("edit", fresh(json!({"conversation": conversation, "target": 1, "text": "hi", "mentions": [user], "mention_all": false}))),
        ("react", fresh(json!({"conversation": conversation, "target": 1, "emoji": "\u{1f426}", "add": true}))),
        ("create_group", fresh(json!({"title": "birds", "history": "full", "leaver": "keeps", "members": [user]}))),
        ("create_direct", fresh(json!({"with": user}))),
        ("set_role", fresh(json!({"conversation": conversation, "user": user, "role": "owner"}))),
        ("revoke_device", fresh(json!({"device": world.ben.device}))),
        ("mute", fresh(json!({"conversation": conversation, "muted": true}))),
        ("read", json!({"conversation": conversation, "seq": 1})),
        ("history", json!({"conversation": conversation, "before": 1, "limit": 1})),
        ("events", json!({"conversation": conversation, "after": 1, "limit": 1})),
        ("users", json!({"users": [user]})),
        ("typing", json!({"conversation": conversation, "typing": true})),
        ("idle", json!({"idle": false})),
    ]
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

fn with(params: &Value, field: &str, value: Value) -> String {
    let mut params = params.clone();
    params[field] = value;
    params.to_string()
}

/// All that is wrong about one field.
pub async fn wrong_field(sender: &mut Sender<'_>, method: &str, params: &Map<String, Value>, field: &str) {
    let (whole, good) = (Value::from(params.clone()), &params[field]);
    for other in [json!(true), json!(7), json!("x"), json!([]), json!({"a": 1})] {
        if kind(&other) != kind(good) {
            sender.bad(method, &with(&whole, field, other)).await;
        }
    }
    // The log of no conversation is one's own.
    let may_be_null = method == "events" && field == "conversation";
    if (good.is_string() || good.is_boolean() || good.is_array()) && !may_be_null {
        sender.bad(method, &with(&whole, field, Value::Null)).await;
    }
    let twice = whole.to_string();
    sender.bad(method, &format!(r#"{{"{field}":{good},{}"#, &twice[1..])).await;
    if !OPTIONAL.contains(&field) && !may_be_null {
        let mut without = params.clone();
        without.remove(field);
        sender.bad(method, &Value::from(without).to_string()).await;
    }
    for id in NO_IDS {
        if IDS.contains(&field) {
            sender.bad(method, &with(&whole, field, json!(id))).await;
        } else if LISTS.contains(&field) {
            sender.bad(method, &with(&whole, field, json!([good[0], id]))).await;
        }
    }
}

#[tokio::test]
async fn r4_params_of_another_form_are_refused_and_nothing_happens() {
    let mut world = World::new().await;
    let mut reader = world.ben.on(&world.server).await;
    let of = json!({"conversation": world.conversation});
    let before = reader.ok("conversation", of.clone()).await["head"].clone();
    let mut sender = Sender::new(&world);
    for method in Request::METHODS {
        for params in ["[]", "\"x\"", "5", "true", r#"{"wings":1}"#, r#"{"":null}"#, "[[]]"] {
            sender.bad(method, params).await;
        }
        // Where all may be left out, nothing is the same as none (R-1).
        if Request::parse(method, "{}").is_none_or(|parsed| parsed.is_err()) {
            sender.bad(method, "null").await;
            sender.bad(method, "{}").await;
        }
    }
    for (method, params) in good(&world) {
        let params = params.as_object().unwrap();
        for field in params.keys() {
            wrong_field(&mut sender, method, params, field).await;
        }
    }
    for method in ["", "SEND", "send ", "send\\u0000", "__proto__", "constructor", "hello\\ud83d\\udc26"] {
        sender.bad(method, "{}").await;
    }
    assert!(before.is_u64());
    assert_eq!(reader.ok("conversation", of).await["head"], before);
    world.goes_on().await;
}

#[tokio::test]
async fn r4_frames_of_another_form_close_unless_their_id_can_be_read() {
    let mut world = World::new().await;
    let mut sender = Sender::new(&world);
    for (text, close) in [
        ("", Some(4_000)),
        ("null", Some(4_000)),
        ("7", Some(4_000)),
        (r#"[7,"devices"]"#, Some(4_000)),
        (r#"{"method":"devices"}"#, Some(4_000)),
        (r#"{"id":null,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":"7","method":"devices"}"#, Some(4_000)),
        (r#"{"id":-7,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":7.5,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":9007199254740992,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":1e300,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":7,"id":7,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":7,"method":"devices"}{"id":8,"method":"devices"}"#, Some(4_000)),
        (r#"{"id":7,"method":"devices","params":{"#, Some(4_000)),
        (r#"{"id":7}"#, None),
        (r#"{"id":7,"method":5}"#, None),
        (r#"{"id":7,"method":null}"#, None),
        (r#"{"id":7,"method":"devices","method":"devices"}"#, None),
        (r#"{"id":7,"method":"devices","params":{},"params":{}}"#, None),
        (r#"{"id":7,"method":"devices","wings":2}"#, None),
        (r#"{"ID":7,"id":7,"method":"devices"}"#, None),
    ] {
        let became = sender.text(text.as_bytes(), 7).await.error(text);
        assert_eq!(became, ("bad_request".to_owned(), close), "{text}");
    }
    world.goes_on().await;
}

#[tokio::test]
async fn p1_positions_that_there_are_not_are_refused_and_not_cut_to_fit() {
    let mut world = World::new().await;
    let mut reader = world.ana.on(&world.server).await;
    for n in 0..5 {
        reader.send(&world.conversation, &format!("{n}")).await;
    }
    let small = reader.group(&[]).await;
    let (big_head, small_head) = (head(&mut reader, &world.conversation).await, head(&mut reader, &small).await);
    assert!(small_head < big_head);
    let foreign = world.ben.on(&world.server).await.group(&[]).await;
    let before = reader.ok("conversation", json!({"conversation": small})).await;
    let mut sender = Sender::new(&world);
    for method in ["read", "delivered"] {
        for seq in NO_SEQS.iter().copied().chain(["0", "null"]) {
            sender.bad(method, &format!(r#"{{"conversation":"{small}","seq":{seq}}}"#)).await;
        }
        // A place in another log, and all that lies beyond the head.
        for seq in [small_head + 1, big_head, 1 << 32, (1 << 53) - 1] {
            sender.bad(method, &json!({"conversation": small, "seq": seq}).to_string()).await;
        }
        assert_eq!(reader.refused(method, json!({"conversation": foreign, "seq": 1})).await, "not_found");
        assert_eq!(reader.refused(method, json!({"conversation": world.conversation, "seq": big_head + 1})).await, "bad_request");
    }
    let after = reader.ok("conversation", json!({"conversation": small})).await;
    assert_eq!(before, after, "nothing moved");
    let read = reader.ok("read", json!({"conversation": world.conversation, "seq": big_head})).await;
    assert_eq!((&read["read"], &read["delivered"]), (&json!(big_head), &json!(big_head)), "the head itself is one");
    world.goes_on().await;
}

#[tokio::test]
async fn r4_seqs_and_sizes_out_of_their_bounds_are_refused_everywhere() {
    let mut world = World::new().await;
    let mut reader = world.ana.on(&world.server).await;
    let head = head(&mut reader, &world.conversation).await;
    let mut sender = Sender::new(&world);
    for (method, field, zero_is_bad) in [
        ("send", "reply_to", true),
        ("send", "thread_root", true),
        ("edit", "target", true),
        ("delete", "target", true),
        ("react", "target", true),
        ("history", "before", true),
        ("history", "around", true),
        ("history", "after", false),
        ("history", "thread_root", true),
        ("history", "limit", true),
        ("events", "after", false),
        ("events", "limit", true),
        ("members", "limit", true),
        ("conversations", "limit", true),
    ] {
        let rest = rest(&world, method);
        for seq in NO_SEQS.iter().chain(zero_is_bad.then_some(&"0")) {
            sender.bad(method, &format!(r#"{{{rest}"{field}":{seq}}}"#)).await;
        }
    }
    // What could be a seq but is none of a message there.
    for (method, field) in [("send", "reply_to"), ("send", "thread_root"), ("edit", "target"), ("delete", "target"), ("react", "target")] {
        for seq in [1, head + 1, (1 << 53) - 1] {
            let params = format!(r#"{{{}"{field}":{seq}}}"#, rest(&world, method));
            let refused = reader.refused(method, serde_json::from_str(&params).unwrap()).await;
            assert_eq!(refused, "message_not_found", "{method} {params}");
        }
    }
    for (method, most) in [("history", 100), ("events", 500), ("members", 1_000)] {
        sender.bad(method, &json!({"conversation": world.conversation, "limit": most + 1}).to_string()).await;
    }
    world.goes_on().await;
}

/// The fields that a method needs besides the one that is tried, as the beginning of an object.
fn rest(world: &World, method: &str) -> String {
    let client = format!(r#""client_id":"{}","#, client_id());
    let own = match method {
        "send" | "edit" => format!(r#"{client}"text":"hi","#),
        "delete" => client,
        "react" => format!("{client}\"emoji\":\"\u{1f426}\","),
        "conversations" => return String::new(),
        _ => String::new(),
    };
    format!(r#"{own}"conversation":"{}","#, world.conversation)
}

async fn head(reader: &mut raw::Connection, conversation: &str) -> u64 {
    reader.ok("conversation", json!({"conversation": conversation})).await["head"].as_u64().expect("a head")
}
