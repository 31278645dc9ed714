//! The checker's adapter of our own SDK: what an application is told by it. Its sessions outlive
//! connections; events must come to the application once each and in order all the same.

use chirrup_checker::adapter::{Account, Adapter, Again, Done, EventPage, Failure, MessagePage, Opened, Page, Push, Session};
use chirrup_checker::chirrup::translate;
use chirrup_checker::history::{Act, Listed, Name, Position, Presence, Seq, Turn};
use chirrup_client::{Client, ClientEvent, Error, Events, Follow, Options};
use chirrup_protocol::error::{Error as Refusal, Retry};
use chirrup_protocol::push::{LogEvent, Push as Told};
use chirrup_protocol::request::Request;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::PASSWORD;

/// An answer that takes longer does not come.
const ANSWER_MS: u64 = 20_000;
/// Pushes that wait to be looked at.
const PUSHES_MAX: usize = 8192;
/// After so many events the application notes how far it has come.
const EVENTS_PER_NOTE: usize = 20;

/// Our SDK, with a server.
pub(super) struct Sdk {
    url: String,
}

/// A client of the SDK.
pub(super) struct SdkSession {
    client: Client,
    user: Name,
    _events: JoinSet<()>,
}

impl Sdk {
    pub(super) fn of(url: String) -> Self {
        Self { url }
    }

    async fn account(&self, method: &str, key: &str, name: &str) -> Result<Account, Failure> {
        let (client, _events) = Client::connect(Options::new(self.url.parse().unwrap(), None)).unwrap();
        translate::account(&ask(&client, method, &json!({"client_id": key, "name": name, "password": PASSWORD})).await?)
    }
}

async fn ask(client: &Client, method: &str, params: &Value) -> Result<Value, Failure> {
    let params: Box<RawValue> = to_raw_value(params).unwrap();
    let answer = client.raw(method, &params, ANSWER_MS).await.map_err(failure)?;
    Ok(serde_json::from_str(answer.get()).unwrap())
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Refused(Refusal { code, retry, after_ms, .. }) => {
            let again = if retry == Retry::Never { Again::Never } else { Again::After(after_ms.unwrap_or(0)) };
            Failure::Refused { code: code.name().into(), again }
        }
        Error::Malformed(said) => Failure::Broken { said: said.into() },
        other => Failure::Unknown { why: other.to_string().into() },
    }
}

/// What an event is in the checker's words; none for those that nobody judges.
fn push(event: ClientEvent) -> Option<Push> {
    let told = match event {
        ClientEvent::Event { conversation: conversation @ Some(_), event } => Told::Event(LogEvent { conversation, event }),
        ClientEvent::Position(position) => Told::Position(position),
        ClientEvent::Presence(presence) => Told::Presence(presence),
        ClientEvent::Removed(conversation) => return Some(Push::Removed(conversation.to_string().into())),
        // Nothing here puts a server back to an earlier time.
        ClientEvent::Rewound { .. } => return Some(Push::Broken("a log was rewound".into())),
        _ => return None,
    };
    translate::push(&serde_json::to_value(told).unwrap())
}

/// Tells what the application is told, and at times how far it has come.
async fn tell(mut events: Events, pushes: mpsc::Sender<Push>) {
    let mut taken = 0;
    while let Some(event) = events.next().await {
        let Some(push) = push(event) else { continue };
        taken += usize::from(matches!(push, Push::Event { .. }));
        if pushes.send(push).await.is_err() {
            return;
        }
        if taken >= EVENTS_PER_NOTE {
            taken = 0;
            let cursor = serde_json::to_string(&events.resume()).unwrap().into();
            let _ = pushes.send(Push::Heartbeat { behind: Vec::new(), cursor: Some(cursor) }).await;
        }
    }
}

impl Adapter for Sdk {
    type Session = SdkSession;

    async fn sign_up(&self, key: &str, name: &str) -> Result<Account, Failure> {
        self.account("sign_up", key, name).await
    }

    async fn log_in(&self, key: &str, name: &str) -> Result<Account, Failure> {
        self.account("log_in", key, name).await
    }

    async fn connect(&self, account: &Account, cursor: Option<&str>) -> Result<Opened<SdkSession>, Failure> {
        let mut options = Options::new(self.url.parse().unwrap(), Some(account.token.clone()));
        // What is not of use, as half a cursor, is as none.
        options.resume = cursor.and_then(|cursor| serde_json::from_str(cursor).ok());
        options.follow = Follow::FromBeginning;
        let reset = cursor.is_some() && options.resume.is_none();
        let (client, events) = Client::connect(options).map_err(failure)?;
        client.ready().await.map_err(failure)?;
        let (told, pushes) = mpsc::channel(PUSHES_MAX);
        let mut task = JoinSet::new();
        task.spawn(tell(events, told));
        let session = SdkSession { client, user: account.user.clone(), _events: task };
        let mut page = Page { conversations: Vec::new(), next: None, cursor: None };
        loop {
            let more = session.conversations(page.next.as_deref()).await?;
            page.conversations.extend(more.conversations);
            page.next = more.next;
            if page.next.is_none() {
                return Ok(Opened { session, pushes, reset, page });
            }
        }
    }
}

impl Session for SdkSession {
    async fn act(&self, act: &Act) -> Result<Done, Failure> {
        let (method, params) = translate::act(act, &self.user);
        let said =
            |done: chirrup_protocol::reply::Done| Done { seq: done.seq, conversation: None, duplicate: done.duplicate, position: None };
        let settled = match Request::parse(method, &params.to_string()).unwrap().unwrap() {
            Request::Send(say) => self.client.say(say),
            Request::Edit(say) => self.client.say(say),
            Request::Delete(say) => self.client.say(say),
            Request::React(say) => self.client.say(say),
            _ => return translate::done(act, &ask(&self.client, method, &params).await?, &self.user),
        };
        settled.map_err(failure)?.await.map(said).map_err(failure)
    }

    async fn sync(&self, next: &str) -> Result<Page, Failure> {
        panic!("the SDK lists by itself: {next}");
    }

    async fn events(&self, conversation: &str, after: Seq) -> Result<EventPage, Failure> {
        translate::event_page(&ask(&self.client, "events", &json!({"conversation": conversation, "after": after, "limit": 500})).await?)
    }

    async fn messages(&self, conversation: &str, turn: Turn, thread: Option<Seq>) -> Result<MessagePage, Failure> {
        translate::message_page(&ask(&self.client, "history", &translate::messages(conversation, turn, thread, 100)).await?, turn)
    }

    async fn conversations(&self, next: Option<&str>) -> Result<Page, Failure> {
        let params = next.map_or_else(|| json!({"limit": 100}), |next| json!({"limit": 100, "after": next}));
        translate::page(&ask(&self.client, "conversations", &params).await?)
    }

    async fn conversation(&self, conversation: &str) -> Result<Listed, Failure> {
        let answer = ask(&self.client, "conversation", &json!({"conversation": conversation})).await?;
        translate::listed(&answer).ok_or_else(|| translate::broken(&answer))
    }

    async fn positions(&self, conversation: &str) -> Result<Vec<Position>, Failure> {
        translate::positions(conversation, &ask(&self.client, "positions", &json!({"conversation": conversation})).await?)
    }

    async fn watch(&self, users: &[Name]) -> Result<Vec<Presence>, Failure> {
        let users: Vec<Value> = users.iter().map(|user| Value::from(&**user)).collect();
        translate::presences(&ask(&self.client, "watch", &json!({"users": users})).await?)
    }

    /// The SDK reads by itself.
    async fn stall(&self, _ms: u64) {}
}
