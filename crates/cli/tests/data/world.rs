//! People who have talked, and what each of them is told of it: to be compared before and after.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::log;
use crate::raw::{Connection, User, client_id, message, seq};
use crate::support::Server;

/// Messages of [`World::talk`] in each conversation.
const MESSAGES: usize = 60;

/// Messages of [`filled`]: some megabytes, so that tables are written and a copy takes a while.
const MANY: usize = 1_500;

/// A server with some megabytes, and who wrote them.
pub async fn filled(server: Server) -> (Server, World) {
    let world = World::talk(&server).await;
    let mut writer = world.users[0].on(&server).await;
    let (text, mut waiting) = ("a long story ".repeat(150), VecDeque::new());
    for _ in 0..MANY {
        waiting.push_back(writer.post("send", &message(&world.conversations[0], &text)).await.unwrap());
        if waiting.len() == 8 {
            writer.reply(waiting.pop_front().unwrap()).await.unwrap();
        }
    }
    for id in waiting {
        writer.reply(id).await.unwrap();
    }
    (server, world)
}

/// People and their conversations.
#[derive(Clone)]
pub struct World {
    pub users: Vec<User>,
    pub conversations: Vec<String>,
    /// What was sent: by whom, what, and the seq that it got.
    sent: Vec<(User, Value, u64)>,
}

impl World {
    /// Three people, one with two devices, in two groups, where they said, edited, deleted,
    /// answered and read.
    pub async fn talk(server: &Server) -> Self {
        Self::talk_of(server, MESSAGES).await
    }

    /// The same, with so many messages in each group, 3 or more.
    pub async fn talk_of(server: &Server, messages: usize) -> Self {
        let mut users = Vec::new();
        for name in ["ana", "ben", "cleo"] {
            users.push(User::sign_up(server, name).await);
        }
        users.push(User::log_in(server, "ben").await);
        let (mut ana, mut ben) = (users[0].on(server).await, users[1].on(server).await);
        let conversations = vec![ana.group(&[&users[1], &users[2]]).await, ana.group(&[&users[1]]).await];
        let mut world = Self { users, conversations: conversations.clone(), sent: Vec::new() };
        for conversation in &conversations {
            let mut seqs = Vec::new();
            for n in 0..messages {
                let request = message(conversation, &format!("message {n}"));
                let (user, connection) = if n % 3 == 0 { (1, &mut ben) } else { (0, &mut ana) };
                seqs.push(world.send(user, connection, request).await);
            }
            let of = |seq: u64| json!({"client_id": client_id(), "conversation": conversation, "target": seq});
            let mut edit = of(seqs[1]);
            edit["text"] = "said better".into();
            ana.ok("edit", edit).await;
            ana.ok("delete", of(seqs[2])).await;
            ben.ok("read", json!({"conversation": conversation, "seq": seqs[messages / 3]})).await;
        }
        world
    }

    /// Some more messages.
    pub async fn say_more(&mut self, server: &Server) {
        let mut ana = self.users[0].on(server).await;
        for n in 0..10 {
            let request = message(&self.conversations[0], &format!("later {n}"));
            self.send(0, &mut ana, request).await;
        }
    }

    /// Sends what must be taken, and keeps it: its seq.
    async fn send(&mut self, user: usize, connection: &mut Connection, request: Value) -> u64 {
        let seq = seq(&connection.ok("send", request.clone()).await);
        self.sent.push((self.users[user].clone(), request, seq));
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
        for (user, request, seq) in &self.sent {
            let again = user.on(server).await.ok("send", request.clone()).await;
            assert_eq!((&again["seq"], &again["duplicate"]), (&json!(seq), &json!(true)), "not known any more: {request}");
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
