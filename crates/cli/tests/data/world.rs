//! People who have talked, and what each of them is told of it: to be compared before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::log;
use crate::raw::{Connection, User, client_id, message};
use crate::support::Server;

/// Messages of [`World::talk`] in each conversation.
const MESSAGES: usize = 60;

/// People and their conversations.
pub struct World {
    pub users: Vec<User>,
    pub conversations: Vec<String>,
    /// Each with the answer that it got.
    pub requests: Vec<(Value, Value)>,
}

impl World {
    /// Three people, one with two devices, in two groups, where they said, edited, deleted,
    /// answered and read.
    pub async fn talk(server: &Server) -> Self {
        let mut users = Vec::new();
        for name in ["ana", "ben", "cleo"] {
            users.push(User::sign_up(server, name).await);
        }
        users.push(User::log_in(server, "ben").await);
        let (mut ana, mut ben) = (users[0].on(server).await, users[1].on(server).await);
        let conversations = vec![ana.group(&[&users[1], &users[2]]).await, ana.group(&[&users[1]]).await];
        let mut world = Self { users, conversations: conversations.clone(), requests: Vec::new() };
        for conversation in &conversations {
            let mut seqs = Vec::new();
            for n in 0..MESSAGES {
                let request = message(conversation, &format!("message {n}"));
                let connection = if n % 3 == 0 { &mut ben } else { &mut ana };
                seqs.push(world.ask(connection, "send", request).await);
            }
            let of = |seq: u64| json!({"client_id": client_id(), "conversation": conversation, "target": seq});
            let mut edit = of(seqs[1]);
            edit["text"] = "said better".into();
            ana.ok("edit", edit).await;
            ana.ok("delete", of(seqs[2])).await;
            ben.ok("read", json!({"conversation": conversation, "seq": seqs[20]})).await;
        }
        world
    }

    /// Sends what must be taken, and keeps it: its seq.
    async fn ask(&mut self, connection: &mut Connection, method: &str, request: Value) -> u64 {
        let answer = connection.ok(method, request.clone()).await;
        let seq = answer["seq"].as_u64().unwrap();
        self.requests.push((request, answer));
        seq
    }

    /// What each device is told on a connection of its own: its list, and every log in full by
    /// every path.
    pub async fn told(&self, server: &Server) -> Vec<Value> {
        let mut told = Vec::new();
        for user in &self.users {
            let (mut reader, ready) = user.resume(server.address, None).await.unwrap();
            let mut listed = ready["conversations"].as_array().unwrap().clone();
            listed.sort_by_key(|listed| listed["conversation"].as_str().unwrap().to_owned());
            let mut logs = BTreeMap::new();
            for listed in &listed {
                let id = listed["conversation"].as_str().unwrap();
                let (events, history) = (log::events(&mut reader, id).await, log::history(&mut reader, id).await);
                logs.insert(id.to_owned(), json!({"events": events, "history": history}));
            }
            told.push(json!({"listed": listed, "logs": logs}));
        }
        told
    }

    /// Sends again what was acked: each must be known, with the seq that it got.
    pub async fn assert_known(&self, server: &Server) {
        for (request, answer) in &self.requests {
            let mut known = false;
            for user in &self.users[..2] {
                let mut connection = user.on(server).await;
                if let Ok(again) = connection.call("send", request.clone()).await
                    && again["duplicate"] == true
                {
                    assert_eq!(again["seq"], answer["seq"]);
                    known = true;
                    break;
                }
            }
            assert!(known, "not known any more: {request}");
        }
    }
}

/// How many files there are below a directory; 0 if it is not there.
pub fn files(dir: &Path) -> usize {
    paths(dir).len()
}

/// The files below a directory, in order; none if it is not there.
pub fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(paths(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
