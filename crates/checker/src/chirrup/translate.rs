//! Chirrup's JSON in the words of a history, and back.

use serde_json::{Value, json};

use crate::adapter::{Account, Again, Done, EventPage, Failure, MessagePage, Page, Push};
use crate::history::{Act, Event, Head, Kind, Leaver, Listed, Message, Name, Past, Position, Presence, Seq, Status, Turn};

/// What came is not of the protocol.
pub fn broken(said: &Value) -> Failure {
    Failure::Broken { said: said.to_string().into() }
}

/// What an `error` means.
pub fn failure(error: &Value) -> Failure {
    let Some(code) = error["code"].as_str() else { return broken(error) };
    if code == "unknown" {
        return Failure::Unknown { why: "the server does not know".into() };
    }
    let again = match error["retry"].as_str() {
        Some("never") => Again::Never,
        Some("now") => Again::After(0),
        Some("after") => Again::After(error["after_ms"].as_u64().unwrap_or(0)),
        _ => return broken(error),
    };
    Failure::Refused { code: code.into(), again }
}

/// The method and the parameters of a change by this user.
pub fn act(act: &Act, me: &str) -> (&'static str, Value) {
    match act {
        Act::Send { conversation, key, body, reply_to, thread, also_in_conversation } => {
            let mut params = json!({"client_id": key, "conversation": conversation, "text": body});
            if let Some(seq) = reply_to {
                params["reply_to"] = (*seq).into();
            }
            if let Some(seq) = thread {
                params["thread_root"] = (*seq).into();
                params["also_in_conversation"] = (*also_in_conversation).into();
            }
            ("send", params)
        }
        Act::Edit { conversation, key, target, body } => {
            ("edit", json!({"client_id": key, "conversation": conversation, "target": target, "text": body}))
        }
        Act::Delete { conversation, key, target } => ("delete", json!({"client_id": key, "conversation": conversation, "target": target})),
        Act::React { conversation, key, target, emoji, add } => {
            ("react", json!({"client_id": key, "conversation": conversation, "target": target, "emoji": emoji, "add": add}))
        }
        Act::AddMember { conversation, key, user } => {
            ("add_members", json!({"client_id": key, "conversation": conversation, "users": [user]}))
        }
        Act::RemoveMember { conversation, key, user } if **user == *me => {
            ("leave", json!({"client_id": key, "conversation": conversation}))
        }
        Act::RemoveMember { conversation, key, user } => {
            ("remove_member", json!({"client_id": key, "conversation": conversation, "user": user}))
        }
        Act::CreateGroup { key, title, members, past, leaver } => {
            ("create_group", json!({"client_id": key, "title": title, "members": members, "history": past, "leaver": leaver}))
        }
        Act::CreateDirect { key, with } => ("create_direct", json!({"client_id": key, "with": with})),
        Act::Read { conversation, seq } => ("read", json!({"conversation": conversation, "seq": seq})),
        Act::Delivered { conversation, seq } => ("delivered", json!({"conversation": conversation, "seq": seq})),
    }
}

/// What `ok` says of a change by this user.
pub fn done(act: &Act, ok: &Value, me: &Name) -> Result<Done, Failure> {
    let duplicate = ok["duplicate"].as_bool().unwrap_or(false);
    let told = match act {
        Act::Read { conversation, .. } | Act::Delivered { conversation, .. } => {
            let position = position(conversation, ok, me.clone());
            position.map(|position| Done { seq: position.read, conversation: None, duplicate, position: Some(position) })
        }
        Act::CreateGroup { .. } | Act::CreateDirect { .. } => {
            let conversation = name(ok, "conversation");
            conversation.zip(ok["seq"].as_u64()).map(|(c, seq)| Done { seq, conversation: Some(c), duplicate, position: None })
        }
        _ => ok["seq"].as_u64().map(|seq| Done { seq, conversation: None, duplicate, position: None }),
    };
    told.ok_or_else(|| broken(ok))
}

/// The answer to `sign_up` and `log_in`.
pub fn account(ok: &Value) -> Result<Account, Failure> {
    let told = || Some(Account { user: name(ok, "user")?, device: name(ok, "device")?, token: ok["token"].as_str()?.to_owned() });
    told().ok_or_else(|| broken(ok))
}

/// *Ready*, a page of `sync` or of `conversations`.
pub fn page(ok: &Value) -> Result<Page, Failure> {
    let told = || {
        Some(Page {
            conversations: list(ok, "conversations", listed)?,
            next: ok["next"].as_str().map(str::to_owned),
            cursor: name(ok, "cursor"),
        })
    };
    told().ok_or_else(|| broken(ok))
}

/// A conversation as one has it.
pub fn listed(told: &Value) -> Option<Listed> {
    let last_message = match &told["last_message"] {
        Value::Null => None,
        last => Some(message(last)?),
    };
    Some(Listed {
        conversation: name(told, "conversation")?,
        head: told["head"].as_u64()?,
        joined: told["joined"].as_bool()?,
        read: told["read"].as_u64()?,
        delivered: told["delivered"].as_u64()?,
        unread: told["unread"]["count"].as_u64()?,
        last_message,
    })
}

/// The answer to `events`.
pub fn event_page(ok: &Value) -> Result<EventPage, Failure> {
    let told = || Some(EventPage { events: list(ok, "events", event)?, head: ok["head"].as_u64()?, digest: name(ok, "digest") });
    told().ok_or_else(|| broken(ok))
}

/// The parameters of `history`.
pub fn messages(conversation: &str, turn: Turn, thread: Option<Seq>, limit: u64) -> Value {
    let mut params = json!({"conversation": conversation, "limit": limit});
    match turn {
        Turn::Newest => {}
        Turn::Before(seq) => params["before"] = seq.into(),
        Turn::After(seq) => params["after"] = seq.into(),
    }
    if let Some(root) = thread {
        params["thread_root"] = root.into();
    }
    params
}

/// The answer to `history`.
pub fn message_page(ok: &Value, turn: Turn) -> Result<MessagePage, Failure> {
    let more = if matches!(turn, Turn::After(_)) { "more_after" } else { "more_before" };
    let told = || Some(MessagePage { messages: list(ok, "messages", message)?, head: ok["head"].as_u64()?, more: ok[more].as_bool()? });
    told().ok_or_else(|| broken(ok))
}

/// The answer to `positions`.
pub fn positions(conversation: &str, ok: &Value) -> Result<Vec<Position>, Failure> {
    let conversation: Name = conversation.into();
    list(ok, "positions", |told| position(&conversation, told, name(told, "user")?)).ok_or_else(|| broken(ok))
}

/// The answer to `watch`.
pub fn presences(ok: &Value) -> Result<Vec<Presence>, Failure> {
    list(ok, "presences", presence).ok_or_else(|| broken(ok))
}

/// A push; none for those that nobody here judges.
pub fn push(frame: &Value) -> Option<Push> {
    let data = &frame["data"];
    let told = match frame["push"].as_str() {
        Some("event") => match (name(data, "conversation"), data["event"]["type"].as_str()) {
            (Some(conversation), _) => event(&data["event"]).map(|event| Push::Event { conversation, event }),
            (None, Some("conversation.added")) => name(&data["event"], "conversation").map(Push::Added),
            (None, Some("conversation.removed")) if data["event"]["readable"] == true => return None,
            (None, Some("conversation.removed")) => name(&data["event"], "conversation").map(Push::Removed),
            (None, Some(_)) => return None,
            (None, None) => None,
        },
        Some("position.updated") => {
            name(data, "conversation").zip(name(data, "user")).and_then(|(c, user)| position(&c, data, user)).map(Push::Position)
        }
        Some("presence.updated") => presence(data).map(Push::Presence),
        Some("heartbeat") => heads(data, "behind").map(|behind| Push::Heartbeat { behind, cursor: name(data, "cursor") }),
        Some("behind") => heads(data, "logs").map(Push::Behind),
        Some("reconnect") => data["after_ms"].as_u64().map(Push::Reconnect),
        Some(_) => return None,
        None => None,
    };
    Some(told.unwrap_or_else(|| Push::Broken(frame.to_string().into())))
}

/// An event of a conversation.
pub fn event(told: &Value) -> Option<Event> {
    let target = || told["target"].as_u64();
    let reacted = |add| Some(Kind::Reacted { target: target()?, emoji: name(told, "emoji")?, add });
    let kind = match told["type"].as_str()? {
        "hidden" => Kind::Hidden,
        "conversation.created" => Kind::Created {
            members: list(told, "members", |user| user.as_str().map(Name::from))?,
            past: if told["history"] == "full" { Past::Full } else { Past::FromJoin },
            leaver: if told["leaver"] == "keeps" { Leaver::Keeps } else { Leaver::Loses },
        },
        "message.created" => Kind::Message {
            body: name(told, "text"),
            timeline: told.get("ordinal").is_some(),
            reply_to: told["reply_to"].as_u64(),
            thread: told["thread_root"].as_u64(),
        },
        "message.edited" => Kind::Edited { target: target()?, body: name(told, "text") },
        "message.deleted" => Kind::Deleted { target: target()? },
        "reaction.added" => reacted(true)?,
        "reaction.removed" => reacted(false)?,
        "member.added" => Kind::Joined { user: name(told, "user")? },
        "member.removed" => Kind::Left { user: name(told, "user")? },
        other => Kind::Other(other.into()),
    };
    Some(Event { seq: told["seq"].as_u64()?, author: name(told, "author"), key: name(told, "client_id"), time: name(told, "time"), kind })
}

/// A message as it stands.
pub fn message(told: &Value) -> Option<Message> {
    let reaction = |told: &Value| Some((name(told, "emoji")?, told["count"].as_u64()?));
    Some(Message {
        seq: told["seq"].as_u64()?,
        author: name(told, "author"),
        key: name(told, "client_id"),
        body: name(told, "text"),
        deleted: told["deleted"].as_bool().unwrap_or(false),
        changed: told["changed"].as_u64().unwrap_or(0),
        reactions: if told["reactions"].is_null() { Vec::new() } else { list(told, "reactions", reaction)? },
    })
}

fn position(conversation: &Name, told: &Value, user: Name) -> Option<Position> {
    Some(Position { conversation: conversation.clone(), user, read: told["read"].as_u64()?, delivered: told["delivered"].as_u64()? })
}

fn presence(told: &Value) -> Option<Presence> {
    let status = match told["status"].as_str()? {
        "online" => Status::Online,
        "away" => Status::Away,
        "offline" => Status::Offline,
        _ => return None,
    };
    Some(Presence { user: name(told, "user")?, status })
}

/// Logs of conversations; one's own user log is nobody's conversation.
fn heads(told: &Value, which: &str) -> Option<Vec<Head>> {
    let logs = match &told[which] {
        Value::Null => return Some(Vec::new()),
        logs => logs.as_array()?,
    };
    let of_conversations = logs.iter().filter(|log| log.get("conversation").is_some());
    of_conversations.map(|log| Some(Head { conversation: name(log, "conversation")?, head: log["head"].as_u64()? })).collect()
}

fn name(told: &Value, which: &str) -> Option<Name> {
    told[which].as_str().map(Name::from)
}

fn list<T>(told: &Value, which: &str, of: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    told[which].as_array()?.iter().map(of).collect()
}
