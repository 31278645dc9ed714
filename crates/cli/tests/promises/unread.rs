//! What is unread is a function of the log, whatever became of its messages (rule P-4).

use serde_json::{Value, json};

use crate::raw::{Connection, User, client_id, server};

/// That every path tells so many unread messages of a user's only conversation.
async fn assert_unread(reader: &mut Connection, conversation: &str, unread: u64, after: &str) {
    let one = reader.ok("conversation", json!({"conversation": conversation})).await;
    let list = reader.ok("conversations", json!({})).await;
    for told in [&one, &list["conversations"][0]] {
        assert_eq!((&told["unread"]["count"], &told["unread"]["at_least"]), (&json!(unread), &Value::Null), "unread after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_is_what_stands_beyond_what_was_read() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let (mut writer, mut reader) = (ana.on(&server).await, ben.on(&server).await);
    let conversation = writer.group(&[&ben]).await;
    let mut seqs = Vec::new();
    for n in 0..6 {
        seqs.push(writer.send(&conversation, &format!("message {n}")).await);
    }
    assert_unread(&mut reader, &conversation, 6, "six messages").await;
    let of = |seq: u64| json!({"client_id": client_id(), "conversation": conversation, "target": seq});
    for seq in [seqs[1], seqs[4], seqs[4]] {
        writer.ok("delete", of(seq)).await;
    }
    let mut edit = of(seqs[5]);
    edit["text"] = "another text".into();
    writer.ok("edit", edit).await;
    assert_unread(&mut reader, &conversation, 4, "two were deleted, and one was edited").await;
    reader.ok("read", json!({"conversation": conversation, "seq": seqs[2]})).await;
    assert_unread(&mut reader, &conversation, 2, "half of them was read").await;
    server.kill();
    server.start_again();
    (writer, reader) = (ana.on(&server).await, ben.on(&server).await);
    assert_unread(&mut reader, &conversation, 2, "a kill").await;
    reader.send(&conversation, "an answer").await;
    assert_unread(&mut reader, &conversation, 0, "one's own message").await;
    assert_unread(&mut writer, &conversation, 1, "the other's answer").await;
}
