//! The client over real sockets, against the tests' server: said is settled, happened is given, and
//! a connection that breaks is made anew.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(dead_code, reason = "the world is made for more than one test file")]

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chirrup_client::{Address, Client, ClientEvent, Error, Events, Follow, Options, Status, new_client_id};
use chirrup_core::conversation::Action;
use chirrup_core::event::{History, Leaver, Text};
use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::choice::Form;
use chirrup_protocol::request::{Conversation, Send};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use world::Dice;
use world::server::{Server, send};

const CHAT: ConversationId = ConversationId([1; 16]);
const PATIENCE: Duration = Duration::from_secs(30);

/// The server of the tests behind a port of this machine.
struct Host {
    server: Arc<Mutex<Server>>,
    address: Address,
    /// Connections with a lower number are broken off.
    broken: watch::Sender<usize>,
    /// Somebody has something to tell to connections.
    news: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Host {
    async fn start() -> Self {
        let mut server = Server::default();
        let members = vec![Server::user(1), Server::user(2)];
        let create = Action::CreateGroup { title: "t".to_owned(), history: History::Full, leaver: Leaver::Keeps, members };
        server.act(CHAT, Server::user(9), ClientId([1; 16]), create).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let host = Self {
            server: Arc::new(Mutex::new(server)),
            address,
            broken: watch::Sender::new(0),
            news: Arc::default(),
            tasks: JoinSet::new(),
        };
        host.listen(listener)
    }

    fn listen(mut self, listener: TcpListener) -> Self {
        let (server, broken, news) = (self.server.clone(), self.broken.clone(), self.news.clone());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(connection(socket, server.clone(), broken.subscribe(), news.clone()));
            }
        });
        self
    }

    fn client(&self, n: u8, outbox: Option<&std::path::Path>) -> (Client, Events) {
        let mut options = Options::new(self.address.clone(), Some(Server::user(n).to_string()));
        options.follow = Follow::FromHead;
        options.outbox = outbox.map(std::path::Path::to_owned);
        Client::connect(options).unwrap()
    }

    /// Somebody else says something.
    fn other_says(&self, n: u8) {
        let text = Text { text: format!("{n}"), mentions: Vec::new(), mention_all: false };
        self.server.lock().unwrap().act(CHAT, Server::user(9), ClientId([n; 16]), send(text, None, None, false)).unwrap();
        self.news.notify_waiters();
    }
}

/// Takes the subprotocol that the client names (C-1).
#[expect(clippy::unnecessary_wraps, clippy::result_large_err, reason = "as the library wants it")]
fn subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let named = request.headers().get(SEC_WEBSOCKET_PROTOCOL).expect("the client names it");
    assert_eq!(named, chirrup_protocol::SUBPROTOCOL);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, named.clone());
    Ok(response)
}

async fn connection(socket: TcpStream, server: Arc<Mutex<Server>>, mut broken: watch::Receiver<usize>, news: Arc<Notify>) {
    let mut socket = tokio_tungstenite::accept_hdr_async(socket, subprotocol).await.unwrap();
    let session = server.lock().unwrap().connect();
    let mut dice = Dice::new(1);
    loop {
        let told = news.notified();
        let frames = server.lock().unwrap().take(session);
        for text in frames {
            if socket.feed(Message::text(text)).await.is_err() {
                return;
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => server.lock().unwrap().frame(session, text.as_str(), &mut dice),
                _ => break,
            },
            () = told => {}
            _ = broken.wait_for(|below| session < *below) => break,
        }
        news.notify_waiters();
    }
    server.lock().unwrap().disconnect(session);
}

fn message(text: &str) -> Send {
    Send {
        client_id: new_client_id(),
        conversation: CHAT,
        text: text.to_owned(),
        form: Form::Text,
        mentions: Vec::new(),
        mention_all: false,
        reply_to: None,
        thread_root: None,
        also_in_conversation: false,
    }
}

/// The seqs of the next events of the conversation.
async fn given(events: &mut Events, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let event = timeout(PATIENCE, events.next()).await.expect("an event in time").expect("an event");
        if let ClientEvent::Event { conversation: Some(CHAT), event } = event {
            seqs.push(event.seq);
        }
    }
    seqs
}

#[tokio::test]
async fn what_is_said_is_settled_and_reaches_the_other() {
    let host = Host::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (ana, _ana_events) = host.client(1, Some(directory.path()));
    let (ben, mut ben_events) = host.client(2, None);
    ana.ready().await.unwrap();
    ben.ready().await.unwrap();
    let said: Vec<_> = (0..50).map(|n| ana.say(message(&format!("m{n}"))).unwrap()).collect();
    let mut seqs = Vec::new();
    for saying in said {
        seqs.push(timeout(PATIENCE, saying).await.expect("an outcome in time").unwrap().seq);
    }
    assert_eq!(seqs, (2..52).collect::<Vec<_>>());
    assert_eq!(given(&mut ben_events, 50).await, seqs);
    assert_eq!(ben.view(|view| view.conversation(CHAT).unwrap().unread().count), 50);
    let about = ben.request(Conversation { conversation: CHAT }).await.unwrap();
    assert_eq!((about.head, about.unread.count), (51, 50));
    ana.close().await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "an empty outbox leaves no file");
}

#[tokio::test]
async fn a_broken_connection_is_made_anew_and_nothing_is_missed() {
    let host = Host::start().await;
    let (client, mut events) = host.client(1, None);
    client.ready().await.unwrap();
    host.other_says(10);
    assert_eq!(given(&mut events, 1).await, [2]);
    // Breaks all connections so far, at every message.
    for n in 11..16 {
        host.broken.send_modify(|below| *below += 1_000);
        host.other_says(n);
        host.broken.send_modify(|below| *below -= 1_000 - 1);
    }
    let saying = client.say(message("and I")).unwrap();
    assert_eq!(given(&mut events, 6).await, [3, 4, 5, 6, 7, 8]);
    assert_eq!(timeout(PATIENCE, saying).await.expect("an outcome in time").unwrap().seq, 8);
    client.close().await;
    // What waited is still given, then no more.
    timeout(PATIENCE, async { while events.next().await.is_some() {} }).await.expect("an end");
    assert!(matches!(client.request(Conversation { conversation: CHAT }).await, Err(Error::Closed)));
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (client, _events) = Client::connect(Options::new(port.to_string().parse().unwrap(), Some("t".to_owned()))).unwrap();
    let Err(Error::NotConnected(reason)) = client.ready().await else { panic!("it connected") };
    assert!(reason.contains(&port.to_string()), "{reason}");
    let asked = client.request_within(Conversation { conversation: CHAT }, 200).await;
    assert!(matches!(asked, Err(Error::NotConnected(_))), "{asked:?}");
}

#[tokio::test]
async fn a_token_that_is_of_no_use_ends_the_client() {
    let host = Host::start().await;
    let (client, mut events) =
        Client::connect(Options { follow: Follow::FromHead, ..Options::new(host.address.clone(), Some("no token".to_owned())) }).unwrap();
    assert!(matches!(client.ready().await, Err(Error::Ended(_))));
    assert!(matches!(client.status(), Status::Ended(_)));
    assert!(matches!(events.next().await, Some(ClientEvent::Ended(_))));
    assert!(events.next().await.is_none());
    assert!(matches!(client.request(Conversation { conversation: CHAT }).await, Err(Error::Ended(_))));
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_by_the_next_run() {
    let host = Host::start().await;
    let directory = tempfile::tempdir().unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut options = Options::new(nowhere.to_string().parse().unwrap(), Some(Server::user(1).to_string()));
    options.outbox = Some(directory.path().to_owned());
    let (client, _events) = Client::connect(options).unwrap();
    let saying = client.say(message("later")).unwrap();
    client.close().await;
    assert!(matches!(saying.await, Err(Error::Closed)));

    let (client, mut events) = host.client(1, Some(directory.path()));
    assert_eq!(client.outbox().len(), 1);
    assert_eq!(given(&mut events, 1).await, [2]);
    client.close().await;
}
