//! Connections: how they are accepted, what they carry, when they end.
//!
//! Must not know: what a request does, how an event is stored.

pub mod connection;
pub mod frame;
pub mod outbound;
pub mod places;
mod stream;
pub mod transport;
mod upgrade;
pub mod websocket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chirrup_engine::sink::Sink as _;
use chirrup_protocol::PATH;
use chirrup_protocol::error::{Code, Error};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::{Caller, Context, Order};
use crate::config::Config;
use crate::http::{self, Answer, forwarded, problem, text};
use crate::limits::{HTTP_HEADER_MS, TLS_HANDSHAKE_MS};
use connection::Connection;
use outbound::Outbound;
use places::{AddressPlace, Place, Places};
use stream::Stream;
use websocket::WebSocket;

/// A failed accept (no file descriptors left) is tried again after this.
const ACCEPT_RETRY_MS: u64 = 50;

/// Takes connections and owns their tasks.
pub struct Gateway {
    context: Arc<Context>,
    config: Config,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    next_id: AtomicU64,
    /// Every WebSocket, so that all can be told when the server stops.
    connections: Mutex<HashMap<u64, Arc<Outbound>>>,
    tasks: TaskTracker,
    /// Nobody new is served any more.
    ending: CancellationToken,
}

/// Takes a connection's entry out again when it has ended.
struct Entry {
    gateway: Arc<Gateway>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut connections = self.gateway.connections();
        connections.remove(&self.id);
        self.gateway.context.metrics.connections.set(connections.len() as u64);
    }
}

impl Gateway {
    /// As configured; `tls` if clients come with it.
    pub fn new(context: Arc<Context>, config: Config, tls: Option<TlsAcceptor>) -> Arc<Self> {
        let places = Places::new(config.listen.connections_max, config.listen.connections_per_address_max);
        Arc::new(Self {
            context,
            config,
            tls,
            places,
            next_id: AtomicU64::new(1),
            connections: Mutex::default(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        })
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Arc<Outbound>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts until it is told to stop.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => self.accepted(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            }
        }
    }

    fn accepted(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let metrics = &self.context.metrics;
        metrics.accepted.one();
        let address = peer.ip().to_canonical();
        // Behind a proxy all come from its address: the clients' own are counted later.
        let of_address = if self.config.listen.behind_proxy { Some(None) } else { self.places.take_of(address).map(Some) };
        let (Some(place), Some(of_address)) = (self.places.take(), of_address) else {
            metrics.accept_refused.one();
            return;
        };
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move { gateway.serve(socket, peer, Arc::new((place, of_address))).await });
    }

    async fn serve(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, places: Arc<(Place, Option<AddressPlace>)>) {
        // Without it an answer may wait for the acknowledgement of the one before.
        if socket.set_nodelay(true).is_err() {
            return;
        }
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(tls) => match tokio::time::timeout(Duration::from_millis(TLS_HANDSHAKE_MS), tls.accept(socket)).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                _ => return,
            },
        };
        let gateway = &self;
        let serving = http::serve(stream, |request| {
            let places = Arc::clone(&places);
            async move { gateway.respond(request, peer, places) }
        });
        self.ending.run_until_cancelled(serving).await;
    }

    fn respond(self: &Arc<Self>, mut request: Request<Incoming>, peer: SocketAddr, places: Arc<(Place, Option<AddressPlace>)>) -> Answer {
        if request.uri().path() == PATH {
            let answer = match upgrade::accept(&request, &self.config.listen.origins) {
                Ok(answer) => answer,
                Err(refused) => return *refused,
            };
            let trusted: &[_] = if self.config.listen.behind_proxy { &self.config.listen.trusted_proxies } else { &[] };
            let address = forwarded::client(peer.ip(), request.headers(), trusted);
            let of_address = if self.config.listen.behind_proxy { Some(self.places.take_of(address)) } else { None };
            if matches!(of_address, Some(None)) {
                self.context.metrics.accept_refused.one();
                return problem(StatusCode::TOO_MANY_REQUESTS, "too_many", "there are too many connections from this address");
            }
            let caller = Caller { address, session: None, order: Arc::new(Order::default()) };
            let (gateway, upgrade) = (Arc::clone(self), hyper::upgrade::on(&mut request));
            self.tasks.spawn(async move {
                let _places = (places, of_address);
                gateway.upgraded(upgrade, caller).await;
            });
            return answer;
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => {
                text(StatusCode::OK, "This is a Chirrup server. Clients connect by WebSocket at /v1/ws.\n")
            }
            _ => problem(StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
        }
    }

    async fn upgraded(self: Arc<Self>, upgrade: OnUpgrade, caller: Caller) {
        let Ok(Ok(upgraded)) = tokio::time::timeout(Duration::from_millis(HTTP_HEADER_MS), upgrade).await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else { return };
        let transport = WebSocket::new(parts.io.into_inner(), parts.read_buf.to_vec()).await;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let outbound = Arc::new(Outbound::default());
        let _entry = self.enter(id, &outbound);
        let drain = Duration::from_millis(self.config.session.drain_ms);
        let connection = Connection::new(id, Arc::clone(&self.context), caller, transport, outbound, drain);
        // On the heap: the task that waits for the handshake would otherwise be as large.
        Box::new(connection).run().await;
    }

    fn enter(self: &Arc<Self>, id: u64, outbound: &Arc<Outbound>) -> Entry {
        let mut connections = self.connections();
        connections.insert(id, Arc::clone(outbound));
        if self.ending.is_cancelled() {
            outbound.close(shutting_down());
        }
        self.context.metrics.connections.set(connections.len() as u64);
        Entry { gateway: Arc::clone(self), id }
    }

    /// Answers what was asked, closes every connection, and waits until all have ended, but no
    /// longer than twice the configured time. Nothing may be accepted any more.
    pub async fn drain(&self) {
        // Before the list is gone through: who enters it later sees this.
        self.ending.cancel();
        for outbound in self.connections().values() {
            outbound.close(shutting_down());
        }
        self.tasks.close();
        let patience = Duration::from_millis(2 * self.config.session.drain_ms);
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.connections().len(), "some connections did not end in time");
        }
    }
}

fn shutting_down() -> Error {
    Error::new(Code::ShuttingDown, "the server stops; come back later")
}
