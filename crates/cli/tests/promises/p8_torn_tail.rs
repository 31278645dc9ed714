//! P8: what a crash has left of a write at the end of the log is cut off; all before it is served.

use crate::log;
use crate::raw::{Failure, User, message, seq, server};

/// Passes before the write that is torn: beyond those of a start.
const LATEST: [u64; 3] = [12, 17, 23];

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_torn_write_at_the_end_of_the_log_is_cut_off() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let conversation = ana.on(&server).await.group(&[&ben]).await;
    let mut sent = Vec::new();
    for pass in LATEST {
        server.stop();
        server.dies_at = Some(format!("log-torn:{pass}"));
        server.start_again();
        let mut writer = ana.on(&server).await;
        let unknown = loop {
            let request = message(&conversation, &format!("message {}", sent.len()));
            match writer.call("send", request.clone()).await {
                Ok(done) => sent.push((request, seq(&done))),
                Err(Failure::Gone(_)) => break request,
                Err(Failure::Refused(error)) => panic!("nothing is wrong with it: {error}"),
            }
        };
        server.died();
        server.dies_at = None;
        server.start_again();
        let settled = ana.on(&server).await.ok("send", unknown.clone()).await;
        sent.push((unknown, seq(&settled)));
        let found = log::messages(&log::everything(&mut ben.on(&server).await, &conversation).await);
        assert_eq!(found.len(), sent.len(), "each once, and nothing that was never sent");
        for (request, seq) in &sent {
            let text = request["text"].as_str().unwrap().to_owned();
            assert_eq!(found.get(request["client_id"].as_str().unwrap()), Some(&(*seq, text)), "acked and lost");
        }
    }
}
