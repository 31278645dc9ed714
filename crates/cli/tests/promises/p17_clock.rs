//! P17: order and dedupe never depend on a wall clock: a server whose clock stands a day ahead, a
//! day behind, or jumps while messages are sent (rule E-2).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::log;
use crate::raw::{User, message, seq, server};
use crate::support::Server;

/// The library that moves a process's clock; none, and a word about it, where there is none.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime"));
    let found = folders.map(|folder| folder.join("libfaketimeMT.so.1")).find(|library| library.is_file());
    if found.is_none() {
        println!("SKIPPED: this machine has no libfaketime (Debian: faketime), so no clock jumps");
    }
    found
}

/// From its next start on the server's wall clock is moved as the file says.
fn move_clock(server: &mut Server, library: &Path, file: &Path) {
    let file = file.to_str().expect("a text");
    let variables = [
        ("LD_PRELOAD", library.to_str().expect("a text")),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    server.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
}

fn set(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{offset}\n")).expect("written");
    std::fs::rename(new, file).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn p17_order_and_dedupe_do_not_depend_on_the_clock() {
    let Some(library) = faketime() else { return };
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut reader = ben.on(&server).await;
    let mut writer = ana.on(&server).await;
    let conversation = writer.group(&[&ben]).await;
    let mut sent: Vec<(Value, u64, Value)> = Vec::new();
    let mut cursor: Option<String> = None;
    let clock = server.data().parent().unwrap().join("clock");
    set(&clock, "+0");
    move_clock(&mut server, &library, &clock);
    // Over restarts, and within the life of one process.
    for (restart, offset) in [(true, "+1d"), (true, "-1d"), (false, "+2d"), (false, "-2d"), (true, "+1d"), (false, "+0")] {
        if restart {
            server.kill();
            set(&clock, offset);
            server.start_again();
            writer = ana.on(&server).await;
            let (resumed, ready) = ben.resume(server.address, cursor.as_deref()).await.expect("a session");
            assert_eq!(ready["reset"], false);
            cursor = ready["cursor"].as_str().map(str::to_owned);
            reader = resumed;
        }
        let mut ids = Vec::new();
        for n in 0..30 {
            if n == 10 {
                set(&clock, offset);
            }
            let request = message(&conversation, &format!("{offset} {n}"));
            ids.push((writer.post("send", &request).await.expect("sent"), request));
            if n == 9 {
                // Half of them are sent before the jump.
                for (id, request) in ids.drain(..) {
                    let done = writer.reply(id).await.expect("ok");
                    sent.push((request, seq(&done), done["time"].clone()));
                }
            }
        }
        for (id, request) in ids {
            let done = writer.reply(id).await.expect("ok");
            sent.push((request, seq(&done), done["time"].clone()));
        }
        let last = sent.last().unwrap().1;
        let mut arrived = 0;
        while arrived < last {
            let push = reader.push(|push| push["data"]["conversation"] == conversation).await.expect("pushed");
            let next = push["data"]["event"]["seq"].as_u64().unwrap();
            assert!(next > arrived, "live, in order");
            arrived = next;
        }
        for (request, seq, time) in sent.iter().step_by(7) {
            let again = writer.ok("send", request.clone()).await;
            assert_eq!((&again["seq"], &again["time"], &again["duplicate"]), (&json!(seq), time, &json!(true)));
        }
    }
    let mut jumps = 0;
    for user in [&ana, &ben] {
        let events = log::everything(&mut user.on(&server).await, &conversation).await;
        let found: Vec<_> = events.iter().filter(|event| event["type"] == "message.created").collect();
        assert_eq!(found.len(), sent.len());
        for (event, (request, seq, time)) in found.iter().zip(&sent) {
            assert_eq!((&event["seq"], &event["time"], &event["text"]), (&json!(seq), time, &request["text"]), "in the order sent");
        }
        let times: Vec<_> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "no event's time is before the one before");
        // Both days and the two days are there: the clock did jump.
        let days: std::collections::BTreeSet<_> = times.iter().map(|time| &time[..10]).collect();
        jumps = days.len();
    }
    assert!(jumps >= 3, "the clock was moved");
}
