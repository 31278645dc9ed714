//! P2 on open connections: what is pushed comes in the order of the log, each event once (rules E-1,
//! S-1).

use serde_json::json;

use crate::raw::{User, message, server};

const ROUNDS: u64 = 5;
/// Sends of one connection that are under way at once, so that many are committed together.
const AT_ONCE: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn p2_what_is_pushed_comes_in_the_order_of_the_log() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut founder = ana.on(&server).await;
    let conversation = founder.group(&[&ben]).await;
    let mut reader = ben.on(&server).await;
    let mut writers = [founder, ana.on(&server).await];
    let mut head = 1;
    for round in 0..ROUNDS {
        let mut waiting = Vec::new();
        for n in 0..AT_ONCE {
            for (place, writer) in writers.iter_mut().enumerate() {
                let request = message(&conversation, &format!("round {round}, {n} of writer {place}"));
                waiting.push((place, writer.post("send", &request).await.expect("sent")));
            }
        }
        for _ in 0..waiting.len() {
            let push = reader.push(|push| push["data"]["conversation"] == conversation).await.expect("pushed");
            assert_eq!(push["data"]["event"]["seq"], json!(head + 1), "out of the order of the log");
            head += 1;
        }
        for (place, id) in waiting {
            writers[place].reply(id).await.expect("ok");
        }
    }
}
