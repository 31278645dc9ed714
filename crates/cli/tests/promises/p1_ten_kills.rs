//! P1 and P4 under load: a server that is killed with -9 again and again at any moment loses
//! nothing that it acked, doubles nothing that was retried, and keeps each sender's order.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::log;
use crate::random::Random;
use crate::raw::{Connection, Failure, User, message, seq, server};

const SEED: u64 = 20_261_124;
const KILLS: u64 = 10;
/// Sends of one connection that wait for their answers.
const WINDOW: usize = 8;

/// What a sender sent, in its order; and where it ended up, as the server acked it.
struct Sent {
    params: Value,
    seq: Option<u64>,
}

/// One connection's worth of load. It never gives up: what was not answered is sent again, in the
/// same order, on the next connection.
struct Sender {
    name: String,
    user: User,
    address: SocketAddr,
    conversations: Arc<Vec<String>>,
    random: Random,
    sent: Vec<Sent>,
    acks: watch::Sender<u64>,
    over: watch::Receiver<bool>,
    serving: watch::Receiver<bool>,
}

impl Sender {
    async fn run(mut self) -> Vec<Sent> {
        while !self.finished() {
            // Whether it serves decides when to try; a server that is gone again just fails it.
            self.serving.wait_for(|serving| *serving).await.expect("the test runs");
            if let Ok(connection) = self.user.connect(self.address).await {
                // Ends with the connection, or with all done.
                let _ = self.session(connection).await;
            }
        }
        self.sent
    }

    fn finished(&self) -> bool {
        *self.over.borrow() && self.sent.iter().all(|sent| sent.seq.is_some())
    }

    async fn session(&mut self, mut connection: Connection) -> Result<(), Failure> {
        let mut unsettled: VecDeque<usize> = (0..self.sent.len()).filter(|n| self.sent[*n].seq.is_none()).collect();
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < WINDOW {
                let n = match unsettled.pop_front() {
                    Some(n) => n,
                    None if *self.over.borrow() => break,
                    None => self.next_message(),
                };
                waiting.push_back((n, connection.post("send", &self.sent[n].params).await?));
            }
            let Some((n, id)) = waiting.pop_front() else { return Ok(()) };
            match connection.reply(id).await {
                Ok(done) => {
                    self.sent[n].seq = Some(seq(&done));
                    self.acks.send_modify(|acks| *acks += 1);
                }
                Err(Failure::Gone(code)) => return Err(Failure::Gone(code)),
                Err(Failure::Refused(error)) => panic!("nothing is wrong with it: {error}"),
            }
        }
    }

    fn next_message(&mut self) -> usize {
        let conversation = self.random.of(&self.conversations).clone();
        let text = format!("{} says {}", self.name, self.sent.len());
        self.sent.push(Sent { params: message(&conversation, &text), seq: None });
        self.sent.len() - 1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p1_ten_kills_lose_nothing_acked_and_double_nothing() {
    let mut server = server();
    let mut users = Vec::new();
    for name in ["ana", "ben", "cleo"] {
        users.push(User::sign_up(&server, name).await);
    }
    let mut founder = users[0].on(&server).await;
    let mut conversations = Vec::new();
    for _ in 0..4 {
        conversations.push(founder.group(&[&users[1], &users[2]]).await);
    }
    let conversations = Arc::new(conversations);

    let (acks, mut acked) = watch::channel(0);
    let (over, is_over) = watch::channel(false);
    let (serves, serving) = watch::channel(true);
    let mut tasks = JoinSet::new();
    for (n, user) in users.iter().cycle().take(9).enumerate() {
        let sender = Sender {
            name: format!("sender {n}"),
            user: user.clone(),
            address: server.address,
            conversations: Arc::clone(&conversations),
            random: Random(SEED + n as u64),
            sent: Vec::new(),
            acks: acks.clone(),
            over: is_over.clone(),
            serving: serving.clone(),
        };
        tasks.spawn(sender.run());
    }
    let mut random = Random(SEED);
    for _ in 0..KILLS {
        let until = *acked.borrow() + random.below(400);
        acked.wait_for(|acks| *acks >= until).await.expect("the senders run");
        serves.send_replace(false);
        server.kill();
        server.start_again();
        serves.send_replace(true);
    }
    over.send_replace(true);
    let sent = tasks.join_all().await;
    server.kill();
    server.start_again();

    let mut everywhere: Option<HashMap<&str, Vec<Value>>> = None;
    for user in &users {
        let mut reader = user.on(&server).await;
        let mut told = HashMap::new();
        for conversation in conversations.iter() {
            told.insert(conversation.as_str(), log::everything(&mut reader, conversation).await);
        }
        assert!(everywhere.replace(told.clone()).is_none_or(|others| others == told), "every member is told the same");
    }
    let found: HashMap<_, _> = everywhere.unwrap().into_iter().map(|(at, events)| (at, log::messages(&events))).collect();
    let mut last: HashMap<(usize, &str), u64> = HashMap::new();
    let mut count = 0;
    for (n, sent) in sent.iter().enumerate() {
        for Sent { params, seq } in sent {
            let text = |field: &str| params[field].as_str().expect("a text");
            let (at, acked) = (text("conversation"), seq.expect("settled"));
            let told = found[at].get(text("client_id")).unwrap_or_else(|| panic!("acked and lost: {params}"));
            assert_eq!((told.0, told.1.as_str()), (acked, text("text")), "as it was acked");
            let before = last.insert((n, at), acked);
            assert!(before.is_none_or(|before| before < acked), "out of its sender's order: {params}");
            count += 1;
        }
    }
    assert_eq!(found.values().map(HashMap::len).sum::<usize>(), count, "nothing that was never sent");
    println!("{count} messages were sent through {KILLS} kills");
}
