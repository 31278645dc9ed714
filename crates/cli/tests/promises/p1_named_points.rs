//! P1 at every point of the server's work that has a name: killed there, it loses nothing that it
//! acked and doubles nothing that was retried.

use std::collections::VecDeque;

use chirrup_mutants::Point;

use crate::log;
use crate::raw::{Connection, Failure, User, message, seq, server};
use crate::support::Server;

/// Sends that wait for their answers.
const WINDOW: usize = 16;
/// A point that so many sends do not pass is none.
const SENDS_MAX: usize = 4_000;
/// Bytes of each text, so that few sends fill memtables and segments.
const TEXT_BYTES: usize = 6_000;

/// What was sent, and where it stands if it was acked.
type Sent = Vec<(serde_json::Value, Option<u64>)>;

/// Sends until the server dies.
async fn send_until_it_dies(mut connection: Connection, conversation: &str, sent: &mut Sent) -> Result<(), Failure> {
    let begun = sent.len();
    let mut waiting = VecDeque::new();
    while sent.len() < begun + SENDS_MAX {
        while waiting.len() < WINDOW {
            let text = format!("{} {}", sent.len(), "x".repeat(TEXT_BYTES));
            sent.push((message(conversation, &text), None));
            let n = sent.len() - 1;
            waiting.push_back((n, connection.post("send", &sent[n].0).await?));
        }
        let (n, id) = waiting.pop_front().expect("filled");
        sent[n].1 = Some(seq(&connection.reply(id).await?));
    }
    Ok(())
}

/// Has a server die at a pass of a point, and looks at what is there when it is back.
async fn die_at(server: &mut Server, users: &[User; 2], point: Point, pass: u64) {
    let [ana, ben] = users;
    let mut founder = ana.on(server).await;
    let conversation = founder.group(&[ben]).await;
    server.kill();
    server.dies_at = Some(format!("{}:{pass}", point.name()));
    server.start_again();
    let connection = ana.on(server).await;
    let mut sent = Vec::new();
    match send_until_it_dies(connection, &conversation, &mut sent).await {
        Err(Failure::Gone(_)) => server.died(),
        other => panic!("{} was not passed: {other:?}", point.name()),
    }
    server.dies_at = None;
    server.start_again();
    let mut retrier = ana.on(server).await;
    for (request, acked) in &mut sent {
        let settled = seq(&retrier.ok("send", request.clone()).await);
        assert_eq!(*acked.get_or_insert(settled), settled, "another place than was acked, after {}", point.name());
    }
    let found = log::messages(&log::everything(&mut ben.on(server).await, &conversation).await);
    assert_eq!(found.len(), sent.len(), "each once, after {}", point.name());
    for (request, seq) in sent {
        let text = |field: &str| request[field].as_str().expect("a text");
        let expected = (seq.expect("settled"), text("text").to_owned());
        assert_eq!(found.get(text("client_id")), Some(&expected), "after {}", point.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_kill_at_any_named_point_loses_nothing_acked_and_doubles_nothing() {
    let mut server = server();
    let users = [User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await];
    for point in Point::ALL {
        // Passed by creations alone: `p4_owed` dies there.
        if *point == Point::EffectsUnsent {
            continue;
        }
        let pass = match point {
            Point::SegmentBegun | Point::FlushBegun | Point::FlushWritten | Point::LogUntrimmed | Point::MergeWritten => 2,
            // Beyond what a start passes.
            _ => 20,
        };
        die_at(&mut server, &users, *point, pass).await;
    }
}
