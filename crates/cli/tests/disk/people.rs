//! Two people in a group, what they sent while the disk failed, and what must have become of it.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::log;
use crate::raw::{Connection, Failure, User, client_id, code, message, seq};
use crate::support::{PASSWORD, until_async};

/// Opens an account.
pub async fn sign_up(address: SocketAddr, name: &str) -> User {
    let mut connection = Connection::open(address).await.expect("connected");
    User::of(&connection.ok("sign_up", json!({"client_id": client_id(), "name": name, "password": PASSWORD})).await)
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Became {
    /// It took effect.
    Done,
    /// It never did.
    Failed,
    Unknown,
}

/// A message.
struct Sent {
    params: Value,
    became: Became,
    /// Where it is, if that was told.
    seq: Option<u64>,
    /// What became of its deletion, if there was one.
    deleted: Option<Became>,
}

/// Two people, their group, and all that was sent.
pub struct Chat {
    pub ana: User,
    pub ben: User,
    pub group: String,
    sent: Vec<Sent>,
}

/// The code of an error, and what became of the request.
fn failed(failure: Failure) -> (String, Became) {
    match failure {
        Failure::Refused(error) if code(&error) == "unknown" => ("unknown".to_owned(), Became::Unknown),
        Failure::Refused(error) => (code(&error).to_owned(), Became::Failed),
        Failure::Gone(how) => (format!("gone {how:?}"), Became::Unknown),
    }
}

impl Chat {
    /// Nothing sent yet.
    pub async fn begin(address: SocketAddr) -> Self {
        let (ana, ben) = (sign_up(address, "ana").await, sign_up(address, "ben").await);
        let group = ana.connect(address).await.expect("a session").group(&[&ben]).await;
        Self { ana, ben, group, sent: Vec::new() }
    }

    /// A session of the one who sends.
    pub async fn sender(&self, address: SocketAddr) -> Connection {
        self.ana.connect(address).await.expect("a session")
    }

    /// Sends a message of this length; the code of the error, if there is one. What was refused is
    /// withdrawn, so that the next may follow.
    pub async fn send(&mut self, sender: &mut Connection, bytes: usize) -> Result<u64, String> {
        let text = format!("{:05} {}", self.sent.len(), "x".repeat(bytes));
        let mut sent = Sent { params: message(&self.group, text.trim_end()), became: Became::Done, seq: None, deleted: None };
        let answer = sender.call("send", sent.params.clone()).await;
        self.note(&mut sent, answer, sender).await
    }

    /// Sends such messages until so many were taken.
    pub async fn send_until_taken(&mut self, sender: &mut Connection, bytes: usize, count: usize) {
        for _ in 0..count {
            until_async("a send is taken", async || self.send(sender, bytes).await.is_ok()).await;
        }
    }

    /// Sends so many at once; the codes of the errors that there were.
    pub async fn send_at_once(&mut self, sender: &mut Connection, count: usize) -> Vec<String> {
        let mut posted = Vec::new();
        for n in 0..count {
            let params = message(&self.group, &format!("{:05}", self.sent.len() + n));
            let id = sender.post("send", &params).await.expect("posted");
            posted.push((id, Sent { params, became: Became::Done, seq: None, deleted: None }));
        }
        let mut codes = Vec::new();
        for (id, mut sent) in posted {
            let answer = sender.reply(id).await;
            codes.extend(self.note(&mut sent, answer, sender).await.err());
        }
        codes
    }

    async fn note(&mut self, sent: &mut Sent, answer: Result<Value, Failure>, sender: &mut Connection) -> Result<u64, String> {
        let told = match answer {
            Ok(done) => {
                sent.seq = Some(seq(&done));
                Ok(seq(&done))
            }
            Err(failure) => {
                let (code, became) = failed(failure);
                sent.became = became;
                let withdrawn = json!({"conversation": self.group, "client_id": sent.params["client_id"]});
                // Where the connection has ended there is no order to keep.
                let _ = sender.call("withdraw", withdrawn).await;
                Err(code)
            }
        };
        self.sent.push(Sent { params: sent.params.clone(), became: sent.became.clone(), seq: sent.seq, deleted: None });
        told
    }

    /// Deletes the first message that is there and was not deleted; the code of the error, if
    /// there is one.
    pub async fn delete_one(&mut self, sender: &mut Connection) -> Result<(), String> {
        let group = &self.group;
        let next = self.sent.iter_mut().find(|sent| sent.seq.is_some() && sent.deleted.is_none()).expect("a message");
        match sender.call("delete", json!({"client_id": client_id(), "conversation": group, "target": next.seq})).await {
            Ok(_) => {
                next.deleted = Some(Became::Done);
                Ok(())
            }
            Err(failure) => {
                let (code, became) = failed(failure);
                next.deleted = Some(became);
                Err(code)
            }
        }
    }

    /// How many messages were acked.
    pub fn acked(&self) -> usize {
        self.sent.iter().filter(|sent| sent.became == Became::Done).count()
    }

    /// Reads what the other member is told, and judges it: what was acked is there as it was acked,
    /// what failed is not, and what is unknown is there once or not.
    pub async fn check(&self, address: SocketAddr) {
        let mut reader = self.ben.connect(address).await.expect("a session");
        let events = log::events(&mut reader, &self.group).await;
        let history = log::history(&mut reader, &self.group).await;
        let created = events.iter().filter(|event| event["type"] == "message.created");
        let mut found: HashMap<&str, (u64, Option<&str>)> = HashMap::new();
        for (event, stands) in created.clone().zip(&history) {
            let told = (event["seq"].as_u64().unwrap(), event["text"].as_str());
            assert_eq!(told, (stands["seq"].as_u64().unwrap(), stands["text"].as_str()), "by events and by history");
            assert!(found.insert(event["client_id"].as_str().unwrap(), told).is_none(), "twice: {event}");
        }
        assert_eq!(created.count(), history.len());
        for Sent { params, became, seq, deleted } in &self.sent {
            let found = found.remove(params["client_id"].as_str().unwrap());
            match became {
                Became::Done => assert_eq!(found.map(|(seq, _)| seq), *seq, "acked: {params}"),
                Became::Failed => assert_eq!(found, None, "it failed, and appears: {params}"),
                Became::Unknown => {}
            }
            let Some((_, text)) = found else { continue };
            match deleted {
                Some(Became::Done) => assert_eq!(text, None, "deleted: {params}"),
                None | Some(Became::Failed) => assert_eq!(text, params["text"].as_str()),
                Some(Became::Unknown) => assert!(text.is_none() || text == params["text"].as_str()),
            }
        }
        assert!(found.is_empty(), "never sent: {found:?}");
    }

    /// Sends again what is unknown, which must be taken now. Returns how much there was.
    pub async fn settle(&mut self, address: SocketAddr) -> usize {
        let mut sender = self.sender(address).await;
        let mut settled = 0;
        for sent in self.sent.iter_mut().filter(|sent| sent.became == Became::Unknown) {
            sent.seq = Some(seq(&sender.ok("send", sent.params.clone()).await));
            sent.became = Became::Done;
            settled += 1;
        }
        settled
    }
}
