//! What a server has of imported logs, by every way of reading, put down as the second reader of
//! the raw files (`tests/independent/irc_reader.py`) prints what should be there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use chirrup_client::Client;
use chirrup_core::ids::{ClientId, ConversationId, Ordinal, Seq, Time, UserId};
use chirrup_protocol::choice::Form;
use chirrup_protocol::event::{Event, Kind, Message};
use chirrup_protocol::request::{Conversation as About, Events, History, Users};
use serde_json::Value;

use crate::support::workspace;

/// A message as one way of reading gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) seq: Seq,
    pub(crate) ordinal: Ordinal,
    pub(crate) client_id: ClientId,
    pub(crate) author: UserId,
    pub(crate) form: Form,
    pub(crate) text: String,
    pub(crate) original_time: Time,
    pub(crate) reply_to: Option<Seq>,
}

/// A conversation, by every way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) title: String,
    pub(crate) head: Seq,
    /// Of the chain at the last event.
    pub(crate) chain: Option<String>,
    pub(crate) events: Vec<Told>,
    pub(crate) forward: Vec<Told>,
    pub(crate) backward: Vec<Told>,
}

/// Reads every group that an import reports.
pub(crate) async fn read(client: &Client, report: &Value) -> Vec<Conversation> {
    let mut all = Vec::new();
    for group in report["groups"].as_array().unwrap() {
        let id: ConversationId = group["conversation"].as_str().unwrap().parse().unwrap();
        let (events, head, chain) = events(client, id).await;
        let title = group["title"].as_str().unwrap().to_owned();
        let (forward, backward) = (forward(client, id).await, backward(client, id).await);
        all.push(Conversation { title, head, chain, events, forward, backward });
    }
    all
}

/// Title, head and digest of the chain of every group that an import reports.
pub(crate) async fn heads(client: &Client, report: &Value) -> Vec<(String, Seq, Option<String>)> {
    let mut heads = Vec::new();
    for group in report["groups"].as_array().unwrap() {
        let id: ConversationId = group["conversation"].as_str().unwrap().parse().unwrap();
        let head = client.request(About { conversation: id }).await.unwrap().head;
        let last = client.request(Events { conversation: Some(id), after: head - 1, limit: 1 }).await.unwrap();
        heads.push((group["title"].as_str().unwrap().to_owned(), last.head, last.digest));
    }
    heads
}

async fn events(client: &Client, id: ConversationId) -> (Vec<Told>, Seq, Option<String>) {
    let (mut told, mut after, mut chain) = (Vec::new(), 0, None);
    loop {
        let page = client.request(Events { conversation: Some(id), after, limit: 500 }).await.unwrap();
        for event in page.events {
            assert_eq!(event.seq, after + 1, "E-6: a page is dense");
            after = event.seq;
            told.extend(message_of(event));
        }
        chain = page.digest.or(chain);
        if after == page.head {
            return (told, after, chain);
        }
    }
}

fn message_of(event: Event) -> Option<Told> {
    let Kind::MessageCreated { ordinal, form, text, original_time, reply_to, .. } = event.kind else { return None };
    Some(Told {
        seq: event.seq,
        ordinal: ordinal.expect("in the timeline"),
        client_id: event.client_id.unwrap(),
        author: event.author.unwrap(),
        form,
        text: text.unwrap(),
        original_time: original_time.expect("E-10: an imported message carries it"),
        reply_to,
    })
}

fn told(message: Message) -> Told {
    Told {
        seq: message.seq,
        ordinal: message.ordinal.expect("in the timeline"),
        client_id: message.client_id.unwrap(),
        author: message.author.unwrap(),
        form: message.form,
        text: message.text.unwrap(),
        original_time: message.original_time.expect("E-10: an imported message carries it"),
        reply_to: message.reply_to,
    }
}

fn newest(conversation: ConversationId) -> History {
    History { conversation, before: None, after: None, around: None, thread_root: None, limit: 100 }
}

async fn forward(client: &Client, id: ConversationId) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    loop {
        let after = Some(all.last().map_or(0, |last| last.seq));
        let page = client.request(History { after, ..newest(id) }).await.unwrap();
        all.extend(page.messages.into_iter().map(told));
        if !page.more_after {
            return all;
        }
    }
}

async fn backward(client: &Client, id: ConversationId) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    loop {
        let before = all.last().map(|last| last.seq);
        let page = client.request(History { before, ..newest(id) }).await.unwrap();
        all.extend(page.messages.into_iter().rev().map(told));
        if !page.more_before {
            all.reverse();
            return all;
        }
    }
}

/// Records by file and line, of one way of reading; those of a file must stand in its order.
pub(crate) fn records(
    folder: &Path,
    report: &Value,
    nicks: &HashMap<UserId, String>,
    title: &str,
    told: &[Told],
) -> BTreeMap<(String, u32), String> {
    let files = files_of(folder, report, title);
    let mut records = BTreeMap::new();
    let mut reached: HashMap<&str, u32> = HashMap::new();
    for (message, ordinal) in told.iter().zip(1..) {
        assert_eq!(message.ordinal, ordinal, "E-8: ordinals are dense");
        let bytes = message.client_id.0;
        let file = files.get(&bytes[..12]).unwrap_or_else(|| panic!("of no file: {message:?}")).as_str();
        let line = u32::from_be_bytes(bytes[12..].try_into().unwrap());
        let before = reached.insert(file, line);
        assert!(before < Some(line), "{file}:{line} comes after line {before:?}");
        let kind = match message.form {
            Form::Text => "message",
            Form::Action => "action",
        };
        let record = format!("{file}\t{line}\t{}\t{kind}\t{}\n", nicks[&message.author], message.text);
        assert_eq!(records.insert((file.to_owned(), line), record), None, "{file}:{line} is there twice");
    }
    records
}

/// The files that may be in a group, by the first bytes of the client ids of their lines: worked
/// out here from what the import says of its ids.
fn files_of(folder: &Path, report: &Value, title: &str) -> HashMap<Vec<u8>, String> {
    let folder = folder.canonicalize().unwrap();
    let file = |file: &Value| {
        let mut hasher = blake3::Hasher::new();
        for part in ["chirrup import irc", "line", title, file["name"].as_str().unwrap()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut bytes = hasher.finalize().as_bytes()[..12].to_vec();
        (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x80, bytes[8] & 0x3f | 0x80);
        let path = Path::new(file["path"].as_str().unwrap()).strip_prefix(&folder).unwrap();
        (bytes, path.to_str().unwrap().to_owned())
    };
    report["files"].as_array().unwrap().iter().map(file).collect()
}

/// Folded nicks of these accounts: an import shows nicks as they were.
pub(crate) async fn nicks(client: &Client, users: BTreeSet<UserId>) -> HashMap<UserId, String> {
    let users: Vec<UserId> = users.into_iter().collect();
    let mut nicks = HashMap::new();
    for users in users.chunks(100) {
        let found = client.request(Users { users: users.to_vec() }).await.unwrap().users;
        assert_eq!(found.len(), users.len());
        nicks.extend(found.into_iter().map(|user| (user.user, fold(&user.display_name))));
    }
    nicks
}

/// Nicks as IRC folds them (RFC 1459, section 2.2).
fn fold(nick: &str) -> String {
    nick.to_ascii_lowercase().replace('[', "{").replace(']', "}").replace('\\', "|").replace('~', "^")
}

/// What the second reader prints; none, and a word about it, if there is no Python here.
pub(crate) fn second_reader(folder: &Path, form: &str) -> Option<String> {
    let reader = workspace().join("tests/independent/irc_reader.py");
    let Ok(output) = Command::new("python3").arg(reader).arg(folder).arg(form).output() else {
        println!("SKIPPED: no python3 here: what was imported is held against nothing");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
