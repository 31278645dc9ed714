//! Everything that people are told, by every path that there is, to be compared with what they are
//! told later.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::raw::{Connection, Failure, User, code};

/// What was asked, and the answer, or the code of the error.
pub type Record = BTreeMap<String, Result<Value, String>>;

/// Events, or messages, of a page: so few that there are several.
const PAGE: u64 = 40;

/// Asks as one of them, and keeps the answers.
struct Reader<'a> {
    name: &'a str,
    connection: Connection,
    record: &'a mut Record,
}

impl Reader<'_> {
    /// The answer without what may differ each time.
    async fn ask(&mut self, method: &str, params: Value) -> Option<Value> {
        let question = format!("{} asks {method} {params}", self.name);
        let mut answer = self.connection.call(method, params).await.map_err(failure);
        if let Ok(told) = &mut answer {
            without(told, "cursor");
            without(told, "connected");
            if method == "hello" {
                // In no order.
                told["conversations"].as_array_mut().unwrap().sort_by_key(|told| told["conversation"].to_string());
            }
        }
        self.record.insert(question, answer.clone());
        answer.ok()
    }

    /// The pages of a log.
    async fn events(&mut self, conversation: Option<&str>) {
        let mut after = 0;
        loop {
            let mut params = json!({"after": after, "limit": PAGE});
            if let Some(conversation) = conversation {
                params["conversation"] = conversation.into();
            }
            let Some(page) = self.ask("events", params).await else { return };
            let Some(last) = page["events"].as_array().unwrap().last() else { return };
            after = last["seq"].as_u64().unwrap();
        }
    }

    /// The pages of what stands in a conversation, from one end to the other.
    async fn history(&mut self, conversation: &str, forward: bool) {
        let mut from = if forward { json!(0) } else { json!(null) };
        loop {
            let way = if forward { "after" } else { "before" };
            let mut params = json!({"conversation": conversation, "limit": PAGE});
            if !from.is_null() {
                params[way] = from;
            }
            let Some(page) = self.ask("history", params).await else { return };
            let messages = page["messages"].as_array().unwrap();
            let Some(end) = (if forward { messages.last() } else { messages.first() }) else { return };
            from = end["seq"].clone();
        }
    }

    async fn conversation(&mut self, conversation: &str, threads: &[u64]) {
        for method in ["conversation", "members", "positions"] {
            self.ask(method, json!({"conversation": conversation})).await;
        }
        self.events(Some(conversation)).await;
        self.history(conversation, true).await;
        self.history(conversation, false).await;
        for root in threads {
            self.ask("history", json!({"conversation": conversation, "thread_root": root, "after": 0, "limit": PAGE})).await;
        }
    }
}

fn failure(failure: Failure) -> String {
    match failure {
        Failure::Refused(error) => code(&error).to_owned(),
        Failure::Gone(how) => format!("gone {how:?}"),
    }
}

/// Takes a field out, wherever it is.
fn without(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|value| without(value, field));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without(value, field)),
        _ => {}
    }
}

/// Who reads, and what.
pub struct Extent {
    /// Names and accounts; the first is an administrator.
    pub people: Vec<(&'static str, User)>,
    pub conversations: Vec<String>,
    /// Of each conversation the same: messages that may have threads.
    pub threads: Vec<u64>,
}

/// Reads everything.
pub async fn everything(address: SocketAddr, extent: &Extent) -> Record {
    let mut record = Record::new();
    for (name, user) in &extent.people {
        let connection = match Connection::open(address).await {
            Ok(connection) => connection,
            Err(why) => panic!("it does not take connections: {why:?}"),
        };
        let mut reader = Reader { name, connection, record: &mut record };
        if reader.ask("hello", json!({"token": user.token})).await.is_none() {
            continue;
        }
        for conversation in &extent.conversations {
            reader.conversation(conversation, &extent.threads).await;
        }
        reader.events(None).await;
        reader.ask("conversations", json!({})).await;
        reader.ask("devices", json!({})).await;
        reader.ask("list_users", json!({})).await;
        for (other, account) in &extent.people {
            reader.ask("find", json!({"name": other})).await;
            reader.ask("users", json!({"users": [account.id]})).await;
        }
    }
    record
}
